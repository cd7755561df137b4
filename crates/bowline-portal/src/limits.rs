//! Rate limits per address and user. Each replica counts for itself, in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;

use crate::App;
use crate::failure::Failure;
use crate::sender::{Sender, client, network_of};

/// Beyond this number all are forgotten: memory must not grow without a limit.
const REMEMBERED: usize = 50_000;

/// A rate limit: how many at once, and how many more per minute.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    burst: u32,
    per_minute: u32,
}

impl Pace {
    pub const fn burst(self) -> u32 {
        self.burst
    }
}

/// Requests of one address.
pub const REQUESTS: Pace = Pace { burst: 300, per_minute: 600 };
/// Sign-ins from one address.
pub(crate) const SIGN_INS: Pace = Pace { burst: 20, per_minute: 10 };
/// Changes by one user.
pub const ACTIONS: Pace = Pace { burst: 30, per_minute: 30 };

/// Open streams of changes, in total.
const STREAMS: usize = 400;
/// Open streams of one address, which may be a proxy for many users.
pub(crate) const STREAMS_OF_ONE: usize = 100;

/// Token buckets, one per key.
pub(crate) struct Limiter<K> {
    pace: Pace,
    buckets: Mutex<HashMap<K, (f64, Timestamp)>>,
}

impl<K: Eq + Hash> Limiter<K> {
    pub(crate) fn new(pace: Pace) -> Self {
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
pub(crate) struct Places<K> {
    all: usize,
    each: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// Taken until it is dropped.
pub(crate) struct Place<K: Eq + Hash> {
    key: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all, each, taken: Arc::default() }
    }

    pub(crate) fn take(&self, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = taken.get(&key).copied().unwrap_or_default();
        if of_key >= self.each || taken.values().sum::<usize>() >= self.all {
            return None;
        }
        taken.insert(key.clone(), of_key + 1);
        Some(Place { key, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.key)),
        }
    }
}

pub(crate) struct Limits {
    pub(crate) requests: Limiter<IpAddr>,
    pub(crate) sign_ins: Limiter<IpAddr>,
    pub(crate) actions: Limiter<String>,
    pub(crate) streams: Places<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: Limiter::new(REQUESTS),
            sign_ins: Limiter::new(SIGN_INS),
            actions: Limiter::new(ACTIONS),
            streams: Places::new(STREAMS, STREAMS_OF_ONE),
        }
    }
}

/// Adds the sender to the request, and refuses senders that are too fast.
pub(crate) async fn layer(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let forwarded = request.headers().get_all("x-forwarded-for");
    let forwarded: Vec<&str> = forwarded.iter().filter_map(|value| value.to_str().ok()).collect();
    let sender = client(peer.ip(), &forwarded, &app.settings.trusted_proxies);
    if !app.limits.requests.allows(network_of(sender), app.clock.now()) {
        return Failure::too_many("Your address sends too many requests.").into_response();
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
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(3, 2);
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
        assert!(places.taken.lock().unwrap().is_empty(), "who has left is forgotten");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let limiter = Limiter::new(Pace { burst: 1, per_minute: 60 });
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        assert!(limiter.allows("alice", at(100)));
        assert!(!limiter.allows("alice", at(0)));
    }
}
