//! What the administrator chose.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// What the administrator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The portal as browsers know it.
    pub(crate) url: BaseUrl,
    /// The portal's own namespace: its session key lives there.
    pub(crate) namespace: String,
    /// Where attempts live.
    pub(crate) attempts_namespace: String,
    /// How people prove who they are.
    pub(crate) sign_in: SignIn,
    /// The session key, if not in a Secret that the portal makes itself.
    pub(crate) session_key_file: Option<PathBuf>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// How people prove who they are. At least one way is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignIn {
    /// By an `OpenID` provider.
    pub(crate) oidc: Option<Oidc>,
    /// By a token that the API server knows.
    pub(crate) token: Option<Token>,
    /// By a proxy in front of the portal.
    pub(crate) proxy: Option<Proxy>,
}

/// Sign-in by an `OpenID` provider; claims and prefixes as the API server is set up.
#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    /// Issuer identifier, exactly.
    pub(crate) issuer: String,
    /// Our client there.
    pub(crate) client_id: String,
    /// Its secret; none for a public client.
    pub(crate) client_secret: Option<SecretString>,
    /// Claim that holds the user's name.
    pub(crate) username_claim: String,
    /// Put before it. `None`: what the API server does by default; see [`Oidc::prefix`].
    pub(crate) username_prefix: Option<String>,
    /// Claim that holds the user's groups.
    pub(crate) groups_claim: String,
    /// Put before each group.
    pub(crate) groups_prefix: String,
    /// Scopes to ask for besides `openid`.
    pub(crate) scopes: Vec<String>,
}

impl Oidc {
    /// What stands before a user name, by the API server's rule: what was set; `-` is nothing; else nothing before an
    /// e-mail address, and `ISSUER#` before anything else.
    pub(crate) fn prefix(&self) -> String {
        match self.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.username_claim == "email" => String::new(),
            None => format!("{}#", self.issuer),
        }
    }
}

/// Sign-in by a token that the API server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    /// Whom the token must be for. `None`: the API server itself.
    pub(crate) audience: Option<String>,
}

/// Sign-in by a proxy in front of the portal.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    /// What the proxy sends in `X-Bowline-Proxy-Secret`.
    pub(crate) secret: SecretString,
    /// Header with the user's name.
    pub(crate) user_header: String,
    /// Header with the user's groups, comma separated.
    pub(crate) groups_header: String,
}

/// The portal as browsers know it: scheme, host, port, and no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl(Url);

/// The portal cannot live at this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BaseUrlError {
    /// Not a URL.
    #[error("--url is not an address such as https://bowline.example.com")]
    Malformed,
    /// Cookies would travel in the clear.
    #[error("--url must begin with https:// (a demo on localhost may use --allow-insecure-http)")]
    Insecure,
    /// `__Host-` cookies and redirect URIs belong to a whole host.
    #[error("--url may hold a host and a port, no user, path, query or fragment")]
    TooMuch,
}

impl BaseUrl {
    /// Reads and judges it. With `insecure`, `http://` is allowed for this machine alone.
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

    /// As browsers send it in `Origin`.
    pub(crate) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether it is `https://`.
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
        };
        assert_eq!(oidc("sub", None).prefix(), "https://i#");
        assert_eq!(oidc("email", None).prefix(), "");
        assert_eq!(oidc("sub", Some("-")).prefix(), "");
        assert_eq!(oidc("email", Some("oidc:")).prefix(), "oidc:");
    }
}
