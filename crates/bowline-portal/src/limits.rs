//! How fast one address and one user may go. Kept in memory: each replica counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;

use super::failure::Failure;
use super::{App, network};

/// Forgetting everybody when there are more is better than to grow without end.
const REMEMBERED: usize = 50_000;

/// How many at once, and how many more per minute.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    burst: u32,
    per_minute: u32,
}

impl Pace {
    /// How many at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }
}

/// All requests of one address.
pub const REQUESTS: Pace = Pace { burst: 300, per_minute: 600 };
/// Tries to sign in from one address.
pub const SIGN_INS: Pace = Pace { burst: 20, per_minute: 10 };
/// Changes by one user.
pub const ACTIONS: Pace = Pace { burst: 30, per_minute: 30 };

/// Buckets that fill with time, one per key.
pub struct Limiter<K> {
    pace: Pace,
    buckets: Mutex<HashMap<K, (f64, Timestamp)>>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// One that lets this pace through.
    pub fn new(pace: Pace) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    /// Takes one, if there is one.
    pub fn allows(&self, key: K, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(self.pace.burst);
        let filled = |left: f64, since: Timestamp| {
            let seconds = now.duration_since(since).as_secs_f64().max(0.0);
            (left + seconds * f64::from(self.pace.per_minute) / 60.0).min(full)
        };
        if buckets.len() >= REMEMBERED {
            // Who has rested is as good as new.
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

/// The limits of one portal.
pub struct Limits {
    /// All requests, by address.
    pub requests: Limiter<IpAddr>,
    /// Tries to sign in, by address.
    pub sign_ins: Limiter<IpAddr>,
    /// Changes, by user.
    pub actions: Limiter<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: Limiter::new(REQUESTS),
            sign_ins: Limiter::new(SIGN_INS),
            actions: Limiter::new(ACTIONS),
        }
    }
}

/// What counts as one sender: an address, or the network of 64 bits that one customer has under IPv6.
pub fn network_of(address: IpAddr) -> IpAddr {
    // Where one socket serves both, IPv4 comes as `::ffff:192.0.2.1`: all of it would be one network.
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
    }
}

/// The address of a request's sender, as far as it can be believed.
#[derive(Clone, Copy, Debug)]
pub struct Sender(pub IpAddr);

/// Notes the sender, and refuses one that is too fast.
pub async fn layer(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let forwarded = request.headers().get_all("x-forwarded-for");
    let forwarded: Vec<&str> = forwarded.iter().filter_map(|value| value.to_str().ok()).collect();
    let sender = network::client(peer.ip(), &forwarded, &app.settings.trusted_proxies);
    if !app.limits.requests.allows(network_of(sender), app.clock.now()) {
        return Failure::too_many("Your address sends more requests than one person does.").into_response();
    }
    request.extensions_mut().insert(Sender(sender));
    next.run(request).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

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
    fn who_is_too_fast_waits_and_nobody_else_does() {
        let limiter = Limiter::new(Pace { burst: 2, per_minute: 60 });
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        assert!(limiter.allows("alice", at(0)) && limiter.allows("alice", at(0)));
        assert!(!limiter.allows("alice", at(0)));
        assert!(limiter.allows("bob", at(0)));
        assert!(limiter.allows("alice", at(1)));
        assert!(!limiter.allows("alice", at(1)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let limiter = Limiter::new(Pace { burst: 1, per_minute: 60 });
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        assert!(limiter.allows("alice", at(100)));
        assert!(!limiter.allows("alice", at(0)));
    }
}
