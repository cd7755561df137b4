//! Which hosts may be called.
//!
//! Addresses of providers come from people: provider objects, parameters, discovery documents. Without a guard somebody
//! could use them to make the operator call into the cluster. A name is checked before and after it is resolved, and we
//! connect to the addresses that were checked, so that a name cannot change in between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use ipnet::IpNet;
use url::{Host, Url};

use super::network::Network;

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRule {
    #[error("only https is allowed")]
    NotHttps,
    #[error("only http and https are allowed")]
    NotHttp,
    #[error("the address names no host")]
    NoHost,
    #[error("the address holds a user name or password")]
    Credentials,
    /// A name that only this machine or this network knows.
    #[error("the name is local")]
    LocalName,
    #[error("the name belongs to the cluster")]
    ClusterName,
    #[error("the address is unspecified")]
    Unspecified,
    #[error("the address is a loopback address")]
    Loopback,
    #[error("the address is private")]
    Private,
    #[error("the address is link-local")]
    LinkLocal,
    /// An address or a name at which clouds serve the machine's own credentials.
    #[error("the address is a cloud's metadata service")]
    Metadata,
    #[error("the address is shared address space")]
    CarrierNat,
    #[error("the address is multicast")]
    Multicast,
    #[error("the address is reserved for documentation")]
    Documentation,
    #[error("the address is reserved for benchmarks")]
    Benchmarking,
    #[error("the address hides an IPv4 address")]
    Embedded,
    #[error("the address is reserved")]
    Reserved,
}

use AddressRule::{
    Benchmarking, CarrierNat, Documentation, Embedded, LinkLocal, Loopback, Metadata, Multicast, Private,
    Reserved, Unspecified,
};

impl AddressRule {
    /// Whether a provider's `allowed_cidrs` can allow it.
    fn can_be_lifted(self) -> bool {
        matches!(self, Loopback | Private | CarrierNat | Documentation | Benchmarking | Reserved)
    }
}

/// A host that is not called. Names the host, never the path or query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is not called: {rule}")]
pub struct AddressRefused {
    /// The host as written, cut to 253 characters.
    pub(crate) host: String,
    pub rule: AddressRule,
}

impl AddressRefused {
    fn new(host: &str, rule: AddressRule) -> Self {
        Self { host: host.chars().take(253).collect(), rule }
    }
}

/// Checks a URL before its name is resolved.
///
/// Checks scheme, credentials, names and IP literals in every form that [`Url`] normalises (decimal, hexadecimal, octal,
/// bracketed). HTTP clients connect to literals without asking their resolver, so this has to come first.
pub fn check_url(url: &Url, network: &Network) -> Result<(), AddressRefused> {
    let host = url.host_str().unwrap_or_default();
    let refuse = |rule| Err(AddressRefused::new(host, rule));
    match url.scheme() {
        "https" => {}
        "http" if network.allow_http => {}
        "http" => return refuse(AddressRule::NotHttps),
        _ => return refuse(AddressRule::NotHttp),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(AddressRule::Credentials);
    }
    let broken = match url.host() {
        None => Some(AddressRule::NoHost),
        Some(Host::Domain(name)) => forbidden_name(name, network),
        Some(Host::Ipv4(ip)) => forbidden(ip.into(), network),
        Some(Host::Ipv6(ip)) => forbidden(ip.into(), network),
    };
    broken.map_or(Ok(()), refuse)
}

/// Checks the proxy's own address if it is a literal; a name is checked when it is resolved.
pub(super) fn check_proxy(url: &Url) -> Result<(), AddressRefused> {
    let rule = match url.host() {
        Some(Host::Ipv4(ip)) => forbidden_for_proxy(ip.into()),
        Some(Host::Ipv6(ip)) => forbidden_for_proxy(ip.into()),
        Some(Host::Domain(_)) | None => None,
    };
    let host = url.host_str().unwrap_or_default();
    rule.map_or(Ok(()), |rule| Err(AddressRefused::new(host, rule)))
}

/// Why the name may not be called, whatever it resolves to; `None` if it may.
fn forbidden_name(name: &str, network: &Network) -> Option<AddressRule> {
    let rule = kind_of_name(name)?;
    // If private addresses are allowed, the address of a local name decides; a proxy looks names up itself.
    let decides = !network.allowed_cidrs.is_empty() && network.proxy.is_none();
    (rule == Metadata || !decides).then_some(rule)
}

fn kind_of_name(name: &str) -> Option<AddressRule> {
    const METADATA: [&str; 2] = ["metadata.google.internal", "metadata.goog"];
    const CLUSTER: [&str; 4] = ["svc", "cluster.local", "kubernetes", "kubernetes.default"];
    const LOCAL: [&str; 6] = ["localhost", "localdomain", "local", "internal", "home.arpa", "lan"];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_or_is_under =
        |end: &&str| name == *end || name.strip_suffix(*end).is_some_and(|n| n.ends_with('.'));
    if METADATA.iter().any(is_or_is_under) {
        return Some(Metadata);
    }
    if CLUSTER.iter().any(is_or_is_under) {
        return Some(AddressRule::ClusterName);
    }
    // A name without a dot is completed by the pod's search list, and so becomes a Service.
    (!name.contains('.') || LOCAL.iter().any(is_or_is_under)).then_some(AddressRule::LocalName)
}

/// Why the address may not be called; `None` if it may.
fn forbidden(ip: IpAddr, network: &Network) -> Option<AddressRule> {
    let ip = behind_nat64(ip);
    let rule = kind_of_address(ip)?;
    let is_allowed = rule.can_be_lifted() && network.allowed_cidrs.iter().any(|cidr| cidr.contains(&ip));
    (!is_allowed).then_some(rule)
}

/// The operator chooses the proxy, and it may be anywhere; a metadata service is no proxy.
fn forbidden_for_proxy(ip: IpAddr) -> Option<AddressRule> {
    kind_of_address(behind_nat64(ip)).filter(|rule| !rule.can_be_lifted())
}

/// Clusters without IPv4 reach IPv4-only providers through NAT64 (RFC 6052): the address inside counts.
fn behind_nat64(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
            }
            _ => ip,
        },
        IpAddr::V4(_) => ip,
    }
}

const fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])), prefix)
}

/// All of IPv6 that is assigned for public use.
const PUBLIC_V6: IpNet = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What is not public; the first row that matches counts. RFC 6890, and RFC 1918, 3849, 4193, 5180, 5737, 6598, 9637.
const SPECIAL: [(IpNet, AddressRule); 38] = [
    // AWS, Google and Azure; Azure's host agent; Alibaba; Oracle.
    (v4([169, 254, 169, 254], 32), Metadata),
    (v4([168, 63, 129, 16], 32), Metadata),
    (v4([100, 100, 100, 200], 32), Metadata),
    (v4([192, 0, 0, 192], 32), Metadata),
    (v4([0, 0, 0, 0], 8), Unspecified),
    (v4([127, 0, 0, 0], 8), Loopback),
    (v4([10, 0, 0, 0], 8), Private),
    (v4([172, 16, 0, 0], 12), Private),
    (v4([192, 168, 0, 0], 16), Private),
    (v4([169, 254, 0, 0], 16), LinkLocal),
    (v4([100, 64, 0, 0], 10), CarrierNat),
    (v4([192, 0, 2, 0], 24), Documentation),
    (v4([198, 51, 100, 0], 24), Documentation),
    (v4([203, 0, 113, 0], 24), Documentation),
    (v4([198, 18, 0, 0], 15), Benchmarking),
    (v4([224, 0, 0, 0], 4), Multicast),
    (v4([255, 255, 255, 255], 32), Multicast),
    (v4([240, 0, 0, 0], 4), Reserved),
    (v4([192, 0, 0, 0], 24), Reserved),
    (v4([192, 88, 99, 0], 24), Reserved),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Loopback),
    // AWS, Google, Oracle.
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), Metadata),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Metadata),
    (v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), Metadata),
    // Compatible, mapped, translated (RFC 4291, RFC 2765), local NAT64 (RFC 8215), 6to4, Teredo.
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), Embedded),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Embedded),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), Embedded),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Embedded),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Embedded),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Embedded),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Private),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 9), LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Multicast),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Documentation),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Reserved),
];

fn kind_of_address(ip: IpAddr) -> Option<AddressRule> {
    let special = SPECIAL.iter().find(|(range, _)| range.contains(&ip)).map(|(_, rule)| *rule);
    special.or((ip.is_ipv6() && !PUBLIC_V6.contains(&ip)).then_some(Reserved))
}

/// How names are turned into addresses; replaced in tests.
pub(crate) type DnsLookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

pub(super) fn system_lookup() -> DnsLookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// The resolver of a guarded client: returns only addresses that were checked.
#[derive(Clone)]
pub(super) struct Resolver {
    network: Arc<Network>,
    lookup: DnsLookup,
}

impl Resolver {
    pub(super) fn new(network: Arc<Network>, lookup: DnsLookup) -> Self {
        Self { network, lookup }
    }

    /// The addresses of `name` that we may connect to. Others are left out; if none is left, the first one's reason is the
    /// error.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        let is_proxy = self.network.proxy.as_ref().and_then(Url::host_str) == Some(name);
        let judge = |ip| if is_proxy { forbidden_for_proxy(ip) } else { forbidden(ip, &self.network) };
        if let Some(rule) = forbidden_name(name, &self.network).filter(|_| !is_proxy) {
            return Err(AddressRefused::new(name, rule).into());
        }
        // The final dot disables the pod's search list: `login.example.com` must not be looked up first as
        // `login.example.com.some-namespace.svc.cluster.local`. Local names may need that list.
        let is_local = kind_of_name(name).is_some();
        let asked = if is_local { name.to_owned() } else { format!("{}.", name.trim_end_matches('.')) };
        let found = (self.lookup)(asked).await?;
        let allowed: Vec<IpAddr> = found.iter().copied().filter(|ip| judge(*ip).is_none()).collect();
        match found.iter().find_map(|ip| judge(*ip)) {
            Some(rule) if allowed.is_empty() => Err(AddressRefused::new(name, rule).into()),
            _ => Ok(allowed),
        }
    }
}

/// A name without an address that we may connect to.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    #[error(transparent)]
    Refused(#[from] AddressRefused),
    /// There is no such name, or the name service did not answer.
    #[error("the name was not found")]
    Failed(#[from] std::io::Error),
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            // Port 0 means the port of the URL.
            let dialled = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(dialled) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(url: &str) -> Option<AddressRule> {
        check_url(&Url::parse(url).unwrap(), &Network::default()).err().map(|refused| refused.rule)
    }

    #[test]
    fn public_hosts_are_called_and_others_are_not() {
        let rows = [
            ("https://oauth2.googleapis.com/token", None),
            ("https://8.8.8.8/", None),
            ("https://[2606:4700::1111]/", None),
            ("https://[64:ff9b::808:808]/", None),
            ("http://oauth2.googleapis.com/token", Some(AddressRule::NotHttps)),
            ("ftp://example.com/", Some(AddressRule::NotHttp)),
            ("data:text/plain,hello", Some(AddressRule::NotHttp)),
            ("https://user@example.com/", Some(AddressRule::Credentials)),
            ("https://:pass@example.com/", Some(AddressRule::Credentials)),
            ("https://localhost/", Some(AddressRule::LocalName)),
            ("https://LOCALHOST./", Some(AddressRule::LocalName)),
            ("https://a.localhost/", Some(AddressRule::LocalName)),
            ("https://printer.local/", Some(AddressRule::LocalName)),
            ("https://metadata.google.internal/", Some(AddressRule::Metadata)),
            ("https://intranet/", Some(AddressRule::LocalName)),
            ("https://kubernetes/", Some(AddressRule::ClusterName)),
            ("https://kubernetes.default/", Some(AddressRule::ClusterName)),
            ("https://vault.security.svc/", Some(AddressRule::ClusterName)),
            ("https://vault.security.svc.cluster.local./", Some(AddressRule::ClusterName)),
            ("https://notcluster.locale.com/", None),
            ("https://mysvc.example.com/", None),
            ("https://127.0.0.1/", Some(AddressRule::Loopback)),
            ("https://2130706433/", Some(AddressRule::Loopback)),
            ("https://0x7f.1/", Some(AddressRule::Loopback)),
            ("https://0177.0.0.1/", Some(AddressRule::Loopback)),
            ("https://127.1/", Some(AddressRule::Loopback)),
            ("https://0/", Some(AddressRule::Unspecified)),
            ("https://[::]/", Some(AddressRule::Unspecified)),
            ("https://[::1]/", Some(AddressRule::Loopback)),
            ("https://[::ffff:127.0.0.1]/", Some(AddressRule::Embedded)),
            ("https://[::ffff:8.8.8.8]/", Some(AddressRule::Embedded)),
            ("https://[::127.0.0.1]/", Some(AddressRule::Embedded)),
            ("https://[64:ff9b::7f00:1]/", Some(AddressRule::Loopback)),
            ("https://[64:ff9b::a9fe:a9fe]/", Some(AddressRule::Metadata)),
            ("https://[64:ff9b:1::1]/", Some(AddressRule::Embedded)),
            ("https://[2002:7f00:1::]/", Some(AddressRule::Embedded)),
            ("https://[2001:0:1::]/", Some(AddressRule::Embedded)),
            ("https://10.1.2.3/", Some(AddressRule::Private)),
            ("https://172.16.0.1/", Some(AddressRule::Private)),
            ("https://172.31.255.255/", Some(AddressRule::Private)),
            ("https://172.32.0.1/", None),
            ("https://192.168.0.1/", Some(AddressRule::Private)),
            ("https://[fd12::1]/", Some(AddressRule::Private)),
            ("https://[fc00::1]/", Some(AddressRule::Private)),
            ("https://169.254.169.254/latest", Some(AddressRule::Metadata)),
            ("https://[fd00:ec2::254]/", Some(AddressRule::Metadata)),
            ("https://[fd00:ec2:7::1]/", Some(AddressRule::Metadata)),
            ("https://[fd20:ce::254]/", Some(AddressRule::Metadata)),
            ("https://168.63.129.16/", Some(AddressRule::Metadata)),
            ("https://169.254.1.1/", Some(AddressRule::LinkLocal)),
            ("https://[fe80::1]/", Some(AddressRule::LinkLocal)),
            ("https://[fec0::1]/", Some(AddressRule::LinkLocal)),
            ("https://100.64.0.1/", Some(AddressRule::CarrierNat)),
            ("https://100.128.0.1/", None),
            ("https://224.0.0.1/", Some(AddressRule::Multicast)),
            ("https://255.255.255.255/", Some(AddressRule::Multicast)),
            ("https://[ff02::1]/", Some(AddressRule::Multicast)),
            ("https://192.0.2.1/", Some(AddressRule::Documentation)),
            ("https://[2001:db8::1]/", Some(AddressRule::Documentation)),
            ("https://[3fff::1]/", Some(AddressRule::Documentation)),
            ("https://198.18.0.1/", Some(AddressRule::Benchmarking)),
            ("https://[2001:2::1]/", Some(AddressRule::Benchmarking)),
            ("https://240.0.0.1/", Some(AddressRule::Reserved)),
            ("https://[100::1]/", Some(AddressRule::Reserved)),
        ];
        for (url, want) in rows {
            assert_eq!(verdict(url), want, "{url}");
        }
    }

    fn network(allow_http: bool, cidrs: &[&str]) -> Network {
        let allowed_cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Network { allow_http, allowed_cidrs, ..Network::default() }
    }

    #[test]
    fn a_provider_reaches_the_private_addresses_it_names_and_no_others() {
        let network = network(true, &["10.1.0.0/16", "127.0.0.0/8", "fd12::/16", "100.64.0.0/10"]);
        let rows = [
            ("http://127.0.0.1:8080/token", None),
            ("http://login.example.com/token", None),
            ("http://sandbox.testing.svc/token", None),
            ("https://git.corp.internal/", None),
            ("https://10.1.2.3/", None),
            ("https://[64:ff9b::a01:203]/", None),
            ("https://[fd12::1]/", None),
            ("https://100.64.0.1/", None),
            ("https://10.2.0.1/", Some(AddressRule::Private)),
            ("https://[::1]/", Some(AddressRule::Loopback)),
            ("https://[fd13::1]/", Some(AddressRule::Private)),
            ("https://[::ffff:10.1.2.3]/", Some(AddressRule::Embedded)),
            ("https://metadata.google.internal/", Some(AddressRule::Metadata)),
            ("file:///etc/passwd", Some(AddressRule::NotHttp)),
            ("http://a:b@127.0.0.1/", Some(AddressRule::Credentials)),
        ];
        for (url, want) in rows {
            let refused = check_url(&Url::parse(url).unwrap(), &network).err();
            assert_eq!(refused.map(|refused| refused.rule), want, "{url}");
        }
    }

    #[test]
    fn a_metadata_service_is_reached_by_nobody() {
        let everything = network(true, &["0.0.0.0/0", "::/0"]);
        let addresses = ["169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"];
        let more = ["fd00:ec2::254", "fe80::1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "0.0.0.0"];
        for address in addresses.iter().chain(&more) {
            let ip = address.parse().unwrap();
            assert!(forbidden(ip, &everything).is_some(), "{address}");
            assert!(forbidden_for_proxy(ip).is_some(), "{address}");
        }
    }

    #[test]
    fn a_refusal_names_the_host_and_not_the_query() {
        let url = Url::parse("https://10.0.0.1/token?secret=canary-4711").unwrap();
        let refused = check_url(&url, &Network::default()).unwrap_err();
        assert_eq!(refused.to_string(), "10.0.0.1 is not called: the address is private");
        assert!(!format!("{refused:?}").contains("canary"));
    }

    fn resolver(network: Network, addresses: &[&str]) -> Resolver {
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let lookup: DnsLookup = Arc::new(move |_| Box::pin(std::future::ready(Ok(addresses.clone()))));
        Resolver::new(Arc::new(network), lookup)
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"] {
            let error =
                resolver(Network::default(), &[address]).addresses("login.example.com").await.unwrap_err();
            assert!(matches!(error, DnsError::Refused(_)), "{address}");
        }
    }

    #[tokio::test]
    async fn only_the_public_addresses_of_a_name_are_dialled() {
        let resolver = resolver(Network::default(), &["10.0.0.1", "8.8.8.8", "::1"]);
        let dialled = resolver.addresses("login.example.com").await.unwrap();
        assert_eq!(dialled, ["8.8.8.8".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn names_are_looked_up_without_the_search_list() {
        let lookup: DnsLookup = Arc::new(|name| {
            assert_eq!(name, "login.example.com.");
            Box::pin(std::future::ready(Ok(vec![IpAddr::from([8, 8, 8, 8])])))
        });
        let resolver = Resolver::new(Arc::default(), lookup);
        assert_eq!(resolver.addresses("login.example.com").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn local_names_are_looked_up_as_written_where_private_addresses_are_allowed() {
        let lookup: DnsLookup = Arc::new(|name| {
            let address = if name == "gitlab.tools.svc" { [10, 1, 0, 1] } else { [10, 2, 0, 1] };
            Box::pin(std::future::ready(Ok(vec![IpAddr::from(address)])))
        });
        let resolver = Resolver::new(Arc::new(network(false, &["10.1.0.0/16"])), lookup);
        assert_eq!(resolver.addresses("gitlab.tools.svc").await.unwrap().len(), 1);
        assert!(resolver.addresses("other.tools.svc").await.is_err());
        assert!(resolver.addresses("login.example.com").await.is_err());
    }

    #[test]
    fn a_proxy_is_asked_for_no_local_name_because_nobody_here_sees_its_address() {
        let direct = network(false, &["10.1.0.0/16"]);
        let proxied = Network { proxy: "http://proxy.example.com:3128".parse().ok(), ..direct.clone() };
        for name in ["vault.security.svc", "kubernetes.default.svc", "localhost", "gitlab.internal"] {
            let url = Url::parse(&format!("https://{name}/token")).unwrap();
            assert!(check_url(&url, &direct).is_ok(), "{name}: its address decides");
            assert!(check_url(&url, &proxied).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_proxy_may_be_anywhere_but_at_a_metadata_service() {
        let proxy = "http://proxy.egress.svc:3128".parse().unwrap();
        let network = Network { proxy: Some(proxy), ..Network::default() };
        for (address, is_dialled) in [("10.0.0.1", true), ("127.0.0.1", true), ("169.254.169.254", false)] {
            let found = resolver(network.clone(), &[address]).addresses("proxy.egress.svc").await;
            assert_eq!(found.is_ok(), is_dialled, "{address}");
            assert!(resolver(network.clone(), &[address]).addresses("login.example.com").await.is_err());
        }
    }

    proptest! {
        #[test]
        fn no_host_makes_the_guard_panic_and_no_loopback_slips_through(host in "\\PC{0,40}", last in 0u8..=255) {
            if let Ok(url) = Url::parse(&format!("https://{host}/")) {
                let _ = check_url(&url, &Network::default());
            }
            let decimal = u32::from(Ipv4Addr::new(127, 0, 0, last));
            for host in [format!("{decimal}"), format!("{decimal:#x}"), format!("0{decimal:o}")] {
                prop_assert_eq!(verdict(&format!("https://{host}/")), Some(AddressRule::Loopback));
            }
        }

        #[test]
        fn an_ipv4_address_is_never_freer_inside_an_ipv6_address(bits in any::<u32>()) {
            let kind = |ip| forbidden(ip, &Network::default());
            let inside = Ipv4Addr::from(bits);
            let nat64 = Ipv6Addr::from((0x0064_ff9b_u128 << 96) | u128::from(bits));
            prop_assert_eq!(kind(nat64.into()), kind(inside.into()));
            prop_assert!(kind(inside.to_ipv6_mapped().into()).is_some());
            prop_assert!(kind(Ipv6Addr::from(u128::from(bits)).into()).is_some());
        }
    }
}
