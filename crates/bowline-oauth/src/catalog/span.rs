//! Lengths of time as the catalogue writes them: `30s`, `10m`, `12h`, `90d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// A length of time in whole seconds, minutes, hours or days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+[smhd]$"))]
pub struct Span(Duration);

/// A length of time that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a whole number with s, m, h or d, such as 90d")]
pub struct SpanError;

impl Span {
    /// The length of time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let (number, seconds) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))
            .ok_or(SpanError)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SpanError);
        }
        let total =
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or(SpanError)?;
        Ok(Self(Duration::from_secs(total)))
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl fmt::Display for Span {
    /// In the largest unit that loses nothing.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds > 0 && seconds % 86_400 == 0 => write!(out, "{}d", seconds / 86_400),
            seconds if seconds > 0 && seconds % 3600 == 0 => write!(out, "{}h", seconds / 3600),
            seconds if seconds > 0 && seconds % 60 == 0 => write!(out, "{}m", seconds / 60),
            seconds => write!(out, "{seconds}s"),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_and_shown_in_its_largest_unit() {
        for (text, seconds, shown) in [
            ("30s", 30, "30s"),
            ("600s", 600, "10m"),
            ("90d", 7_776_000, "90d"),
            ("12h", 43_200, "12h"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.get().as_secs(), span.to_string()), (seconds, shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "s", "10", "1.5h", "-1s", "+1s", "1w", "1 s", "99999999999999999999d"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }
}
