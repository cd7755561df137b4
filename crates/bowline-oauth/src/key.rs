//! API keys, and user names with passwords: what they may look like and whether they work.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::HeaderName;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::Document;
use super::classify::{self, Failure, Operation};
use super::http::{Http, Received, Request};
use super::request::{self, RequestError};
use crate::catalog::Description;
use crate::catalog::calls::{Key, KeyState, Validate};
use crate::catalog::errors::Class;
use crate::catalog::parameter::Pattern;
use crate::catalog::protocol::Account;

/// What a person entrusted to us. Its `Debug` shows nothing.
#[derive(Clone)]
pub enum Credential {
    /// An API key.
    Key(SecretString),
    /// User name and password (RFC 7617).
    Password {
        /// User name, without a colon.
        username: String,
        /// Password; may be empty.
        password: SecretString,
    },
}

impl fmt::Debug for Credential {
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
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// A line break or another control character inside.
    #[error("it holds a line break or another control character")]
    Control,
    /// A colon in the user name, where it would end it (RFC 7617 §2).
    #[error("a user name cannot hold a colon")]
    Colon,
    /// Not what the provider's keys look like: perhaps another kind of key.
    #[error("it does not look like a key of this provider")]
    Pattern,
}

impl Credential {
    /// A key, trimmed. Its length is not judged: formats grow.
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

    /// User name and password. The name is trimmed; of the password only line breaks at its end are dropped, because
    /// blanks may belong to it.
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
    fn header(&self, key: &Key<Url>) -> String {
        let value = match self {
            Self::Key(key) => key.expose_secret().to_owned(),
            Self::Password { username, password } => {
                BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()))
            }
        };
        match &key.scheme {
            Some(scheme) => format!("{scheme} {value}"),
            None => value,
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Good(Option<Account>),
    /// It does not work.
    Bad,
    /// It works, but may not do what the check does.
    Alive,
    /// There is no check: stored, not verified.
    Unverified,
}

/// Checks a key by the description's cheap call. A failure says nothing about the key.
pub async fn verify(
    http: &dyn Http,
    description: &Description,
    credential: &Credential,
    now: Timestamp,
) -> Result<Verdict, Failure> {
    let check = description.key.as_ref().and_then(|key| {
        let validate = key.validate.as_ref()?;
        Some((key, validate, validate.url.as_ref()?))
    });
    let Some((key, validate, url)) = check else { return Ok(Verdict::Unverified) };
    let request = build(key, validate, url, credential).map_err(|error| classify::unbuilt(&error))?;
    let received = http.send(request).await.map_err(|error| classify::unanswered(&error))?;
    judge(description, validate, &received, now)
}

fn build(
    key: &Key<Url>,
    validate: &Validate<Url>,
    url: &Url,
    credential: &Credential,
) -> Result<Request, RequestError> {
    let mut request = request::bare(validate.method.into(), url)?;
    request::add_headers(&mut request, &validate.headers)?;
    let name = HeaderName::from_bytes(key.header.as_bytes());
    let name = name.map_err(|_| RequestError::BadHeader(key.header.clone()))?;
    let value = request::sensitive(&credential.header(key), name.as_str())?;
    request.headers_mut().insert(name, value);
    Ok(request)
}

/// A code that the table knows counts first, then the status: some providers answer 200 to everybody, and some say
/// "too many" to a good key whose account has run dry.
fn judge(
    description: &Description,
    validate: &Validate<Url>,
    received: &Received,
    now: Timestamp,
) -> Result<Verdict, Failure> {
    let document = Document::read(received);
    let status = received.status.as_u16();
    let failure = classify::answered(Operation::Key, description, received, &document, now);
    if matches!(document, Document::Html) {
        return Err(failure.unwrap_or_else(|| classify::unconfirmed(received)));
    }
    let found = description.errors.api(status, &received.headers, document.data());
    let by_code = found.filter(|found| found.code.is_some()).map(|found| found.class);
    let refused = failure.as_ref().filter(|_| document.data().is_some()).map(|failure| failure.class);
    let class = match (by_code, validate.state(status)) {
        (Some(class), _) => Some(class),
        (None, KeyState::Invalid) => Some(Class::Reauth),
        (None, KeyState::Alive) => Some(Class::Alive),
        (None, KeyState::Ok) => refused,
        (None, KeyState::Unknown) => Some(Class::Transient),
    };
    let present = || {
        validate
            .ok_path
            .as_ref()
            .is_none_or(|path| document.data().is_some_and(|data| path.get(data).is_some()))
    };
    match class {
        None if present() => Ok(Verdict::Good(document.data().and_then(|data| validate.account.read(data)))),
        None | Some(Class::Reauth) => Ok(Verdict::Bad),
        Some(Class::Alive) => Ok(Verdict::Alive),
        Some(_) => Err(failure.unwrap_or_else(|| classify::unconfirmed(received))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::calls::Verb;
    use crate::catalog::errors::ApiRule;
    use crate::fixtures::{Script, description};

    fn checked() -> Description {
        let validate = Validate {
            method: Verb::Get,
            url: Some("https://api.example.com/me".parse().unwrap()),
            headers: [].into(),
            ok: Vec::new(),
            ok_path: None,
            invalid: Vec::new(),
            alive: Vec::new(),
            transient: Vec::new(),
            account: crate::catalog::protocol::AccountPaths::default(),
        };
        let key = Key {
            header: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
            pattern: None,
            password: false,
            validate: Some(validate),
        };
        Description { key: Some(key), ..description() }
    }

    async fn verdict(description: &Description, status: u16, body: &str) -> Result<Verdict, Class> {
        let key = Credential::key("key-canary", None).unwrap();
        let outcome = verify(&Script::of(status, body), description, &key, Timestamp::UNIX_EPOCH).await;
        assert!(!format!("{outcome:?}{key:?}").contains("canary"));
        outcome.map_err(|failure| failure.class)
    }

    #[tokio::test]
    async fn a_check_has_three_outcomes_or_says_nothing() {
        let rows = [
            (200, "{}", Ok(Verdict::Good(None))),
            (204, "", Ok(Verdict::Good(None))),
            (401, "", Ok(Verdict::Bad)),
            (401, r#"{"error":"no"}"#, Ok(Verdict::Bad)),
            (403, "", Ok(Verdict::Alive)),
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
        sentry.key.as_mut().unwrap().validate.as_mut().unwrap().ok_path = Some("/auth".parse().unwrap());
        assert_eq!(verdict(&sentry, 200, r#"{"auth":null}"#).await, Ok(Verdict::Bad));
        assert_eq!(verdict(&sentry, 200, r#"{"auth":{"id":1}}"#).await, Ok(Verdict::Good(None)));

        let mut openai = checked();
        openai.errors.api_code = "/error/code".parse::<crate::catalog::pointer::Pointer>().unwrap().into();
        let rule =
            |code: &str, class| ApiRule { status: None, code: Some(code.to_owned()), header: None, class };
        openai.errors.api =
            vec![rule("insufficient_quota", Class::Alive), rule("invalid_api_key", Class::Reauth)];
        assert_eq!(
            verdict(&openai, 429, r#"{"error":{"code":"insufficient_quota"}}"#).await,
            Ok(Verdict::Alive)
        );
        assert_eq!(verdict(&openai, 429, r#"{"error":{"code":"rate"}}"#).await, Err(Class::Transient));
        assert_eq!(verdict(&openai, 200, r#"{"error":{"code":"invalid_api_key"}}"#).await, Ok(Verdict::Bad));
    }

    #[tokio::test]
    async fn without_an_address_a_key_is_stored_unverified() {
        let mut unchecked = checked();
        unchecked.key.as_mut().unwrap().validate.as_mut().unwrap().url = None;
        let key = Credential::key("k", None).unwrap();
        let outcome = verify(&Script::new([]), &unchecked, &key, Timestamp::UNIX_EPOCH).await;
        assert_eq!(outcome.unwrap(), Verdict::Unverified);
    }

    #[tokio::test]
    async fn a_password_goes_as_basic_and_a_key_as_its_header_says() {
        let mut description = checked();
        let key = description.key.as_mut().unwrap();
        (key.scheme, key.header) = (Some("Basic".to_owned()), "authorization".to_owned());
        let script = Script::of(200, "");
        let credential = Credential::password("ann ", "p:w\n").unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        let requests = script.requests();
        let sent = &requests[0].headers()["authorization"];
        assert_eq!(sent.to_str().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("ann:p:w")));
        assert!(sent.is_sensitive());

        let key = description.key.as_mut().unwrap();
        (key.scheme, key.header) = (None, "X-Api-Key".to_owned());
        let script = Script::of(200, "");
        let credential = Credential::key(" k1\n", None).unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(script.requests()[0].headers()["x-api-key"], "k1");
    }

    #[test]
    fn what_cannot_be_a_credential_is_refused() {
        assert_eq!(Credential::key(" \n", None).unwrap_err(), KeyFlaw::Empty);
        assert_eq!(Credential::key("a\nb", None).unwrap_err(), KeyFlaw::Control);
        assert_eq!(Credential::key("a\0b", None).unwrap_err(), KeyFlaw::Control);
        assert_eq!(Credential::password("a:b", "c").unwrap_err(), KeyFlaw::Colon);
        assert_eq!(Credential::password(" ", "c").unwrap_err(), KeyFlaw::Empty);
        assert_eq!(Credential::password("a", "b\nc").unwrap_err(), KeyFlaw::Control);
        assert!(Credential::password("a", "").is_ok());
        assert!(Credential::key(&"k".repeat(4096), None).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_shown(text in "\\PC{8,40}") {
            for credential in [Credential::key(&text, None), Credential::password("user", &text)].into_iter().flatten() {
                let shown = format!("{credential:?}");
                prop_assert!(!shown.contains(text.trim()));
            }
        }
    }
}
