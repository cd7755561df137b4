//! What a workload reports of what it did with a binding's token.
//!
//! A workload writes a *mark*, the annotation [`ANNOTATION_DELIVERY`](crate::names::ANNOTATION_DELIVERY) of its binding, as a JSON
//! object. The operator reads it and reports it as a [`LastDelivery`]: of the mark's text only numbers and shown text get there.

use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::shown;

/// The longest mark, in bytes of UTF-8. An admission policy refuses longer ones.
pub const MARK_BYTES: usize = 512;
/// The longest item, in characters.
const ITEM_CHARACTERS: usize = 256;
/// Codes from here on are failures, as HTTP has it (RFC 9110 §15).
const FIRST_FAILURE: i32 = 400;

/// What a workload reported of the last thing it did with the token.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    /// When, to the minute: as the workload says, or when the operator saw it.
    pub at: Time,
    /// The status code of the answer, as HTTP has it: from 400 on it failed.
    #[schemars(range(min = 100, max = 599))]
    pub code: i32,
    /// What it was about, in the workload's words. Absent where it names nothing.
    #[schemars(length(max = 256))]
    pub item: Option<String>,
    /// On a connection: the binding whose workload it was, as `<namespace>/<name>`.
    #[schemars(length(max = 127))]
    pub binding: Option<String>,
}

impl LastDelivery {
    pub fn has_failed(&self) -> bool {
        self.code >= FIRST_FAILURE
    }

    /// In one line, for people.
    pub fn summary(&self) -> String {
        let item = self.item.as_deref().map(|item| format!(", item {}", quoted(item)));
        format!("code {}{}", self.code, item.unwrap_or_default())
    }
}

/// The item as a quotation: its own quotation marks cannot end it.
fn quoted(item: &str) -> String {
    format!("\"{}\"", shown::one_line(item).replace('"', "'"))
}

/// A mark as a workload writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryMark {
    code: i32,
    item: Option<String>,
    at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkText {
    code: i32,
    item: Option<String>,
    at: Option<String>,
}

/// Why a mark is not read. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryMarkError {
    #[error("it is longer than {MARK_BYTES} bytes")]
    TooLong,
    #[error("it is not a JSON object with code, a number, and optionally item and at, both texts")]
    NotAMark,
    #[error("code is not between 100 and 599")]
    NoStatusCode,
    #[error("item is longer than {ITEM_CHARACTERS} characters")]
    ItemTooLong,
    #[error("at is not a time such as 2026-01-31T09:00:00Z")]
    NoTime,
}

impl FromStr for DeliveryMark {
    type Err = DeliveryMarkError;

    fn from_str(text: &str) -> Result<Self, DeliveryMarkError> {
        if text.len() > MARK_BYTES {
            return Err(DeliveryMarkError::TooLong);
        }
        let MarkText { code, item, at } =
            serde_json::from_str(text).map_err(|_| DeliveryMarkError::NotAMark)?;
        if !(100..=599).contains(&code) {
            return Err(DeliveryMarkError::NoStatusCode);
        }
        if item.as_ref().is_some_and(|item| item.chars().count() > ITEM_CHARACTERS) {
            return Err(DeliveryMarkError::ItemTooLong);
        }
        let at = at.map(|at| at.parse()).transpose().map_err(|_| DeliveryMarkError::NoTime)?;
        let item = item.map(|item| shown::one_line(&item)).filter(|item| !item.trim().is_empty());
        Ok(Self { code, item, at })
    }
}

impl DeliveryMark {
    /// What is reported after this mark; `last` is what is reported now. A mark from before that does not count, and one without
    /// a time counts as a new one if it differs. A time that is still to come is no time: it would hide what comes until then.
    pub fn after(&self, last: Option<&LastDelivery>, now: Timestamp) -> LastDelivery {
        let stated = self.at.filter(|at| *at <= now);
        let is_known = |last: &&LastDelivery| match stated {
            Some(at) => minute(at) < last.at.0,
            None => (last.code, &last.item) == (self.code, &self.item),
        };
        last.filter(is_known).cloned().unwrap_or_else(|| LastDelivery {
            at: Time(minute(stated.unwrap_or(now))),
            code: self.code,
            item: self.item.clone(),
            binding: None,
        })
    }
}

/// The minute in which a time is.
pub fn minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap_or(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn after(mark: &str, last: Option<&LastDelivery>, now: &str) -> LastDelivery {
        mark.parse::<DeliveryMark>().unwrap().after(last, at(now))
    }

    #[test]
    fn a_mark_counts_to_the_minute_and_never_backwards() {
        let now = "2026-01-01T10:00:30Z";
        let first = after(r#"{"code":200,"item":"post-1"}"#, None, now);
        assert_eq!((first.at.0, first.has_failed()), (at("2026-01-01T10:00:00Z"), false));
        for (mark, moves_to) in [
            (r#"{"code":200,"item":"post-1"}"#, None),
            (r#"{"code":404,"item":"post-1"}"#, Some("2026-01-01T11:30:00Z")),
            (r#"{"code":200,"item":"post-1","at":"2026-01-01T11:12:59Z"}"#, Some("2026-01-01T11:12:00Z")),
            (r#"{"code":200,"item":"post-1","at":"2026-01-01T11:12Z"}"#, Some("2026-01-01T11:12:00Z")),
            (r#"{"code":404,"at":"2026-01-01T09:59:59Z"}"#, None),
            (r#"{"code":404,"at":"1970-01-01T00:00:00Z"}"#, None),
            (r#"{"code":200,"item":"post-1","at":"2099-01-01T00:00:00Z"}"#, None),
            (r#"{"code":500,"at":"2099-01-01T00:00:00Z"}"#, Some("2026-01-01T11:30:00Z")),
        ] {
            let next = after(mark, Some(&first), "2026-01-01T11:30:40Z");
            assert_eq!(next != first, moves_to.is_some(), "{mark}");
            assert_eq!(next.at.0, moves_to.map_or(first.at.0, at), "{mark}");
            let again = after(mark, Some(&next), "2026-01-01T11:45:00Z");
            assert_eq!(again, next, "the same mark counts once: {mark}");
        }
    }

    #[test]
    fn a_mark_that_is_none_is_refused_without_being_quoted() {
        let long = format!(r#"{{"code":200,"item":"{}"}}"#, "x".repeat(257));
        let huge = "x".repeat(MARK_BYTES + 1);
        for (mark, error) in [
            ("", DeliveryMarkError::NotAMark),
            ("200", DeliveryMarkError::NotAMark),
            ("[200]", DeliveryMarkError::NotAMark),
            (r#"{"item":"x"}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":"200"}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":200.5}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":200,"code":404}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":200,"token":"x"}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":99999999999999999999}"#, DeliveryMarkError::NotAMark),
            (r#"{"code":0}"#, DeliveryMarkError::NoStatusCode),
            (r#"{"code":-1}"#, DeliveryMarkError::NoStatusCode),
            (r#"{"code":600}"#, DeliveryMarkError::NoStatusCode),
            (r#"{"code":200,"at":"yesterday"}"#, DeliveryMarkError::NoTime),
            (&long, DeliveryMarkError::ItemTooLong),
            (&huge, DeliveryMarkError::TooLong),
        ] {
            assert_eq!(mark.parse::<DeliveryMark>(), Err(error), "{mark}");
        }
    }

    #[test]
    fn an_item_cannot_act_on_what_shows_it() {
        let told = after(
            r#"{"code":404,"item":"a\u001b[31m\n$(rm -rf ~)\" b\u202e"}"#,
            None,
            "2026-01-01T10:00:00Z",
        );
        assert_eq!(told.item.as_deref(), Some("a\u{fffd}[31m $(rm -rf ~)\" b\u{fffd}"));
        assert_eq!(told.summary(), "code 404, item \"a\u{fffd}[31m $(rm -rf ~)' b\u{fffd}\"");
        assert_eq!(after(r#"{"code":204,"item":"\t"}"#, None, "2026-01-01T10:00:00Z").summary(), "code 204");
    }
}
