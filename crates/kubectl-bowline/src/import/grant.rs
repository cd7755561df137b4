//! What is imported: read from text, checked before anything is written. An error never shows what was read.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The maximum that is read; a token answer has a few KiB.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const REFRESH_TOKEN: &str = "refresh_token";
const ACCESS_TOKEN: &str = "access_token";
const EXPIRES_IN: &str = "expires_in";
const EXPIRES_AT: &str = "expires_at";
const API_KEY: &str = "api_key";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";

const KEYS: &[&str] =
    &[REFRESH_TOKEN, ACCESS_TOKEN, EXPIRES_IN, EXPIRES_AT, "scope", "id_token", API_KEY, USERNAME, PASSWORD];

const EMPTY: &str = "there is no input: give the JSON of a token answer, or lines like api_key=...";
const CODE: &str = "an authorization code cannot be imported: exchange it, and import the answer";

type GrantFields = BTreeMap<String, SecretString>;

/// A grant that may be written into an intake Secret.
pub(super) struct ImportedGrant(GrantFields);

impl ImportedGrant {
    /// Reads the JSON of a token answer (RFC 6749 §5.1) or lines of `key=value`.
    ///
    /// Keys of an answer that say nothing about the grant (`token_type`, a provider's extras) are left out; in lines, where
    /// they can only be typing errors, they are refused. Beside `api_key` other names are passed on: the operator knows which
    /// values belong to a key of the provider.
    pub(super) fn read(bytes: &[u8], now: Timestamp) -> anyhow::Result<Self> {
        ensure!(bytes.len() <= MAX_BYTES, "there are more than {MAX_BYTES} bytes: that is no token answer");
        let text = std::str::from_utf8(bytes).map_err(|_| anyhow!("the input is not text"))?.trim();
        ensure!(!text.is_empty(), EMPTY);
        let fields = if text.starts_with(['{', '[', '"']) { from_json(text)? } else { from_lines(text)? };
        let grant = Self(fields);
        grant.check()?;
        grant.check_expiry(now)?;
        Ok(grant)
    }

    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let bytes = |value: &SecretString| ByteString(value.expose_secret().as_bytes().to_vec());
        self.0.iter().map(|(key, value)| (key.clone(), bytes(value))).collect()
    }

    pub(super) fn keys(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn check(&self) -> anyhow::Result<()> {
        for (key, value) in &self.0 {
            let value = value.expose_secret();
            let is_good = !value.is_empty() && !value.chars().any(char::is_control);
            ensure!(is_good, "{key} is empty, or has line breaks or other control characters");
        }
        ensure!(self.has(USERNAME) == self.has(PASSWORD), "username and password come together");
        let tokens = self.has(REFRESH_TOKEN) || self.has(ACCESS_TOKEN);
        match [tokens, self.has(API_KEY), self.has(USERNAME)].into_iter().filter(|given| *given).count() {
            0 => bail!(
                "there is no token and no key: give refresh_token or access_token, or api_key, or username and password"
            ),
            1 => Ok(()),
            _ => bail!("tokens, api_key, and username with password exclude each other: give one of them"),
        }
    }

    fn check_expiry(&self, now: Timestamp) -> anyhow::Result<()> {
        let value = |key| self.0.get(key).map(ExposeSecret::expose_secret);
        match (value(EXPIRES_IN), value(EXPIRES_AT)) {
            (None, None) => {}
            (Some(_), Some(_)) => bail!("expires_in and expires_at exclude each other: give one of them"),
            (Some(seconds), None) => {
                // Some providers write 0 for a token that never expires.
                ensure!(seconds.parse::<u32>().is_ok(), "expires_in must be a number of seconds");
            }
            (None, Some(at)) => {
                let at: Timestamp =
                    at.parse().map_err(|_| anyhow!("expires_at must be a time like 2026-01-31T12:00:00Z"))?;
                let is_usable = at > now || self.has(REFRESH_TOKEN);
                ensure!(is_usable, "the access token has expired already, and there is no refresh token");
            }
        }
        Ok(())
    }
}

fn from_json(text: &str) -> anyhow::Result<GrantFields> {
    // serde_json's message may quote what it read.
    let value: Value = serde_json::from_str(text)
        .map_err(|error| anyhow!("the JSON is broken at line {}, column {}", error.line(), error.column()))?;
    let Value::Object(answer) = value else { bail!("the JSON is not an object") };
    ensure!(!answer.contains_key("error"), "this is the answer of a refusal, not a token: it has an `error`");
    ensure!(!answer.contains_key("code"), CODE);
    let mut fields = GrantFields::new();
    for key in KEYS {
        let value = match answer.get(*key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => bail!("{key} must be text or a number"),
        };
        fields.insert((*key).to_owned(), value.into());
    }
    if fields.contains_key(API_KEY) {
        let values = answer.iter().filter(|(name, _)| !KEYS.contains(&name.as_str()) && is_value_name(name));
        let texts =
            values.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned().into())));
        fields.extend(texts.collect::<GrantFields>());
    }
    Ok(fields)
}

/// Whether this may be the name of a value that belongs to a key. Which there are, the operator knows.
fn is_value_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 63
        && name.bytes().all(is_plain)
}

fn from_lines(text: &str) -> anyhow::Result<GrantFields> {
    let mut fields = GrantFields::new();
    let is_key = text.lines().any(|line| line.trim_start().starts_with(API_KEY));
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) =
            line.split_once('=').map_or((line, None), |(key, value)| (key.trim(), Some(value)));
        ensure!(key != "code" || value.is_none(), CODE);
        // The message does not repeat the name: a line that we do not know may be secret from its first letter on.
        let is_known = KEYS.contains(&key) || is_key && is_value_name(key);
        let (true, Some(value)) = (is_known, value) else {
            bail!(
                "line {number} is not of the form key=value with one of the keys {}, or beside api_key the name of a value",
                KEYS.join(", ")
            )
        };
        ensure!(fields.insert(key.to_owned(), value.trim().into()).is_none(), "{key} is given twice");
    }
    ensure!(!fields.is_empty(), EMPTY);
    Ok(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<ImportedGrant> {
        ImportedGrant::read(text.as_bytes(), "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn refusal(bytes: &[u8]) -> String {
        ImportedGrant::read(bytes, "2026-01-01T00:00:00Z".parse().unwrap()).err().unwrap().to_string()
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
            ("", EMPTY),
            (" \n# only a comment\n", EMPTY),
            ("{\"access_token\": \"s3cret\",}", "the JSON is broken at line 1, column 27"),
            ("[\"s3cret\"]", "the JSON is not an object"),
            (r#"{"error":"invalid_grant"}"#, "the answer of a refusal"),
            (r#"{"code":"c"}"#, CODE),
            ("code=c", CODE),
            ("s3cret", "line 1 is not of the form"),
            ("refresh_token=k\nacces_token=s3cret", "line 2 is not of the form"),
            ("api_key=k\nwebhook-secret=s3cret", "line 2 is not of the form"),
            ("api_key=k\nS3CRET", "line 2 is not of the form"),
            ("webhook_secret=s3cret", "line 1 is not of the form"),
            ("api_key=k\nwebhook_secret=a\nwebhook_secret=b", "webhook_secret is given twice"),
            ("api_key=k\nwebhook_secret=", "webhook_secret is empty"),
            ("api_key=k\napi_key=l", "api_key is given twice"),
            ("api_key=", "api_key is empty"),
            ("{\"api_key\":\"a\\nb\"}", "api_key is empty, or has line breaks"),
            (r#"{"access_token":["s3cret"]}"#, "access_token must be text"),
            ("scope=a", "there is no token and no key"),
            (r#"{"access_token":null}"#, "there is no token and no key"),
            ("api_key=k\nrefresh_token=r", "exclude each other"),
            ("username=u", "username and password come together"),
            (
                "access_token=a\nexpires_in=1\nexpires_at=2027-01-01T00:00:00Z",
                "expires_in and expires_at exclude",
            ),
            ("access_token=a\nexpires_in=soon", "expires_in must be"),
            ("access_token=a\nexpires_at=tomorrow", "expires_at must be"),
            ("access_token=a\nexpires_at=2025-12-31T00:00:00Z", "has expired already"),
        ] {
            let said = refusal(text.as_bytes());
            assert!(said.contains(expected), "{text}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn values_that_belong_to_a_key_are_passed_on() {
        for text in [
            "api_key=k\nwebhook_secret=w",
            "webhook_secret=w\napi_key=k",
            r#"{"api_key":"k","webhook_secret":"w","account":{"id":1},"Mode":"live"}"#,
        ] {
            let grant = read(text).unwrap();
            assert_eq!(grant.keys(), "api_key, webhook_secret", "{text}");
            assert_eq!(grant.data()["webhook_secret"], ByteString(b"w".to_vec()));
        }
        let end = read("api_key=k\nexpires_at=2027-01-01T00:00:00Z").unwrap();
        assert_eq!(end.keys(), "api_key, expires_at");
    }

    #[test]
    fn an_expired_access_token_with_a_refresh_token_is_taken() {
        assert!(read("access_token=a\nrefresh_token=r\nexpires_at=2025-12-31T00:00:00Z").is_ok());
    }

    #[test]
    fn binary_and_huge_input_is_refused() {
        assert_eq!(refusal(&[0xff, 0xfe]), "the input is not text");
        assert!(refusal(&vec![b'a'; MAX_BYTES + 1]).contains("more than 65536 bytes"));
    }
}
