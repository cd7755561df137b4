//! Why a record cannot go through a change.

use super::{AttemptId, NoRandomBytes, NotSerializable};
use crate::vault::seal::SealError;

/// Why a change is not possible from here. The record at hand is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// There is no grant to spend.
    #[error("the record holds no grant")]
    NoGrant,
    /// There is no candidate to judge.
    #[error("the record holds no candidate")]
    NoCandidate,
    /// An earlier answer is not judged yet; overwriting it would leave a grant at the provider that nobody knows.
    #[error("an earlier candidate is not judged yet")]
    CandidateStands,
    /// The candidate that was judged is not the one that stands now.
    #[error("another candidate took the place of the one that was judged")]
    CandidateMoved,
    /// Another attempt stands.
    #[error("attempt {attempt} stands")]
    IntentStands {
        /// That attempt.
        attempt: AttemptId,
    },
    /// The attempt does not stand any more: somebody else moved.
    #[error("the attempt does not stand any more")]
    IntentLost,
    /// The grant is not the one that was spent: a newer one is on record.
    #[error("a newer grant is on record")]
    GrantMoved,
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
