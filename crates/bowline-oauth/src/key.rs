//! API keys, and user names with passwords: their format, and whether they work.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderName};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::{Document, extras_of_call};
use super::classify::{self, Failure, Operation};
use super::headers;
use super::http::{Http, Received, Request};
use super::request::{self, RequestError};
use crate::catalog::Description;
use crate::catalog::errors::Class;
use crate::catalog::key_usage::{API_KEY, KeyUsage, KeyValue, Validate};
use crate::catalog::pointer::Pointer;
use crate::catalog::protocol::ProviderAccount;
use crate::catalog::publish::PublishedFrom;
use crate::catalog::template::Template;

/// Further values that were provided with a key, by name.
pub type KeyValues = BTreeMap<String, SecretString>;

/// A credential that a person entrusted to us. Its `Debug` shows nothing.
#[derive(Clone)]
pub enum KeyOrPassword {
    Key {
        key: SecretString,
        values: KeyValues,
    },
    /// RFC 7617: the name has no colon, and the password may be empty.
    Password {
        username: String,
        password: SecretString,
    },
}

impl fmt::Debug for KeyOrPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key { .. } => "Key",
            Self::Password { .. } => "Password",
        })
    }
}

/// Why something cannot be a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    #[error("it is empty")]
    Empty,
    #[error("it holds a line break or another control character")]
    Control,
    /// It would end there (RFC 7617 §2).
    #[error("a user name cannot hold a colon")]
    Colon,
    /// Perhaps it is another kind of key.
    #[error("it does not look like a key of this provider{}", in_words(looks.as_deref()))]
    Pattern { looks: Option<String> },
    #[error("{name} is missing, the {label}")]
    Missing { name: String, label: String },
    #[error("{name} does not look like a {label} of this provider{}", in_words(looks.as_deref()))]
    ValuePattern { name: String, label: String, looks: Option<String> },
}

fn in_words(looks: Option<&str>) -> String {
    looks.map_or_else(String::new, |looks| format!(", which {looks}"))
}

impl KeyOrPassword {
    /// A key, trimmed, and the values that belong to it; others among `given` are left out. Its length is not checked: formats
    /// grow.
    pub fn key<U>(text: &str, given: &KeyValues, usage: Option<&KeyUsage<U>>) -> Result<Self, KeyFlaw> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyFlaw::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(KeyFlaw::Control);
        }
        let pattern = usage.and_then(|usage| usage.pattern.as_ref());
        if pattern.is_some_and(|pattern| !pattern.matches(text)) {
            return Err(KeyFlaw::Pattern { looks: usage.and_then(|usage| usage.looks.clone()) });
        }
        let mut values = KeyValues::new();
        for (name, rule) in usage.map(|usage| &usage.values).into_iter().flatten() {
            let KeyValue { label, optional, pattern, looks } = rule;
            match given.get(name) {
                None if *optional => {}
                None => return Err(KeyFlaw::Missing { name: name.clone(), label: label.clone() }),
                Some(value) if pattern.as_ref().is_some_and(|it| !it.matches(value.expose_secret())) => {
                    let (name, label, looks) = (name.clone(), label.clone(), looks.clone());
                    return Err(KeyFlaw::ValuePattern { name, label, looks });
                }
                Some(value) => drop(values.insert(name.clone(), value.clone())),
            }
        }
        Ok(Self::Key { key: SecretString::from(text), values })
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

    /// The value of this name; the key itself is `api_key`.
    fn value(&self, name: &str) -> Option<&str> {
        match self {
            Self::Key { key, .. } if name == API_KEY => Some(key.expose_secret()),
            Self::Key { values, .. } => values.get(name).map(ExposeSecret::expose_secret),
            Self::Password { .. } => None,
        }
    }

    /// What the header that carries it has behind the scheme.
    fn text(&self, format: Option<&Template>) -> Option<SecretString> {
        Some(SecretString::from(match (self, format) {
            (Self::Key { .. }, Some(format)) => format.fill(|name| self.value(name)).ok()?,
            (Self::Key { key, .. }, None) => key.expose_secret().to_owned(),
            (Self::Password { username, password }, _) => {
                BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()))
            }
        }))
    }

    /// All that is secret in it.
    fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let (one, more) = match self {
            Self::Key { key, values } => (key, Some(values)),
            Self::Password { password, .. } => (password, None),
        };
        std::iter::once(one).chain(more.into_iter().flat_map(BTreeMap::values))
    }
}

/// What the provider says of a key beside whether it works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    pub account: Option<ProviderAccount>,
    /// When it expires; `None` if the provider does not say.
    pub expires_at: Option<Timestamp>,
    /// Values to publish beside it.
    pub extras: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    Good(KeyFacts),
    Bad,
    /// It works, but may not do what the check does.
    Alive(KeyFacts),
    /// There is no check: stored, not verified.
    Unverified,
}

/// Checks a key with the description's cheap call, and asks for what is published beside it. A failure says nothing about the
/// key.
pub async fn verify(
    http: &dyn Http,
    description: &Description,
    credential: &KeyOrPassword,
    now: Timestamp,
) -> Result<KeyVerdict, Failure> {
    let call = description.publish_call.as_ref();
    match (check(http, description, credential, now).await?, call.and_then(|it| Some((it, it.url.as_ref()?))))
    {
        (KeyVerdict::Good(mut facts), Some((call, url))) => {
            let mut request = request::api_call(call.method, url, &call.headers, call.json.as_ref())?;
            present(&mut request, description, credential)?;
            let further = further_values(description, &http.send(request).await?, now);
            facts.extras.extend(further.map_err(|failure| without_echo(failure, credential))?);
            Ok(KeyVerdict::Good(facts))
        }
        (verdict, _) => Ok(verdict),
    }
}

/// Checks a key with the description's cheap call, and no more.
pub(crate) async fn check(
    http: &dyn Http,
    description: &Description,
    credential: &KeyOrPassword,
    now: Timestamp,
) -> Result<KeyVerdict, Failure> {
    let check = description.key.as_ref().and_then(|key| key.validate.as_ref());
    let Some((check, url)) = check.and_then(|check| Some((check, check.url.as_ref()?))) else {
        return Ok(KeyVerdict::Unverified);
    };
    let mut url = url.clone();
    if let Some(segment) = &check.segment {
        let value = credential.value(segment).ok_or(RequestError::Unbuildable)?;
        url.path_segments_mut().map_err(|()| RequestError::Unbuildable)?.pop_if_empty().push(value);
    }
    let mut request = request::api_call(check.method, &url, &check.headers, check.json.as_ref())?;
    present(&mut request, description, credential)?;
    let judged = judge(description, check, &http.send(request).await?, now);
    judged.map_err(|failure| without_echo(failure, credential))
}

/// A hostile provider might repeat what it received.
fn without_echo(failure: Failure, credential: &KeyOrPassword) -> Failure {
    credential.secrets().fold(failure, |failure, secret| failure.without_echo(secret.expose_secret()))
}

/// Adds the credential to a request, as the description says.
fn present(
    request: &mut Request,
    description: &Description,
    credential: &KeyOrPassword,
) -> Result<(), RequestError> {
    let Some(KeyUsage { header, scheme, query, format, .. }) = &description.key else { return Ok(()) };
    if let Some(name) = query {
        let text = credential.text(None).ok_or(RequestError::Unbuildable)?;
        return request::add_to_query(request, name, &text);
    }
    let bad = || RequestError::BadHeader(header.clone());
    let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| bad())?;
    if headers::is_ours(name.as_str()) && name != AUTHORIZATION {
        return Err(bad());
    }
    let format = format.clone().map(Template::try_from).transpose().map_err(|_| RequestError::Unbuildable)?;
    let text = credential.text(format.as_ref()).ok_or(RequestError::Unbuildable)?;
    let value = match scheme {
        Some(scheme) => SecretString::from(format!("{scheme} {}", text.expose_secret())),
        None => text,
    };
    let value = request::sensitive(value.expose_secret(), name.as_str())?;
    request.headers_mut().insert(name, value);
    Ok(())
}

/// Values to publish that a call of their own tells. One that the key may not make tells none.
fn further_values(
    description: &Description,
    received: &Received,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, Failure> {
    let document = Document::read(received);
    match (classify::answered(Operation::Key, description, received, &document, now), document.data()) {
        (Ok(()), Some(data)) => Ok(extras_of_call(description, PublishedFrom::Call, data)),
        (Ok(()), None) => Err(classify::unconfirmed(received)),
        (Err(failure), _) if matches!(failure.status, Some(401 | 403)) => Ok(BTreeMap::new()),
        (Err(failure), _) => Err(failure),
    }
}

/// A rule of the table counts first, then the status: some providers return 200 for everything, and some say "too many" to a
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
    let is_read =
        validate.reads_answer() || description.published_from(PublishedFrom::Check).next().is_some();
    if matches!(document, Document::Html)
        || matches!(document, Document::Unreadable) && is_read && received.status.is_success()
    {
        return Err(failure.unwrap_or_else(|| classify::unconfirmed(received)));
    }
    let data = document.data();
    let ruled = description.errors.api_rule(status, &received.headers, data).map(|found| found.class);
    let refused = failure.as_ref().filter(|_| data.is_some()).map(|failure| failure.class);
    let leads_to_a_value = |path: &Pointer| data.is_some_and(|data| path.get(data).is_some());
    let expires_at = validate.expires_at.read(&received.headers, data).filter(|at| *at > now);
    match ruled.or(validate.class(status)).or(refused) {
        None if validate.ok_path.as_ref().is_none_or(leads_to_a_value) => {
            let account = data.map(|data| validate.account.read(data)).transpose()?.flatten();
            let extras = data.map(|data| extras_of_call(description, PublishedFrom::Check, data));
            Ok(KeyVerdict::Good(KeyFacts { account, expires_at, extras: extras.unwrap_or_default() }))
        }
        None | Some(Class::Reauth) => Ok(KeyVerdict::Bad),
        Some(Class::Alive) => Ok(KeyVerdict::Alive(KeyFacts { expires_at, ..KeyFacts::default() })),
        Some(_) => Err(failure.unwrap_or_else(|| classify::unconfirmed(received))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::errors::RefusalRule;
    use crate::fixtures::{Script, description, pointer};

    fn key(text: &str) -> Result<KeyOrPassword, KeyFlaw> {
        KeyOrPassword::key(text, &KeyValues::new(), None::<&KeyUsage<Option<Url>>>)
    }

    /// A key with two values beside it, of which one may be absent.
    fn with_values(format: &str) -> Description {
        let fields = serde_json::json!({"scheme": "OAuth", "format": format, "looks": "has three letters",
            "pattern": "[a-z]{3}", "validate": {"segment": "token"},
            "values": {"token": {"label": "token", "pattern": "[a-z/]{3}", "looks": "has three letters, too"},
                "hook": {"label": "secret", "optional": true}}});
        let mut description = checked();
        let mut usage: KeyUsage<Option<Url>> = serde_json::from_value(fields).unwrap();
        usage.validate.as_mut().unwrap().url = Some("https://api.example.com/tokens/".parse().unwrap());
        description.core.key = Some(usage);
        description
    }

    fn given(pairs: &[(&str, &str)]) -> KeyValues {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
    }

    #[tokio::test]
    async fn values_are_sent_where_the_description_says_and_an_echo_is_shown_nowhere() {
        let description = with_values(r#"key="{api_key}", token="{token}""#);
        let usage = description.key.as_ref();
        let whole = KeyOrPassword::key("abc", &given(&[("token", "d/f"), ("other", "x")]), usage).unwrap();
        let script = Script::of(401, r#"{"error":"d/f"}"#);
        let verdict = verify(&script, &description, &whole, Timestamp::UNIX_EPOCH).await;
        assert_eq!(verdict, Ok(KeyVerdict::Bad));
        let request = &script.requests()[0];
        assert_eq!(request.uri(), "https://api.example.com/tokens/d%2Ff");
        assert_eq!(request.headers()["authorization"], r#"OAuth key="abc", token="d/f""#);
        assert!(request.headers()["authorization"].is_sensitive());
        let mut description = with_values("{api_key}");
        description.core.errors.api_code = crate::fixtures::pointers("/error");
        let long =
            KeyOrPassword::key("abc", &given(&[("token", "d/f"), ("hook", "canary-canary")]), usage).unwrap();
        let script = Script::of(503, r#"{"error":"canary-canary"}"#);
        let failed = check(&script, &description, &long, Timestamp::UNIX_EPOCH).await;
        let failure = failed.unwrap_err();
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_key_may_go_in_the_query() {
        let mut description = checked();
        description.core.key.as_mut().unwrap().query = Some("api key".to_owned());
        let script = Script::of(200, "");
        verify(&script, &description, &key("k&1").unwrap(), Timestamp::UNIX_EPOCH).await.unwrap();
        let request = &script.requests()[0];
        assert_eq!(request.uri(), "https://api.example.com/me?api+key=k%261");
        assert!(!request.headers().contains_key("authorization"));
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_named_and_not_shown() {
        let description = with_values("{api_key}");
        let said = |text: &str, pairs: &[(&str, &str)]| {
            let key = KeyOrPassword::key(text, &given(pairs), description.key.as_ref());
            key.err().map(|flaw| flaw.to_string()).unwrap_or_default()
        };
        assert_eq!(said("abc", &[("token", "def")]), "");
        assert_eq!(said("abc", &[]), "token is missing, the token");
        let wrong = "token does not look like a token of this provider, which has three letters, too";
        assert_eq!(said("abc", &[("token", "canary")]), wrong);
        let other = "it does not look like a key of this provider, which has three letters";
        assert_eq!(said("canary", &[("token", "def")]), other);
    }

    fn checked() -> Description {
        let url = Some("https://api.example.com/me".parse().unwrap());
        let validate = Validate { url, ..Validate::default() };
        let key =
            KeyUsage { validate: Some(validate), ..serde_json::from_str(r#"{"scheme": "Bearer"}"#).unwrap() };
        let mut description = description();
        description.core.key = Some(key);
        description
    }

    async fn verdict(description: &Description, status: u16, body: &str) -> Result<KeyVerdict, Class> {
        let key = key("key-canary").unwrap();
        let outcome = verify(&Script::of(status, body), description, &key, Timestamp::UNIX_EPOCH).await;
        assert!(!format!("{outcome:?}{key:?}").contains("canary"));
        outcome.map_err(|failure| failure.class)
    }

    #[tokio::test]
    async fn a_check_has_three_outcomes_or_says_nothing() {
        let rows = [
            (200, "{}", Ok(KeyVerdict::Good(KeyFacts::default()))),
            (204, "", Ok(KeyVerdict::Good(KeyFacts::default()))),
            (401, "", Ok(KeyVerdict::Bad)),
            (401, r#"{"error":"no"}"#, Ok(KeyVerdict::Bad)),
            (403, "", Ok(KeyVerdict::Alive(KeyFacts::default()))),
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
        assert_eq!(
            verdict(&sentry, 200, r#"{"auth":{"id":1}}"#).await,
            Ok(KeyVerdict::Good(KeyFacts::default()))
        );

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
            Ok(KeyVerdict::Alive(KeyFacts::default()))
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
        let key = key("k").unwrap();
        let outcome = verify(&Script::new([]), &unchecked, &key, Timestamp::UNIX_EPOCH).await;
        assert_eq!(outcome.unwrap(), KeyVerdict::Unverified);
    }

    #[tokio::test]
    async fn a_password_goes_as_basic_and_a_key_as_its_header_says() {
        let mut description = checked();
        let usage = description.core.key.as_mut().unwrap();
        (usage.scheme, usage.header) = (Some("Basic".to_owned()), "authorization".to_owned());
        let script = Script::of(200, "");
        let credential = KeyOrPassword::password("ann ", "p:w\n").unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        let requests = script.requests();
        let sent = &requests[0].headers()["authorization"];
        assert_eq!(sent.to_str().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("ann:p:w")));
        assert!(sent.is_sensitive());

        let usage = description.core.key.as_mut().unwrap();
        (usage.scheme, usage.header) = (None, "X-Api-Key".to_owned());
        let script = Script::of(200, "");
        let credential = key(" k1\n").unwrap();
        verify(&script, &description, &credential, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(script.requests()[0].headers()["x-api-key"], "k1");
    }

    #[test]
    fn what_cannot_be_a_credential_is_refused() {
        assert_eq!(key(" \n").unwrap_err(), KeyFlaw::Empty);
        assert_eq!(key("a\nb").unwrap_err(), KeyFlaw::Control);
        assert_eq!(key("a\0b").unwrap_err(), KeyFlaw::Control);
        assert_eq!(KeyOrPassword::password("a:b", "c").unwrap_err(), KeyFlaw::Colon);
        assert_eq!(KeyOrPassword::password(" ", "c").unwrap_err(), KeyFlaw::Empty);
        assert_eq!(KeyOrPassword::password("a", "b\nc").unwrap_err(), KeyFlaw::Control);
        assert!(KeyOrPassword::password("a", "").is_ok());
        assert!(key(&"k".repeat(4096)).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_shown(text in "\\PC{8,40}") {
            for credential in [key(&text), KeyOrPassword::password("user", &text)].into_iter().flatten() {
                let shown = format!("{credential:?}");
                prop_assert!(!shown.contains(text.trim()));
            }
        }
    }
}
