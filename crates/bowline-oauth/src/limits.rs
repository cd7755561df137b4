//! How much of an answer is kept. Everything that is kept is sealed, written to Secrets and compared again and again, in
//! every namespace that the connection is shared with.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

/// The longest access or refresh token that is kept, in bytes. Tokens travel in headers, and common servers accept 8 KiB of
/// those.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The longest id token that is read, in bytes. It is not kept, and lists of groups make it long.
pub(crate) const MAX_ID_TOKEN: usize = 64 * 1024;

/// The longest name, id, e-mail address, claim or scope that is kept, in characters.
pub const MAX_NAME: usize = 256;

/// The most scopes that are kept. No request has that many, so what was granted beyond the request stays visible.
pub const MAX_SCOPES: usize = 256;

/// The most that is kept of one answer, in bytes: a record holds up to three of them, and a Secret 1 MiB.
const MAX_KEPT: usize = 64 * 1024;

/// A part of an answer that has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerPart {
    AccessToken,
    RefreshToken,
    AccountId,
    Claim,
    Scopes,
    /// A further value to publish.
    Extra,
}

impl AnswerPart {
    const fn words(self) -> &'static str {
        match self {
            Self::AccessToken => "access token",
            Self::RefreshToken => "refresh token",
            Self::AccountId => "account id",
            Self::Claim => "claim",
            Self::Scopes => "list of scopes",
            Self::Extra => "value beside the token",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::AccessToken | Self::RefreshToken | Self::Extra => "bytes",
            Self::AccountId | Self::Claim => "characters",
            Self::Scopes => "entries",
        }
    }

    const fn limit(self) -> usize {
        match self {
            Self::AccessToken | Self::RefreshToken | Self::Extra => MAX_TOKEN,
            Self::AccountId | Self::Claim => MAX_NAME,
            Self::Scopes => MAX_SCOPES,
        }
    }

    /// Whether nothing works for long without it.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::AccessToken | Self::RefreshToken)
    }
}

/// A part of an answer that is larger than what is kept. It is left out, never shortened: half a token opens nothing, and
/// half an account id may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Oversized {
    pub part: AnswerPart,
    /// In bytes, characters or entries, as the part is measured.
    pub size: usize,
    /// In the same unit.
    pub limit: usize,
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, size, limit } = self;
        let unit = part.unit();
        write!(
            f,
            "the provider sent {} {} of {size} {unit}, and at most {limit} are kept",
            article(part.words()),
            part.words()
        )?;
        f.write_str(if part.is_token() {
            ": have the provider issue shorter tokens, for example with fewer claims"
        } else {
            ""
        })
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// What may still be kept of one answer. What does not fit is noted.
pub(crate) struct Allowance {
    left: usize,
    oversized: Vec<Oversized>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: MAX_KEPT, oversized: Vec::new() }
    }
}

impl Allowance {
    /// The text, if it fits.
    pub(crate) fn keep<'a>(&mut self, part: AnswerPart, text: &'a str) -> Option<&'a str> {
        match fits(part, text) {
            Ok(()) if text.len() <= self.left => {
                self.left -= text.len();
                Some(text)
            }
            Ok(()) => {
                self.oversized.push(Oversized { part, size: text.len(), limit: self.left });
                None
            }
            Err(oversized) => {
                self.oversized.push(oversized);
                None
            }
        }
    }

    /// The scopes in a list or text, each once. If there are too many, those that `comes_first` stay: a required one that
    /// was cut off would count as refused.
    pub(crate) fn scopes(
        &mut self,
        value: &Value,
        separators: &str,
        comes_first: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let mut distinct = distinct(value, separators)?;
        let size = distinct.len();
        if size > MAX_SCOPES {
            distinct.sort_by_cached_key(|scope| !comes_first(scope));
        }
        let fitting = distinct.into_iter().filter(|scope| fits(AnswerPart::Claim, scope).is_ok());
        let mut kept = Vec::new();
        for scope in fitting.take(MAX_SCOPES) {
            if scope.len() > self.left {
                break;
            }
            self.left -= scope.len();
            kept.push(scope.to_owned());
        }
        if kept.len() < size {
            self.oversized.push(Oversized { part: AnswerPart::Scopes, size, limit: kept.len() });
        }
        Some(kept)
    }

    pub(crate) fn note(&mut self, oversized: Oversized) {
        self.oversized.push(oversized);
    }

    /// What did not fit.
    pub(crate) fn into_oversized(self) -> Vec<Oversized> {
        self.oversized
    }
}

/// Whether this part is not too long by itself.
pub(crate) fn fits(part: AnswerPart, text: &str) -> Result<(), Oversized> {
    let limit = part.limit();
    // Bytes are counted at once, and there are at least as many of them as characters.
    if text.len() <= limit {
        return Ok(());
    }
    let size = if part.unit() == "bytes" { text.len() } else { text.chars().count() };
    if size <= limit { Ok(()) } else { Err(Oversized { part, size, limit }) }
}

/// In the order of the answer.
fn distinct<'a>(value: &'a Value, separators: &str) -> Option<Vec<&'a str>> {
    let separators = if separators.is_empty() { " ," } else { separators };
    let listed: Vec<&str> = match value {
        Value::String(text) => text.split(|c: char| separators.contains(c)).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let mut seen = HashSet::new();
    let listed = listed.into_iter().map(str::trim).filter(|scope| !scope.is_empty());
    Some(listed.filter(|scope| seen.insert(*scope)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_large_is_left_out_and_named_with_its_size() {
        let mut allowance = Allowance::default();
        let long = "t".repeat(MAX_TOKEN + 1);
        assert_eq!(allowance.keep(AnswerPart::AccessToken, &long), None);
        assert!(allowance.keep(AnswerPart::RefreshToken, &long[1..]).is_some());
        let oversized = allowance.into_oversized();
        let [found] = oversized.as_slice() else { unreachable!("{oversized:?}") };
        assert!(found.part.is_token());
        let words = found.to_string();
        assert!(words.contains("an access token of 16385 bytes, and at most 16384"), "{words}");
    }

    #[test]
    fn names_are_measured_in_characters() {
        let name = "\u{e9}".repeat(MAX_NAME);
        assert!(fits(AnswerPart::AccountId, &name).is_ok());
        let longer = fits(AnswerPart::AccountId, &format!("{name}x")).unwrap_err();
        assert_eq!((longer.size, longer.limit), (257, 256));
    }

    #[test]
    fn all_parts_together_are_no_more_than_the_whole_that_is_kept() {
        let mut allowance = Allowance::default();
        let part = "x".repeat(MAX_TOKEN);
        let kept = (0..100).filter(|_| allowance.keep(AnswerPart::Extra, &part).is_some()).count();
        assert_eq!(kept, MAX_KEPT / MAX_TOKEN);
        assert_eq!(allowance.scopes(&json!("read"), "", |_| true).unwrap(), [] as [&str; 0]);
        assert_eq!(allowance.into_oversized().len(), 100 - kept + 1);
    }

    #[test]
    fn a_required_scope_is_kept_however_late_it_is_named() {
        let listed: Vec<String> = (0..1_000).map(|number| format!("s{number}")).collect();
        let mut allowance = Allowance::default();
        let kept = allowance.scopes(&json!(listed), "", |scope| scope == "s999").unwrap();
        assert_eq!((kept.len(), kept[0].as_str(), kept[1].as_str()), (MAX_SCOPES, "s999", "s0"));
        assert_eq!(allowance.into_oversized()[0].size, 1_000);
    }
}
