//! Which hosts may be called.
//!
//! Addresses of providers come from people: provider objects, parameters, discovery documents. Without a guard they
//! would be a way to let the operator call into the cluster. A name is judged before and after it is resolved, and
//! the addresses that were judged are the ones that are dialled, so that a name cannot change in between.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use url::{Host, Url};

/// Which addresses a client may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// `https://` to public addresses only.
    Public,
    /// `http://` and `https://` to any address. Chosen only where the operator runs with
    /// `--allow-insecure-providers` and the provider object says `allowInsecure`.
    Anywhere,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not an `https` URL.
    NotHttps,
    /// Neither `http` nor `https`.
    NotHttp,
    /// No host in the URL.
    NoHost,
    /// User name or password in the URL.
    Credentials,
    /// A name that only this machine or this network knows.
    LocalName,
    /// A name of a Service inside the cluster.
    ClusterName,
    /// 0.0.0.0/8 or `::`.
    Unspecified,
    /// 127.0.0.0/8 or `::1`.
    Loopback,
    /// RFC 1918, or `fc00::/7` of RFC 4193.
    Private,
    /// 169.254.0.0/16, `fe80::/10` or the former `fec0::/10`.
    LinkLocal,
    /// An address at which clouds serve the machine's own credentials.
    Metadata,
    /// 100.64.0.0/10 (RFC 6598).
    CarrierNat,
    /// Multicast or broadcast.
    Multicast,
    /// Documentation ranges (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Benchmarking ranges (RFC 2544, RFC 5180).
    Benchmarking,
    /// An IPv4 address inside an IPv6 address: mapped, compatible, 6to4, Teredo or local NAT64.
    Embedded,
    /// Not assigned for use on the Internet.
    Reserved,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttps => "only https is allowed",
            Self::NotHttp => "only http and https are allowed",
            Self::NoHost => "the address names no host",
            Self::Credentials => "the address holds a user name or password",
            Self::LocalName => "the name is local",
            Self::ClusterName => "the name belongs to the cluster",
            Self::Unspecified => "the address is unspecified",
            Self::Loopback => "the address is a loopback address",
            Self::Private => "the address is private",
            Self::LinkLocal => "the address is link-local",
            Self::Metadata => "the address is a cloud's metadata service",
            Self::CarrierNat => "the address is shared address space",
            Self::Multicast => "the address is multicast",
            Self::Documentation => "the address is reserved for documentation",
            Self::Benchmarking => "the address is reserved for benchmarks",
            Self::Embedded => "the address hides an IPv4 address",
            Self::Reserved => "the address is reserved",
        })
    }
}

/// A host that is not called. Names the host, never the path or query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is not called: {why}")]
pub struct Refusal {
    /// The host as written, cut to 253 characters.
    pub host: String,
    /// The rule that it breaks.
    pub why: Why,
}

impl Refusal {
    fn new(host: &str, why: Why) -> Self {
        Self { host: host.chars().take(253).collect(), why }
    }
}

/// Judges a URL before its name is resolved.
///
/// Sees scheme, credentials, names and IP literals in every form that [`Url`] normalises (decimal, hexadecimal,
/// octal, bracketed). HTTP clients dial literals without asking their resolver, so this has to come first.
pub fn check_url(url: &Url, reach: Reach) -> Result<(), Refusal> {
    let host = url.host_str().unwrap_or_default();
    let refuse = |why| Err(Refusal::new(host, why));
    match (url.scheme(), reach) {
        ("https", _) | ("http", Reach::Anywhere) => {}
        ("http", Reach::Public) => return refuse(Why::NotHttps),
        _ => return refuse(Why::NotHttp),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(Why::Credentials);
    }
    let verdict = match url.host() {
        None => Some(Why::NoHost),
        Some(_) if reach == Reach::Anywhere => None,
        Some(Host::Domain(name)) => forbidden_name(name),
        Some(Host::Ipv4(ip)) => forbidden_v4(ip),
        Some(Host::Ipv6(ip)) => forbidden_v6(ip),
    };
    verdict.map_or(Ok(()), refuse)
}

/// Why the name may not be called, whatever it resolves to; `None` when it may.
pub fn forbidden_name(name: &str) -> Option<Why> {
    const CLUSTER: [&str; 4] = ["svc", "cluster.local", "kubernetes", "kubernetes.default"];
    const LOCAL: [&str; 6] = ["localhost", "localdomain", "local", "internal", "home.arpa", "lan"];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_or_is_under =
        |end: &&str| name == *end || name.strip_suffix(*end).is_some_and(|n| n.ends_with('.'));
    if CLUSTER.iter().any(is_or_is_under) {
        return Some(Why::ClusterName);
    }
    // A name without a dot is completed by the search list of the pod, that is to a Service.
    if !name.contains('.') || LOCAL.iter().any(is_or_is_under) {
        return Some(Why::LocalName);
    }
    None
}

/// Why the address may not be called; `None` when it is a public one.
pub fn forbidden(ip: IpAddr) -> Option<Why> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => forbidden_v6(ip),
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> Option<Why> {
    match ip.octets() {
        // AWS, Google and Azure; Azure's host agent; Alibaba; Oracle.
        [169, 254, 169, 254] | [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => {
            Some(Why::Metadata)
        }
        [0, ..] => Some(Why::Unspecified),
        [127, ..] => Some(Why::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Why::Private),
        [169, 254, ..] => Some(Why::LinkLocal),
        [100, 64..=127, ..] => Some(Why::CarrierNat),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Why::Documentation),
        [198, 18 | 19, ..] => Some(Why::Benchmarking),
        [224..=239, ..] | [255, 255, 255, 255] => Some(Why::Multicast),
        [240..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] => Some(Why::Reserved),
        _ => None,
    }
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<Why> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Why::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Why::Loopback),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some(Why::Metadata),
        // Clusters without IPv4 reach IPv4-only providers through NAT64: the address inside is what counts.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
            forbidden_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0, 0, 0, 0, 0, 0xffff | 0, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 1, ..]
        | [0x2002, ..]
        | [0x2001, 0, ..] => Some(Why::Embedded),
        [0xfc00..=0xfdff, ..] => Some(Why::Private),
        [0xfe80..=0xfeff, ..] => Some(Why::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Why::Multicast),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Some(Why::Documentation),
        [0x2001, 2, 0, ..] => Some(Why::Benchmarking),
        [0x2001, 3..=0x1ff, ..] => Some(Why::Reserved),
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Why::Reserved),
    }
}

/// How names are turned into addresses; replaced in tests.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The resolver of a guarded client: hands on only addresses that were judged.
#[derive(Clone)]
pub struct Resolver {
    reach: Reach,
    lookup: Lookup,
}

impl Resolver {
    /// Asks the system's resolver.
    pub fn system(reach: Reach) -> Self {
        Self::new(reach, Arc::new(|name| Box::pin(system_lookup(name))))
    }

    /// Asks `lookup`.
    pub fn new(reach: Reach, lookup: Lookup) -> Self {
        Self { reach, lookup }
    }

    /// The addresses of `name` that may be dialled. Addresses that may not are left out; when none is left, the
    /// first one's reason is the error.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if self.reach == Reach::Anywhere {
            let found = (self.lookup)(name.to_owned()).await;
            return found.map_err(|source| ResolveError::Lookup { host: name.to_owned(), source });
        }
        if let Some(why) = forbidden_name(name) {
            return Err(Refusal::new(name, why).into());
        }
        // The closing dot keeps the pod's search list out: `login.example.com` must not be looked up as
        // `login.example.com.some-namespace.svc.cluster.local` first.
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let found = (self.lookup)(absolute).await;
        let found = found.map_err(|source| ResolveError::Lookup { host: name.to_owned(), source })?;
        let allowed: Vec<IpAddr> = found.iter().copied().filter(|ip| forbidden(*ip).is_none()).collect();
        match found.iter().find_map(|ip| forbidden(*ip)) {
            Some(why) if allowed.is_empty() => Err(Refusal::new(name, why).into()),
            _ => Ok(allowed),
        }
    }
}

async fn system_lookup(name: String) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// A name without an address that may be dialled.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name may not be called.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name was not found, or the name service did not answer.
    #[error("{host} was not found")]
    Lookup {
        /// The name.
        host: String,
        /// What the name service said.
        source: std::io::Error,
    },
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            // Port 0 stands for the port of the URL.
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

    fn verdict(url: &str) -> Option<Why> {
        check_url(&Url::parse(url).unwrap(), Reach::Public).err().map(|refusal| refusal.why)
    }

    #[test]
    fn public_hosts_are_called_and_others_are_not() {
        let rows = [
            ("https://oauth2.googleapis.com/token", None),
            ("https://8.8.8.8/", None),
            ("https://[2606:4700::1111]/", None),
            ("https://[64:ff9b::808:808]/", None),
            ("http://oauth2.googleapis.com/token", Some(Why::NotHttps)),
            ("ftp://example.com/", Some(Why::NotHttp)),
            ("data:text/plain,hello", Some(Why::NotHttp)),
            ("https://user@example.com/", Some(Why::Credentials)),
            ("https://:pass@example.com/", Some(Why::Credentials)),
            ("https://localhost/", Some(Why::LocalName)),
            ("https://LOCALHOST./", Some(Why::LocalName)),
            ("https://a.localhost/", Some(Why::LocalName)),
            ("https://printer.local/", Some(Why::LocalName)),
            ("https://metadata.google.internal/", Some(Why::LocalName)),
            ("https://intranet/", Some(Why::LocalName)),
            ("https://kubernetes/", Some(Why::ClusterName)),
            ("https://kubernetes.default/", Some(Why::ClusterName)),
            ("https://vault.security.svc/", Some(Why::ClusterName)),
            ("https://vault.security.svc.cluster.local./", Some(Why::ClusterName)),
            ("https://notcluster.locale.com/", None),
            ("https://mysvc.example.com/", None),
            ("https://127.0.0.1/", Some(Why::Loopback)),
            ("https://2130706433/", Some(Why::Loopback)),
            ("https://0x7f.1/", Some(Why::Loopback)),
            ("https://0177.0.0.1/", Some(Why::Loopback)),
            ("https://127.1/", Some(Why::Loopback)),
            ("https://0/", Some(Why::Unspecified)),
            ("https://[::]/", Some(Why::Unspecified)),
            ("https://[::1]/", Some(Why::Loopback)),
            ("https://[::ffff:127.0.0.1]/", Some(Why::Embedded)),
            ("https://[::ffff:8.8.8.8]/", Some(Why::Embedded)),
            ("https://[::127.0.0.1]/", Some(Why::Embedded)),
            ("https://[64:ff9b::7f00:1]/", Some(Why::Loopback)),
            ("https://[64:ff9b::a9fe:a9fe]/", Some(Why::Metadata)),
            ("https://[64:ff9b:1::1]/", Some(Why::Embedded)),
            ("https://[2002:7f00:1::]/", Some(Why::Embedded)),
            ("https://[2001:0:1::]/", Some(Why::Embedded)),
            ("https://10.1.2.3/", Some(Why::Private)),
            ("https://172.16.0.1/", Some(Why::Private)),
            ("https://172.31.255.255/", Some(Why::Private)),
            ("https://172.32.0.1/", None),
            ("https://192.168.0.1/", Some(Why::Private)),
            ("https://[fd12::1]/", Some(Why::Private)),
            ("https://[fc00::1]/", Some(Why::Private)),
            ("https://169.254.169.254/latest", Some(Why::Metadata)),
            ("https://[fd00:ec2::254]/", Some(Why::Metadata)),
            ("https://168.63.129.16/", Some(Why::Metadata)),
            ("https://169.254.1.1/", Some(Why::LinkLocal)),
            ("https://[fe80::1]/", Some(Why::LinkLocal)),
            ("https://[fec0::1]/", Some(Why::LinkLocal)),
            ("https://100.64.0.1/", Some(Why::CarrierNat)),
            ("https://100.128.0.1/", None),
            ("https://224.0.0.1/", Some(Why::Multicast)),
            ("https://255.255.255.255/", Some(Why::Multicast)),
            ("https://[ff02::1]/", Some(Why::Multicast)),
            ("https://192.0.2.1/", Some(Why::Documentation)),
            ("https://[2001:db8::1]/", Some(Why::Documentation)),
            ("https://[3fff::1]/", Some(Why::Documentation)),
            ("https://198.18.0.1/", Some(Why::Benchmarking)),
            ("https://[2001:2::1]/", Some(Why::Benchmarking)),
            ("https://240.0.0.1/", Some(Why::Reserved)),
            ("https://[100::1]/", Some(Why::Reserved)),
        ];
        for (url, want) in rows {
            assert_eq!(verdict(url), want, "{url}");
        }
    }

    #[test]
    fn the_insecure_client_reaches_everything_but_other_schemes_and_credentials() {
        let check =
            |url| check_url(&Url::parse(url).unwrap(), Reach::Anywhere).map_err(|refusal| refusal.why);
        assert_eq!(check("http://127.0.0.1:8080/token"), Ok(()));
        assert_eq!(check("http://sandbox.testing.svc/token"), Ok(()));
        assert_eq!(check("file:///etc/passwd"), Err(Why::NotHttp));
        assert_eq!(check("http://a:b@127.0.0.1/"), Err(Why::Credentials));
    }

    #[test]
    fn a_refusal_names_the_host_and_not_the_query() {
        let url = Url::parse("https://10.0.0.1/token?secret=canary-4711").unwrap();
        let refusal = check_url(&url, Reach::Public).unwrap_err();
        assert_eq!(refusal.to_string(), "10.0.0.1 is not called: the address is private");
        assert!(!format!("{refusal:?}").contains("canary"));
    }

    fn resolver(reach: Reach, addresses: &[&str]) -> Resolver {
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Resolver::new(reach, Arc::new(move |_| Box::pin(std::future::ready(Ok(addresses.clone())))))
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"] {
            let error = resolver(Reach::Public, &[address]).addresses("login.example.com").await.unwrap_err();
            assert!(matches!(error, ResolveError::Refused(_)), "{address}");
        }
    }

    #[tokio::test]
    async fn only_the_public_addresses_of_a_name_are_dialled() {
        let resolver = resolver(Reach::Public, &["10.0.0.1", "8.8.8.8", "::1"]);
        let dialled = resolver.addresses("login.example.com").await.unwrap();
        assert_eq!(dialled, ["8.8.8.8".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test]
    async fn names_are_looked_up_without_the_search_list() {
        let lookup: Lookup = Arc::new(|name| {
            assert_eq!(name, "login.example.com.");
            Box::pin(std::future::ready(Ok(vec![IpAddr::from([8, 8, 8, 8])])))
        });
        let resolver = Resolver::new(Reach::Public, lookup);
        assert_eq!(resolver.addresses("login.example.com").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_insecure_resolver_hands_on_private_addresses() {
        let dialled = resolver(Reach::Anywhere, &["10.0.0.1"]).addresses("sandbox").await.unwrap();
        assert_eq!(dialled.len(), 1);
    }

    proptest! {
        #[test]
        fn no_host_makes_the_guard_panic_and_no_loopback_slips_through(host in "\\PC{0,40}", last in 0u8..=255) {
            if let Ok(url) = Url::parse(&format!("https://{host}/")) {
                let _ = check_url(&url, Reach::Public);
            }
            let decimal = u32::from(Ipv4Addr::new(127, 0, 0, last));
            for host in [format!("{decimal}"), format!("{decimal:#x}"), format!("0{decimal:o}")] {
                prop_assert_eq!(verdict(&format!("https://{host}/")), Some(Why::Loopback));
            }
        }

        #[test]
        fn an_ipv4_address_is_never_freer_inside_an_ipv6_address(bits in any::<u32>()) {
            let inside = Ipv4Addr::from(bits);
            let nat64 = Ipv6Addr::from((0x0064_ff9b_u128 << 96) | u128::from(bits));
            prop_assert_eq!(forbidden(nat64.into()), forbidden(inside.into()));
            prop_assert!(forbidden(inside.to_ipv6_mapped().into()).is_some());
            prop_assert!(forbidden(Ipv6Addr::from(u128::from(bits)).into()).is_some());
        }
    }
}
