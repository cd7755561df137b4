//! The command line, which is also the only place that reads the environment.
#![allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use bowline_api::duration::Duration;
use bowline_oauth::network::NetworkBounds;
use bowline_portal::PortalFlags;
use bowline_runtime::telemetry::{AuditLog, Collector, LogFormat, Logs};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use url::Url;

use crate::catalog_command::CatalogCommand;
use crate::gate::GateFlags;
use crate::grant::schedule::RefreshBounds;
use crate::notify::{NotifySettings, SecretUrl};
use crate::operator::OperatorSettings;
use crate::publishing::metadata::AllowedMetadata;
use crate::ready_command::ReadyFlags;
use crate::vault::keyring::Protection;
use crate::vault::kms::Kms;

const REACHES: &str = "It reaches the API server by $KUBECONFIG or ~/.kube/config, and inside a cluster
as the ServiceAccount of its pod. deploy/ has the rights it needs.";

/// Keeps third-party connections: consent once, a fresh token stays in a Secret.
#[derive(Parser, Debug)]
#[command(name = "bowline", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator until SIGTERM or SIGINT. Refreshes that were started are committed before it ends.
    #[command(after_help = REACHES)]
    Operator(Box<OperatorFlags>),
    /// Run the portal, in which people connect and look after their connections, until SIGTERM or SIGINT.
    Portal(Box<PortalFlags>),
    /// Wait until the mounted files of a Secret hold a token that lasts, and end. For an init container. Needs no cluster.
    Gate(GateFlags),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// Wait until operator and portal answer.
    Ready(ReadyFlags),
    /// Look at the providers of the catalogue, and at provider objects before they are applied. Needs no cluster.
    Catalog {
        /// What to do.
        #[command(subcommand)]
        command: CatalogCommand,
    },
}

/// Flags of `bowline operator`. Each may also be set by the environment variable shown.
#[derive(Args, Debug)]
#[command(mut_args(|flag| flag.hide_env_values(true)))]
pub struct OperatorFlags {
    /// The operator's own namespace: sealed records, the keyring and app registrations live there.
    #[arg(long, env = "BOWLINE_NAMESPACE", value_name = "NAME", default_value = "bowline-system")]
    namespace: String,

    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "BOWLINE_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Serve series of single connections, by namespace and name, of at most this many (the first by namespace and name):
    /// bowline_connection_info, _ready and when token and grant expire. The number of those without is
    /// bowline_connection_series_omitted. 0: no such series. Whoever reads the metrics then reads the names, too.
    #[arg(long, env = "BOWLINE_PER_CONNECTION_METRICS", value_name = "NUMBER", default_value_t = 0)]
    per_connection_metrics: usize,

    /// Namespaces in which the operator may read and write Secrets, comma separated; it needs a RoleBinding in each.
    /// Empty: all namespaces, by a ClusterRoleBinding.
    #[arg(long, env = "BOWLINE_SECRET_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    secret_namespaces: Vec<String>,

    /// Address of the portal as browsers see it, such as https://connect.example.com. It makes the redirect URIs to register at
    /// providers, and the links shown to people. Without it nobody can consent in a browser.
    #[arg(long, env = "BOWLINE_PORTAL_URL", value_name = "URL")]
    portal_url: Option<Url>,

    /// Namespace of the short-lived Secrets through which portal and operator share an attempt to connect.
    #[arg(
        long,
        env = "BOWLINE_ATTEMPTS_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "bowline-attempts"
    )]
    attempts_namespace: String,

    /// Prefixes of labels that connections may put on their published Secrets, comma separated. None: no labels.
    /// Labels select: allow only what no NetworkPolicy or other operator acts on.
    #[arg(long, env = "BOWLINE_PUBLISHED_LABEL_PREFIX", value_name = "PREFIXES", value_delimiter = ',')]
    published_label_prefix: Vec<String>,

    /// Prefixes of annotations that connections may put on their published Secrets, comma separated. None: no annotations.
    /// Other controllers act on annotations: with reloader.stakater.com/ workloads restart when a token changes, with those
    /// of Reflector a Secret is copied into other namespaces.
    #[arg(long, env = "BOWLINE_PUBLISHED_ANNOTATION_PREFIX", value_name = "PREFIXES", value_delimiter = ',')]
    published_annotation_prefix: Vec<String>,

    /// Least time between two refreshes of one grant, such as 10s.
    #[arg(long, env = "BOWLINE_MIN_REFRESH_INTERVAL", value_name = "DURATION", default_value = "10s")]
    min_refresh_interval: Duration,

    /// How long a first invalid_grant is doubted: only a second one, at least so much later, ends a connection. The first
    /// may be a race or a hiccup. Shorter makes a withdrawn grant known sooner, and a hiccup more costly.
    #[arg(long, env = "BOWLINE_SECOND_OPINION_AFTER", value_name = "DURATION", default_value = "60s")]
    second_opinion_after: Duration,

    /// How long a grant that a new consent replaced still works at the provider, before it is revoked there: until a node has
    /// fetched a changed Secret, its pods read the old token.
    #[arg(long, env = "BOWLINE_REVOKE_FORMER_AFTER", value_name = "DURATION", default_value = "2m")]
    revoke_former_after: Duration,

    /// How long the grant of a connection that is disconnected is kept before it is revoked at the provider: until then
    /// setting spec.disconnect to false restores it. Its Secrets are withdrawn at once. 0s: it is revoked at once.
    #[arg(long, env = "BOWLINE_DISCONNECT_PAUSE", value_name = "DURATION", default_value = "30s")]
    disconnect_pause: Duration,

    /// How long the mark of another operator process on a grant is respected before it counts as left behind. Up to four
    /// requests of 20 seconds are sent under one mark.
    #[arg(long, env = "BOWLINE_INTENT_TTL", value_name = "DURATION", default_value = "90s")]
    intent_ttl: Duration,

    /// Keep each answer of a provider in this directory, sealed, until it is on record: a disk that survives a restart of the
    /// container, such as an emptyDir. Without it, an answer is lost if the process dies before it is on record.
    #[arg(long, env = "BOWLINE_JOURNAL_DIR", value_name = "DIR")]
    journal_dir: Option<PathBuf>,

    /// Read the keyring from this directory (a KMS-backed mount, say) instead of the Secret bowline-keyring.
    #[arg(long, env = "BOWLINE_KEYRING_DIR", value_name = "DIR")]
    keyring_dir: Option<PathBuf>,

    /// Wrap the keys of the Secret bowline-keyring with a KMS: the socket of a plug-in that speaks Kubernetes' KMS v2 API, such as
    /// unix:///run/kms/kms.sock. While the KMS does not answer, an operator that starts is not ready.
    #[arg(long, env = "BOWLINE_KMS_SOCKET", value_name = "URL", value_parser = socket, conflicts_with = "keyring_dir")]
    kms_socket: Option<PathBuf>,

    /// How long the KMS may take for each answer.
    #[arg(long, env = "BOWLINE_KMS_TIMEOUT", value_name = "DURATION", default_value = "3s")]
    kms_timeout: Duration,

    /// Stop using the KMS: it still unwraps keys, and another one in clear seals from now on. Once no record needs a wrapped key,
    /// remove those (kubectl bowline keys remove), then this flag and --kms-socket.
    #[arg(long, env = "BOWLINE_KMS_DECRYPT_ONLY", requires = "kms_socket")]
    kms_decrypt_only: bool,

    /// Warn when the key that seals new records is older than this. The default is 90 days.
    #[arg(long, env = "BOWLINE_KEY_MAX_AGE", value_name = "DURATION", default_value = "2160h")]
    key_max_age: Duration,

    /// Add a key to the Secret bowline-keyring when the one that seals is older than this, and seal all records with it. Every
    /// new key must be backed up, so without this flag nobody rotates but you (kubectl bowline keys rotate).
    #[arg(long, env = "BOWLINE_KEY_ROTATE_AFTER", value_name = "DURATION", conflicts_with = "keyring_dir")]
    key_rotate_after: Option<Duration>,

    /// How long records without a connection, and grants that could not be revoked, are kept before they are erased.
    /// The default is 30 days.
    #[arg(long, env = "BOWLINE_RECORD_RETENTION", value_name = "DURATION", default_value = "720h")]
    record_retention: Duration,

    /// Private networks that IntegrationProviders may allow (spec.network.allowedCIDRs), comma separated, such as 10.20.0.0/16.
    /// None: public addresses only. Metadata addresses of clouds are never reached.
    #[arg(long, env = "BOWLINE_PROVIDER_NETWORKS", value_name = "CIDRS", value_delimiter = ',')]
    provider_networks: Vec<IpNet>,

    /// Egress proxies that IntegrationProviders may name (spec.network.proxy), comma separated, such as
    /// http://proxy.example.com:3128. None: no proxy.
    #[arg(long, env = "BOWLINE_PROVIDER_PROXY", value_name = "URLS", value_delimiter = ',', value_parser = proxy)]
    provider_proxy: Vec<Url>,

    /// Let IntegrationProviders use http:// (spec.network.allowHTTP). For tests and demos.
    #[arg(long, env = "BOWLINE_ALLOW_HTTP_PROVIDERS")]
    allow_http_providers: bool,

    /// Send notifications to this address, as CloudEvents: somebody is needed, a grant expires soon, a connection recovered.
    /// Private addresses may be used; metadata addresses of clouds may not.
    #[arg(long, env = "BOWLINE_NOTIFY_URL", value_name = "URL", value_parser = receiver)]
    notify_url: Option<SecretUrl>,

    /// File with the secret that signs each notification with HMAC-SHA256 (Standard Webhooks). It may be replaced at any time.
    #[arg(long, env = "BOWLINE_NOTIFY_SECRET_FILE", value_name = "FILE", requires = "notify_url")]
    notify_secret_file: Option<PathBuf>,

    /// PEM file with certificate authorities to trust for the receiver of notifications, besides those of the system.
    #[arg(long, env = "BOWLINE_NOTIFY_CA_FILE", value_name = "FILE", requires = "notify_url")]
    notify_ca_file: Option<PathBuf>,

    /// Let --notify-url begin with http://, for a receiver in the cluster: names of connections are then readable on the way.
    #[arg(long, env = "BOWLINE_NOTIFY_ALLOW_HTTP", requires = "notify_url")]
    notify_allow_http: bool,

    /// How logs are written, to stderr.
    #[arg(long, env = "BOWLINE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// What is logged: a level, or directives such as info,bowline=debug.
    #[arg(long, env = "BOWLINE_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    log_filter: String,

    /// Where lines go that say who did what: log (among the others), stdout, or a file, to which they are appended; there they
    /// are one JSON object per line. docs/audit.md has their fields. --log-filter leaves none of them out.
    #[arg(long, env = "BOWLINE_AUDIT_LOG", value_name = "log|stdout|FILE", value_parser = AuditLog::parse, default_value = "log")]
    audit_log: AuditLog,

    /// Send traces to this OpenTelemetry collector, by OTLP over gRPC, such as http://collector:4317. The other variables of
    /// OpenTelemetry are read as well, such as OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Name of this replica in Events, intents and the Lease; the pod's name, as a rule. Each replica needs a name of its own.
    #[arg(long, env = "HOSTNAME", value_name = "NAME")]
    instance: String,
}

impl OperatorFlags {
    /// The settings of the operator, and of its logs.
    // long: a line for each of them.
    pub fn into_settings(self) -> (OperatorSettings, Logs) {
        let named = self.secret_namespaces.into_iter().filter(|name| !name.is_empty());
        let settings = OperatorSettings {
            namespace: self.namespace,
            listen: self.listen,
            own_series: self.per_connection_metrics,
            secret_namespaces: named.collect(),
            portal: self.portal_url,
            attempts_namespace: self.attempts_namespace,
            allowed_metadata: AllowedMetadata::new(
                self.published_label_prefix,
                self.published_annotation_prefix,
            ),
            limits: RefreshBounds {
                min_interval: at_least_a_second(self.min_refresh_interval),
                second_opinion_after: at_least_a_second(self.second_opinion_after),
            },
            revoke_former_after: self.revoke_former_after.get(),
            disconnect_pause: self.disconnect_pause.get(),
            intent_ttl: self.intent_ttl.get(),
            journal_dir: self.journal_dir,
            keyring_dir: self.keyring_dir,
            protection: self.kms_socket.map(|socket| {
                Protection::new(Kms::new(socket, self.kms_timeout.get()), self.kms_decrypt_only)
            }),
            key_max_age: self.key_max_age.get(),
            key_rotate_after: self.key_rotate_after.map(Duration::get),
            record_retention: self.record_retention.get(),
            provider_bounds: NetworkBounds {
                allow_http: self.allow_http_providers,
                cidrs: self.provider_networks,
                proxies: self.provider_proxy,
            },
            notify: self.notify_url.map(|url| NotifySettings {
                url,
                secret_file: self.notify_secret_file,
                ca_file: self.notify_ca_file,
                allow_http: self.notify_allow_http,
            }),
            instance: self.instance,
        };
        let collector =
            self.otlp_endpoint.map(|endpoint| Collector { endpoint, service: "bowline-operator" });
        let (format, filter, audit) = (self.log_format, self.log_filter, self.audit_log);
        (settings, Logs { format, filter, audit, collector })
    }
}

/// The path of a socket in a URL, as the API server's configuration has it. Linux allows 107 bytes.
fn socket(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
        Some(path) if path.len() <= 107 && !path.ends_with('/') => Ok(PathBuf::from(path)),
        _ => Err("the socket of a KMS is written like unix:///run/kms/kms.sock, with at most 107 letters after unix://"
            .to_owned()),
    }
}

/// The address of a proxy and nothing else: a password in it would stand in every provider object that names it.
fn proxy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let is_bare = url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain && is_bare {
        return Ok(url);
    }
    Err("a proxy is written like http://proxy.example.com:3128, without user name, password and path"
        .to_owned())
}

/// The address of a receiver, whose path and query may be a secret.
fn receiver(text: &str) -> Result<SecretUrl, String> {
    let wanted = || {
        "a receiver is written like https://hooks.example.com/bowline, without user name and password"
            .to_owned()
    };
    let url = Url::parse(text).map_err(|_| wanted())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    if matches!(url.scheme(), "http" | "https") && is_plain { Ok(SecretUrl(url)) } else { Err(wanted()) }
}

/// Times are whole seconds: an interval below that would let one due moment serve twice.
fn at_least_a_second(duration: Duration) -> std::time::Duration {
    duration.get().max(std::time::Duration::from_secs(1))
}

/// Prints the definitions of all kinds as YAML documents.
pub fn print_definitions(out: &mut impl Write) -> anyhow::Result<()> {
    for definition in bowline_api::definitions() {
        write!(out, "---\n{}", serde_yaml::to_string(&definition)?).context("cannot print")?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_that_help_names() {
        let cli = Cli::parse_from(["bowline", "operator", "--instance=one"]);
        let Command::Operator(flags) = cli.command else { panic!() };
        let (settings, _) = flags.into_settings();
        assert_eq!(settings.limits, RefreshBounds::default());
        assert_eq!(settings.record_retention, std::time::Duration::from_hours(30 * 24));
        assert_eq!(settings.provider_bounds, NetworkBounds::default());
        assert!(settings.secret_namespaces.is_empty());
    }

    #[test]
    fn what_providers_may_be_reached_by_is_read_from_the_flags() {
        let operator = |flags: &[&str]| {
            Cli::try_parse_from(["bowline", "operator", "--instance=one"].iter().chain(flags))
        };
        let cli = operator(&[
            "--provider-networks=10.20.0.0/16,fd12::/48",
            "--provider-proxy",
            "http://proxy.example.com:3128",
            "--allow-http-providers",
        ]);
        let Command::Operator(flags) = cli.unwrap().command else { panic!() };
        let bounds = flags.into_settings().0.provider_bounds;
        assert_eq!(bounds.cidrs, ["10.20.0.0/16".parse().unwrap(), "fd12::/48".parse::<IpNet>().unwrap()]);
        assert_eq!(bounds.proxies, ["http://proxy.example.com:3128/".parse::<Url>().unwrap()]);
        assert!(bounds.allow_http);
        for refused in [
            "--provider-networks=10.20.0.0",
            "--provider-networks=company",
            "--provider-proxy=proxy.example.com:3128",
            "--provider-proxy=socks5://proxy.example.com",
            "--provider-proxy=http://user:canary@proxy.example.com",
            "--provider-proxy=http://proxy.example.com/path",
        ] {
            assert!(operator(&[refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_kms_is_a_socket_and_replaces_a_directory() {
        let operator = |flags: &[&str]| {
            Cli::try_parse_from(["bowline", "operator", "--instance=one"].iter().chain(flags))
        };
        let cli = operator(&["--kms-socket=unix:///run/kms/kms.sock", "--kms-decrypt-only"]).unwrap();
        let Command::Operator(flags) = cli.command else { panic!() };
        let kms = Kms::new("/run/kms/kms.sock".into(), std::time::Duration::from_secs(3));
        assert_eq!(flags.into_settings().0.protection, Some(Protection::new(kms, true)));
        let long = format!("--kms-socket=unix:///{}", "s".repeat(107));
        for refused in [
            &["--kms-socket=/run/kms/kms.sock"][..],
            &["--kms-socket=unix://run/kms.sock"],
            &["--kms-socket=unix:///run/"],
            &["--kms-socket=tcp://127.0.0.1:1"],
            &[&long],
            &["--kms-socket=unix:///run/kms.sock", "--keyring-dir=/keys"],
            &["--kms-decrypt-only"],
        ] {
            assert!(operator(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn every_flag_has_help_and_an_environment_variable_whose_value_is_not_shown() {
        let command = Cli::command();
        let operator = command.find_subcommand("operator").unwrap();
        for flag in operator.get_arguments().filter(|flag| flag.get_id() != "help") {
            assert!(flag.get_help().is_some(), "{}", flag.get_id());
            assert!(flag.get_env().is_some() && flag.is_hide_env_values_set(), "{}", flag.get_id());
        }
    }
}
