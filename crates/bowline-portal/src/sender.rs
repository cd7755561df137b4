//! Who sent a request: `X-Forwarded-For` counts only from proxies that the administrator trusts.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads a network such as `10.0.0.0/8`, or one address.
///
/// An IPv4-mapped IPv6 address is the IPv4 address, here and when it is compared.
pub(crate) fn parse(text: &str) -> Result<IpNet, NotANetwork> {
    let one = |address: IpAddr| IpNet::from(address.to_canonical());
    match text.parse() {
        Ok(IpNet::V6(network)) if network.addr().to_ipv4_mapped().is_some() => Err(NotANetwork),
        Ok(network) => Ok(network),
        Err(_) => text.parse().map(one).map_err(|_| NotANetwork),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8 or fd00::/8")]
pub(crate) struct NotANetwork;

/// The client's address: the peer, or what trusted proxies say, read from the right up to the first that is not one of
/// them. `forwarded` are the values of all `X-Forwarded-For` headers, in their order.
pub(crate) fn client(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_ours = |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
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

/// What counts as one sender: an IPv4 address, or the /64 network that one customer has under IPv6.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    // A socket for both families reports IPv4 as `::ffff:192.0.2.1`, all of it in one /64.
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
    }
}

/// The address of a request's sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender(pub(crate) IpAddr);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_proxy_is_told_by_its_address_however_it_is_written() {
        let is_ours = |network: &str, peer| {
            client(ip(peer), &["203.0.113.9"], &[parse(network).unwrap()]) == ip("203.0.113.9")
        };
        assert!(is_ours("10.0.0.0/8", "10.200.1.2") && is_ours("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!is_ours("10.0.0.0/8", "11.0.0.1") && !is_ours("10.0.0.0/8", "::a00:1"));
        assert!(is_ours("::/0", "fd00::1") && !is_ours("::/0", "10.0.0.1"));
        assert!(is_ours("192.0.2.7", "192.0.2.7") && !is_ours("192.0.2.7", "192.0.2.8"));
        assert!(is_ours("::ffff:192.0.2.7", "192.0.2.7"));
        for bad in ["", "10.0.0.0/33", "ten", "10.0.0.0/x", "::ffff:10.0.0.0/104"] {
            assert_eq!(parse(bad), Err(NotANetwork), "{bad}");
        }
    }

    #[test]
    fn one_customer_has_one_bucket_however_many_addresses() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:aaaa::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn a_forged_forwarded_header_changes_nothing() {
        assert_eq!(client(ip("203.0.113.9"), &["10.0.0.1"], &[]), ip("203.0.113.9"));
        let trusted = [parse("10.0.0.0/8").unwrap()];
        assert_eq!(client(ip("203.0.113.9"), &["198.51.100.1"], &trusted), ip("203.0.113.9"));
    }

    #[test]
    fn what_a_client_put_left_of_its_own_address_is_not_read() {
        let trusted = [parse("10.0.0.0/8").unwrap()];
        let forwarded = ["198.51.100.1, 203.0.113.9", "10.0.0.2"];
        assert_eq!(client(ip("10.0.0.1"), &forwarded, &trusted), ip("203.0.113.9"));
        assert_eq!(client(ip("10.0.0.1"), &["garbage"], &trusted), ip("10.0.0.1"));
    }
}
