//! The flags of `bowline portal`, and the settings made from them.
#![allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bowline_oauth::network::Network;
use bowline_runtime::telemetry::{AuditLog, Collector, LogFormat, Logs};
use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// Flags of `bowline portal`. Each may also be set by the environment variable shown.
#[derive(Args, Debug)]
pub struct PortalFlags {
    /// Address of the portal as browsers see it, such as https://bowline.example.com. Give the operator the same one.
    #[arg(long, env = "BOWLINE_PORTAL_URL")]
    url: String,

    /// Allow http:// in --url for localhost. For demos.
    #[arg(long, env = "BOWLINE_PORTAL_ALLOW_INSECURE_HTTP")]
    allow_insecure_http: bool,

    #[command(flatten)]
    server: ServerFlags,

    #[command(flatten)]
    sign_in: SignInFlags,

    /// How logs are written, to stderr.
    #[arg(long, env = "BOWLINE_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// What is logged: a level, or directives such as info,bowline=debug.
    #[arg(long, env = "BOWLINE_LOG_FILTER", default_value = "info")]
    log_filter: String,

    /// Where lines go that say who did what: log (among the others), stdout, or a file, to which they are appended; there they
    /// are one JSON object per line. docs/audit.md has their fields. --log-filter leaves none of them out.
    #[arg(long, env = "BOWLINE_AUDIT_LOG", value_name = "log|stdout|FILE", value_parser = AuditLog::parse, default_value = "log")]
    audit_log: AuditLog,

    /// Send traces to this OpenTelemetry collector, by OTLP over gRPC, such as http://collector:4317. The other variables of
    /// OpenTelemetry are read as well, such as OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
}

/// Flags that are settings as they are.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerFlags {
    /// Address to serve pages, /livez and /readyz on.
    #[arg(long, env = "BOWLINE_PORTAL_LISTEN", default_value = "0.0.0.0:8080")]
    pub(crate) listen: SocketAddr,

    /// Address to serve /metrics on, such as 0.0.0.0:9090: one of its own, because whoever reaches the pages must not read it.
    /// Default: none are served.
    #[arg(long, env = "BOWLINE_PORTAL_METRICS_LISTEN", value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Namespace of the portal, which contains its session key.
    #[arg(long, env = "BOWLINE_PORTAL_NAMESPACE", default_value = "bowline-portal")]
    pub(crate) namespace: String,

    /// Namespace of the short-lived Secrets through which portal and operator exchange attempts to connect.
    #[arg(long, env = "BOWLINE_ATTEMPTS_NAMESPACE", default_value = "bowline-attempts")]
    pub(crate) attempts_namespace: String,

    /// File with the key that encrypts sessions, at least 32 bytes, the same for all replicas. Default: the Secret
    /// bowline-portal-session, which is created if it does not exist.
    #[arg(long, env = "BOWLINE_PORTAL_SESSION_KEY_FILE")]
    pub(crate) session_key_file: Option<PathBuf>,

    /// Warn when the key that seals sessions is older than this. The default is 90 days.
    #[arg(
        long,
        env = "BOWLINE_PORTAL_SESSION_KEY_MAX_AGE",
        value_name = "DURATION",
        default_value = "2160h"
    )]
    pub(crate) session_key_max_age: bowline_api::duration::Duration,

    /// Folder with the secrets of webhooks, a file for each IntegrationProvider, named like it: a secret, and the former one
    /// below it while it is replaced. Mount a Secret there. Default: no webhooks are accepted.
    #[arg(long, env = "BOWLINE_PORTAL_WEBHOOK_SECRETS", value_name = "FOLDER")]
    pub(crate) webhook_secrets: Option<PathBuf>,

    /// Required: the networks that your Ingress or Gateway connects from, comma separated, such as 10.0.0.0/8: their
    /// X-Forwarded-For says who sends a request. Or "none": then whoever connects is the sender, and all who are not signed in
    /// behind one proxy share the limits of one client.
    #[arg(long, env = "BOWLINE_PORTAL_TRUSTED_PROXIES", value_name = "NETWORKS|none", value_parser = parse_proxies)]
    pub(crate) trusted_proxies: TrustedProxies,
}

/// Ways to sign in: at least one.
#[derive(Args, Debug)]
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

    #[command(flatten)]
    claims: OidcClaims,

    /// Allow http:// for the OpenID provider. For demos and tests.
    #[arg(long, env = "BOWLINE_PORTAL_OIDC_ALLOW_HTTP", requires = "oidc_issuer")]
    oidc_allow_http: bool,

    /// Private networks in which the OpenID provider may be, comma separated, such as 10.0.0.0/8. Default: none, only public
    /// addresses. Link-local and metadata addresses are never called.
    #[arg(
        long,
        env = "BOWLINE_PORTAL_OIDC_ALLOWED_CIDRS",
        value_delimiter = ',',
        value_parser = parse_network,
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

/// What to request of an OpenID provider and how to read its answer: as in the API server's configuration.
#[derive(Args, Clone, Debug)]
pub(crate) struct OidcClaims {
    /// Claim with the user's name. For "email", email_verified must be true.
    #[arg(long = "oidc-username-claim", env = "BOWLINE_PORTAL_OIDC_USERNAME_CLAIM", default_value = "sub")]
    pub(crate) username_claim: String,

    /// Prefix of the user's name. Default: ISSUER#, or none for an e-mail address, as in the API server. "-": none.
    #[arg(long = "oidc-username-prefix", env = "BOWLINE_PORTAL_OIDC_USERNAME_PREFIX")]
    pub(crate) username_prefix: Option<String>,

    /// Claim with the user's groups.
    #[arg(long = "oidc-groups-claim", env = "BOWLINE_PORTAL_OIDC_GROUPS_CLAIM", default_value = "groups")]
    pub(crate) groups_claim: String,

    /// Prefix of each group.
    #[arg(long = "oidc-groups-prefix", env = "BOWLINE_PORTAL_OIDC_GROUPS_PREFIX", default_value = "")]
    pub(crate) groups_prefix: String,

    /// Scopes to request besides openid, comma separated.
    #[arg(
        long = "oidc-scopes",
        env = "BOWLINE_PORTAL_OIDC_SCOPES",
        value_delimiter = ',',
        default_value = "profile,email,groups"
    )]
    pub(crate) scopes: Vec<String>,
}

impl PortalFlags {
    /// The settings of the portal and of its logs. Reads the files that are named in flags.
    pub fn into_settings(self) -> anyhow::Result<(PortalSettings, Logs)> {
        let Self {
            url,
            allow_insecure_http,
            server,
            sign_in,
            log_format,
            log_filter,
            audit_log,
            otlp_endpoint,
        } = self;
        let url = BaseUrl::new(&url, allow_insecure_http)?;
        let settings = PortalSettings { server, url, sign_in: sign_in.into_settings()? };
        let collector = otlp_endpoint.map(|endpoint| Collector { endpoint, service: "bowline-portal" });
        Ok((settings, Logs { format: log_format, filter: log_filter, audit: audit_log, collector }))
    }
}

impl SignInFlags {
    fn into_settings(self) -> anyhow::Result<SignIn> {
        let oidc = self.oidc.into_settings()?;
        let secret = self.proxy_secret_file.as_deref().map(secret).transpose()?;
        let (user_header, groups_header) = (self.proxy_user_header, self.proxy_groups_header);
        let proxy = secret.map(|secret| Proxy { secret, user_header, groups_header });
        if oidc.is_none() && !self.sign_in_with_token && proxy.is_none() {
            bail!("nobody could sign in: set --oidc-issuer, --sign-in-with-token or --proxy-secret-file");
        }
        Ok(SignIn { oidc, with_token: self.sign_in_with_token, token_audience: self.token_audience, proxy })
    }
}

impl OidcFlags {
    fn into_settings(self) -> anyhow::Result<Option<Oidc>> {
        let (Some(issuer), Some(client_id)) = (self.oidc_issuer, self.oidc_client_id) else {
            return Ok(None);
        };
        if !issuer.starts_with("https://") && !self.oidc_allow_http {
            bail!("--oidc-issuer must begin with https://");
        }
        let ca_certificates = self.oidc_ca_file.as_deref().map(read).transpose()?;
        let network = Network {
            allow_http: self.oidc_allow_http,
            allowed_cidrs: self.oidc_allowed_cidrs,
            ca_certificates: ca_certificates.map(String::into_bytes),
            proxy: self.oidc_proxy,
        };
        let client_secret = self.oidc_client_secret_file.as_deref().map(secret).transpose()?;
        Ok(Some(Oidc { issuer, client_id, client_secret, claims: self.claims, network }))
    }
}

#[derive(Clone, Debug)]
pub struct PortalSettings {
    pub(crate) server: ServerFlags,
    pub(crate) url: BaseUrl,
    pub(crate) sign_in: SignIn,
}

/// The ways to sign in; at least one is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignIn {
    pub(crate) oidc: Option<Oidc>,
    /// With a token that the API server accepts, for its own audience unless another is set.
    pub(crate) with_token: bool,
    pub(crate) token_audience: Option<String>,
    pub(crate) proxy: Option<Proxy>,
}

#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// `None`: a public client.
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) claims: OidcClaims,
    pub(crate) network: Network,
}

impl Oidc {
    /// The prefix of a user name by the API server's rule: the configured one, none for `-`; by default none for an e-mail
    /// address and `ISSUER#` for anything else.
    pub(crate) fn prefix(&self) -> String {
        match self.claims.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.claims.username_claim == "email" => String::new(),
            None => format!("{}#", self.issuer),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) secret: SecretString,
    pub(crate) user_header: String,
    pub(crate) groups_header: String,
}

/// The portal's address in browsers: scheme, host and port.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(Url);

impl BaseUrl {
    /// Parses and checks it. With `insecure`, `http://` is allowed for localhost.
    pub(crate) fn new(text: &str, insecure: bool) -> anyhow::Result<Self> {
        let url =
            Url::parse(text).ok().context("--url is not an address such as https://bowline.example.com")?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && insecure && local) {
            bail!("--url must begin with https:// (a demo on localhost may use --allow-insecure-http)");
        }
        // `__Host-` cookies belong to a whole host.
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !url.username().is_empty() || url.password().is_some() {
            bail!("--url may hold a host and a port, no user, path, query or fragment");
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

/// Networks of proxies that name the sender of a request; none if whoever connects is the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(crate) fn as_slice(&self) -> &[IpNet] {
        &self.0
    }
}

fn parse_proxies(text: &str) -> Result<TrustedProxies, &'static str> {
    if text == "none" {
        return Ok(TrustedProxies(Vec::new()));
    }
    text.split(',').map(|network| parse_network(network.trim())).collect::<Result<_, _>>().map(TrustedProxies)
}

/// Reads a network such as `10.0.0.0/8`, or one address. An IPv4-mapped IPv6 address counts as the IPv4 address.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let refused = "not a network such as 10.0.0.0/8 or fd00::/8";
    let one = |address: IpAddr| IpNet::from(address.to_canonical());
    match text.parse() {
        Ok(IpNet::V6(network)) if network.addr().to_ipv4_mapped().is_some() => Err(refused),
        Ok(network) => Ok(network),
        Err(_) => text.parse().map(one).map_err(|_| refused),
    }
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

    fn settings(arguments: &[&str]) -> anyhow::Result<PortalSettings> {
        let all = ["bowline", "--url", "https://bowline.example.com", "--trusted-proxies=none"];
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
        assert!(settings.server.trusted_proxies.as_slice().is_empty());
    }

    /// Whoever names the sender decides whose limits a request counts for.
    #[test]
    fn a_portal_that_does_not_know_its_proxies_does_not_start() {
        let undecided = ["bowline", "--url", "https://bowline.example.com", "--sign-in-with-token"];
        let error = Cli::try_parse_from(undecided).map(drop).unwrap_err().to_string();
        assert!(error.contains("--trusted-proxies <NETWORKS|none>"), "{error}");
        for (text, networks) in [("none", 0), ("10.0.0.0/8", 1), ("10.0.0.0/8, 192.0.2.7", 2)] {
            assert_eq!(parse_proxies(text).unwrap().as_slice().len(), networks, "{text}");
        }
        for text in ["", "all", "none,10.0.0.0/8", "10.0.0.0/8,"] {
            assert!(parse_proxies(text).is_err(), "{text}");
        }
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

    #[test]
    fn only_an_origin_by_https_is_an_address_of_the_portal() {
        let good = BaseUrl::new("https://bowline.example.com:8443", false).unwrap();
        assert_eq!(good.origin(), "https://bowline.example.com:8443");
        assert_eq!(good.join("/callback/github"), "https://bowline.example.com:8443/callback/github");
        for (text, error) in [
            ("bowline", "not an address"),
            ("http://bowline.example.com", "must begin with https://"),
            ("http://localhost:8080", "must begin with https://"),
            ("ftp://localhost", "must begin with https://"),
            ("https://bowline.example.com/portal", "no user, path"),
            ("https://alice@bowline.example.com", "no user, path"),
            ("https://bowline.example.com/?x", "no user, path"),
        ] {
            let told = BaseUrl::new(text, false).unwrap_err().to_string();
            assert!(told.contains(error), "{text}: {told}");
        }
    }

    #[test]
    fn http_is_for_this_machine_alone() {
        assert!(BaseUrl::new("http://localhost:8080", true).is_ok());
        assert!(BaseUrl::new("http://127.0.0.1:8080", true).is_ok());
        assert!(BaseUrl::new("http://bowline.example.com", true).is_err());
    }

    #[test]
    fn names_are_prefixed_as_the_api_server_does_it() {
        let oidc = |claim: &str, prefix: Option<&str>| Oidc {
            issuer: "https://i".into(),
            client_id: "c".into(),
            client_secret: None,
            claims: OidcClaims {
                username_claim: claim.into(),
                username_prefix: prefix.map(Into::into),
                groups_claim: "groups".into(),
                groups_prefix: String::new(),
                scopes: Vec::new(),
            },
            network: Network::default(),
        };
        assert_eq!(oidc("sub", None).prefix(), "https://i#");
        assert_eq!(oidc("email", None).prefix(), "");
        assert_eq!(oidc("sub", Some("-")).prefix(), "");
        assert_eq!(oidc("email", Some("oidc:")).prefix(), "oidc:");
    }
}
