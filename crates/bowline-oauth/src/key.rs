//! API keys, and user names with passwords: their format, and whether they work.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderName};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::Document;
use super::classify::{self, Failure, Operation};
use super::headers;
use super::http::{Http, Received};
use super::request::{self, RequestError};
use crate::catalog::Description;
use crate::catalog::calls::Validate;
use crate::catalog::errors::Class;
use crate::catalog::parameter::Pattern;
use crate::catalog::pointer::Pointer;
use crate::catalog::protocol::ProviderAccount;

/// A credential that a person entrusted to us. Its `Debug` shows nothing.
#[derive(Clone)]
pub enum KeyOrPassword {
    Key(SecretString),
    /// RFC 7617: the name has no colon, and the password may be empty.
    Password {
        username: String,
        password: SecretString,
    },
}

impl fmt::Debug for KeyOrPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Password { .. } => "Password",
        })
    }
}

/// Why something cannot be a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    #[error("it is empty")]
    Empty,
    #[error("it holds a line break or another control character")]
    Control,
    /// It would end there (RFC 7617 §2).
    #[error("a user name cannot hold a colon")]
    Colon,
    /// Perhaps it is another kind of key.
    #[error("it does not look like a key of this provider")]
    Pattern,
}

impl KeyOrPassword {
    /// A key, trimmed. Its length is not checked: formats grow.
    pub fn key(text: &str, pattern: Option<&Pattern>) -> Result<Self, KeyFlaw> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyFlaw::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(KeyFlaw::Control);
        }
        if pattern.is_some_and(|pattern| !pattern.matches(text)) {
            return Err(KeyFlaw::Pattern);
        }
        Ok(Self::Key(SecretString::from(text)))
    }

    /// User name and password. The name is trimmed; of the password only line breaks at its end are dropped, because spaces
    /// may belong to it.
    pub fn password(username: &str, password: &str) -> Result<Self, KeyFlaw> {
        let username = username.trim();
        let password = password.trim_end_matches(['\r', '\n']);
        if username.is_empty() {
            return Err(KeyFlaw::Empty);
        }
        if username.chars().chain(password.chars()).any(char::is_control) {
            return Err(KeyFlaw::Control);
        }
        if username.contains(':') {
            return Err(KeyFlaw::Colon);
        }
        Ok(Self::Password { username: username.to_owned(), password: SecretString::from(password) })
    }

    /// The value of the header that carries it.
    fn header(&self, scheme: Option<&str>) -> String {
        let value = match self {
            Self::Key(key) => key.expose_secret().to_owned(),
            Self::Password { username, password } => {
                BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()))
            }
        };
        match scheme {
            Some(scheme) => format!("{scheme} {value}"),
            None => value,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    Good(Option<ProviderAccount>),
    Bad,
    /// It works, but may not do what the check does.
    Alive,
    /// There is no check: stored, not verified.
    Unverified,
}

/// Checks a key with the description's cheap call. A failure says nothing about the key.
pub async fn verify(
    http: &dyn Http,
    description: &Description,
    credential: &KeyOrPassword,
    now: Timestamp,
) -> Result<KeyVerdict, Failure> {
    let Some(key) = &description.key else { return Ok(KeyVerdict::Unverified) };
    let Some(check) = &key.validate else { return Ok(KeyVerdict::Unverified) };
    let Some(url) = &check.url else { return Ok(KeyVerdict::Unverified) };
    let mut request = request::api_call(check.method, url, &check.headers, check.json.as_ref())?;
    let name = HeaderName::from_bytes(key.header.as_bytes());
    let name = name.map_err(|_| RequestError::BadHeader(key.header.clone()))?;
    if headers::is_ours(name.as_str()) && name != AUTHORIZATION {
        return Err(RequestError::BadHeader(key.header.clone()).into());
    }
    let value = request::sensitive(&credential.header(key.scheme.as_deref()), name.as_str())?;
    request.headers_mut().insert(name, value);
    judge(description, check, &http.send(request).await?, now)
}

/// A code in the table counts first, then the status: some providers return 200 for everything, and some say "too many" to a
/// valid key whose account has no credit left.
fn judge(
    description: &Description,
    validate: &Validate<Option<Url>>,
    received: &Received,
    now: Timestamp,
) -> Result<KeyVerdict, Failure> {
    let document = Document::read(received);
    let status = received.status.as_u16();
    let failure = classify::answered(Operation::Key, description, received, &document, now).err();
    if matches!(document, Document::Html) {
        return Err(failure.unwrap_or_else(|| classify::unconfirmed(received)));
    }
    let data = document.data();
    let found = description.errors.api(status, &received.headers, data);
    let by_code = found.filter(|found| found.code.is_some()).map(|found| found.class);
    let refused = failure.as_ref().filter(|_| data.is_some()).map(|failure| failure.class);
    let leads_to_a_value = |path: &Pointer| data.is_some_and(|data| path.get(data).is_some());
    match by_code.or(validate.class(status)).or(refused) {
        None if validate.ok_path.as_ref().is_none_or(leads_to_a_value) => {
            Ok(KeyVerdict::Good(data.map(|data| validate.account.read(data)).transpose()?.flatten()))
        }
        None | Some(Class::Reauth) => Ok(KeyVerdict::Bad),
        Some(Class::Alive) => Ok(KeyVerdict::Alive),
        Some(_) => Err(failure.unwrap_or_else(|| classify::unconfirmed(received))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::calls::KeyUsage;
    use crate::catalog::errors::RefusalRule;
    use crate::fixtures::{Script, description, pointer};

    fn checked() -> Description {
        let url = Some("https://api.example.com/me".parse().unwrap());
        let validate = Validate { url, ..Validate::default() };
        let key = KeyUsage {
            header: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
            pattern: None,
            password: false,
            validate: Some(validate),
        };
        let mut description = description();
        description.core.key = Some(key);
        description
    }

    async fn verdict(description: &Description, status: u16, body: &str) -> Result<KeyVerdict, Class> {
        let key = KeyOrPassword::key("key-canary", None).unwrap();
        let outcome = verify(&Script::of(status, body), description, &key, Timestamp::UNIX_EPOCH).await;
        assert!(!format!("{outcome:?}{key:?}").contains("canary"));
        outcome.map_err(|failure| failure.class)
    }

    #[tokio::test]
    async fn a_check_has_three_outcomes_or_says_nothing() {
        let rows = [
            (200, "{}", Ok(KeyVerdict::Good(None))),
            (204, "", Ok(KeyVerdict::Good(None))),
            (401, "", Ok(KeyVerdict::Bad)),
            (401, r#"{"error":"no"}"#, Ok(KeyVerdict::Bad)),
            (403, "", Ok(KeyVerdict::Alive)),
            (429, "", Err(Class::Transient)),
            (500, "", Err(Class::Transient)),
            (302, "", Err(Class::Bug)),
            (404, "{}", Err(Class::Bug)),
            (200, "<html>sign in", Err(Class::Transient)),
            (403, "<html>blocked", Err(Class::Transient)),
            (401, "<html>blocked", Err(Class::Bug)),
        ];
        for (status, body, want) in rows {
            assert_eq!(verdict(&checked(), status, body).await, want, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_status_may_lie_and_the_body_knows() {
        let mut sentry = checked();
        sentry.core.key.as_mut().unwrap().validate.as_mut().unwrap().ok_path = Some(pointer("/auth"));
        assert_eq!(verdict(&sentry, 200, r#"{"auth":null}"#).await, Ok(KeyVerdict::Bad));
        assert_eq!(verdict(&sentry, 200, r#"{"auth":{"id":1}}"#).await, Ok(KeyVerdict::Good(None)));

        let mut openai = checked();
        openai.core.errors.api_code = crate::fixtures::pointers("/error/code");
        let rule = |code: &str, class| RefusalRule {
            status: None,
            code: Some(code.to_owned()),
            text: None,
            header: None,
            client: false,
            class,
            says: None,
        };
        openai.core.errors.api =
            vec![rule("insufficient_quota", Class::Alive), rule("invalid_api_key", Class::Reauth)];
        assert_eq!(
            verdict(&openai, 429, r#"{"error":{"code":"insufficient_quota"}}"#).await,
            Ok(KeyVerdict::Alive)
        );
        assert_eq!(verdict(&openai, 429, r#"{"error":{"code":"rate"}}"#).await, Err(Class::Transient));
        assert_eq!(
            verdict(&openai, 200, r#"{"error":{"code":"invalid_api_key"}}"#).await,
            Ok(KeyVerdict::Bad)
        );
    }

    #[tokio::test]
    async fn without_an_address_a_key_is_stored_unverified() {
        let mut unchecked = checked();
        unchecked.core.key.as_mut().unwrap().validate.as_mut().unwrap().url = None;
        let key = KeyOrPassword::key("k", None).unwrap();
        let outcome = verify(&Script::new([]), &unchecked, &key, Timestamp::UNIX_EPOCH).await;
        assert_eq!(outcome.unwrap(), KeyVerdict::Unverified);
    }

    #[tokio::test]
    async fn a_password_goes_as_basic_and_a_key_as_its_header_says() {
        let mut description = checked();
        let key = description.core.key.as_mut().unwrap();
        (key.scheme, key.header) = (Some("Basic".to_owned()), "authorization".to_owned());
        let script = Script::of(200, "");
        let credential = KeyOrPassword::password("ann ", "p:w\n").unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        let requests = script.requests();
        let sent = &requests[0].headers()["authorization"];
        assert_eq!(sent.to_str().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("ann:p:w")));
        assert!(sent.is_sensitive());

        let key = description.core.key.as_mut().unwrap();
        (key.scheme, key.header) = (None, "X-Api-Key".to_owned());
        let script = Script::of(200, "");
        let credential = KeyOrPassword::key(" k1\n", None).unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(script.requests()[0].headers()["x-api-key"], "k1");
    }

    #[test]
    fn what_cannot_be_a_credential_is_refused() {
        assert_eq!(KeyOrPassword::key(" \n", None).unwrap_err(), KeyFlaw::Empty);
        assert_eq!(KeyOrPassword::key("a\nb", None).unwrap_err(), KeyFlaw::Control);
        assert_eq!(KeyOrPassword::key("a\0b", None).unwrap_err(), KeyFlaw::Control);
        assert_eq!(KeyOrPassword::password("a:b", "c").unwrap_err(), KeyFlaw::Colon);
        assert_eq!(KeyOrPassword::password(" ", "c").unwrap_err(), KeyFlaw::Empty);
        assert_eq!(KeyOrPassword::password("a", "b\nc").unwrap_err(), KeyFlaw::Control);
        assert!(KeyOrPassword::password("a", "").is_ok());
        assert!(KeyOrPassword::key(&"k".repeat(4096), None).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_shown(text in "\\PC{8,40}") {
            for credential in [KeyOrPassword::key(&text, None), KeyOrPassword::password("user", &text)].into_iter().flatten() {
                let shown = format!("{credential:?}");
                prop_assert!(!shown.contains(text.trim()));
            }
        }
    }
}
