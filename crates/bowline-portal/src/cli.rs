//! The flags of `bowline portal`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bowline_oauth::network::Network;
use bowline_runtime::telemetry::{LogFormat, Logs};
use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::sender;
use crate::settings::{BaseUrl, Oidc, Proxy, Settings, SignIn, Token};

/// Flags of `bowline portal`. Each may also be set by the environment variable shown.
#[derive(Args, Debug)]
#[allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]
pub struct PortalFlags {
    /// Address to serve pages, /livez and /readyz on.
    #[arg(long, env = "BOWLINE_PORTAL_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Address of the portal as browsers see it, such as https://bowline.example.com. Give the operator the same one.
    #[arg(long, env = "BOWLINE_PORTAL_URL")]
    url: String,

    /// Allow http:// in --url for localhost. For demos.
    #[arg(long, env = "BOWLINE_PORTAL_ALLOW_INSECURE_HTTP")]
    allow_insecure_http: bool,

    /// Namespace of the portal, which contains its session key.
    #[arg(long, env = "BOWLINE_PORTAL_NAMESPACE", default_value = "bowline-portal")]
    namespace: String,

    /// Namespace of the short-lived Secrets through which portal and operator exchange attempts to connect.
    #[arg(long, env = "BOWLINE_ATTEMPTS_NAMESPACE", default_value = "bowline-attempts")]
    attempts_namespace: String,

    /// File with the key that encrypts sessions, at least 32 bytes, the same for all replicas. Default: the Secret
    /// bowline-portal-session, which is created if it does not exist.
    #[arg(long, env = "BOWLINE_PORTAL_SESSION_KEY_FILE")]
    session_key_file: Option<PathBuf>,

    /// Networks of proxies whose X-Forwarded-For is trusted, comma separated, such as 10.0.0.0/8. Default: none.
    #[arg(long, env = "BOWLINE_PORTAL_TRUSTED_PROXIES", value_delimiter = ',', value_parser = sender::parse)]
    trusted_proxies: Vec<IpNet>,

    #[command(flatten)]
    sign_in: SignInFlags,

    /// How logs are written, to stderr.
    #[arg(long, env = "BOWLINE_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// What is logged: a level, or directives such as info,bowline=debug.
    #[arg(long, env = "BOWLINE_LOG_FILTER", default_value = "info")]
    log_filter: String,
}

/// Ways to sign in: at least one.
#[derive(Args, Debug)]
#[allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]
struct SignInFlags {
    #[command(flatten)]
    oidc: OidcFlags,

    /// Allow signing in with a token that the API server accepts.
    #[arg(long, env = "BOWLINE_PORTAL_SIGN_IN_WITH_TOKEN")]
    sign_in_with_token: bool,

    /// Audience that such a token must have. Default: the API server's own.
    #[arg(long, env = "BOWLINE_PORTAL_TOKEN_AUDIENCE", requires = "sign_in_with_token")]
    token_audience: Option<String>,

    /// File with a secret. A proxy that sends it in the header X-Bowline-Proxy-Secret may name the user. The proxy must remove
    /// that header and the two below from the requests of clients.
    #[arg(long, env = "BOWLINE_PORTAL_PROXY_SECRET_FILE")]
    proxy_secret_file: Option<PathBuf>,

    /// Header in which that proxy names the user.
    #[arg(long, env = "BOWLINE_PORTAL_PROXY_USER_HEADER", default_value = "X-Forwarded-User")]
    proxy_user_header: String,

    /// Header in which that proxy names the user's groups, comma separated.
    #[arg(long, env = "BOWLINE_PORTAL_PROXY_GROUPS_HEADER", default_value = "X-Forwarded-Groups")]
    proxy_groups_header: String,
}

/// Sign-in with an OpenID provider.
#[derive(Args, Debug)]
#[allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]
#[allow(clippy::struct_field_names, reason = "each is the name of its flag")]
struct OidcFlags {
    /// Issuer of the OpenID provider to sign in with. Use the same claims and prefixes as the API server.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_ISSUER", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,

    /// Client id at the OpenID provider. Its redirect URI is URL/sign-in/oidc/callback.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_CLIENT_ID")]
    oidc_client_id: Option<String>,

    /// File with the client secret. Without it the client is public.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_CLIENT_SECRET_FILE")]
    oidc_client_secret_file: Option<PathBuf>,

    /// Claim with the user's name. For "email", email_verified must be true.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_USERNAME_CLAIM", default_value = "sub")]
    oidc_username_claim: String,

    /// Prefix of the user's name. Default: ISSUER#, or none for an e-mail address, as in the API server. "-": none.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_USERNAME_PREFIX")]
    oidc_username_prefix: Option<String>,

    /// Claim with the user's groups.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_GROUPS_CLAIM", default_value = "groups")]
    oidc_groups_claim: String,

    /// Prefix of each group.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_GROUPS_PREFIX", default_value = "")]
    oidc_groups_prefix: String,

    /// Scopes to request besides openid, comma separated.
    #[arg(
        long,
        env = "BOWLINE_PORTAL_OIDC_SCOPES",
        value_delimiter = ',',
        default_value = "profile,email,groups"
    )]
    oidc_scopes: Vec<String>,

    /// Allow http:// for the OpenID provider. For demos and tests.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_ALLOW_HTTP", requires = "oidc_issuer")]
    oidc_allow_http: bool,

    /// Private networks in which the OpenID provider may be, comma separated, such as 10.0.0.0/8. Default: none, only public
    /// addresses. Link-local and metadata addresses are never called.
    #[arg(
        long,
        env = "BOWLINE_PORTAL_OIDC_ALLOWED_CIDRS",
        value_delimiter = ',',
        value_parser = sender::parse,
        requires = "oidc_issuer"
    )]
    oidc_allowed_cidrs: Vec<IpNet>,

    /// PEM file with certificate authorities to trust for the OpenID provider, besides those of the system.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_CA_FILE", requires = "oidc_issuer")]
    oidc_ca_file: Option<PathBuf>,

    /// Proxy for requests to the OpenID provider, such as http://proxy.example.com:3128.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_PROXY", value_parser = proxy, requires = "oidc_issuer")]
    oidc_proxy: Option<Url>,
}

impl PortalFlags {
    /// The settings of the portal and of its logs. Reads the files that are named in flags.
    pub fn into_settings(self) -> anyhow::Result<(Settings, Logs)> {
        let Self {
            listen,
            url,
            allow_insecure_http,
            namespace,
            attempts_namespace,
            session_key_file,
            trusted_proxies,
            sign_in,
            log_format,
            log_filter,
        } = self;
        let settings = Settings {
            listen,
            url: BaseUrl::new(&url, allow_insecure_http)?,
            namespace,
            attempts_namespace,
            sign_in: sign_in.into_settings()?,
            session_key_file,
            trusted_proxies,
        };
        Ok((settings, Logs { format: log_format, filter: log_filter }))
    }
}

impl SignInFlags {
    // long: each flag by name, so that a new one cannot be forgotten.
    fn into_settings(self) -> anyhow::Result<SignIn> {
        let Self {
            oidc,
            sign_in_with_token,
            token_audience,
            proxy_secret_file,
            proxy_user_header,
            proxy_groups_header,
        } = self;
        let oidc = oidc.into_settings()?;
        let token = sign_in_with_token.then_some(Token { audience: token_audience });
        let proxy = proxy_secret_file.as_deref().map(secret).transpose()?;
        let [user_header, groups_header] =
            [proxy_user_header, proxy_groups_header].map(|header| header.to_ascii_lowercase());
        let proxy = proxy.map(|secret| Proxy { secret, user_header, groups_header });
        if oidc.is_none() && token.is_none() && proxy.is_none() {
            bail!("nobody could sign in: set --oidc-issuer, --sign-in-with-token or --proxy-secret-file");
        }
        Ok(SignIn { oidc, token, proxy })
    }
}

impl OidcFlags {
    fn into_settings(self) -> anyhow::Result<Option<Oidc>> {
        let Self {
            oidc_issuer,
            oidc_client_id,
            oidc_client_secret_file,
            oidc_username_claim,
            oidc_username_prefix,
            oidc_groups_claim,
            oidc_groups_prefix,
            oidc_scopes,
            oidc_allow_http,
            oidc_allowed_cidrs,
            oidc_ca_file,
            oidc_proxy,
        } = self;
        let (Some(issuer), Some(client_id)) = (oidc_issuer, oidc_client_id) else { return Ok(None) };
        let network = Network {
            allow_http: oidc_allow_http,
            allowed_cidrs: oidc_allowed_cidrs,
            ca_certificates: oidc_ca_file.as_deref().map(read).transpose()?.map(String::into_bytes),
            proxy: oidc_proxy,
        };
        Ok(Some(Oidc {
            issuer: secure(issuer, &network)?,
            client_id,
            client_secret: oidc_client_secret_file.as_deref().map(secret).transpose()?,
            username_claim: oidc_username_claim,
            username_prefix: oidc_username_prefix,
            groups_claim: oidc_groups_claim,
            groups_prefix: oidc_groups_prefix,
            scopes: oidc_scopes.into_iter().filter(|scope| !scope.is_empty()).collect(),
            network,
        }))
    }
}

fn secure(issuer: String, network: &Network) -> anyhow::Result<String> {
    if !issuer.starts_with("https://") && !network.allow_http {
        bail!("--oidc-issuer must begin with https://");
    }
    Ok(issuer)
}

/// A proxy's address. Not with a password: arguments are visible to others.
fn proxy(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() {
        return Err("not an address such as http://proxy.example.com:3128");
    }
    let secret = !url.username().is_empty() || url.password().is_some();
    if secret { Err("a user name or password is not allowed here") } else { Ok(url) }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn secret(path: &Path) -> anyhow::Result<SecretString> {
    let text = read(path)?;
    let text = text.trim();
    if text.is_empty() {
        bail!("{} is empty", path.display());
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: PortalFlags,
    }

    fn settings(arguments: &[&str]) -> anyhow::Result<Settings> {
        let all = ["bowline", "--url", "https://bowline.example.com"];
        let Cli { flags } = Cli::parse_from(all.iter().chain(arguments));
        flags.into_settings().map(|(settings, _)| settings)
    }

    #[test]
    fn every_flag_has_help_and_an_environment_variable() {
        for flag in Cli::command().get_arguments().filter(|flag| flag.get_id() != "help") {
            assert!(flag.get_help().is_some(), "{}", flag.get_id());
            assert!(flag.get_env().is_some(), "{}", flag.get_id());
        }
    }

    #[test]
    fn a_portal_that_nobody_can_enter_does_not_start() {
        assert!(settings(&[]).unwrap_err().to_string().contains("nobody could sign in"));
        let settings = settings(&["--sign-in-with-token"]).unwrap();
        assert!(settings.sign_in.proxy.is_none() && settings.sign_in.oidc.is_none());
        assert!(settings.trusted_proxies.is_empty());
    }

    #[test]
    fn the_providers_network_is_public_and_https_unless_flags_say_more() {
        let issuer = ["--oidc-issuer", "https://issuer.example.com", "--oidc-client-id", "portal"];
        let network = |more: &[&str]| {
            settings(&[&issuer[..], more].concat()).map(|settings| settings.sign_in.oidc.unwrap().network)
        };
        assert_eq!(network(&[]).unwrap(), Network::default());
        let flags = [
            "--oidc-allow-http",
            "--oidc-allowed-cidrs=10.0.0.0/8,192.0.2.7",
            "--oidc-proxy=http://proxy.example.com:3128",
        ];
        let expected = Network {
            allow_http: true,
            allowed_cidrs: vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()],
            ca_certificates: None,
            proxy: Some("http://proxy.example.com:3128".parse().unwrap()),
        };
        assert_eq!(network(&flags).unwrap(), expected);
        let error = network(&["--oidc-ca-file=/does/not/exist"]).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist"));
        let http = ["--oidc-issuer", "http://issuer.example.com", "--oidc-client-id", "portal"];
        assert!(settings(&http).unwrap_err().to_string().contains("https://"));
        assert!(settings(&[&http[..], &["--oidc-allow-http"]].concat()).is_ok());
    }

    #[test]
    fn a_proxy_is_an_address_without_a_password() {
        assert!(proxy("https://proxy.example.com").is_ok());
        for bad in
            ["proxy.example.com", "socks5://p:1", "http://a:b@p", "http://a@p", "http://p/path", "http://p?x"]
        {
            assert!(proxy(bad).is_err(), "{bad}");
        }
    }
}
