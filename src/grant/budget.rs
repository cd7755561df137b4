//! How many requests may be sent to a provider in a minute.
//!
//! Of refreshes that people request beyond those that are due, there are few: whoever may request a refresh of many connections
//! could otherwise use up what a provider allows all of us, and be answered with a `Retry-After` that holds everybody. Of all
//! requests, as many as the provider's description allows.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::lock;

/// This many requested refreshes may be sent to one provider.
pub(crate) const REQUESTED: usize = 30;

/// The time that a budget is for.
pub(super) const WITHIN: Duration = Duration::from_mins(1);

/// When requests were sent lately, by provider.
#[derive(Default)]
pub(crate) struct RequestBudget(Mutex<HashMap<String, VecDeque<Timestamp>>>);

impl RequestBudget {
    /// From when another of `at_most` requests in a minute may be sent to `provider`; `None` if it may be sent now.
    pub(crate) fn free_at(&self, provider: &str, at_most: usize, now: Timestamp) -> Option<Timestamp> {
        let all = lock(&self.0);
        let sent = all.get(provider)?;
        let oldest = sent.len().checked_sub(at_most).and_then(|index| sent.get(index))?;
        Some(later(*oldest, WITHIN)).filter(|free| *free > now)
    }

    /// Uses the budget for one request; returns whether there was room.
    pub(crate) fn take(&self, provider: &str, at_most: usize, now: Timestamp) -> bool {
        let mut all = lock(&self.0);
        let sent = all.entry(provider.to_owned()).or_default();
        while sent.front().is_some_and(|oldest| later(*oldest, WITHIN) <= now) {
            sent.pop_front();
        }
        let has_room = sent.len() < at_most;
        if has_room {
            sent.push_back(now);
        }
        has_room
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_budget_of_a_provider_is_used_up_and_comes_back() {
        let budget = RequestBudget::default();
        for _ in 0..REQUESTED {
            assert_eq!(budget.free_at("p", REQUESTED, at(0)), None);
            assert!(budget.take("p", REQUESTED, at(0)));
        }
        assert!(!budget.take("p", REQUESTED, at(59)), "there is no room");
        assert_eq!(budget.free_at("p", REQUESTED, at(59)), Some(at(60)), "and it is said until when");
        assert!(budget.take("q", REQUESTED, at(59)), "another provider has its own");
        assert!(budget.free_at("p", REQUESTED, at(60)).is_none() && budget.take("p", REQUESTED, at(60)));
    }
}
