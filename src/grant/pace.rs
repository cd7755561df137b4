//! How many requests go to a provider at once, and who goes first.
//!
//! One queue per provider: at most `maxConcurrent` of its requests run, the grant whose token expires soonest goes first,
//! and after the provider asked to wait (`Retry-After`) none goes. A provider that does not answer delays no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::oneshot;

use super::lock;

/// The queues of all providers, by name.
#[derive(Default)]
pub(super) struct ProviderQueues(Mutex<HashMap<String, Arc<Mutex<Queue>>>>);

/// Permission to send one request; dropping it lets the next one go.
pub(super) struct Permit(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    running: usize,
    limit: usize,
    tickets: u64,
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    held_until: Option<Timestamp>,
}

impl ProviderQueues {
    /// Waits for permission to send one request to `provider`; the smallest `urgency` (when the token expires) goes first.
    /// `Err` while no request may be sent: until when.
    pub(super) async fn admit(
        &self,
        provider: &str,
        limit: usize,
        urgency: Timestamp,
        now: Timestamp,
    ) -> Result<Permit, Timestamp> {
        let shared = self.of(provider);
        let turn = {
            let mut queue = lock(&shared);
            if let Some(until) = queue.held_until.filter(|until| *until > now) {
                return Err(until);
            }
            queue.limit = limit.max(1);
            queue.tickets += 1;
            let ticket = queue.tickets;
            let (call, turn) = oneshot::channel();
            queue.waiting.insert((urgency, ticket), call);
            queue.call_next();
            turn
        };
        // The sender stays in the queue until it is called, and the queue outlives this wait.
        let called = turn.await.is_ok();
        debug_assert!(called, "a queue never drops a waiter uncalled");
        Ok(Permit(shared))
    }

    /// No request is sent to `provider` before `until`. A later hold extends an earlier one.
    pub(super) fn hold(&self, provider: &str, until: Timestamp) {
        let queue = self.of(provider);
        let mut queue = lock(&queue);
        queue.held_until = queue.held_until.max(Some(until));
    }

    fn of(&self, provider: &str) -> Arc<Mutex<Queue>> {
        Arc::clone(lock(&self.0).entry(provider.to_owned()).or_default())
    }
}

impl Queue {
    fn call_next(&mut self) {
        while self.running < self.limit {
            let Some((_, call)) = self.waiting.pop_first() else { return };
            // A waiter that has left meanwhile does not use up a place.
            if call.send(()).is_ok() {
                self.running += 1;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.running -= 1;
        queue.call_next();
    }
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
        let queues = ProviderQueues::default();
        let first = queues.admit("p", 1, at(500), at(0)).await.unwrap();
        let mut late = Box::pin(queues.admit("p", 1, at(300), at(0)));
        let mut soon = Box::pin(queues.admit("p", 1, at(100), at(0)));
        assert!((&mut late).now_or_never().is_none() && (&mut soon).now_or_never().is_none());
        drop(first);
        assert!((&mut late).now_or_never().is_none());
        let second = soon.now_or_never().unwrap().unwrap();
        drop(second);
        assert!(late.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_provider_at_its_limit_delays_no_other() {
        let queues = ProviderQueues::default();
        let _busy = queues.admit("black-hole", 1, at(0), at(0)).await.unwrap();
        assert!(queues.admit("black-hole", 1, at(0), at(0)).now_or_never().is_none());
        assert!(queues.admit("healthy", 1, at(0), at(0)).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_waiter_that_went_away_takes_no_place() {
        let queues = ProviderQueues::default();
        let first = queues.admit("p", 1, at(0), at(0)).await.unwrap();
        assert!(queues.admit("p", 1, at(0), at(0)).now_or_never().is_none());
        drop(first);
        assert!(queues.admit("p", 1, at(0), at(0)).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn nobody_goes_while_the_provider_asked_to_wait() {
        let queues = ProviderQueues::default();
        queues.hold("p", at(60));
        queues.hold("p", at(30));
        assert_eq!(queues.admit("p", 1, at(0), at(59)).await.err(), Some(at(60)));
        assert!(queues.admit("p", 1, at(0), at(60)).await.is_ok());
    }
}
