//! Whose word on addresses is taken: `X-Forwarded-For` counts only from proxies that the administrator names.

use std::net::IpAddr;
use std::str::FromStr;

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    prefix: u32,
    v6: bool,
}

/// Not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork;

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), false),
        IpAddr::V6(v6) => (u128::from(v6), true),
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let (address, v6) = bits(address.parse().map_err(|_| NotANetwork)?);
        let width = if v6 { 128 } else { 32 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| NotANetwork)?;
        if prefix > width { Err(NotANetwork) } else { Ok(Self { address, prefix, v6 }) }
    }
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, v6) = bits(address);
        let width = if self.v6 { 128 } else { 32 };
        let low = width - self.prefix;
        v6 == self.v6 && (low == 128 || (address ^ self.address) >> low == 0)
    }
}

/// The client's address: the peer, or what trusted proxies say, read from the right up to the first that is not one of
/// them. `forwarded` are the values of all `X-Forwarded-For` headers, in their order.
pub fn client(peer: IpAddr, forwarded: &[&str], trusted: &[Network]) -> IpAddr {
    let is_ours = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let hops = forwarded.iter().flat_map(|value| value.split(',')).map(str::trim);
    for hop in hops.rev() {
        if !is_ours(client) {
            break;
        }
        match hop.parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_knows_its_own() {
        let ten: Network = "10.0.0.0/8".parse().unwrap();
        assert!(ten.contains(ip("10.200.1.2")) && ten.contains(ip("::ffff:10.0.0.1")));
        assert!(!ten.contains(ip("11.0.0.1")) && !ten.contains(ip("::a00:1")));
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains(ip("fd00::1")) && !all.contains(ip("10.0.0.1")));
        let one: Network = "192.0.2.7".parse().unwrap();
        assert!(one.contains(ip("192.0.2.7")) && !one.contains(ip("192.0.2.8")));
        for bad in ["", "10.0.0.0/33", "ten", "10.0.0.0/x"] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad}");
        }
    }

    #[test]
    fn a_forged_forwarded_header_changes_nothing() {
        assert_eq!(client(ip("203.0.113.9"), &["10.0.0.1"], &[]), ip("203.0.113.9"));
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(client(ip("203.0.113.9"), &["198.51.100.1"], &trusted), ip("203.0.113.9"));
    }

    #[test]
    fn what_a_client_put_left_of_its_own_address_is_not_read() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let forwarded = ["198.51.100.1, 203.0.113.9", "10.0.0.2"];
        assert_eq!(client(ip("10.0.0.1"), &forwarded, &trusted), ip("203.0.113.9"));
        assert_eq!(client(ip("10.0.0.1"), &["garbage"], &trusted), ip("10.0.0.1"));
    }
}
