//! How durations are written: in specs, in flags and in the catalogue.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::fmt::friendly::{Spacing, SpanPrinter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time as Kubernetes writes it, in hours, minutes, seconds and milliseconds: `1h30m`, `10m`, `500ms`.
///
/// Units come once each, the largest first. There are no days: a day is not always 24 hours, and Go's durations, which
/// other tools read, do not have them either.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    inline,
    transform = crate::schema::undescribed,
    extend("pattern" = Self::PATTERN, "minLength" = 2, "maxLength" = 43)
)]
pub struct Duration(std::time::Duration);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is written like 1h30m, 10m or 30s, with the units h, m, s and ms")]
pub struct DurationError;

/// The most digits of one number: no sum of them is too large.
const MAX_DIGITS: usize = 9;

impl Duration {
    /// The empty text matches, too: a schema has to refuse it by its length.
    pub const PATTERN: &str = "^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$";

    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        // jiff also knows words, blanks, signs, fractions and other units.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte));
        let mut numbers = text.split(|char: char| !char.is_ascii_digit());
        if !is_plain || numbers.any(|number| number.len() > MAX_DIGITS) {
            return Err(DurationError);
        }
        let read: SignedDuration = text.parse().map_err(|_| DurationError)?;
        read.try_into().map(Self).map_err(|_| DurationError)
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
        f.write_str(&PRINTER.unsigned_duration_to_string(&self.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// The API server's verdict on a text.
    fn fits_the_schema(text: &str) -> bool {
        Regex::new(Duration::PATTERN).unwrap().is_match(text) && (2..=43).contains(&text.chars().count())
    }

    #[test]
    fn the_schema_and_the_parser_take_and_refuse_the_same() {
        let taken = [
            ("0s", 0, "0s"),
            ("30s", 30_000, "30s"),
            ("10m", 600_000, "10m"),
            ("600s", 600_000, "10m"),
            ("1m30s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1h0m0s", 3_600_000, "1h"),
            ("1m500ms", 60_500, "1m500ms"),
            ("2160h", 7_776_000_000, "2160h"),
            ("007m", 420_000, "7m"),
            ("999999999h999999999m999999999s999999999ms", 3_661_000_996_338_999, "1016944721h12m18s999ms"),
        ];
        for (text, millis, shown) in taken {
            assert!(fits_the_schema(text), "{text}");
            let duration: Duration = text.parse().unwrap();
            assert_eq!(
                (duration.get().as_millis(), duration.to_string().as_str()),
                (millis, shown),
                "{text}"
            );
        }
        let refused = [
            "",
            "s",
            "10",
            "soon",
            "1d",
            "90d",
            "1w",
            "1.5h",
            "-1s",
            "+1s",
            "1 s",
            "1h 30m",
            " 1h",
            "30m1h",
            "1h1h",
            "1H",
            "1us",
            "1ns",
            "PT1H",
            "1hour",
            "1:30",
            "1000000000s",
            "ms",
            "1ms1s",
            "１h",
            "1h\n",
        ];
        for text in refused {
            assert!(!fits_the_schema(text), "{text:?}");
            assert_eq!(text.parse::<Duration>(), Err(DurationError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_judged_differently_by_schema_and_parser(
            wild in "\\PC{0,12}",
            near in "([0-9]{0,10}[hmsd. -]{0,2}){0,5}",
            fit in "([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?",
        ) {
            for text in [wild, near, fit] {
                prop_assert_eq!(text.parse::<Duration>().is_ok(), fits_the_schema(&text), "{:?}", text);
            }
        }

        #[test]
        fn what_is_shown_is_read_as_the_same(millis in 0..=3_599_999_999_999_999_u64) {
            let duration = Duration(std::time::Duration::from_millis(millis));
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
    }
}
