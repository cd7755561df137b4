//! The records of all connections, as the engine reads and writes them.

mod ended;
mod reseal;

use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::{Clock, later};
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::delays::Delays;
use crate::vault::GrantId;
use crate::vault::record::{Bookkeeping, Ending, Pause, ProvenProbe, RecordError};
use crate::vault::{
    CachedReadError, Grant, LiveReadError, Loaded, Opened, Place, Record, Sealer, Slot, Store,
    TransitionError, Version, WriteError,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a write that may be given up is repeated: for about six seconds.
const WRITES: u32 = 6;
/// How long a commit may take before the connection says that it does not succeed.
const UNSAID: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) store: Arc<Store>,
    pub(crate) endings: Arc<Store<Ending>>,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
    pub(crate) delays: Arc<Delays>,
}

/// How long a change is repeated while the API server does not accept it.
#[derive(Clone, Copy)]
pub(super) enum Patience<'a> {
    /// For about six seconds. The next reconcile of the record notices what was left undone.
    Brief,
    /// Until it is written or the process dies: it may be the only copy of a token whose predecessor is invalid. The
    /// connection at this place says so if it takes long.
    Endless(&'a Place),
}

impl Patience<'_> {
    const fn is_brief(self) -> bool {
        matches!(self, Self::Brief)
    }
}

/// What is known of a record before it is written.
enum LastRead {
    Unknown,
    Absent,
    Found(Loaded),
}

impl From<Option<Loaded>> for LastRead {
    fn from(read: Option<Loaded>) -> Self {
        read.map_or(Self::Absent, Self::Found)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    /// The record is not in a state that allows it.
    #[error(transparent)]
    Refused(#[from] TransitionError),
    /// There is a record, but it does not parse. It is left as it is.
    #[error(transparent)]
    Unreadable(#[from] RecordError),
    #[error("the API server does not take the write now")]
    Unreachable,
    /// It never takes it.
    #[error("the record is larger than the API server accepts")]
    TooLarge,
    /// The connection is gone: what was written is being ended.
    #[error("the connection is gone, and what was put on record is being ended")]
    Ended,
}

impl Records {
    /// The record of a connection, if there is one that can be read.
    pub(super) fn get(&self, uid: &str) -> Option<Loaded> {
        self.store.get(uid).ok().flatten()
    }

    /// What a slot of a connection's record holds, if it can be opened.
    pub(super) fn open(&self, uid: &str, slot: Slot) -> Option<Opened> {
        self.opened(&self.get(uid)?.record, slot)
    }

    /// The same for a given record.
    pub(super) fn opened(&self, record: &Record, slot: Slot) -> Option<Opened> {
        record.open(&self.sealer, slot).ok().flatten()
    }

    pub(super) fn in_use(&self, uid: &str) -> Option<Grant> {
        Some(self.open(uid, Slot::InUse)?.grant)
    }

    /// Writes a change that only this connection's actor makes, and repeats it on the newer record after a conflict. If
    /// there is no record, one is created at `first`, or the answer is `None`. The change is computed again for each write,
    /// so it must notice that an earlier one has happened. What may be the only copy of a token is kept and written again
    /// also while the record cannot be read, and the connection says so.
    pub(super) async fn write(
        &self,
        uid: &str,
        first: Option<&Place>,
        patience: Patience<'_>,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, NotWritten> {
        let mut pause = FIRST_PAUSE;
        let mut writes = 1;
        let (begun, since) = (Instant::now(), self.clock.now());
        let mut delay = None;
        let mut read = match self.store.get(uid) {
            Ok(read) => read.into(),
            Err(CachedReadError::Unreadable(error)) => self.beside(uid, error, first, patience).await?,
            Err(CachedReadError::NotSynced) => LastRead::Unknown,
        };
        loop {
            if matches!((&read, first), (LastRead::Absent, None)) {
                return Ok(None);
            }
            if let Some(written) = self.write_once(read, first, &change).await? {
                return Ok(Some(written));
            }
            if patience.is_brief() && writes >= WRITES {
                return Err(NotWritten::Unreachable);
            }
            sleep(pause).await;
            (pause, writes) = ((pause * 2).min(LONGEST_PAUSE), writes + 1);
            if let Patience::Endless(place) = patience
                && begun.elapsed() >= UNSAID
            {
                delay.get_or_insert_with(|| self.delays.begin(place, since));
            }
            read = match self.store.reread(uid).await {
                Ok(read) => read.into(),
                Err(LiveReadError::Unreadable(error)) => self.beside(uid, error, first, patience).await?,
                Err(LiveReadError::Call(_)) => LastRead::Unknown,
            };
        }
    }

    /// Writes the change to what was read, if anything was. `None` if that is to be repeated.
    async fn write_once(
        &self,
        read: LastRead,
        first: Option<&Place>,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, NotWritten> {
        match (read, first) {
            (LastRead::Found(loaded), _) => self.replace(loaded, change).await,
            (LastRead::Absent, Some(place)) => {
                let next = change(Record::new(place.clone()))?;
                as_loaded(self.store.create(next.clone()).await, next)
            }
            (LastRead::Absent, None) | (LastRead::Unknown, _) => Ok(None),
        }
    }

    /// What may be done about a record that is not believed. Another write does not repair one that does not parse: only
    /// somebody who restores it does, and what may be the only copy of a token waits for that. One that somebody else wrote
    /// gives way to a new grant.
    async fn beside(
        &self,
        uid: &str,
        error: RecordError,
        first: Option<&Place>,
        patience: Patience<'_>,
    ) -> Result<LastRead, NotWritten> {
        if first.is_some() && error.is_untrusted() {
            let Err(why) = self.store.erase_untrusted(uid).await else {
                tracing::warn!(uid, %error, "a record that somebody else wrote was erased for a new grant");
                return Ok(LastRead::Absent);
            };
            tracing::warn!(uid, error = %chain(&why), "a record that somebody else wrote could not be erased now");
            return Ok(LastRead::Unknown);
        }
        if patience.is_brief() { Err(error.into()) } else { Ok(LastRead::Unknown) }
    }

    /// Writes the change once. `None` if the API server did not accept it, or it is not known whether it did.
    async fn replace(
        &self,
        loaded: Loaded,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, NotWritten> {
        let next = change(Record::clone(&loaded.record))?;
        if next == *loaded.record {
            return Ok(Some(loaded));
        }
        as_loaded(self.store.replace(loaded.version, next.clone()).await, next)
    }

    /// [`Self::write`] for an existing record, given up after about six seconds.
    pub(super) async fn settle(
        &self,
        uid: &str,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, NotWritten> {
        self.write(uid, None, Patience::Brief, change).await
    }

    /// The same where somebody asks again for a change that is not made now. Logs if not; returns whether `what` is on record.
    pub(super) async fn note(
        &self,
        uid: &str,
        what: &str,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> bool {
        let settled = self.settle(uid, change).await;
        if let Err(error) = &settled {
            tracing::warn!(uid, error = %chain(error), "{what} could not be put on record now");
        }
        settled.is_ok()
    }

    /// Erases the state of a record that was read.
    pub(super) async fn erase(&self, version: Version) {
        if let Err(error) = self.store.erase(version).await {
            tracing::warn!(error = %chain(&error), "a record could not be erased now");
        }
    }

    /// Records the pause that a failure imposed.
    pub(crate) async fn remember_pause(&self, uid: &str, pause: Pause) {
        let paused = |kept: &Bookkeeping| Bookkeeping { pause: Some(pause.clone()), ..kept.clone() };
        self.note(uid, "the pause of a grant", |record| {
            let bookkeeping = paused(record.bookkeeping());
            Ok(record.with_bookkeeping(bookkeeping))
        })
        .await;
    }

    /// Records that nothing of this grant works any more.
    pub(crate) async fn remember_death(&self, uid: &str, grant: GrantId) {
        self.note(uid, "that a grant is dead", |record| {
            let kept = record.bookkeeping().clone();
            Ok(record.with_bookkeeping(Bookkeeping { dead: Some(grant), ..kept }))
        })
        .await;
    }

    /// Records since when the connection is disconnected, or that it is not any more. Returns whether that is on record.
    pub(crate) async fn remember_disconnection(&self, uid: &str, since: Option<Timestamp>) -> bool {
        self.note(uid, "since when a connection is disconnected", |record| {
            let kept = record.bookkeeping().clone();
            Ok(record.with_bookkeeping(Bookkeeping { disconnected_at: since, ..kept }))
        })
        .await
    }

    /// Records that a probe works with a grant.
    pub(super) async fn remember_probe(&self, uid: &str, proven: &ProvenProbe) {
        self.note(uid, "that a probe works", |record| {
            let kept = record.bookkeeping().clone();
            Ok(record.with_bookkeeping(Bookkeeping { proven_probe: Some(proven.clone()), ..kept }))
        })
        .await;
    }

    /// Notes that this record's connection is gone, and erases the record when that has been so for `retention`. Nothing is
    /// revoked: nobody asked for that.
    pub(crate) async fn orphaned(&self, orphan: Loaded, retention: Duration) {
        let Loaded { record, version } = orphan;
        let (place, now) = (record.place(), self.clock.now());
        match record.orphaned_since() {
            None => {
                tracing::warn!(namespace = place.namespace, name = place.name, "a record has no connection");
                self.note(&place.uid, "an orphan", |record| Ok(record.orphaned(now))).await;
            }
            Some(since) if later(since, retention) <= now => {
                tracing::info!(
                    namespace = place.namespace,
                    name = place.name,
                    "an orphaned record is erased"
                );
                self.erase(version).await;
            }
            Some(_) => {}
        }
    }

    /// Removes that note from a record whose connection exists: if it is gone once more, the time counts from then.
    pub(crate) async fn claimed(&self, uid: &str) {
        self.note(uid, "the return of a connection", |record| Ok(record.claimed())).await;
    }
}

/// `None`: it is read again, and the change is made to what is there then.
fn as_loaded(written: Result<Version, WriteError>, record: Record) -> Result<Option<Loaded>, NotWritten> {
    Ok(match written {
        Ok(version) => Some(Loaded { record: record.into(), version }),
        // Ordinary.
        Err(WriteError::Conflict) => None,
        Err(WriteError::TooLarge(_)) => return Err(NotWritten::TooLarge),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "a change to the record is not written yet; trying again");
            None
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{ApiServer, Fault, at, grant, place, records};
    use crate::vault::Credential;

    fn key() -> Grant {
        grant("generic-api-key", Credential::ApiKey { api_key: "k".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_whose_answer_was_lost_is_found_and_not_repeated() {
        let api = ApiServer::default();
        let records = records(&api).await;
        let _ = records.store.create(Record::new(place("u1"))).await.unwrap();
        api.next(Fault::AnswerLost);
        let orphaned = |record: Record| Ok(record.orphaned(at(7)));
        let written = records.settle("u1", orphaned).await.unwrap().unwrap();
        assert_eq!(written.record.orphaned_since(), Some(at(7)));
        assert_eq!(api.writes(), 2, "made, and changed once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_written_once() {
        let api = ApiServer::default();
        let records = records(&api).await;
        let _ = records.store.create(Record::new(place("u1"))).await.unwrap();
        let pause = Pause { not_before: at(60), app_version: Some("s/1".into()) };
        for _ in 0..2 {
            records.remember_pause("u1", pause.clone()).await;
            assert_eq!(records.get("u1").unwrap().record.bookkeeping().pause.as_ref(), Some(&pause));
        }
        assert_eq!(api.writes(), 2, "made, and changed once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_given_up_is_given_up_and_the_rest_is_tried_until_it_is_written() {
        let api = ApiServer::default();
        let records = records(&api).await;
        api.refuse_for(Duration::from_mins(10));
        let change = |record: Record| record.with_candidate(&records.sealer, &key());
        let first = place("u1");
        let brief = records.write("u1", Some(&first), Patience::Brief, change).await;
        assert!(matches!(brief, Err(NotWritten::Unreachable)));
        let kept = records.write("u1", Some(&first), Patience::Endless(&first), change).await;
        assert!(kept.unwrap().unwrap().record.candidate().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn class_19_an_answer_waits_for_a_record_that_cannot_be_read_and_that_is_told() {
        let api = ApiServer::default();
        let records = Arc::new(records(&api).await);
        let first = place("u1");
        let _ = records.store.create(Record::new(first.clone())).await.unwrap();
        let good = api.damage("record-u1");
        assert!(records.store.reread("u1").await.is_err());
        let keeping = Arc::clone(&records);
        let kept = tokio::spawn(async move {
            let change = |record: Record| record.with_candidate(&keeping.sealer, &key());
            keeping.write("u1", None, Patience::Endless(&place("u1")), change).await.unwrap()
        });
        sleep(Duration::from_secs(5)).await;
        assert_eq!(records.delays.since("u1"), None, "it is told only if it takes long");
        sleep(Duration::from_secs(20)).await;
        assert!(records.delays.since("u1").is_some());
        api.restore("record-u1", good);
        assert!(kept.await.unwrap().unwrap().record.candidate().is_some());
        assert_eq!(records.delays.since("u1"), None);
    }

    const RETENTION: Duration = Duration::from_hours(24);

    #[tokio::test(start_paused = true)]
    async fn an_orphan_is_erased_after_its_retention_which_counts_again_once_its_connection_was_back() {
        let api = ApiServer::default();
        let records = records(&api).await;
        let _ = records.store.create(Record::new(place("u1")).orphaned(at(-90_000))).await.unwrap();
        records.claimed("u1").await;
        for _ in 0..2 {
            records.orphaned(records.get("u1").unwrap(), RETENTION).await;
        }
        assert_eq!(records.get("u1").unwrap().record.orphaned_since(), Some(at(0)));

        let _ = records.settle("u1", |record| Ok(record.claimed().orphaned(at(-86_400)))).await.unwrap();
        records.orphaned(records.get("u1").unwrap(), RETENTION).await;
        assert!(!api.has("record-u1"));
    }
}
