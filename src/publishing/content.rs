//! Which keys a published Secret has, and their values. Pure.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use serde_json::json;
use zeroize::Zeroizing;

use bowline_api::connection::{Format, SecretType};
use bowline_api::open::Open;
use bowline_oauth::catalog::{Description, is_never_published};

use super::material::{ContentError, Material, PublishedCredential, StringData};
use super::tool_files::ToolFiles;

/// The maximum size of all values together; a Secret may have 1 MiB with everything else in it.
const TOTAL_BYTES: usize = 512 * 1024;
/// The key of the consumer's settings, and their name as a variable.
const CONFIG_KEY: &str = "config.json";
const CONFIG_VARIABLE: &str = "CONFIG_JSON";

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

impl Published {
    /// Writes `material` in the format, with what the provider's description says of tools that sign in.
    pub fn new(
        material: &Material<'_>,
        format: Format,
        provider: &Description,
    ) -> Result<Self, ContentError> {
        let files = ToolFiles { material, format, provider };
        let (type_, mut values) = match format {
            Format::Raw => return Self::raw(material),
            Format::Env => return Self::of(SecretType::Opaque, env(all(material)?)?),
            Format::Netrc => (SecretType::Opaque, files.netrc()?),
            Format::GitCredentials => (SecretType::Opaque, files.git_credentials()?),
            Format::DockerConfigJson => (SecretType::DockerConfigJson, files.docker_config()?),
            Format::EnvoySds => (SecretType::Opaque, files.envoy_sds()?),
        };
        values.extend(settings(material));
        Self::of(type_, values)
    }

    /// Writes `material` key by key. A missing value leaves its key out; values are not quoted or escaped.
    pub fn raw(material: &Material<'_>) -> Result<Self, ContentError> {
        let is_basic = matches!(material.credential, PublishedCredential::Basic { .. });
        Self::of(if is_basic { SecretType::BasicAuth } else { SecretType::Opaque }, all(material)?)
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

/// Every value, by its key in format Raw.
fn all(material: &Material<'_>) -> Result<StringData, ContentError> {
    let mut values = StringData::new();
    let mut put = |key: &str, value: &str| {
        values.insert(key.to_owned(), Zeroizing::new(value.to_owned()));
    };
    put(material.credential.key(), &material.credential.secret());
    if let PublishedCredential::OAuth { token_type, .. } = material.credential {
        put("token_type", token_type);
    }
    if let Some(username) = material.credential.username() {
        put("username", username);
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
    values.extend(settings(material));
    add_extras(&mut values, material.extras)?;
    Ok(values)
}

/// The settings of the consumer, if it has any.
fn settings(material: &Material<'_>) -> Option<(String, Zeroizing<String>)> {
    let config = material.config.filter(|config| !config.is_empty())?;
    Some((CONFIG_KEY.to_owned(), Zeroizing::new(json!(config).to_string())))
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
            return Err(ContentError::ControlCharacters { key, format: Format::Env });
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
    use std::collections::BTreeMap;

    use bowline_oauth::catalog;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use bowline_api::ConsumerConfig;
    use serde_json::Value;

    /// A provider of this type, which says nothing more.
    fn provider(type_: &str) -> Description {
        let spec = serde_json::from_value(json!({"type": type_})).unwrap();
        catalog::resolve(catalog::get(type_).unwrap(), &spec, "example", &BTreeMap::new()).unwrap()
    }

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
        Published::new(&material, format, &provider("github"))
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
        assert_eq!(text(&Published::raw(&material).unwrap()), [("api_key", "k")]);
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
                &provider("github"),
            )
        };
        let json = r##"{"channel":"#launch","labels":["a\n",1,null]}"##;
        let raw = with(Some(&config), Format::Raw).unwrap();
        assert_eq!(text(&raw), [("api_key", "k"), ("config.json", json)]);
        let env = with(Some(&config), Format::Env).unwrap();
        assert_eq!(text(&env), [("API_KEY", "k"), ("CONFIG_JSON", json)]);
        let git = with(Some(&config), Format::GitCredentials).unwrap();
        let line = "https://x-access-token:k@github.com\n";
        assert_eq!(text(&git), [(".git-credentials", line), ("config.json", json)]);
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

    proptest! {
        #[test]
        fn env_values_never_have_control_characters(value in any::<String>()) {
            let key = SecretString::from(value.clone());
            match publish(PublishedCredential::ApiKey(&key), &[], Format::Env) {
                Ok(published) => prop_assert_eq!(&*published.data["API_KEY"], value.as_bytes()),
                Err(error) => {
                    prop_assert!(value.chars().any(char::is_control));
                    prop_assert_eq!(error, ContentError::ControlCharacters { key: "API_KEY".to_owned(), format: Format::Env });
                }
            }
        }
    }
}
