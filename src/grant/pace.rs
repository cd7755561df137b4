//! How many requests go to a provider at once, and who goes first.
//!
//! One bucket per provider: at most its `maxConcurrent` requests run, the grant whose token ends soonest goes first,
//! and while a provider asked to wait (`Retry-After`) nobody goes. A provider that answers nobody delays no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::oneshot;

/// Requests at once where the provider object does not say.
pub(super) const DEFAULT_MAX_CONCURRENT: usize = 8;

/// All buckets.
#[derive(Default)]
pub(super) struct Pace {
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
}

/// Leave to send one request; dropping it lets the next one go.
pub(super) struct Permit {
    bucket: Arc<Bucket>,
}

/// Why nobody may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OnHold {
    /// When the provider may be asked again.
    pub(crate) until: Timestamp,
}

#[derive(Default)]
struct Bucket {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    running: usize,
    limit: usize,
    tickets: u64,
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    held_until: Option<Timestamp>,
}

impl Pace {
    /// Waits for leave to send one request to `provider`; the smallest `urgency` (when the token ends) goes first.
    pub(super) async fn admit(
        &self,
        provider: &str,
        limit: usize,
        urgency: Timestamp,
        now: Timestamp,
    ) -> Result<Permit, OnHold> {
        let bucket = Arc::clone(lock(&self.buckets).entry(provider.to_owned()).or_default());
        let turn = {
            let mut queue = lock(&bucket.queue);
            if let Some(until) = queue.held_until.filter(|until| *until > now) {
                return Err(OnHold { until });
            }
            queue.limit = limit.max(1);
            queue.tickets += 1;
            let ticket = queue.tickets;
            let (call, turn) = oneshot::channel();
            queue.waiting.insert((urgency, ticket), call);
            queue.call_next();
            turn
        };
        // The sender lives in the queue until it is called, and the queue outlives this wait.
        let called = turn.await.is_ok();
        debug_assert!(called, "a queue never drops a waiter uncalled");
        Ok(Permit { bucket })
    }

    /// Nobody asks `provider` before `until`. A later wish extends an earlier one.
    pub(super) fn hold(&self, provider: &str, until: Timestamp) {
        let bucket = Arc::clone(lock(&self.buckets).entry(provider.to_owned()).or_default());
        let mut queue = lock(&bucket.queue);
        queue.held_until = queue.held_until.max(Some(until));
    }
}

impl Queue {
    fn call_next(&mut self) {
        while self.running < self.limit {
            let Some((_, call)) = self.waiting.pop_first() else { return };
            // A waiter that went away meanwhile does not take a place.
            if call.send(()).is_ok() {
                self.running += 1;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut queue = lock(&self.bucket.queue);
        queue.running -= 1;
        queue.call_next();
    }
}

/// A panic while a queue is locked leaves it consistent: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[tokio::test]
    async fn the_soonest_to_end_goes_first_when_a_place_is_free() {
        let pace = Pace::default();
        let first = pace.admit("p", 1, at(500), at(0)).await.unwrap();
        let mut late = Box::pin(pace.admit("p", 1, at(300), at(0)));
        let mut soon = Box::pin(pace.admit("p", 1, at(100), at(0)));
        assert!((&mut late).now_or_never().is_none() && (&mut soon).now_or_never().is_none());
        drop(first);
        assert!((&mut late).now_or_never().is_none());
        let second = soon.now_or_never().unwrap().unwrap();
        drop(second);
        assert!(late.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_provider_at_its_limit_delays_no_other() {
        let pace = Pace::default();
        let _busy = pace.admit("black-hole", 1, at(0), at(0)).await.unwrap();
        assert!(pace.admit("black-hole", 1, at(0), at(0)).now_or_never().is_none());
        assert!(pace.admit("healthy", 1, at(0), at(0)).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_waiter_that_went_away_takes_no_place() {
        let pace = Pace::default();
        let first = pace.admit("p", 1, at(0), at(0)).await.unwrap();
        assert!(pace.admit("p", 1, at(0), at(0)).now_or_never().is_none());
        drop(first);
        assert!(pace.admit("p", 1, at(0), at(0)).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn nobody_goes_while_the_provider_asked_to_wait() {
        let pace = Pace::default();
        pace.hold("p", at(60));
        pace.hold("p", at(30));
        assert_eq!(pace.admit("p", 1, at(0), at(59)).await.err(), Some(OnHold { until: at(60) }));
        assert!(pace.admit("p", 1, at(0), at(60)).await.is_ok());
    }
}
