//! Who sent a request, and rate limits per address and user. Each replica counts for itself, in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use k8s_openapi::jiff::Timestamp;

use crate::Portal;
use crate::error::PageError;
use crate::log::Requester;
use crate::metrics::ExceededLimit;
use crate::sign_in::recheck;
use crate::visit::session_of;

/// Beyond this number all are forgotten: memory must not grow without a limit.
const REMEMBERED: usize = 50_000;

/// A rate limit: how many at once, and how many more per minute.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub burst: u32,
    per_minute: u32,
}

/// Requests of one user, and of all users of one address who are not signed in.
pub const REQUESTS: RateLimit = RateLimit { burst: 300, per_minute: 600 };
/// Sign-ins from one address.
pub(crate) const SIGN_INS: RateLimit = RateLimit { burst: 20, per_minute: 10 };
/// Changes by one user.
pub const ACTIONS: RateLimit = RateLimit { burst: 30, per_minute: 30 };

/// Times that the same attempt may be looked up for a callback: it is used once, and each look is a request to the API server.
const CALLBACKS: RateLimit = RateLimit { burst: 3, per_minute: 1 };

/// Open streams of changes, in total.
const STREAMS: usize = 400;
/// Open streams of one user: one for each page that is open.
pub(crate) const STREAMS_OF_ONE: usize = 20;

/// Token buckets, one per key.
pub(crate) struct Limiter<K> {
    pace: RateLimit,
    buckets: Mutex<HashMap<K, (f64, Timestamp)>>,
}

impl<K: Eq + Hash> Limiter<K> {
    pub(crate) fn new(pace: RateLimit) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    pub(crate) fn allows(&self, key: K, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(self.pace.burst);
        let filled = |left: f64, since: Timestamp| {
            let seconds = now.duration_since(since).as_secs_f64().max(0.0);
            (left + seconds * f64::from(self.pace.per_minute) / 60.0).min(full)
        };
        if buckets.len() >= REMEMBERED {
            // A full bucket is the same as none.
            buckets.retain(|_, (left, since)| filled(*left, *since) < full);
        }
        if buckets.len() >= REMEMBERED {
            buckets.clear();
        }
        let (left, since) = buckets.entry(key).or_insert((full, now));
        *left = filled(*left, *since);
        *since = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

/// A limit on how many exist at the same time, in total and for each key.
pub(crate) struct ConcurrencyLimit<K> {
    all: usize,
    each: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place of a [`ConcurrencyLimit`], taken until this is dropped.
pub(crate) struct ConcurrencyPlace<K: Eq + Hash> {
    key: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> ConcurrencyLimit<K> {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all, each, taken: Arc::default() }
    }

    /// One more place for this key; `None` if too many are taken.
    pub(crate) fn take(&self, key: K) -> Option<ConcurrencyPlace<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = taken.get(&key).copied().unwrap_or_default();
        if of_key >= self.each || taken.values().sum::<usize>() >= self.all {
            return None;
        }
        taken.insert(key.clone(), of_key + 1);
        Some(ConcurrencyPlace { key, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Eq + Hash> Drop for ConcurrencyPlace<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.key)),
        }
    }
}

pub(crate) struct RateLimits {
    /// Of users who are signed in: however many strangers send from the same address, they take nothing away.
    users: Limiter<String>,
    /// Of everybody else.
    strangers: Limiter<IpAddr>,
    pub(crate) sign_ins: Limiter<IpAddr>,
    pub(crate) actions: Limiter<String>,
    /// By the name of the attempt.
    pub(crate) callbacks: Limiter<String>,
    pub(crate) streams: ConcurrencyLimit<String>,
    /// Whether it was said that requests come through a proxy that is not trusted.
    said_proxy: AtomicBool,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            users: Limiter::new(REQUESTS),
            strangers: Limiter::new(REQUESTS),
            sign_ins: Limiter::new(SIGN_INS),
            actions: Limiter::new(ACTIONS),
            callbacks: Limiter::new(CALLBACKS),
            streams: ConcurrencyLimit::new(STREAMS, STREAMS_OF_ONE),
            said_proxy: AtomicBool::new(false),
        }
    }
}

/// Adds the sender to the request, and the user to the response. Refuses those who are too fast: users by their name, others by
/// their address.
pub(crate) async fn layer(
    State(app): State<Portal>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let forwarded = request.headers().get_all("x-forwarded-for");
    let forwarded: Vec<&str> = forwarded.iter().filter_map(|value| value.to_str().ok()).collect();
    let trusted = app.settings.server.trusted_proxies.as_slice();
    let sender = network_of(client(peer.ip(), &forwarded, trusted));
    if !forwarded.is_empty()
        && !is_in(trusted, peer.ip())
        && !app.limits.said_proxy.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(peer = %peer.ip(), "requests come through a proxy that --trusted-proxies does not name: all who are not signed in share the limits of one client");
    }
    let user = session_of(request.headers(), &app).map(|session| session.user().to_owned());
    let (limits, now) = (&app.limits, app.clock.now());
    let in_time = match &user {
        Some(user) => limits.users.allows(user.clone(), now),
        None => limits.strangers.allows(sender, now),
    };
    if !in_time {
        let (limit, whose) = match &user {
            Some(_) => (ExceededLimit::Requests, "You send"),
            None => (ExceededLimit::StrangersRequests, "Your address sends"),
        };
        return PageError::too_many(limit, &format!("{whose} too many requests.")).into_response();
    }
    recheck::now(&app, request.headers()).await;
    request.extensions_mut().insert(Sender(sender));
    let mut response = next.run(request).await;
    if let (Some(user), None) = (user, response.extensions().get::<Requester>()) {
        response.extensions_mut().insert(Requester { user, signed_in: false });
    }
    response
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address.to_canonical()))
}

/// The client's address: the peer, or what trusted proxies say, read from the right up to the first that is not one of
/// them. `forwarded` are the values of all `X-Forwarded-For` headers, in their order.
fn client(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_ours = |address: IpAddr| is_in(trusted, address);
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
fn network_of(address: IpAddr) -> IpAddr {
    // A socket for both families reports IPv4 as `::ffff:192.0.2.1`, all of it in one /64.
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
    }
}

/// What counts as the sender of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender(pub(crate) IpAddr);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::parse_network;
    use k8s_openapi::jiff::SignedDuration;

    #[test]
    fn who_is_too_fast_waits_and_nobody_else_does() {
        let limiter = Limiter::new(RateLimit { burst: 2, per_minute: 60 });
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        assert!(limiter.allows("alice", at(0)) && limiter.allows("alice", at(0)));
        assert!(!limiter.allows("alice", at(0)));
        assert!(limiter.allows("bob", at(0)));
        assert!(limiter.allows("alice", at(1)));
        assert!(!limiter.allows("alice", at(1)));
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = ConcurrencyLimit::new(3, 2);
        let (one, two) = (places.take("alice").unwrap(), places.take("alice").unwrap());
        assert!(places.take("alice").is_none(), "two for each");
        let bob = places.take("bob").unwrap();
        assert!(places.take("carol").is_none(), "three in all");
        drop(bob);
        let carol = places.take("carol");
        assert!(carol.is_some());
        drop((one, carol));
        let three = places.take("alice");
        assert!(three.is_some() && places.take("alice").is_none());
        drop((two, three));
        let _dave = places.take("dave");
        assert_eq!(places.taken.lock().unwrap().len(), 1, "who has left is forgotten");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let limiter = Limiter::new(RateLimit { burst: 1, per_minute: 60 });
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        assert!(limiter.allows("alice", at(100)));
        assert!(!limiter.allows("alice", at(0)));
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_proxy_is_told_by_its_address_however_it_is_written() {
        let is_ours = |network: &str, peer| {
            client(ip(peer), &["203.0.113.9"], &[parse_network(network).unwrap()]) == ip("203.0.113.9")
        };
        assert!(is_ours("10.0.0.0/8", "10.200.1.2") && is_ours("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!is_ours("10.0.0.0/8", "11.0.0.1") && !is_ours("10.0.0.0/8", "::a00:1"));
        assert!(is_ours("::/0", "fd00::1") && !is_ours("::/0", "10.0.0.1"));
        assert!(is_ours("192.0.2.7", "192.0.2.7") && !is_ours("192.0.2.7", "192.0.2.8"));
        assert!(is_ours("::ffff:192.0.2.7", "192.0.2.7"));
        for bad in ["", "10.0.0.0/33", "ten", "10.0.0.0/x", "::ffff:10.0.0.0/104"] {
            assert!(parse_network(bad).is_err(), "{bad}");
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
        let trusted = [parse_network("10.0.0.0/8").unwrap()];
        assert_eq!(client(ip("203.0.113.9"), &["198.51.100.1"], &trusted), ip("203.0.113.9"));
    }

    #[test]
    fn what_a_client_put_left_of_its_own_address_is_not_read() {
        let trusted = [parse_network("10.0.0.0/8").unwrap()];
        let forwarded = ["198.51.100.1, 203.0.113.9", "10.0.0.2"];
        assert_eq!(client(ip("10.0.0.1"), &forwarded, &trusted), ip("203.0.113.9"));
        assert_eq!(client(ip("10.0.0.1"), &["garbage"], &trusted), ip("10.0.0.1"));
    }
}
