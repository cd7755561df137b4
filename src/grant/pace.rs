//! How many requests go to a provider at once, and who goes first.
//!
//! Two queues per provider, so that a person who waits for a consent never waits for the refreshes of others. In each at most
//! `maxConcurrent` requests run, the grant whose token expires soonest goes first, and after the provider asked to wait
//! (`Retry-After`) none goes. A provider that does not answer delays no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::oneshot;

use super::lock;
use super::work::Lane;

/// The queues of all providers, by name and lane.
#[derive(Default)]
pub(super) struct ProviderQueues(Mutex<HashMap<(String, Lane), SharedQueue>>);

type SharedQueue = Arc<Mutex<Queue>>;

/// Permission to send one request; dropping it lets the next one go.
pub(super) struct Permit(Option<SharedQueue>);

#[derive(Default)]
struct Queue {
    running: usize,
    limit: usize,
    tickets: u64,
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<Permit>>,
    held_until: Option<Timestamp>,
}

impl ProviderQueues {
    /// Waits for the turn of one request to `provider`; the smallest `urgency` (when the token expires) goes first. Who
    /// stops waiting takes no place, not even when called at that moment.
    pub(super) async fn turn(
        &self,
        provider: &str,
        lane: Lane,
        limit: usize,
        urgency: Timestamp,
    ) -> Option<Permit> {
        let shared = self.of(provider, lane);
        let turn = {
            let mut queue = lock(&shared);
            queue.limit = limit.max(1);
            queue.tickets += 1;
            let ticket = queue.tickets;
            let (call, turn) = oneshot::channel();
            queue.waiting.insert((urgency, ticket), call);
            queue.call_next(&shared);
            turn
        };
        // The sender stays in the queue until it is called, and the queue outlives this wait.
        turn.await.ok()
    }

    /// Until when no request may be sent to `provider`, if it asked to wait.
    pub(super) fn held_until(&self, provider: &str, lane: Lane, now: Timestamp) -> Option<Timestamp> {
        lock(&self.of(provider, lane)).held_until.filter(|until| *until > now)
    }

    /// No request is sent to `provider` before `until`. A later hold extends an earlier one.
    pub(super) fn hold(&self, provider: &str, lane: Lane, until: Timestamp) {
        let queue = self.of(provider, lane);
        let mut queue = lock(&queue);
        queue.held_until = queue.held_until.max(Some(until));
    }

    fn of(&self, provider: &str, lane: Lane) -> SharedQueue {
        Arc::clone(lock(&self.0).entry((provider.to_owned(), lane)).or_default())
    }
}

impl Queue {
    fn call_next(&mut self, shared: &Arc<Mutex<Self>>) {
        while self.running < self.limit {
            let Some((_, call)) = self.waiting.pop_first() else { return };
            match call.send(Permit(Some(Arc::clone(shared)))) {
                Ok(()) => self.running += 1,
                // A waiter that has left meanwhile does not use up a place.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut queue = lock(&shared);
        queue.running -= 1;
        queue.call_next(&shared);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Lane::{Consent, Refresh};
    use super::*;
    use futures::FutureExt;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[tokio::test]
    async fn the_soonest_to_end_goes_first_when_a_place_is_free() {
        let queues = ProviderQueues::default();
        let first = queues.turn("p", Refresh, 1, at(500)).await.unwrap();
        let mut late = Box::pin(queues.turn("p", Refresh, 1, at(300)));
        let mut soon = Box::pin(queues.turn("p", Refresh, 1, at(100)));
        assert!((&mut late).now_or_never().is_none() && (&mut soon).now_or_never().is_none());
        drop(first);
        assert!((&mut late).now_or_never().is_none());
        let second = soon.now_or_never().unwrap().unwrap();
        drop(second);
        assert!(late.now_or_never().unwrap().is_some());
    }

    #[tokio::test]
    async fn class_25_a_provider_at_its_limit_delays_no_other_and_no_consent() {
        let queues = ProviderQueues::default();
        let _busy = queues.turn("black-hole", Refresh, 1, at(0)).await.unwrap();
        assert!(queues.turn("black-hole", Refresh, 1, at(0)).now_or_never().is_none());
        assert!(queues.turn("black-hole", Consent, 1, at(0)).now_or_never().flatten().is_some());
        assert!(queues.turn("healthy", Refresh, 1, at(0)).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_went_away_takes_no_place_not_even_when_it_was_called() {
        let queues = ProviderQueues::default();
        let first = queues.turn("p", Refresh, 1, at(0)).await.unwrap();
        assert!(queues.turn("p", Refresh, 1, at(0)).now_or_never().is_none());
        let mut called = Box::pin(queues.turn("p", Refresh, 1, at(0)));
        assert!((&mut called).now_or_never().is_none());
        drop(first);
        // It has its permit and does not look at it any more.
        drop(called);
        assert!(queues.turn("p", Refresh, 1, at(0)).now_or_never().flatten().is_some());
    }

    #[test]
    fn nobody_goes_while_the_provider_asked_to_wait() {
        let queues = ProviderQueues::default();
        queues.hold("p", Refresh, at(60));
        queues.hold("p", Refresh, at(30));
        assert_eq!(queues.held_until("p", Refresh, at(59)), Some(at(60)));
        assert_eq!(queues.held_until("p", Refresh, at(60)), None);
        assert_eq!(queues.held_until("p", Consent, at(0)), None);
    }
}
