//! Keys, and user names with passwords: where they go, what belongs to them, and how they are checked.

use std::collections::BTreeMap;

use http::HeaderMap;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::Verb;
use super::errors::{Class, passes};
use super::parameter::Pattern;
use super::pointer::Pointer;
use super::protocol::AccountPaths;
use super::template::Template;

/// What a key is called in `format`, beside the names of its further values.
pub(crate) const API_KEY: &str = "api_key";

/// A key or a user name and password: where it goes and how it is checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct KeyUsage<U> {
    /// Name of the header that carries it.
    #[serde(default = "authorization")]
    pub(crate) header: String,
    /// Word before it in the header. Absent means none. `Basic` for a user name and password.
    pub(crate) scheme: Option<String>,
    /// The name of a parameter of the query that carries it instead, for a service that reads no header.
    pub(crate) query: Option<String>,
    /// What the header has behind `scheme`, with `{api_key}` and the names of `values` in braces. Absent means the key alone.
    pub(crate) format: Option<String>,
    /// What the key looks like, matched as a whole. Absent means anything.
    #[serde(skip_serializing)]
    pub pattern: Option<Pattern>,
    /// What it looks like in words, for whoever provides something else.
    pub looks: Option<String>,
    /// Kinds of keys that are told apart by what they look like. The first that fits counts.
    #[serde(default)]
    pub kinds: Vec<KeyKind>,
    /// Further values that people provide with the key, by the name under which they are published.
    #[serde(default)]
    pub values: BTreeMap<String, KeyValue>,
    /// Whether it is a user name and password (RFC 7617) instead of one key. The password may be empty.
    #[serde(default)]
    pub(crate) password: bool,
    /// How it is checked. Absent means that it is stored unverified, and status says so.
    pub(crate) validate: Option<Validate<U>>,
}

/// A kind of keys.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyKind {
    /// What such a key looks like, matched as a whole.
    #[serde(skip_serializing)]
    pub(crate) pattern: Pattern,
    /// What is published beside such a key.
    pub(crate) publish: BTreeMap<String, String>,
}

/// A value that belongs to a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyValue {
    /// What the provider calls it.
    pub label: String,
    /// Whether the key may come without it.
    #[serde(default)]
    pub optional: bool,
    /// What it looks like, matched as a whole. Absent means anything.
    #[serde(skip_serializing)]
    pub(crate) pattern: Option<Pattern>,
    /// What it looks like in words, for whoever provides something else.
    pub looks: Option<String>,
}

/// A rule for keys that is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyUsageFlaw {
    #[error(
        "key.values.{0}: its name is used for something else, or is none of lower-case letters, digits and '_'"
    )]
    Name(String),
    #[error("key.kinds: {0} is no key of a Secret that is free")]
    Published(String),
    #[error(
        "key.format: {{{0}}} is neither api_key nor a value that is always there, or the braces do not pair up"
    )]
    Format(String),
    #[error("key.validate.segment: {0} is neither api_key nor a value that is always there")]
    Segment(String),
    #[error("key.query: a name, and no key.format beside it")]
    Query,
}

impl<U> KeyUsage<U> {
    /// The word before a key in its header.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }

    /// Refuses what cannot be sent or published. `is_free`: whether a published Secret has room for a key of this name.
    pub(super) fn check(&self, is_free: impl Fn(&str) -> bool) -> Result<(), KeyUsageFlaw> {
        let is_name =
            |name: &str| name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        if let Some(name) = self.values.keys().find(|name| !is_free(name) || !is_name(name)) {
            return Err(KeyUsageFlaw::Name(name.clone()));
        }
        let mut shown = self.kinds.iter().flat_map(|kind| kind.publish.keys());
        if let Some(name) = shown.find(|name| !is_free(name) || self.values.contains_key(*name)) {
            return Err(KeyUsageFlaw::Published(name.clone()));
        }
        let is_there =
            |name: &str| name == API_KEY || self.values.get(name).is_some_and(|value| !value.optional);
        if let Some(format) = &self.format {
            let format =
                Template::try_from(format.clone()).map_err(|_| KeyUsageFlaw::Format(format.clone()))?;
            if let Some(name) = format.placeholders().find(|name| !is_there(name)) {
                return Err(KeyUsageFlaw::Format(name.to_owned()));
            }
        }
        let segment = self.validate.as_ref().and_then(|check| check.segment.as_ref());
        if let Some(name) = segment.filter(|name| !is_there(name)) {
            return Err(KeyUsageFlaw::Segment(name.clone()));
        }
        let is_query = |name: &String| !name.is_empty() && self.format.is_none();
        self.query.as_ref().is_none_or(is_query).then_some(()).ok_or(KeyUsageFlaw::Query)
    }

    /// What is published beside this key because of what it looks like.
    pub fn published_beside(&self, key: &str) -> BTreeMap<String, String> {
        let kind = self.kinds.iter().find(|kind| kind.pattern.matches(key));
        kind.map(|kind| kind.publish.clone()).unwrap_or_default()
    }
}

fn authorization() -> String {
    "authorization".to_owned()
}

/// A cheap request that changes nothing and tells whether a key works.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub(crate) struct Validate<U> {
    /// HTTP method.
    pub(crate) method: Verb,
    /// Address. Absent means that an administrator has to set it and keys are not checked until then.
    pub(crate) url: U,
    /// Headers to send besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON to send. Absent means no body.
    pub(crate) json: Option<Value>,
    /// The name of a value whose text is the last segment of the address' path: `token` for `/tokens/TOKEN`. Absent means that
    /// the address is complete.
    pub(crate) segment: Option<String>,
    /// Statuses of a key that works. Empty means 200 to 299.
    pub(crate) ok: Vec<u16>,
    /// A path that must lead to a value for the key to work.
    pub(crate) ok_path: Option<Pointer>,
    /// Statuses of a key that does not work. Empty means 401.
    pub(crate) invalid: Vec<u16>,
    /// Statuses of a key that works but may not do this. Empty means 403.
    pub(crate) alive: Vec<u16>,
    /// Statuses that say nothing about the key. Empty means 408, 425, 429 and 500 to 599.
    pub(crate) transient: Vec<u16>,
    /// Where the account is in the answer.
    pub(crate) account: AccountPaths,
    /// Where the answer says when the key expires. Its owner is reminded before. Absent means nowhere.
    pub(crate) expires_at: KeyExpiry,
}

/// Where an answer says when a key expires: RFC 3339, a date, or seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyExpiry {
    /// Name of a header of the answer.
    pub(crate) header: Option<String>,
    /// A path in the answer, where the header is absent.
    pub(crate) path: Option<Pointer>,
}

impl KeyExpiry {
    /// When the key expires, as an answer says. What cannot be read says nothing.
    pub(crate) fn read(&self, headers: &HeaderMap, document: Option<&Value>) -> Option<Timestamp> {
        let header = self.header.as_deref().and_then(|name| headers.get(name)?.to_str().ok());
        let there = || self.path.as_ref()?.text(document?);
        header.map(ToOwned::to_owned).or_else(there).and_then(|text| point_in_time(&text))
    }
}

/// A time as providers write it: RFC 3339, the same with a space and with `UTC` or an offset (GitHub), a date, which begins at
/// midnight UTC, or seconds since 1970.
fn point_in_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let offset = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |before| format!("{before}+0000"));
    let spaced = || Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", &offset).ok();
    let date = || Timestamp::strptime("%Y-%m-%d %z", format!("{text} +0000")).ok();
    let seconds = || Timestamp::from_second(text.parse().ok()?).ok();
    text.parse().ok().or_else(spaced).or_else(date).or_else(seconds)
}

impl<U> Validate<U> {
    /// Whether a success has something to read.
    pub(crate) fn reads_answer(&self) -> bool {
        self.ok_path.is_some() || !self.account.id.is_empty()
    }

    /// What a status says about the key; `None` if it works.
    pub(crate) fn class(&self, status: u16) -> Option<Class> {
        let among = |given: &[u16], usual| if given.is_empty() { usual } else { given.contains(&status) };
        if among(&self.ok, (200..=299).contains(&status)) {
            None
        } else if among(&self.transient, passes(status)) {
            Some(Class::Transient)
        } else if among(&self.invalid, status == 401) {
            Some(Class::Reauth)
        } else if among(&self.alive, status == 403) {
            Some(Class::Alive)
        } else {
            Some(Class::Transient)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_key_is_read_however_it_is_written() {
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00.000Z",
            "2027-01-15T10:00:00+02:00",
            "2027-01-15 08:00:00 UTC",
            "2027-01-15 00:00:00 -0800",
            "1800000000",
        ] {
            assert_eq!(point_in_time(text), Timestamp::from_second(1_800_000_000).ok(), "{text}");
        }
        assert_eq!(point_in_time("2027-01-15"), Timestamp::from_second(1_799_971_200).ok());
        for text in ["", "never", "2027-13-40", "2027-01-15 08:00:00", "-", "1e9"] {
            assert_eq!(point_in_time(text), None, "{text}");
        }
    }

    fn checked(fields: Value) -> Result<(), String> {
        let usage: KeyUsage<Option<url::Url>> = serde_json::from_value(fields).unwrap();
        usage.check(|name| name != "account_id").map_err(|flaw| flaw.to_string())
    }

    #[test]
    fn a_key_that_cannot_be_sent_or_published_is_refused() {
        let values =
            serde_json::json!({"token": {"label": "Token"}, "hook": {"label": "Hook", "optional": true}});
        let with = |more: Value| {
            let mut fields = serde_json::json!({"values": values});
            fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            checked(fields)
        };
        let kinds =
            |name: &str| serde_json::json!({"kinds": [{"pattern": "a.*", "publish": {(name): "live"}}]});
        assert_eq!(with(serde_json::json!({"format": "a=\"{api_key}\", b=\"{token}\""})), Ok(()));
        assert_eq!(with(serde_json::json!({"query": "key", "validate": {"segment": "token"}})), Ok(()));
        assert_eq!(with(kinds("mode")), Ok(()));
        for (fields, place) in [
            (serde_json::json!({"format": "{hook}"}), "key.format"),
            (serde_json::json!({"format": "{api_key"}), "key.format"),
            (serde_json::json!({"validate": {"segment": "hook"}}), "key.validate.segment"),
            (serde_json::json!({"query": "key", "format": "{api_key}"}), "key.query"),
            (serde_json::json!({"query": ""}), "key.query"),
            (serde_json::json!({"values": {"account_id": {"label": "Id"}}}), "key.values.account_id"),
            (serde_json::json!({"values": {"Web hook": {"label": "Id"}}}), "key.values.Web hook"),
            (kinds("hook"), "key.kinds"),
            (kinds("account_id"), "key.kinds"),
        ] {
            let said = with(fields.clone()).unwrap_err();
            assert!(said.starts_with(place), "{fields}: {said}");
        }
    }

    #[test]
    fn a_header_counts_before_the_answer() {
        let pointer = Pointer::try_from("/ends".to_owned()).unwrap();
        let expiry = KeyExpiry { header: Some("x-ends".to_owned()), path: Some(pointer) };
        let document = serde_json::json!({"ends": 20});
        let with = [(http::HeaderName::from_static("x-ends"), "10".parse().unwrap())].into_iter().collect();
        let read = |headers: &HeaderMap| expiry.read(headers, Some(&document)).map(Timestamp::as_second);
        assert_eq!((read(&with), read(&HeaderMap::new())), (Some(10), Some(20)));
        assert_eq!(KeyExpiry::default().read(&with, Some(&document)), None);
    }
}
