//! The records of all connections, as the engine reads and writes them.

use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::telemetry::chain;
use tokio::time::sleep;

use crate::vault::record::{Bookkeeping, Pause, RecordError};
use crate::vault::{
    CachedReadError, Grant, LiveReadError, Loaded, Opened, Place, Record, Sealer, Slot, Store,
    TransitionError, Version, WriteError,
};

/// The first pause between two tries of a write.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a write that may be given up is tried: for about six seconds.
const TRIES: u32 = 6;

/// The records, what opens them, and what time it is.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) store: Arc<Store>,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
}

/// How long a change is tried while the API server does not take it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For about six seconds. What is left undone is noticed by the next look at the record.
    Brief,
    /// Until it is written or the process dies: it may be the only copy of a token whose predecessor is dead.
    Endless,
}

/// Why a change was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten<E = TransitionError> {
    /// The record is not in a state that allows it.
    #[error(transparent)]
    Refused(E),
    /// There is a record, and it does not parse. It is left as it is.
    #[error(transparent)]
    Unreadable(RecordError),
    /// The API server does not take writes now.
    #[error("the API server does not take the write now")]
    Unreachable,
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

    /// The same of a record at hand.
    pub(super) fn opened(&self, record: &Record, slot: Slot) -> Option<Opened> {
        record.open(&self.sealer, slot).ok().flatten()
    }

    /// The grant in use.
    pub(super) fn in_use(&self, uid: &str) -> Option<Grant> {
        Some(self.open(uid, Slot::InUse)?.grant)
    }

    /// Writes a change that only this connection's actor makes, following the record when it has moved. Where there is no record,
    /// one is made at `first`, or the answer is `None`. The change is computed anew for each try, so it must notice that an earlier
    /// one has happened.
    pub(super) async fn write<E: From<TransitionError>>(
        &self,
        uid: &str,
        first: Option<&Place>,
        patience: Patience,
        change: impl Fn(Record) -> Result<Record, E>,
    ) -> Result<Option<Loaded>, NotWritten<E>> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        let mut seen = match self.store.get(uid) {
            Ok(seen) => Some(seen),
            Err(CachedReadError::NotSynced) => None,
            Err(CachedReadError::Unreadable(error)) => return Err(NotWritten::Unreadable(error)),
        };
        loop {
            let written = match (seen.take(), first) {
                (Some(None), None) => return Ok(None),
                (Some(None), Some(place)) => self.create(Record::new(place.clone()), &change).await?,
                (Some(Some(loaded)), _) => self.replace(loaded, &change).await?,
                (None, _) => None,
            };
            if written.is_some() {
                return Ok(written);
            }
            if patience == Patience::Brief && tries >= TRIES {
                return Err(NotWritten::Unreachable);
            }
            sleep(pause).await;
            (pause, tries) = ((pause * 2).min(LONGEST_PAUSE), tries + 1);
            seen = match self.store.reread(uid).await {
                Ok(seen) => Some(seen),
                // Trying again repairs no record that does not parse.
                Err(LiveReadError::Unreadable(error)) => return Err(NotWritten::Unreadable(error)),
                Err(LiveReadError::Call(_)) => None,
            };
        }
    }

    /// One try. `None` if the API server did not take it, or nobody knows whether it did.
    async fn replace<E: From<TransitionError>>(
        &self,
        loaded: Loaded,
        change: impl Fn(Record) -> Result<Record, E>,
    ) -> Result<Option<Loaded>, NotWritten<E>> {
        let next = change(Record::clone(&loaded.record)).map_err(NotWritten::Refused)?;
        if next == *loaded.record {
            return Ok(Some(loaded));
        }
        let written = self.store.replace(loaded.version, next.clone()).await;
        Ok(as_loaded(next, written))
    }

    async fn create<E: From<TransitionError>>(
        &self,
        empty: Record,
        change: impl Fn(Record) -> Result<Record, E>,
    ) -> Result<Option<Loaded>, NotWritten<E>> {
        let next = change(empty).map_err(NotWritten::Refused)?;
        let written = self.store.create(next.clone()).await;
        Ok(as_loaded(next, written))
    }

    /// The same for a record that is there, given up after about six seconds.
    pub(super) async fn settle(
        &self,
        uid: &str,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, NotWritten> {
        self.write(uid, None, Patience::Brief, change).await
    }

    /// Erases the state of a record that was read.
    pub(super) async fn erase(&self, version: Version) {
        if let Err(error) = self.store.erase(version).await {
            tracing::warn!(error = %chain(&error), "a record could not be erased now");
        }
    }
}

/// Puts the pause that a failure imposed on record. What cannot be written now is written by the next look.
pub(super) async fn remember_pause(records: &Records, uid: &str, pause: Pause) {
    let change = |record: Record| Ok(record.with_bookkeeping(Bookkeeping { pause: Some(pause.clone()) }));
    if records.settle(uid, change).await.is_err() {
        tracing::warn!(uid, "the pause of a grant could not be put on record now");
    }
}

fn as_loaded(record: Record, written: Result<Version, WriteError>) -> Option<Loaded> {
    match written {
        Ok(version) => Some(Loaded { record: record.into(), version }),
        // Ordinary: it is read again, and the change is made to what stands there.
        Err(WriteError::Conflict) => None,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "a change to the record is not written yet; trying again");
            None
        }
    }
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
            remember_pause(&records, "u1", pause.clone()).await;
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
        let kept = records.write("u1", Some(&first), Patience::Endless, change).await;
        assert!(kept.unwrap().unwrap().record.candidate().is_some());
    }
}
