//! What the administrator chose.

use std::net::SocketAddr;
use std::path::PathBuf;

use bowline_oauth::network::Network;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// What the administrator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) url: BaseUrl,
    /// The portal's own, with its session key.
    pub(crate) namespace: String,
    pub(crate) attempts_namespace: String,
    pub(crate) sign_in: SignIn,
    /// With the session key, instead of the Secret.
    pub(crate) session_key_file: Option<PathBuf>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// The ways to sign in; at least one is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignIn {
    pub(crate) oidc: Option<Oidc>,
    pub(crate) token: Option<Token>,
    pub(crate) proxy: Option<Proxy>,
}

/// Sign-in with an `OpenID` provider; claims and prefixes as in the API server's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// `None`: a public client.
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) username_claim: String,
    /// `None`: the API server's default, see [`Oidc::prefix`].
    pub(crate) username_prefix: Option<String>,
    pub(crate) groups_claim: String,
    pub(crate) groups_prefix: String,
    /// Besides `openid`.
    pub(crate) scopes: Vec<String>,
    /// Where the provider may be reached.
    pub(crate) network: Network,
}

impl Oidc {
    /// The prefix of a user name by the API server's rule: the configured one, none for `-`; by default none for an e-mail
    /// address and `ISSUER#` for anything else.
    pub(crate) fn prefix(&self) -> String {
        match self.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.username_claim == "email" => String::new(),
            None => format!("{}#", self.issuer),
        }
    }
}

/// Sign-in with a token that the API server accepts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    /// `None`: the API server's own.
    pub(crate) audience: Option<String>,
}

/// Sign-in by a proxy in front of the portal.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) secret: SecretString,
    pub(crate) user_header: String,
    /// Comma separated.
    pub(crate) groups_header: String,
}

/// The portal's address in browsers: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl(Url);

/// The portal cannot have this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BaseUrlError {
    #[error("--url is not an address such as https://bowline.example.com")]
    Malformed,
    #[error("--url must begin with https:// (a demo on localhost may use --allow-insecure-http)")]
    Insecure,
    /// `__Host-` cookies belong to a whole host.
    #[error("--url may hold a host and a port, no user, path, query or fragment")]
    TooMuch,
}

impl BaseUrl {
    /// Parses and checks it. With `insecure`, `http://` is allowed for localhost.
    pub(crate) fn new(text: &str, insecure: bool) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::Malformed)?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => {}
            "http" if insecure && local => {}
            _ => return Err(BaseUrlError::Insecure),
        }
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::TooMuch);
        }
        Ok(Self(url))
    }

    /// As in the header `Origin`.
    pub(crate) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address of a path that begins with `/`.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_by_https_is_an_address_of_the_portal() {
        let good = BaseUrl::new("https://bowline.example.com:8443", false).unwrap();
        assert_eq!(good.origin(), "https://bowline.example.com:8443");
        assert_eq!(good.join("/callback/github"), "https://bowline.example.com:8443/callback/github");
        for (text, error) in [
            ("bowline", BaseUrlError::Malformed),
            ("http://bowline.example.com", BaseUrlError::Insecure),
            ("http://localhost:8080", BaseUrlError::Insecure),
            ("ftp://localhost", BaseUrlError::Insecure),
            ("https://bowline.example.com/portal", BaseUrlError::TooMuch),
            ("https://alice@bowline.example.com", BaseUrlError::TooMuch),
            ("https://bowline.example.com/?x", BaseUrlError::TooMuch),
        ] {
            assert_eq!(BaseUrl::new(text, false), Err(error), "{text}");
        }
    }

    #[test]
    fn http_is_for_this_machine_alone() {
        assert!(BaseUrl::new("http://localhost:8080", true).is_ok());
        assert!(BaseUrl::new("http://127.0.0.1:8080", true).is_ok());
        assert_eq!(BaseUrl::new("http://bowline.example.com", true), Err(BaseUrlError::Insecure));
    }

    #[test]
    fn names_are_prefixed_as_the_api_server_does_it() {
        let oidc = |claim: &str, prefix: Option<&str>| Oidc {
            issuer: "https://i".into(),
            client_id: "c".into(),
            client_secret: None,
            username_claim: claim.into(),
            username_prefix: prefix.map(Into::into),
            groups_claim: "groups".into(),
            groups_prefix: String::new(),
            scopes: Vec::new(),
            network: Network::default(),
        };
        assert_eq!(oidc("sub", None).prefix(), "https://i#");
        assert_eq!(oidc("email", None).prefix(), "");
        assert_eq!(oidc("sub", Some("-")).prefix(), "");
        assert_eq!(oidc("email", Some("oidc:")).prefix(), "oidc:");
    }
}
