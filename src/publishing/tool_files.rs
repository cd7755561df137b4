//! Files that tools sign in with: `.netrc`, `.git-credentials`, `.dockerconfigjson`, secrets for Envoy. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::iter;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use bowline_api::connection::Format;
use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::key_usage::KeyUsage;
use bowline_oauth::catalog::login::Login;

use super::material::{ContentError, Material, PublishedCredential, StringData};

/// The longest value in `.netrc`: curl drops longer lines, without a word.
const NETRC_BYTES: usize = 4000;

/// What a tool signs in with, and what is known of the provider.
pub(super) struct ToolFiles<'a> {
    pub(super) material: &'a Material<'a>,
    pub(super) format: Format,
    pub(super) provider: &'a Description,
}

/// User name and password of HTTP Basic (RFC 7617), and where they are presented.
struct BasicLogin<'a> {
    url: &'a Url,
    username: &'a str,
    password: Zeroizing<String>,
}

impl<'a> ToolFiles<'a> {
    /// `.netrc`, with a machine for HTTP tools and one for git, as far as the provider has them. The key is the host: tools do
    /// not look at ports.
    pub(super) fn netrc(&self) -> Result<StringData, ContentError> {
        let logins = &self.provider.logins;
        let named = [("http", &logins.http), ("git", &logins.git)];
        let known: Vec<_> = named.into_iter().filter(|(_, login)| login.url.is_some()).collect();
        let mut hosts = BTreeSet::new();
        let mut text = Zeroizing::new(String::new());
        for (name, login) in if known.is_empty() { &named[..1] } else { &known[..] } {
            let BasicLogin { url, username, password } = self.basic(name, login)?;
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            if hosts.insert(host) {
                let username = self.netrc_word("username", username)?;
                let password = self.netrc_word(self.key(), &password)?;
                _ = writeln!(text, "machine {host}\n  login {}\n  password {}", *username, *password);
            }
        }
        Ok(self.with_expiry([(".netrc", text)]))
    }

    /// `.git-credentials`: one line, a URL with user name and password, as git's credential store reads it.
    pub(super) fn git_credentials(&self) -> Result<StringData, ContentError> {
        let BasicLogin { url, username, password } = self.basic("git", &self.provider.logins.git)?;
        let (username, password) = (percent_encoded(username), percent_encoded(&password));
        let line = format!("{}://{}:{}@{}\n", url.scheme(), *username, *password, authority(url));
        Ok(self.with_expiry([(".git-credentials", Zeroizing::new(line))]))
    }

    /// `.dockerconfigjson`: the registry, as kubelet and container tools read it.
    pub(super) fn docker_config(&self) -> Result<StringData, ContentError> {
        let BasicLogin { url, username, password } =
            self.basic("registry", &self.provider.logins.registry)?;
        let auth = in_json(&base64(username, &password));
        let (username, password) = (in_json(username), in_json(&password));
        let login = format!(r#"{{"username":{},"password":{},"auth":{}}}"#, *username, *password, *auth);
        let text = format!(r#"{{"auths":{{{}:{login}}}}}"#, *in_json(&registry(url)));
        Ok(self.with_expiry([(".dockerconfigjson", Zeroizing::new(text))]))
    }

    /// A file with one secret for each Envoy's secret discovery service (SDS): it takes no file that has two. `authorization` is
    /// the value of the header that carries the credential; `token` is the token or the key alone.
    pub(super) fn envoy_sds(&self) -> Result<StringData, ContentError> {
        let secret = self.presented()?;
        let scheme = self.provider.key.as_ref().and_then(KeyUsage::scheme);
        let (header, token) = match self.material.credential {
            PublishedCredential::OAuth { token_type, .. } => {
                (format!("{token_type} {}", *secret), Some(&secret))
            }
            PublishedCredential::Basic { username, .. } => {
                (format!("Basic {}", *base64(self.carried(username)?, &secret)), None)
            }
            _ => (
                scheme.map_or_else(|| secret.to_string(), |scheme| format!("{scheme} {}", *secret)),
                Some(&secret),
            ),
        };
        let token = token.map(|token| ("sds-token.json", sds("token", token)));
        let header = ("sds-authorization.json", sds("authorization", &Zeroizing::new(header)));
        Ok(self.with_expiry(iter::once(header).chain(token)))
    }

    /// Files, and when what they hold expires.
    fn with_expiry(&self, files: impl IntoIterator<Item = (&'static str, Zeroizing<String>)>) -> StringData {
        let expiry = self.material.expires_at.map(|at| ("expires_at", Zeroizing::new(at.to_string())));
        files.into_iter().chain(expiry).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The login that stands under `logins.<name>` of the description. Errors name keys and fields, never a value.
    fn basic(&self, name: &str, login: &'a Login<Option<Url>>) -> Result<BasicLogin<'a>, ContentError> {
        let password = self.presented()?;
        let unknown = |field: &str| ContentError::LoginUnknown {
            format: self.format,
            provider: self.provider.provider.clone(),
            field: format!("logins.{name}.{field}"),
        };
        let url = login.url.as_ref().ok_or_else(|| unknown("url"))?;
        let own = self.material.credential.username();
        let username = own.or(login.username.as_deref()).ok_or_else(|| unknown("username"))?;
        Ok(BasicLogin { url, username: self.carried(username)?, password })
    }

    /// The token, the key or the password.
    fn presented(&self) -> Result<Zeroizing<String>, ContentError> {
        if matches!(self.material.credential, PublishedCredential::IssuedKeys(_)) {
            return Err(ContentError::SignsInNowhere { format: self.format });
        }
        let secret = Zeroizing::new(self.material.credential.secret().into_owned());
        self.printable(self.key(), &secret)?;
        Ok(secret)
    }

    /// A user name that HTTP Basic carries.
    fn carried<'v>(&self, username: &'v str) -> Result<&'v str, ContentError> {
        if username.contains(':') {
            return Err(ContentError::Colon { format: self.format });
        }
        self.printable("username", username)
    }

    fn printable<'v>(&self, key: &str, value: &'v str) -> Result<&'v str, ContentError> {
        if value.chars().any(char::is_control) {
            return Err(ContentError::ControlCharacters { key: key.to_owned(), format: self.format });
        }
        Ok(value)
    }

    /// The name of what is presented.
    fn key(&self) -> &'static str {
        self.material.credential.key()
    }

    /// A value as curl, git and Python read it: bare, or in quotes with backslashes. Go reads only bare ones.
    fn netrc_word(&self, key: &'static str, value: &str) -> Result<Zeroizing<String>, ContentError> {
        let is_bare = !value.is_empty() && !value.contains([' ', '"', '#', '\\']);
        let word = if is_bare {
            value.to_owned()
        } else {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        };
        if word.len() > NETRC_BYTES {
            return Err(ContentError::TooLong { key, format: self.format, most: NETRC_BYTES });
        }
        Ok(Zeroizing::new(word))
    }
}

/// What a `DiscoveryResponse` of Envoy has, with one generic secret. JSON is YAML as well.
fn sds(name: &str, value: &str) -> Zeroizing<String> {
    const TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    let secret = format!(r#"{{"secret":{{"inline_string":{}}}}}"#, *in_json(value));
    let resource = format!(r#"{{"@type":"{TYPE}","name":"{name}","generic_secret":{secret}}}"#);
    Zeroizing::new(format!(r#"{{"resources":[{resource}]}}"#))
}

/// `user:password` as HTTP Basic sends it.
fn base64(username: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()))
}

fn in_json(value: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::from(value).to_string())
}

/// A registry as its logins are kept: host and path, without a scheme. Docker's own has a name that is an address.
fn registry(url: &Url) -> String {
    if url.host_str().is_some_and(|host| ["docker.io", "index.docker.io"].contains(&host)) {
        return "https://index.docker.io/v1/".to_owned();
    }
    format!("{}{}", authority(url), url.path().trim_end_matches('/'))
}

/// The host, and the port unless it is the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// All but unreserved characters as `%XX` (RFC 3986 §2).
fn percent_encoded(value: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * value.len()));
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tool_files_tests.rs"]
mod tests;
