//! Which keys a published Secret has, and their values. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use bowline_api::ConsumerConfig;
use bowline_api::connection::{Format, SecretType};
use bowline_api::open::Open;
use bowline_oauth::answer::UNKNOWN_TYPE;
use bowline_oauth::catalog::is_never_published;

use crate::vault::record::IssuedKeys;
use crate::vault::{Credential, Grant};

/// The maximum size of all values together; a Secret may have 1 MiB with everything else in it.
const TOTAL_BYTES: usize = 512 * 1024;
/// The key of the consumer's settings, and their name as a variable.
const CONFIG_KEY: &str = "config.json";
const CONFIG_VARIABLE: &str = "CONFIG_JSON";

/// What can be published from a grant. There is no field for a refresh token.
pub struct Material<'a> {
    pub credential: PublishedCredential<'a>,
    /// `None` if the provider does not say when it expires.
    pub expires_at: Option<Timestamp>,
    pub scopes: &'a [String],
    pub account_id: Option<&'a str>,
    pub account_name: Option<&'a str>,
    /// What the catalogue adds, by key: `webhook_secret`, `instance_url`.
    pub extras: &'a BTreeMap<String, SecretString>,
    /// Settings of the consumer.
    pub config: Option<&'a ConsumerConfig>,
}

#[derive(Clone, Copy)]
pub enum PublishedCredential<'a> {
    OAuth {
        access_token: &'a SecretString,
        token_type: &'a str,
    },
    ApiKey(&'a SecretString),
    Basic {
        username: &'a str,
        password: &'a SecretString,
    },
    /// The digests of keys that we issued.
    IssuedKeys(&'a IssuedKeys),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpublishable {
    #[error("there is no token to publish yet")]
    NoToken,
    /// Its access token must not be used (RFC 6749 §7.1).
    #[error(
        "the provider gave an access token of a type that nobody here can present; an administrator of the provider must fix it"
    )]
    TokenType,
}

impl<'a> Material<'a> {
    pub(crate) fn of(grant: &'a Grant) -> Result<Self, Unpublishable> {
        let credential = match &grant.credential {
            Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE => {
                return Err(Unpublishable::TokenType);
            }
            Credential::OAuth { access_token, token_type, refresh_token: _ } => {
                let access_token = access_token.as_ref().ok_or(Unpublishable::NoToken)?;
                PublishedCredential::OAuth { access_token, token_type }
            }
            Credential::ApiKey { api_key } => PublishedCredential::ApiKey(api_key),
            Credential::Basic { username, password } => PublishedCredential::Basic { username, password },
            Credential::IssuedKeys { keys } => PublishedCredential::IssuedKeys(keys),
        };
        let account = grant.bound_to.account.as_ref();
        Ok(Self {
            credential,
            expires_at: grant.expires_at,
            scopes: grant.scopes.as_deref().unwrap_or_default(),
            account_id: account.map(|account| account.id.as_str()),
            account_name: account.and_then(|account| account.name.as_deref()),
            extras: &grant.published_extras,
            config: None,
        })
    }
}

impl<'a> PublishedCredential<'a> {
    /// The access token, the key or the password; of keys that we issued, the list of their digests.
    pub(super) fn secret(self) -> Cow<'a, str> {
        match self {
            Self::OAuth { access_token: secret, .. }
            | Self::ApiKey(secret)
            | Self::Basic { password: secret, .. } => secret.expose_secret().into(),
            Self::IssuedKeys(keys) => listed(keys).into(),
        }
    }

    pub(super) fn username(self) -> Option<&'a str> {
        let Self::Basic { username, .. } = self else { return None };
        Some(username)
    }
}

/// A key that we issued, as an application that is shown it recognizes it.
#[derive(Serialize)]
struct PublishedKey<'a> {
    id: &'a str,
    sha256: &'a str,
    /// From then on it is not valid, also where this list is an old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
}

/// The keys in JSON, the newest first.
fn listed(keys: &IssuedKeys) -> String {
    let published = keys.iter().map(|key| PublishedKey {
        id: &key.id,
        sha256: key.sha256.as_str(),
        not_after: key.expires_at,
    });
    published.map(|key| json!(key)).collect::<Value>().to_string()
}

/// Type and data of one Secret. Values are erased when dropped and never printed.
#[derive(PartialEq, Eq)]
pub struct Published {
    pub type_: SecretType,
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("type_", &self.type_).field("keys", &self.data.keys()).finish()
    }
}

/// Why the material cannot be written in the format. Names keys, never values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContentError {
    #[error("the value of {key} has control characters and cannot be written as Env; use format Raw")]
    ControlCharacters { key: String },
    /// A key that no Secret can have, or that Env cannot spell.
    #[error(
        "{key} cannot be a key of this Secret; the catalogue entry of the provider must name it differently"
    )]
    KeyInvalid { key: String },
    /// A key that is reserved or there twice.
    #[error("{key} may not be added by a catalogue entry")]
    KeyReserved { key: String },
    #[error("the values are larger than 512 KiB together")]
    TooLarge,
    #[error("a Secret of type {} needs {needed}; correct spec.secret.template.data", .type_.as_str())]
    TypeUnmet { type_: SecretType, needed: &'static str },
    #[error(
        "this version of the operator does not know the Secret type {type_}; correct spec.secret.template.type"
    )]
    TypeUnknown { type_: String },
}

type StringData = BTreeMap<String, Zeroizing<String>>;

impl Published {
    /// Writes `material` in the format. A missing value leaves its key out; values are not quoted or escaped.
    pub fn new(material: &Material<'_>, format: Format) -> Result<Self, ContentError> {
        let mut values = raw(material);
        add_extras(&mut values, material.extras)?;
        let basic = matches!(material.credential, PublishedCredential::Basic { .. });
        let (type_, values) = match format {
            Format::Raw if basic => (SecretType::BasicAuth, values),
            Format::Raw => (SecretType::Opaque, values),
            Format::Env => (SecretType::Opaque, env(values)?),
        };
        Self::of(type_, values)
    }

    /// Data that templates made, for a Secret of this type. The total has been limited while rendering.
    pub fn rendered(type_: Option<&Open<SecretType>>, values: StringData) -> Result<Self, ContentError> {
        let type_ = match type_ {
            None => SecretType::Opaque,
            Some(Open::Known(type_)) => *type_,
            Some(Open::Other(type_)) => return Err(ContentError::TypeUnknown { type_: type_.clone() }),
        };
        if let Some(needed) = missing(type_, &values) {
            return Err(ContentError::TypeUnmet { type_, needed });
        }
        Self::of(type_, values)
    }

    fn of(type_: SecretType, values: StringData) -> Result<Self, ContentError> {
        if values.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > TOTAL_BYTES {
            return Err(ContentError::TooLarge);
        }
        let bytes = |value: Zeroizing<String>| Zeroizing::new(value.as_bytes().to_vec());
        Ok(Self { type_, data: values.into_iter().map(|(key, value)| (key, bytes(value))).collect() })
    }
}

/// What Kubernetes requires in a Secret's data because of its type, and is missing; it is checked here so that the condition
/// can say it in plain words.
fn missing(type_: SecretType, values: &StringData) -> Option<&'static str> {
    let value = |key: &str| values.get(key).map(|value| value.as_str());
    let is_object =
        |text: &str| text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
    let (is_there, needed) = match type_ {
        SecretType::Opaque => return None,
        SecretType::BasicAuth => {
            (value("username").or(value("password")).is_some(), "the key username or password")
        }
        SecretType::DockerConfigJson => (
            value(".dockerconfigjson").is_some_and(is_object),
            "the key .dockerconfigjson with a JSON object",
        ),
        SecretType::SshAuth => (
            value("ssh-privatekey").is_some_and(|key| !key.is_empty()),
            "the key ssh-privatekey with a private key",
        ),
    };
    (!is_there).then_some(needed)
}

fn raw(material: &Material<'_>) -> StringData {
    let mut values = StringData::new();
    let mut put = |key: &str, value: &str| {
        values.insert(key.to_owned(), Zeroizing::new(value.to_owned()));
    };
    match material.credential {
        PublishedCredential::OAuth { access_token, token_type } => {
            put("access_token", access_token.expose_secret());
            put("token_type", token_type);
        }
        PublishedCredential::ApiKey(key) => put("api_key", key.expose_secret()),
        PublishedCredential::IssuedKeys(keys) => put("issued_keys", &listed(keys)),
        PublishedCredential::Basic { username, password } => {
            put("username", username);
            put("password", password.expose_secret());
        }
    }
    if let Some(expires_at) = material.expires_at {
        put("expires_at", &expires_at.to_string());
    }
    if !material.scopes.is_empty() {
        put("scopes", &material.scopes.join(" "));
    }
    if let Some(id) = material.account_id {
        put("account_id", id);
    }
    if let Some(name) = material.account_name {
        put("account_name", name);
    }
    if let Some(config) = material.config.filter(|config| !config.is_empty()) {
        put(CONFIG_KEY, &json!(config).to_string());
    }
    values
}

fn add_extras(values: &mut StringData, extras: &BTreeMap<String, SecretString>) -> Result<(), ContentError> {
    for (key, value) in extras {
        if !is_secret_key(key) {
            return Err(ContentError::KeyInvalid { key: key.clone() });
        }
        if is_never_published(key) || values.contains_key(key) {
            return Err(ContentError::KeyReserved { key: key.clone() });
        }
        values.insert(key.clone(), Zeroizing::new(value.expose_secret().to_owned()));
    }
    Ok(())
}

fn env(values: StringData) -> Result<StringData, ContentError> {
    let mut upper = StringData::new();
    for (key, value) in values {
        let key = if key == CONFIG_KEY { CONFIG_VARIABLE.to_owned() } else { key.to_ascii_uppercase() };
        if !is_variable(&key) || upper.contains_key(&key) {
            return Err(ContentError::KeyInvalid { key });
        }
        if value.chars().any(char::is_control) {
            return Err(ContentError::ControlCharacters { key });
        }
        upper.insert(key, value);
    }
    Ok(upper)
}

pub(super) fn is_secret_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !key.is_empty() && key.len() <= 253 && key != "." && !key.starts_with("..") && key.chars().all(allowed)
}

fn is_variable(key: &str) -> bool {
    !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::{Binding, Consent};
    use proptest::prelude::*;

    fn publish(
        credential: PublishedCredential<'_>,
        extras: &[(&str, &str)],
        format: Format,
    ) -> Result<Published, ContentError> {
        let extras = extras.iter().map(|(k, v)| ((*k).to_owned(), SecretString::from(*v))).collect();
        let material = Material {
            credential,
            expires_at: Some("2026-03-01T12:00:00Z".parse().unwrap()),
            scopes: &["repo".to_owned(), "read:user".to_owned()],
            account_id: Some("583231"),
            account_name: Some("octocat"),
            extras: &extras,
            config: None,
        };
        Published::new(&material, format)
    }

    fn text(published: &Published) -> Vec<(&str, &str)> {
        published.data.iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect()
    }

    #[test]
    fn raw_has_the_documented_keys() {
        let token = SecretString::from("t0ken");
        let oauth = PublishedCredential::OAuth { access_token: &token, token_type: "Bearer" };
        let published = publish(oauth, &[("instance_url", "https://x")], Format::Raw).unwrap();
        let expected = [
            ("access_token", "t0ken"),
            ("account_id", "583231"),
            ("account_name", "octocat"),
            ("expires_at", "2026-03-01T12:00:00Z"),
            ("instance_url", "https://x"),
            ("scopes", "repo read:user"),
            ("token_type", "Bearer"),
        ];
        assert_eq!(text(&published), expected);
        assert_eq!(published.type_, SecretType::Opaque);
        assert!(!format!("{published:?}").contains("t0ken"));
    }

    #[test]
    fn env_has_the_same_keys_in_upper_case() {
        let token = SecretString::from("t");
        let published = publish(PublishedCredential::ApiKey(&token), &[], Format::Env).unwrap();
        assert_eq!(
            published.data.keys().collect::<Vec<_>>(),
            ["ACCOUNT_ID", "ACCOUNT_NAME", "API_KEY", "EXPIRES_AT", "SCOPES"]
        );
    }

    #[test]
    fn only_raw_of_user_and_password_is_basic_auth() {
        let password = SecretString::from("p");
        let basic = PublishedCredential::Basic { username: "u", password: &password };
        assert_eq!(publish(basic, &[], Format::Raw).unwrap().type_, SecretType::BasicAuth);
        assert_eq!(publish(basic, &[], Format::Env).unwrap().type_, SecretType::Opaque);
    }

    #[test]
    fn what_is_not_there_leaves_its_key_out() {
        let key = SecretString::from("k");
        let extras = BTreeMap::new();
        let material = Material {
            credential: PublishedCredential::ApiKey(&key),
            expires_at: None,
            scopes: &[],
            account_id: None,
            account_name: None,
            extras: &extras,
            config: None,
        };
        assert_eq!(text(&Published::new(&material, Format::Raw).unwrap()), [("api_key", "k")]);
    }

    #[test]
    fn settings_are_one_json_object_under_a_key_of_their_own() {
        let (key, extras) = (SecretString::from("k"), BTreeMap::new());
        let object = |config: Value| -> ConsumerConfig { serde_json::from_value(config).unwrap() };
        let config = object(json!({"channel": "#launch", "labels": ["a\n", 1, null]}));
        let with = |config, format| {
            let credential = PublishedCredential::ApiKey(&key);
            let (scopes, extras) = (&[][..], &extras);
            let (expires_at, account_id, account_name) = (None, None, None);
            Published::new(
                &Material { credential, expires_at, scopes, account_id, account_name, extras, config },
                format,
            )
        };
        let json = r##"{"channel":"#launch","labels":["a\n",1,null]}"##;
        let raw = with(Some(&config), Format::Raw).unwrap();
        assert_eq!(text(&raw), [("api_key", "k"), ("config.json", json)]);
        let env = with(Some(&config), Format::Env).unwrap();
        assert_eq!(text(&env), [("API_KEY", "k"), ("CONFIG_JSON", json)]);
        let none = ConsumerConfig::new();
        assert_eq!(text(&with(Some(&none), Format::Raw).unwrap()), [("api_key", "k")]);
        let control = object(json!({"a": "\u{7f}"}));
        assert!(with(Some(&control), Format::Env).is_err(), "no line of a variable has it");
    }

    #[test]
    fn an_extra_key_can_neither_be_a_refresh_token_nor_replace_ours() {
        let key = SecretString::from("k");
        for (name, env) in [
            ("refresh_token", false),
            ("Client_Secret", false),
            ("api_key", false),
            ("a/b", false),
            ("a.b", true),
        ] {
            let format = if env { Format::Env } else { Format::Raw };
            assert!(publish(PublishedCredential::ApiKey(&key), &[(name, "x")], format).is_err(), "{name}");
        }
    }

    #[test]
    fn each_type_has_the_keys_that_kubernetes_asks_for() {
        let rows = [
            (SecretType::Opaque, "a", "", true),
            (SecretType::BasicAuth, "username", "", true),
            (SecretType::BasicAuth, "password", "p", true),
            (SecretType::BasicAuth, "token", "t", false),
            (
                SecretType::DockerConfigJson,
                ".dockerconfigjson",
                r#"{"auths": {"r.example.com": {"auth": "x"}}}"#,
                true,
            ),
            (SecretType::DockerConfigJson, ".dockerconfigjson", r#"["auths"]"#, false),
            (SecretType::DockerConfigJson, ".dockerconfigjson", "{", false),
            (SecretType::DockerConfigJson, "config.json", "{}", false),
            (SecretType::SshAuth, "ssh-privatekey", "k", true),
            (SecretType::SshAuth, "ssh-privatekey", "", false),
        ];
        for (type_, key, value, fits) in rows {
            let values = StringData::from([(key.to_owned(), Zeroizing::new(value.to_owned()))]);
            match Published::rendered(Some(&type_.into()), values) {
                Ok(published) => assert_eq!((published.type_, true), (type_, fits), "{key}: {value}"),
                Err(error) => {
                    assert!(!fits, "{key}: {value}");
                    assert!(
                        error
                            .to_string()
                            .starts_with(&format!("a Secret of type {} needs the key ", type_.as_str()))
                    );
                }
            }
        }
    }

    #[test]
    fn a_type_of_a_later_version_is_named_and_not_guessed() {
        let later = Open::Other("kubernetes.io/tls".to_owned());
        let error = Published::rendered(Some(&later), StringData::new()).unwrap_err();
        assert!(error.to_string().contains("kubernetes.io/tls"));
        assert_eq!(Published::rendered(None, StringData::new()).unwrap().type_, SecretType::Opaque);
    }

    #[test]
    fn more_than_a_secret_holds_is_refused() {
        let key = SecretString::from("k".repeat(TOTAL_BYTES));
        assert_eq!(publish(PublishedCredential::ApiKey(&key), &[], Format::Raw), Err(ContentError::TooLarge));
    }

    fn grant(access_token: Option<&str>, token_type: &str) -> Grant {
        Grant {
            credential: Credential::OAuth {
                refresh_token: Some("r".into()),
                access_token: access_token.map(Into::into),
                token_type: token_type.to_owned(),
            },
            claims: BTreeMap::new(),
            scopes: None,
            obtained_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            refresh_expires_at: None,
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: BTreeMap::new(),
            bound_to: Binding {
                owner: "alice".into(),
                authority: "x".into(),
                addresses: BTreeMap::new(),
                client_id: None,
                account: None,
            },
            source: None,
            consent: Consent::default(),
        }
    }

    #[test]
    fn a_token_of_a_type_nobody_can_present_is_not_published() {
        let refused = |grant: &Grant| Material::of(grant).err();
        assert_eq!(refused(&grant(Some("a"), "Bearer")), None);
        assert_eq!(refused(&grant(Some("a"), UNKNOWN_TYPE)), Some(Unpublishable::TokenType));
        assert_eq!(refused(&grant(None, "Bearer")), Some(Unpublishable::NoToken));
    }

    proptest! {
        #[test]
        fn env_values_never_have_control_characters(value in any::<String>()) {
            let key = SecretString::from(value.clone());
            match publish(PublishedCredential::ApiKey(&key), &[], Format::Env) {
                Ok(published) => prop_assert_eq!(&*published.data["API_KEY"], value.as_bytes()),
                Err(error) => {
                    prop_assert!(value.chars().any(char::is_control));
                    prop_assert_eq!(error, ContentError::ControlCharacters { key: "API_KEY".to_owned() });
                }
            }
        }
    }
}
