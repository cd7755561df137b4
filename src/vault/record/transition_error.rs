//! Why a record cannot go through a change.

use super::{IntentId, NoRandomBytes, NotSerializable, Slot};
use crate::vault::seal::SealError;

/// Why a change is not possible from here. The record at hand is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransitionError {
    /// There is nothing to spend, judge or refuse.
    #[error("the record holds no {}", match .0 { Slot::InUse => "grant", Slot::Candidate => "candidate" })]
    Empty(Slot),
    /// What was spent or judged is not on record any more: another grant has replaced it.
    #[error("another grant has replaced the one that was spent or judged")]
    Replaced,
    /// An earlier answer is not judged yet; overwriting it would leave a grant at the provider that nobody knows.
    #[error("an earlier candidate is not judged yet")]
    CandidateStands,
    /// Another intent stands.
    #[error("intent {0} stands")]
    IntentStands(IntentId),
    /// The intent does not stand any more: another process has replaced it.
    #[error("the intent does not stand any more")]
    IntentLost,
    /// The record's grant is being ended.
    #[error("the grant is being ended")]
    Ending,
    /// The record's grant is not being ended.
    #[error("the grant is not being ended")]
    NotEnding,
    /// The revision cannot grow any more.
    #[error("the record's revision cannot grow any more")]
    RevisionExhausted,
    /// The bytes could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The grant could not be named.
    #[error(transparent)]
    NoRandomBytes(#[from] NoRandomBytes),
    /// The grant could not be written.
    #[error(transparent)]
    NotSerializable(#[from] NotSerializable),
}
