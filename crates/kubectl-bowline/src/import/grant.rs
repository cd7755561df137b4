//! What is brought: read from text, judged before anything is written.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// The most that is read; a token answer has a few KiB.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const REFRESH_TOKEN: &str = "refresh_token";
const ACCESS_TOKEN: &str = "access_token";
const EXPIRES_IN: &str = "expires_in";
const EXPIRES_AT: &str = "expires_at";
const SCOPE: &str = "scope";
const ID_TOKEN: &str = "id_token";
const API_KEY: &str = "api_key";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// Keys of an intake Secret.
const KEYS: &[&str] =
    &[REFRESH_TOKEN, ACCESS_TOKEN, EXPIRES_IN, EXPIRES_AT, SCOPE, ID_TOKEN, API_KEY, USERNAME, PASSWORD];

/// Why what was brought is no grant. Never says what was in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Fault {
    #[error("nothing was brought: give the JSON of a token answer, or lines like api_key=...")]
    Empty,
    #[error("more than {MAX_BYTES} bytes were brought: that is no token answer")]
    TooLarge,
    #[error("what was brought is not text")]
    NotText,
    #[error("the JSON is broken at line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("the JSON is not an object")]
    NotAnObject,
    #[error("this is the answer of a refusal, not a token: it has an `error`")]
    ErrorAnswer,
    #[error("an authorization code cannot be imported: exchange it, and import the answer")]
    Code,
    #[error(
        "line {0} is not of the form key=value with one of the keys refresh_token, access_token, expires_in, expires_at, scope, id_token, api_key, username, password"
    )]
    Line(usize),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("{0} is empty, or has line breaks or other control characters")]
    BadValue(&'static str),
    #[error("{0} must be text or a number")]
    BadType(&'static str),
    #[error(
        "there is no token and no key: give refresh_token or access_token, or api_key, or username and password"
    )]
    NothingToUse,
    #[error("tokens, api_key, and username with password exclude each other: give one of them")]
    Mixed,
    #[error("username and password come together")]
    HalfAPair,
    #[error("expires_in and expires_at exclude each other: give one of them")]
    TwoEnds,
    #[error("expires_in must be a number of seconds above 0")]
    BadExpiresIn,
    #[error("expires_at must be a time like 2026-01-31T12:00:00Z")]
    BadExpiresAt,
    #[error("the access token has expired already, and there is no refresh token")]
    Expired,
}

/// A grant that may be written into an intake Secret.
pub(super) struct Grant(BTreeMap<&'static str, SecretString>);

impl Grant {
    /// Reads the JSON of a token answer (RFC 6749 §5.1) or lines of `key=value`.
    ///
    /// Keys of an answer that say nothing about the grant (`token_type`, a provider's extras) are left out; in lines, where
    /// they can only be typing errors, they are refused.
    pub fn read(bytes: &[u8], now: Timestamp) -> Result<Self, Fault> {
        if bytes.len() > MAX_BYTES {
            return Err(Fault::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotText)?.trim();
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        let fields = if text.starts_with(['{', '[', '"']) { from_json(text)? } else { from_lines(text)? };
        let grant = Self(fields);
        grant.judge(now)?;
        Ok(grant)
    }

    /// Data of the Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let bytes = |value: &SecretString| ByteString(value.expose_secret().as_bytes().to_vec());
        self.0.iter().map(|(key, value)| ((*key).to_owned(), bytes(value))).collect()
    }

    /// The names of what is there, for people.
    pub fn keys(&self) -> String {
        self.0.keys().copied().collect::<Vec<_>>().join(", ")
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn judge(&self, now: Timestamp) -> Result<(), Fault> {
        for (key, value) in &self.0 {
            let value = value.expose_secret();
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(Fault::BadValue(key));
            }
        }
        if self.has(USERNAME) != self.has(PASSWORD) {
            return Err(Fault::HalfAPair);
        }
        let tokens = self.has(REFRESH_TOKEN) || self.has(ACCESS_TOKEN);
        match [tokens, self.has(API_KEY), self.has(USERNAME)].into_iter().filter(|given| *given).count() {
            0 => return Err(Fault::NothingToUse),
            1 => {}
            _ => return Err(Fault::Mixed),
        }
        self.judge_end(now)
    }

    fn judge_end(&self, now: Timestamp) -> Result<(), Fault> {
        let value = |key| self.0.get(key).map(ExposeSecret::expose_secret);
        match (value(EXPIRES_IN), value(EXPIRES_AT)) {
            (None, None) => Ok(()),
            (Some(_), Some(_)) => Err(Fault::TwoEnds),
            (Some(seconds), None) => match seconds.parse::<u32>() {
                Ok(1..) => Ok(()),
                _ => Err(Fault::BadExpiresIn),
            },
            (None, Some(end)) => {
                let end: Timestamp = end.parse().map_err(|_| Fault::BadExpiresAt)?;
                if end <= now && !self.has(REFRESH_TOKEN) { Err(Fault::Expired) } else { Ok(()) }
            }
        }
    }
}

type Fields = BTreeMap<&'static str, SecretString>;

fn from_json(text: &str) -> Result<Fields, Fault> {
    // serde_json's message may quote what it read.
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Fault::Json { line: error.line(), column: error.column() })?;
    let Value::Object(answer) = value else { return Err(Fault::NotAnObject) };
    if answer.contains_key("error") {
        return Err(Fault::ErrorAnswer);
    }
    if answer.contains_key("code") {
        return Err(Fault::Code);
    }
    KEYS.iter().filter_map(|key| field(&answer, key).transpose()).collect()
}

fn field(
    answer: &Map<String, Value>,
    key: &'static str,
) -> Result<Option<(&'static str, SecretString)>, Fault> {
    match answer.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some((key, text.clone().into()))),
        Some(Value::Number(number)) => Ok(Some((key, number.to_string().into()))),
        Some(_) => Err(Fault::BadType(key)),
    }
}

fn from_lines(text: &str) -> Result<Fields, Fault> {
    let mut fields = Fields::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').ok_or(Fault::Line(number))?;
        if key.trim() == "code" {
            return Err(Fault::Code);
        }
        // The name is not repeated in the message: a line that is not ours may be a secret from its first letter on.
        let key = KEYS.iter().find(|known| **known == key.trim()).ok_or(Fault::Line(number))?;
        if fields.insert(key, value.trim().to_owned().into()).is_some() {
            return Err(Fault::Twice(key));
        }
    }
    if fields.is_empty() { Err(Fault::Empty) } else { Ok(fields) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Grant, Fault> {
        Grant::read(text.as_bytes(), "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn fault(text: &str) -> Fault {
        read(text).err().unwrap()
    }

    #[test]
    fn a_token_answer_is_read_as_it_came() {
        let grant = read(
            r#"{"access_token":"at","refresh_token":"rt","token_type":"bearer","expires_in":3600,"scope":"a b","team":{"id":"T1"}}"#,
        )
        .unwrap();
        assert_eq!(grant.keys(), "access_token, expires_in, refresh_token, scope");
        assert_eq!(grant.data()["expires_in"], ByteString(b"3600".to_vec()));
        assert_eq!(grant.data()["scope"], ByteString(b"a b".to_vec()));
    }

    #[test]
    fn lines_may_have_comments_and_equal_signs_in_values() {
        let grant = read("# from the vault\n\nusername = bob\npassword=p=ss word=\n").unwrap();
        assert_eq!(grant.data()["username"], ByteString(b"bob".to_vec()));
        assert_eq!(grant.data()["password"], ByteString(b"p=ss word=".to_vec()));
    }

    #[test]
    fn bad_input_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", Fault::Empty),
            (" \n# only a comment\n", Fault::Empty),
            ("{\"access_token\": \"s3cret\",}", Fault::Json { line: 1, column: 27 }),
            ("[\"s3cret\"]", Fault::NotAnObject),
            (r#"{"error":"invalid_grant"}"#, Fault::ErrorAnswer),
            (r#"{"code":"c"}"#, Fault::Code),
            ("code=c", Fault::Code),
            ("s3cret", Fault::Line(1)),
            ("api_key=k\nacces_token=s3cret", Fault::Line(2)),
            ("api_key=k\napi_key=l", Fault::Twice("api_key")),
            ("api_key=", Fault::BadValue("api_key")),
            ("{\"api_key\":\"a\\nb\"}", Fault::BadValue("api_key")),
            (r#"{"access_token":["s3cret"]}"#, Fault::BadType("access_token")),
            ("scope=a", Fault::NothingToUse),
            (r#"{"access_token":null}"#, Fault::NothingToUse),
            ("api_key=k\nrefresh_token=r", Fault::Mixed),
            ("username=u", Fault::HalfAPair),
            ("access_token=a\nexpires_in=1\nexpires_at=2027-01-01T00:00:00Z", Fault::TwoEnds),
            ("access_token=a\nexpires_in=0", Fault::BadExpiresIn),
            ("access_token=a\nexpires_in=soon", Fault::BadExpiresIn),
            ("access_token=a\nexpires_at=tomorrow", Fault::BadExpiresAt),
            ("access_token=a\nexpires_at=2025-12-31T00:00:00Z", Fault::Expired),
        ] {
            let found = fault(text);
            assert_eq!(found, expected, "{text}");
            assert!(!found.to_string().contains("s3cret"), "{found}");
        }
    }

    #[test]
    fn an_expired_access_token_with_a_refresh_token_is_welcome() {
        assert!(read("access_token=a\nrefresh_token=r\nexpires_at=2025-12-31T00:00:00Z").is_ok());
    }

    #[test]
    fn binary_and_huge_input_is_refused() {
        assert_eq!(Grant::read(&[0xff, 0xfe], Timestamp::UNIX_EPOCH).err(), Some(Fault::NotText));
        assert_eq!(
            Grant::read(&vec![b'a'; MAX_BYTES + 1], Timestamp::UNIX_EPOCH).err(),
            Some(Fault::TooLarge)
        );
    }
}
