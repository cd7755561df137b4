//! Our registration at a provider.

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::names::TYPE_APP;
use http::Extensions;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::assertion::{NotASigningKey, SigningKey};
use crate::catalog::Description;
use crate::catalog::login::is_of_logins;
use crate::catalog::protocol::{ClientAuth, Proofs};
use crate::certificate::{CERTIFICATE, CERTIFICATE_KEY, CertificateFlaw, ClientCertificate};
use crate::request::RequestError;

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
/// Key of the certificate of that key, in PEM, for providers that know it by that.
pub const KEY_CERTIFICATE: &str = "certificate";
/// Key of a file with client id, private key and key id, as Google hands it out for a service account.
pub const KEY_FILE: &str = "key.json";

/// Key of the names of the `IntegrationProvider`s that it is for.
pub const PROVIDERS: &str = "providers";
/// Key of the hosts that it is for.
pub const HOSTS: &str = "hosts";

/// How many providers or hosts a registration may name, and how long a name may be.
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 253;
/// Bytes of a key file.
const LARGEST_FILE: usize = 64 * 1024;

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
    /// Proves the client in TLS (RFC 8705).
    pub certificate: Option<ClientCertificate>,
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
    #[error("the value of {PRIVATE_KEY} cannot sign: {0}")]
    NoKey(#[from] NotASigningKey),
    #[error(transparent)]
    Certificate(#[from] CertificateFlaw),
    #[error("the value of {KEY_CERTIFICATE} is not the certificate, in PEM, of the key in {PRIVATE_KEY}")]
    OtherCertificate,
    #[error(
        "the value of {KEY_FILE} is not the key file of a service account: it must be JSON with type service_account, client_email and private_key, and have at most 64 KiB"
    )]
    NoKeyFile,
    #[error("the value of {KEY_FILE} names another client or key than {0}: leave {0} out")]
    TwoSources(&'static str),
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
        let file = KeyFile::read(data)?;
        let client_id = match &file {
            Some(file) => file.client_email.clone(),
            None => value(data, CLIENT_ID)?.ok_or(AppError::Missing(CLIENT_ID))?.to_owned(),
        };
        Ok(Self {
            client_id,
            client_secret: value(data, CLIENT_SECRET)?.map(SecretString::from),
            client_secret_previous: value(data, CLIENT_SECRET_PREVIOUS)?.map(SecretString::from),
            private_key: file.map_or_else(|| private_key(data), |file| file.signing_key().map(Some))?,
            certificate: certificate(data)?,
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
        Proofs {
            secret: self.client_secret.is_some(),
            private_key: self.private_key.is_some(),
            certificate: self.certificate.is_some(),
        }
    }

    /// The keys of the app Secret that are missing for the client to prove itself as described, in words; `None` if it can.
    pub fn missing_proof(&self, description: &Description) -> Option<String> {
        if description.needs_certificate() && self.certificate.is_none() {
            return Some(format!("the keys {CERTIFICATE} and {CERTIFICATE_KEY} are missing"));
        }
        if description.only_signs() && self.private_key.is_none() {
            return Some(format!("the key {PRIVATE_KEY}, or {KEY_FILE}, is missing"));
        }
        if description.client_auth(self.proofs()).is_some() {
            return None;
        }
        let mut keys: Vec<&str> = description.client_auth.iter().filter_map(|way| proof_of(*way)).collect();
        keys.dedup();
        Some(format!("the key {} is missing", keys.join(", or ")))
    }

    /// The arguments of `kubectl create secret` for what proves the client as described, with placeholders in capitals.
    pub fn proof_arguments(description: &Description) -> String {
        if description.needs_certificate() {
            format!("--from-file={CERTIFICATE}=FILE --from-file={CERTIFICATE_KEY}=FILE")
        } else if description.only_signs() {
            format!("--from-file={PRIVATE_KEY}=FILE")
        } else {
            format!("--from-literal={CLIENT_SECRET}=SECRET")
        }
    }

    /// Has the connection of a request to an endpoint where the client proves itself present the certificate, if there is one.
    pub(crate) fn present(
        &self,
        description: &Description,
        request: &mut Extensions,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        match &self.certificate {
            Some(certificate) => Ok(certificate.present(request, now)?),
            None if description.needs_certificate() => Err(RequestError::NoCertificate),
            None => Ok(()),
        }
    }

    /// The same for a call with an access token, as far as described.
    pub(crate) fn present_in_call(
        app: Option<&Self>,
        description: &Description,
        request: &mut Extensions,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        match app {
            _ if !description.calls_with_certificate() => Ok(()),
            Some(app) => app.present(description, request, now),
            None => Err(RequestError::NoCertificate),
        }
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

/// The key file of a service account. What else is in it, such as the address of a token endpoint, is not believed.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    type_: String,
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
}

impl KeyFile {
    /// `None`: the Secret has none. What it names must not be in the Secret otherwise.
    fn read(data: &BTreeMap<String, ByteString>) -> Result<Option<Self>, AppError> {
        let Some(ByteString(bytes)) = data.get(KEY_FILE).filter(|value| !value.0.is_empty()) else {
            return Ok(None);
        };
        let read = Some(bytes).filter(|bytes| bytes.len() <= LARGEST_FILE);
        let file: Self =
            read.and_then(|bytes| serde_json::from_slice(bytes).ok()).ok_or(AppError::NoKeyFile)?;
        let is_plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        if file.type_ != "service_account" || !is_plain(&file.client_email) {
            return Err(AppError::NoKeyFile);
        }
        if value(data, CLIENT_ID)?.is_some_and(|named| named != file.client_email) {
            return Err(AppError::TwoSources(CLIENT_ID));
        }
        let other = [PRIVATE_KEY, KEY_ID].into_iter().find(|key| data.contains_key(*key));
        other.map_or(Ok(Some(file)), |key| Err(AppError::TwoSources(key)))
    }

    fn signing_key(self) -> Result<SigningKey, AppError> {
        Ok(SigningKey::read(self.private_key.expose_secret(), self.private_key_id)?)
    }
}

fn private_key(data: &BTreeMap<String, ByteString>) -> Result<Option<SigningKey>, AppError> {
    let Some(ByteString(bytes)) = data.get(PRIVATE_KEY).filter(|value| !value.0.is_empty()) else {
        return Ok(None);
    };
    let pem = std::str::from_utf8(bytes).map_err(|_| AppError::NotText(PRIVATE_KEY))?;
    let key_id = value(data, KEY_ID)?.map(str::to_owned);
    let key = SigningKey::read(pem, key_id)?;
    match data.get(KEY_CERTIFICATE).filter(|value| !value.0.is_empty()) {
        Some(ByteString(certificate)) => {
            let certificate =
                std::str::from_utf8(certificate).map_err(|_| AppError::NotText(KEY_CERTIFICATE))?;
            key.certified(certificate).map(Some).ok_or(AppError::OtherCertificate)
        }
        None => Ok(Some(key)),
    }
}

fn certificate(data: &BTreeMap<String, ByteString>) -> Result<Option<ClientCertificate>, AppError> {
    let text = |key: &'static str| {
        let value = data.get(key).filter(|value| !value.0.is_empty());
        value
            .map(|ByteString(bytes)| std::str::from_utf8(bytes).map_err(|_| AppError::NotText(key)))
            .transpose()
    };
    match (text(CERTIFICATE)?, text(CERTIFICATE_KEY)?) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate::read(certificate, key)?)),
        (Some(_), None) => Err(CertificateFlaw::NoKey.into()),
        (None, Some(_)) => Err(CertificateFlaw::NoCertificate.into()),
        (None, None) => Ok(None),
    }
}

/// The key of the app Secret with which a client proves itself.
const fn proof_of(way: ClientAuth) -> Option<&'static str> {
    match way {
        ClientAuth::Basic | ClientAuth::Post => Some(CLIENT_SECRET),
        ClientAuth::PrivateKeyJwt | ClientAuth::BearerJwt => Some(PRIVATE_KEY),
        ClientAuth::TlsClientAuth | ClientAuth::SelfSignedTlsClientAuth => Some(CERTIFICATE),
        ClientAuth::None | ClientAuth::Omitted => None,
    }
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
    use serde_json::json;

    use super::*;
    use crate::catalog;
    use crate::catalog::protocol::CertificateUse;
    use crate::certificate::tests::Authority;

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
    fn the_key_file_of_a_service_account_is_read_as_it_is_downloaded() {
        let file = |type_: &str| {
            let key = crate::assertion::tests::pem();
            json!({"type": type_, "project_id": "p", "private_key_id": "key-7", "private_key": key,
                "client_email": "robot@p.iam.gserviceaccount.com", "client_id": "1000001",
                "token_uri": "https://evil.example.com/token"})
            .to_string()
        };
        let good = file("service_account");
        let app = read(Some(TYPE_APP), &[("key.json", good.as_bytes()), ("providers", b"p")]).unwrap();
        assert_eq!(app.client_id, "robot@p.iam.gserviceaccount.com");
        assert!(app.client_secret.is_none() && app.private_key.is_some());
        assert!(!format!("{app:?}").contains("PRIVATE"));
        let same = b"robot@p.iam.gserviceaccount.com\n";
        assert!(
            read(Some(TYPE_APP), &[("key.json", good.as_bytes()), ("hosts", b"h"), ("client_id", same)])
                .is_ok()
        );

        let (user, large) = (file("authorized_user"), format!("{good}{}", " ".repeat(LARGEST_FILE)));
        let keyless = good.replace("PRIVATE", "PUBLIC");
        let rows: [(&str, Option<&str>, AppError); 7] = [
            (&user, None, AppError::NoKeyFile),
            (&large, None, AppError::NoKeyFile),
            (&good[..good.len() - 1], None, AppError::NoKeyFile),
            ("[]", None, AppError::NoKeyFile),
            (&good, Some("client_id"), AppError::TwoSources("client_id")),
            (&good, Some("private_key"), AppError::TwoSources("private_key")),
            (&good, Some("key_id"), AppError::TwoSources("key_id")),
        ];
        let keyless: &[(&str, &[u8])] = &[("key.json", keyless.as_bytes()), ("providers", b"p")];
        assert!(matches!(read(Some(TYPE_APP), keyless), Err(AppError::NoKey(_))));
        for (file, beside, want) in rows {
            let mut data: Vec<(&str, &[u8])> = vec![("key.json", file.as_bytes()), ("providers", b"p")];
            data.extend(beside.map(|key| (key, b"other".as_slice())));
            assert_eq!(read(Some(TYPE_APP), &data).unwrap_err(), want, "{beside:?}");
        }
    }

    #[test]
    fn a_registration_is_used_only_for_what_it_names() {
        let spec = json!({"type": "generic-oauth2", "endpoints": {
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
    #[test]
    fn a_certificate_is_read_with_its_key_and_what_is_missing_is_named() {
        let (certificate, key) = Authority::new("authority").issues("bowline", 2020, 2060);
        let basics: [(&str, &[u8]); 2] = [("client_id", b"id"), ("providers", b"p")];
        let with = |more: &[(&str, &[u8])]| read(Some(TYPE_APP), &[&basics[..], more].concat());
        let pair = [("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())];
        let app = with(&pair).unwrap();
        assert!(app.proofs().certificate && !format!("{app:?}").contains("BEGIN"));
        let refused = |more: &[(&str, &[u8])]| with(more).unwrap_err();
        assert_eq!(refused(&pair[..1]), AppError::Certificate(CertificateFlaw::NoKey));
        assert_eq!(refused(&pair[1..]), AppError::Certificate(CertificateFlaw::NoCertificate));
        assert_eq!(refused(&[("tls.crt", b"\xff"), pair[1]]), AppError::NotText("tls.crt"));

        let mut described = crate::fixtures::description();
        let bare = with(&[]).unwrap();
        assert_eq!(bare.missing_proof(&described), None, "a public client");
        let secret = "the key client_secret is missing".to_owned();
        assert_eq!(app.missing_proof(&described), Some(secret), "a certificate does not prove it there");
        described.core.client_auth = vec![ClientAuth::TlsClientAuth];
        assert_eq!(app.missing_proof(&described), None);
        let missing = "the keys tls.crt and tls.key are missing".to_owned();
        assert_eq!(bare.missing_proof(&described), Some(missing.clone()));
        described.core.client_auth = vec![ClientAuth::Basic];
        assert_eq!(app.missing_proof(&described).unwrap(), "the key client_secret is missing");
        described.core.client_certificate = CertificateUse::AllRequests;
        assert_eq!(bare.missing_proof(&described), Some(missing));
    }
}
