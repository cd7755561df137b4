//! The queue of grants that are to be ended.
//!
//! It needs only the records: neither a provider that is down nor a missing app Secret holds an object back.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Submission};
use super::revoke::{is_given_up, postpone};
use super::target::Target;
use super::work::{Job, Task};
use crate::vault::record::{EndTerms, GrantEnding};
use crate::vault::{Loaded, Place};

/// How soon a grant that is being worked on is checked again.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Resolves a provider for a connection that may be gone.
pub(crate) type FindTarget = Arc<dyn Fn(&Place, &EndTerms) -> Option<Arc<Target>> + Send + Sync>;

/// Watches for records that are to be ended and submits each one when it is due.
pub(crate) struct Endings {
    pub(crate) desk: Arc<Desk>,
    pub(crate) find_target: FindTarget,
    /// How long a record that could not be revoked is kept.
    pub(crate) retention: Duration,
}

impl Endings {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let store = &self.desk.engine.records.store;
        let mut changes = store.changes();
        store.wait_ready().await;
        loop {
            let next = self.look().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(next) => {}
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
            }
        }
    }

    /// Submits what is due; returns when to check again.
    async fn look(&self) -> Duration {
        let records = &self.desk.engine.records;
        let now = records.clock.now();
        let mut next = LOOK_EVERY;
        for loaded in records.store.ending() {
            let Some(ending) = loaded.record.ending() else { continue };
            if is_given_up(ending, now) {
                if later(ending.since, self.retention) <= now {
                    records.erase(loaded.version).await;
                }
            } else if ending.not_before > now {
                let wait = Duration::try_from(ending.not_before.duration_since(now)).unwrap_or_default();
                next = next.min(wait);
            } else if !self.hand_in(&loaded, ending, now).await {
                // The end of that work changes no record, so nothing else would start another check soon.
                next = next.min(BUSY_PAUSE);
            }
        }
        next
    }

    /// Submits what is due as it was read; `false` if other work on its grant is in progress.
    async fn hand_in(&self, loaded: &Loaded, ending: &GrantEnding, now: Timestamp) -> bool {
        let place = loaded.record.place().clone();
        let Some(target) = (self.find_target)(&place, &ending.terms) else {
            let why = format!("provider {} is not there or not ready", place.provider);
            postpone(&self.desk.engine, &self.desk.events, loaded, &why, None).await;
            return true;
        };
        let job = Job {
            place,
            owner: String::new(),
            method: target.methods().first().copied().unwrap_or(Method::AuthorizationCode),
            target,
            own_app: ending.terms.own_app.clone(),
            app_version: None,
            scopes: Vec::new(),
            expected_account: None,
            accepted_account: None,
            urgency: now,
            task: Task::End { read: loaded.version.read() },
            gone: CancellationToken::new(),
            gives_way: CancellationToken::new(),
        };
        !matches!(self.desk.submit(job), Submission::Busy)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::grant::fixtures::{Bench, at, grant, target};
    use crate::vault::record::EndReason;
    use crate::vault::{Credential, Record};

    const ENTRY: &str = "generic-api-key";

    /// A queue whose providers exist, or do not.
    fn endings(bench: &Bench, there: bool) -> Endings {
        Endings {
            desk: Arc::clone(&bench.desk),
            find_target: Arc::new(move |_, _| there.then(|| target(ENTRY))),
            retention: Duration::from_hours(720),
        }
    }

    /// Stores a record whose grant is to be ended from now on.
    async fn ending(bench: &Bench) -> Loaded {
        let grant = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        let record = bench.holding("u1", &grant);
        bench.keep(record.with_ending(EndReason::Deleted, at(0), EndTerms::default())).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_ending_that_was_read_before_its_first_failure_starts_nothing() {
        let bench = Bench::start().await;
        let read = ending(&bench).await;
        // While the queue is busy with others, the first revocation fails.
        let failed = Record::clone(&read.record).ending_postponed(at(10), "no answer").unwrap();
        let records = &bench.engine().records;
        let _ = records.store.replace(bench.loaded("u1").version, failed).await.unwrap();
        endings(&bench, true).hand_in(&read, read.record.ending().unwrap(), at(0)).await;
        bench.desk.drain().await;
        assert!(bench.api.has("record-u1"), "revoked and erased without its pause");
        assert_eq!(bench.loaded("u1").record.ending().unwrap().failures, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_due_ending_is_revoked_and_erased() {
        let bench = Bench::start().await;
        ending(&bench).await;
        endings(&bench, true).look().await;
        bench.desk.drain().await;
        assert!(!bench.api.has("record-u1"));
        assert!(bench.api.events().is_empty(), "no Event for what worked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_the_first_time_and_followed_by_a_pause() {
        let bench = Bench::start().await;
        ending(&bench).await;
        let endings = endings(&bench, false);
        endings.look().await;
        assert_eq!(endings.look().await, Duration::from_secs(10), "the pause is kept");
        bench.clock.advance(SignedDuration::from_secs(10));
        endings.look().await;
        let failed = bench.loaded("u1").record.ending().unwrap().clone();
        assert_eq!((failed.failures, failed.not_before), (2, at(30)));
        let told = bench.api.events();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("provider p is not there"), "{told:?}");
    }
}
