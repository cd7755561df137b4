//! Our registration at a provider.

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::names::TYPE_APP;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::assertion::SigningKey;
use crate::catalog::Description;
use crate::catalog::login::is_of_logins;
use crate::catalog::protocol::Proofs;

/// Key of the client id in an app Secret.
pub const CLIENT_ID: &str = "client_id";
/// Key of the client secret.
pub const CLIENT_SECRET: &str = "client_secret";
/// Key of the former client secret, while it is being replaced.
pub(crate) const CLIENT_SECRET_PREVIOUS: &str = "client_secret_previous";

/// Key of a private key in PEM, for providers that take a signed assertion instead of a secret.
pub const PRIVATE_KEY: &str = "private_key";
/// Key of the id under which the provider knows that key.
pub(crate) const KEY_ID: &str = "key_id";

/// Key of the names of the `IntegrationProvider`s that it is for.
pub const PROVIDERS: &str = "providers";
/// Key of the hosts that it is for.
pub const HOSTS: &str = "hosts";

/// How many providers or hosts a registration may name, and how long a name may be.
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 253;

/// Client id and secrets. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct App {
    /// Client id (RFC 6749 §2.2).
    pub client_id: String,
    /// Client secret; none for a public client.
    pub client_secret: Option<SecretString>,
    /// The former secret: tried once if the provider refuses the current one.
    pub client_secret_previous: Option<SecretString>,
    /// Signs assertions in place of a secret (RFC 7523 §2.2).
    pub private_key: Option<SigningKey>,
    /// What it may be used for.
    pub purpose: AppPurpose,
    /// Which version of which Secret it was read from first: `<uid>/<resourceVersion>`. Distinguishes registrations without
    /// revealing anything; empty if it is not known.
    pub version: Option<String>,
}

/// What an app registration may be used for, as whoever wrote its Secret says: `IntegrationProvider`s, hosts, or both. What is
/// empty limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppPurpose {
    providers: Vec<String>,
    hosts: Vec<String>,
}

/// An app registration that may not be used by a provider. Its text names both, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherPurpose {
    /// It is for other providers.
    #[error("its key {PROVIDERS} does not name {provider}, but {}", .named.join(", "))]
    Provider {
        /// The `IntegrationProvider` that would use it.
        provider: String,
        /// Those that it is for.
        named: Vec<String>,
    },
    /// It would be sent elsewhere, or the tokens issued to it would.
    #[error("its key {HOSTS} does not name {}", .hosts.join(", "))]
    Hosts {
        /// The hosts that it does not name.
        hosts: Vec<String>,
        /// Those that it is for.
        named: Vec<String>,
    },
}

/// An app Secret that cannot be used. Names the key, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// Any Secret may have a key `client_id`: only those that were written as a registration are read.
    #[error("it is not of the type {TYPE_APP}")]
    WrongType,
    #[error("it does not say what it is for: the keys {PROVIDERS} and {HOSTS} are both missing")]
    NoPurpose,
    #[error("the key {0} is missing")]
    Missing(&'static str),
    #[error(
        "the value of {PRIVATE_KEY} cannot sign: it must be a private key in PEM (PKCS #8, or PKCS #1 for RSA) of RSA with 2048 to 4096 bits, P-256 or Ed25519"
    )]
    NoKey,
    /// The value is not text of printable characters.
    #[error("the value of {0} is not plain text")]
    NotText(&'static str),
    /// What it names is shown to people.
    #[error(
        "the value of {0} has more than {MOST_WORDS} names, or one that is longer than {LONGEST_WORD} characters"
    )]
    TooMany(&'static str),
}

impl App {
    /// Reads an app Secret. White space around values is dropped: files end with a line break. An empty secret counts as
    /// absent.
    pub fn read(type_: Option<&str>, data: &BTreeMap<String, ByteString>) -> Result<Self, AppError> {
        if type_ != Some(TYPE_APP) {
            return Err(AppError::WrongType);
        }
        let purpose = AppPurpose { providers: words(data, PROVIDERS)?, hosts: words(data, HOSTS)? };
        if purpose == AppPurpose::default() {
            return Err(AppError::NoPurpose);
        }
        Ok(Self {
            client_id: value(data, CLIENT_ID)?.ok_or(AppError::Missing(CLIENT_ID))?.to_owned(),
            client_secret: value(data, CLIENT_SECRET)?.map(SecretString::from),
            client_secret_previous: value(data, CLIENT_SECRET_PREVIOUS)?.map(SecretString::from),
            private_key: private_key(data)?,
            purpose,
            version: None,
        })
    }

    /// The same, read from this version of a Secret.
    #[must_use]
    pub fn of_version(mut self, uid: &str, resource_version: &str) -> Self {
        self.version = Some(format!("{uid}/{resource_version}"));
        self
    }

    /// How the client can prove itself.
    pub fn proofs(&self) -> Proofs {
        Proofs { secret: self.client_secret.is_some(), private_key: self.private_key.is_some() }
    }

    /// The secrets to try, the current one first; one `None` for a public client.
    pub(super) fn secrets(&self) -> Vec<(WhichSecret, Option<&SecretString>)> {
        let current = self.client_secret.as_ref();
        let differs = |previous: &&SecretString| {
            current.is_some_and(|current| previous.expose_secret() != current.expose_secret())
        };
        let previous = self.client_secret_previous.as_ref().filter(differs);
        let previous = previous.map(|previous| (WhichSecret::Previous, Some(previous)));
        std::iter::once((WhichSecret::Current, current)).chain(previous).collect()
    }
}

fn private_key(data: &BTreeMap<String, ByteString>) -> Result<Option<SigningKey>, AppError> {
    let Some(ByteString(bytes)) = data.get(PRIVATE_KEY).filter(|value| !value.0.is_empty()) else {
        return Ok(None);
    };
    let pem = std::str::from_utf8(bytes).map_err(|_| AppError::NotText(PRIVATE_KEY))?;
    let key_id = value(data, KEY_ID)?.map(str::to_owned);
    SigningKey::read(pem, key_id).map(Some).map_err(|_| AppError::NoKey)
}

fn value<'a>(data: &'a BTreeMap<String, ByteString>, key: &'static str) -> Result<Option<&'a str>, AppError> {
    let Some(ByteString(bytes)) = data.get(key) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| AppError::NotText(key))?.trim();
    if text.chars().any(char::is_control) {
        return Err(AppError::NotText(key));
    }
    Ok((!text.is_empty()).then_some(text))
}

impl AppPurpose {
    /// Whether the registration may be used for what is described: by this provider, and at no host that it does not name.
    pub fn admits(&self, description: &Description) -> Result<(), OtherPurpose> {
        let Self { providers, hosts } = self;
        let provider = &description.provider;
        if !providers.is_empty() && !providers.contains(provider) {
            return Err(OtherPurpose::Provider { provider: provider.clone(), named: providers.clone() });
        }
        let is_named = |host: &String| hosts.iter().any(|named| is_host(named, host));
        let mut others = hosts_of(description);
        others.retain(|host| !hosts.is_empty() && !is_named(host));
        if others.is_empty() {
            return Ok(());
        }
        Err(OtherPurpose::Hosts { hosts: others.into_iter().collect(), named: hosts.clone() })
    }
}

/// Every host to which we may send a token or the client secret, as [`HOSTS`] names them.
pub fn hosts_of(description: &Description) -> BTreeSet<String> {
    let ours = description.receiving_addresses().filter(|(place, _)| !is_of_logins(place));
    ours.map(|(_, address)| host(address)).collect()
}

/// The host of an address, with its port unless that is the scheme's own.
fn host(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default();
    address.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether a named host is this one. `*.` stands for one label: what a connection's parameter may choose.
fn is_host(named: &str, host: &str) -> bool {
    match named.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && parent.contains('.') && rest.eq_ignore_ascii_case(parent)
        }),
        None => named.eq_ignore_ascii_case(host),
    }
}

/// The words of a list, between commas or white space.
fn words(data: &BTreeMap<String, ByteString>, key: &'static str) -> Result<Vec<String>, AppError> {
    // A file may have one word per line.
    let text = data
        .get(key)
        .map_or(Ok(""), |ByteString(bytes)| std::str::from_utf8(bytes).map_err(|_| AppError::NotText(key)))?;
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(AppError::NotText(key));
    }
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.take(MOST_WORDS + 1).map(ToOwned::to_owned).collect();
    let fits = words.len() <= MOST_WORDS && words.iter().all(|word| word.len() <= LONGEST_WORD);
    if fits { Ok(words) } else { Err(AppError::TooMany(key)) }
}

/// Which client secret the provider accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichSecret {
    /// `client_secret`, or none for a public client.
    Current,
    /// `client_secret_previous`: the current one was refused.
    Previous,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::catalog;

    fn read(type_: Option<&str>, data: &[(&str, &[u8])]) -> Result<App, AppError> {
        let entry = |(key, value): &(&str, &[u8])| ((*key).to_owned(), ByteString(value.to_vec()));
        App::read(type_, &data.iter().map(entry).collect())
    }

    #[test]
    fn an_app_is_read_from_the_data_of_its_secret() {
        let keys: &[(&str, &[u8])] =
            &[("client_id", b"id\n"), ("client_secret", b" canary "), ("providers", b"github, ghes\n")];
        let app = read(Some(TYPE_APP), keys).unwrap();
        assert_eq!(app.client_id, "id");
        assert_eq!(app.client_secret.as_ref().unwrap().expose_secret(), "canary");
        assert!(app.client_secret_previous.is_none());
        assert_eq!(app.purpose.providers, ["github", "ghes"]);
        assert!(!format!("{app:?}").contains("canary"));
    }

    #[test]
    fn the_error_names_the_key() {
        type Pairs = &'static [(&'static str, &'static [u8])];
        let rows: [(Pairs, _); 6] = [
            (&[("providers", b"p")], AppError::Missing(CLIENT_ID)),
            (&[("hosts", b"h"), ("client_id", b" \n")], AppError::Missing(CLIENT_ID)),
            (&[("hosts", b"h"), ("client_id", b"\xff")], AppError::NotText(CLIENT_ID)),
            (
                &[("hosts", b"h"), ("client_id", b"id"), ("client_secret", b"a\0b")],
                AppError::NotText(CLIENT_SECRET),
            ),
            (&[("client_id", b"id")], AppError::NoPurpose),
            (&[("client_id", b"id"), ("providers", b" ,\n")], AppError::NoPurpose),
        ];
        for (data, want) in rows {
            assert_eq!(read(Some(TYPE_APP), data).unwrap_err(), want, "{data:?}");
        }
        let keys: &[(&str, &[u8])] = &[("client_id", b"id"), ("client_secret", b""), ("providers", b"p")];
        assert!(read(Some(TYPE_APP), keys).unwrap().client_secret.is_none());
        for names in ["p ".repeat(65), "p".repeat(254)] {
            let keys: &[(&str, &[u8])] = &[("client_id", b"id"), ("hosts", names.as_bytes())];
            assert_eq!(read(Some(TYPE_APP), keys).unwrap_err(), AppError::TooMany(HOSTS));
        }
        for type_ in [None, Some("Opaque"), Some("bowline.dev/credential")] {
            assert_eq!(read(type_, keys).unwrap_err(), AppError::WrongType, "{type_:?}");
        }
    }

    #[test]
    fn a_registration_is_used_only_for_what_it_names() {
        let spec = serde_json::json!({"type": "generic-oauth2", "endpoints": {
            "authorization": "https://login.example.org/authorize", "token": "https://id.example.com/token",
            "userinfo": "https://acme.example.com/me", "revocation": "https://id.example.com:8443/revoke"}});
        let spec = serde_json::from_value(spec).unwrap();
        let entry = catalog::get("generic-oauth2").unwrap();
        let description = catalog::resolve(entry, &spec, "acme", &BTreeMap::new()).unwrap();
        let admits = |providers: &str, hosts: &str| {
            let list = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect();
            AppPurpose { providers: list(providers), hosts: list(hosts) }.admits(&description)
        };
        let all = "id.example.com id.example.com:8443";
        assert_eq!(admits("acme", ""), Ok(()));
        assert_eq!(admits("", &format!("{all} ACME.example.com")), Ok(()), "a browser's address needs none");
        assert_eq!(admits("acme other", &format!("{all} *.example.com")), Ok(()));
        let refused = |providers: &str, hosts: &str| admits(providers, hosts).unwrap_err().to_string();
        assert_eq!(refused("github", ""), "its key providers does not name acme, but github");
        assert_eq!(refused("acme", all), "its key hosts does not name acme.example.com");
        for hosts in ["*.com", "*", "example.com"] {
            let hosts = format!("{all} {hosts}");
            assert_eq!(refused("", &hosts), "its key hosts does not name acme.example.com", "{hosts}");
        }
    }
}
