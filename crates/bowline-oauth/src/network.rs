//! How one provider may be reached, and what the operator allows provider objects to request.

use ipnet::IpNet;
use url::Url;

/// How one provider may be reached. The default is `https://` to public addresses, with the system's roots and without a
/// proxy.
///
/// Loopback counts as private: a test server on this machine needs `allow_http` *and* `127.0.0.0/8` (or `::1/128`) among
/// `allowed_cidrs`. Link-local and metadata addresses are never called, whatever is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network {
    /// Whether `http://` is allowed beside `https://`.
    pub allow_http: bool,
    /// Addresses that are allowed besides public ones. If this is not empty, names that only the cluster or the company
    /// knows are looked up; what they resolve to must be in it.
    pub allowed_cidrs: Vec<IpNet>,
    /// Certificate authorities in PEM to trust for this provider, besides the system's.
    pub ca_certificates: Option<Vec<u8>>,
    /// The proxy for every request, `http://` or `https://`. It looks up the provider's name, so it also decides what that
    /// resolves to.
    pub proxy: Option<Url>,
}

/// What the operator allows provider objects to request. The default allows nothing beyond [`Network::default`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkBounds {
    /// Whether `allow_http` may be set.
    pub allow_http: bool,
    /// What `allowed_cidrs` must lie within.
    pub cidrs: Vec<IpNet>,
    /// The proxies that may be named. Their addresses are the operator's choice: they need not be public or in `cidrs`.
    pub proxies: Vec<Url>,
}

/// What a provider object requests and the operator does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    #[error("the operator does not allow http:// for providers")]
    Http,
    #[error("{0} is not within the networks that the operator allows for providers")]
    Cidr(IpNet),
    #[error("the operator does not allow this proxy for providers")]
    Proxy,
}

impl NetworkBounds {
    /// Whether a provider object may request this.
    pub fn check(&self, network: &Network) -> Result<(), OutOfBounds> {
        let Network { allow_http, allowed_cidrs, ca_certificates: _, proxy } = network;
        if *allow_http && !self.allow_http {
            return Err(OutOfBounds::Http);
        }
        let is_outside = |asked: &&IpNet| !self.cidrs.iter().any(|bound| bound.contains(*asked));
        if let Some(outside) = allowed_cidrs.iter().find(is_outside) {
            return Err(OutOfBounds::Cidr(*outside));
        }
        match proxy {
            Some(proxy) if !self.proxies.contains(proxy) => Err(OutOfBounds::Proxy),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_object_asks_for_no_more_than_the_operator_allows() {
        let cidrs = |list: &[&str]| list.iter().map(|cidr| cidr.parse().unwrap()).collect::<Vec<IpNet>>();
        let url = |text: &str| text.parse::<Url>().unwrap();
        let bounds = NetworkBounds {
            allow_http: false,
            cidrs: cidrs(&["10.0.0.0/8", "fd12::/16"]),
            proxies: vec![url("http://proxy.egress.svc:3128")],
        };
        let within = |list: &[&str]| Network { allowed_cidrs: cidrs(list), ..Network::default() };
        let through = |proxy: &str| Network { proxy: Some(url(proxy)), ..Network::default() };
        let rows = [
            (Network::default(), Ok(())),
            (within(&["10.1.0.0/16", "10.0.0.0/8", "fd12:1::/32", "10.9.8.7/32"]), Ok(())),
            (within(&["10.1.0.0/16", "11.0.0.0/16"]), Err(OutOfBounds::Cidr("11.0.0.0/16".parse().unwrap()))),
            (within(&["8.0.0.0/6"]), Err(OutOfBounds::Cidr("8.0.0.0/6".parse().unwrap()))),
            (within(&["fd00::/8"]), Err(OutOfBounds::Cidr("fd00::/8".parse().unwrap()))),
            (Network { allow_http: true, ..Network::default() }, Err(OutOfBounds::Http)),
            (through("http://proxy.egress.svc:3128/"), Ok(())),
            (through("https://proxy.egress.svc:3128"), Err(OutOfBounds::Proxy)),
            (through("http://proxy.egress.svc:3129"), Err(OutOfBounds::Proxy)),
        ];
        for (network, want) in rows {
            assert_eq!(bounds.check(&network), want, "{network:?}");
        }
        let nothing = NetworkBounds::default();
        assert!(
            nothing.check(&within(&["10.0.0.0/8"])).is_err() && nothing.check(&Network::default()).is_ok()
        );
    }
}
