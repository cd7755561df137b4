//! Making an answer durable: tried until it is written or the process dies.

use std::time::Duration;

use bowline_runtime::telemetry::chain;
use tokio::time::sleep;

use super::actor::Grants;
use crate::vault::record::RecordError;
use crate::vault::{Grant, Loaded, LookupError, Record, RereadError, Spent, TransitionError};

/// The first pause between two tries of a write.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a write that may be given up is tried.
const TRIES: u32 = 6;

/// Why an answer is not on record. The refresh token it carried is lost with it, which the caller says.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A newer grant is there already.
    #[error("a newer grant is on record")]
    Superseded,
    /// The record was erased meanwhile.
    #[error("the record is gone")]
    Gone,
    /// It cannot be sealed.
    #[error(transparent)]
    Transition(TransitionError),
}

/// What is to be put on record.
pub struct Answer<'a> {
    /// The new grant.
    pub grant: &'a Grant,
    /// Under which mark it was obtained.
    pub spent: Spent,
    /// Revision of the grant that was spent.
    pub spent_revision: i64,
    /// The old grant, where it still works for a while.
    pub predecessor: Option<&'a Grant>,
}

impl Grants {
    /// Commits an answer in hand before anything else is done with it. Retries without end: it may be the only copy of a
    /// token whose predecessor is dead. Returns the new revision.
    pub(super) async fn commit(&self, loaded: Loaded, answer: Answer<'_>) -> Result<i64, CommitError> {
        let mut loaded = loaded;
        let mut pause = FIRST_PAUSE;
        loop {
            let next = self.with_answer(&loaded.record, &answer)?;
            let Err(error) = self.store.replace(loaded.version, next.clone()).await else {
                return Ok(next.revision());
            };
            tracing::warn!(error = %chain(&error), "an answer of the provider is not on record yet; trying again");
            loaded = loop {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.store.reread(&next.place().uid).await {
                    Ok(Some(fresh)) => break fresh,
                    Ok(None) => return Err(CommitError::Gone),
                    Err(RereadError::Unreadable(_)) => return Err(CommitError::Superseded),
                    Err(RereadError::Call(_)) => {}
                }
            };
            // The write whose outcome was not known had happened.
            if loaded.record.grant() == next.grant() {
                return Ok(next.revision());
            }
        }
    }

    fn with_answer(&self, record: &Record, answer: &Answer) -> Result<Record, CommitError> {
        let Answer { grant, spent, spent_revision, predecessor } = *answer;
        let commit = |spent| record.clone().committed(&self.sealer, grant, spent, predecessor);
        let overtaken = Spent::Overtaken { revision: spent_revision };
        match commit(spent) {
            Err(TransitionError::IntentLost | TransitionError::IntentStands { .. }) => commit(overtaken),
            result => result,
        }
        .map_err(|error| match error {
            TransitionError::GrantMoved => CommitError::Superseded,
            error => CommitError::Transition(error),
        })
    }

    /// Writes a change that only this actor makes, following the record when it moved. Gives up after about six seconds, and
    /// at once on a record that cannot be read: what is left undone is noticed by the next look at the record.
    pub(super) async fn settle(
        &self,
        uid: &str,
        change: impl Fn(Record) -> Result<Record, TransitionError>,
    ) -> Result<Option<Loaded>, Unsettled> {
        let mut pause = FIRST_PAUSE;
        let mut looked = match self.store.get(uid) {
            Ok(found) => Some(found),
            Err(LookupError::NotSynced) => None,
            Err(LookupError::Unreadable(error)) => return Err(Unsettled::Unreadable(error)),
        };
        for _ in 0..TRIES {
            match looked.take() {
                Some(None) => return Ok(None),
                Some(Some(loaded)) => {
                    let next = change(Record::clone(&loaded.record))?;
                    if next == *loaded.record {
                        return Ok(Some(loaded));
                    }
                    match self.store.replace(loaded.version, next.clone()).await {
                        Ok(version) => return Ok(Some(Loaded { record: next.into(), version })),
                        Err(error) => {
                            tracing::debug!(error = %chain(&error), "a change to the record is tried again");
                        }
                    }
                }
                None => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            looked = match self.store.reread(uid).await {
                Ok(found) => Some(found),
                Err(error) => may_pass(&error).map(|()| None)?,
            };
        }
        Err(Unsettled::Unreachable)
    }
}

/// Whether a live read that failed is worth another try: trying mends no record that does not parse.
fn may_pass(error: &RereadError) -> Result<(), Unsettled> {
    match error {
        RereadError::Call(_) => Ok(()),
        RereadError::Unreadable(error) => Err(Unsettled::Unreadable(*error)),
    }
}

/// Why a change was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsettled {
    /// The record is not in a state that allows it.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// There is a record, and it does not parse. It is left as it is.
    #[error(transparent)]
    Unreadable(RecordError),
    /// The API server does not take writes now.
    #[error("the API server does not take the write now")]
    Unreachable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::CallError;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(may_pass(&RereadError::Call(CallError::TimedOut)).is_ok());
        let broken = may_pass(&RereadError::Unreadable(RecordError::NoClearPart));
        assert!(matches!(broken, Err(Unsettled::Unreadable(RecordError::NoClearPart))));
    }
}
