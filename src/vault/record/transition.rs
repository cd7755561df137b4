//! The changes a record may go through, each a function from record to record; none of them writes anything.
//!
//! A connection's usual way: [`Record::new`] → `with_candidate` → `promoted` → (`with_intent` → `committed`)* →
//! `with_ending` → erased by the store.

use k8s_openapi::jiff::Timestamp;

use super::{
    AttemptId, Bookkeeping, Candidate, EndReason, EndTerms, Ending, Grant, GrantId, GrantVersion, Intent,
    NoRandomBytes, Outcome, Record, SealedField, SiblingKey, TransitionError,
};
use crate::vault::seal::{Field, Place, Sealer};

/// Longest text of `Ending::last_error`, in characters.
const ERROR_LENGTH: usize = 256;

/// Under which mark an answer was obtained.
#[derive(Clone, Copy, Debug)]
pub enum Spent {
    /// Under this attempt's intent, which must still stand and is cleared.
    Marked(AttemptId),
    /// Without an intent, which only grants that survive their use may do. None may stand.
    Unmarked,
    /// Under an intent that somebody has since replaced. Right only while the grant of this revision is still on record:
    /// then an answer in hand is worth more than anybody's mark, and is kept.
    Overtaken {
        /// Revision of the grant that was spent.
        revision: i64,
    },
}

/// What an intent marks: each has its own, because both may be spent at the same time.
#[derive(Clone, Copy)]
enum Of {
    Grant,
    Candidate,
}

impl GrantVersion {
    /// That of a grant which is accepted now.
    fn accepted() -> Result<Self, NoRandomBytes> {
        Ok(Self { id: GrantId::generate()?, revision: 1 })
    }
}

impl Record {
    /// An empty record at revision 0.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            revision: 0,
            grant: None,
            grant_version: None,
            candidate: None,
            candidate_intent: None,
            previous: None,
            intent: None,
            ending: None,
            orphaned_since: None,
            sibling_key: None,
            bookkeeping: Bookkeeping::default(),
        }
    }

    /// Marks that the grant is about to be spent. Refused while any intent stands, and while the grant is being ended.
    pub fn with_intent(
        self,
        attempt: AttemptId,
        holder: &str,
        at: Timestamp,
    ) -> Result<Self, TransitionError> {
        self.unmarked(Of::Grant)?.marked(Of::Grant, attempt, holder, at, Outcome::Open)
    }

    /// Replaces an intent whose holder was watched for longer than the time to live. The outcome is unknown from the start,
    /// because the former holder may have sent its request; and the id is new, so that of two who take over one learns that
    /// it lost.
    pub fn taking_over(
        self,
        stale: AttemptId,
        attempt: AttemptId,
        holder: &str,
        at: Timestamp,
    ) -> Result<Self, TransitionError> {
        self.require_intent(Of::Grant, stale)?;
        self.marked(Of::Grant, attempt, holder, at, Outcome::Unknown)
    }

    /// Notes that this attempt's request was sent and not understood. Stays until an answer or a person decides.
    pub fn intent_unknown(self, attempt: AttemptId) -> Result<Self, TransitionError> {
        self.in_doubt(Of::Grant, attempt)
    }

    /// Takes this attempt's mark away: for an attempt that certainly spent nothing.
    pub fn without_intent(mut self, attempt: AttemptId) -> Result<Self, TransitionError> {
        self.require_intent(Of::Grant, attempt)?;
        self.intent = None;
        Ok(self)
    }

    /// Puts a refreshed grant in place: sealed, revision + 1, intent cleared, `predecessor` kept or forgotten. Also for a
    /// record whose grant is being ended: then the newer grant is the one to revoke.
    pub fn committed(
        mut self,
        sealer: &Sealer,
        answer: &Grant,
        spent: Spent,
        predecessor: Option<&Grant>,
    ) -> Result<Self, TransitionError> {
        self.may_commit(spent)?;
        self.revision = self.next_revision()?;
        self.grant = Some(self.sealed(sealer, Field::Grant, answer)?);
        self.previous = predecessor.map(|grant| self.sealed(sealer, Field::Previous, grant)).transpose()?;
        self.grant_version = Some(match self.grant_version {
            Some(version) => GrantVersion { revision: version.revision.saturating_add(1), ..version },
            None => GrantVersion::accepted()?,
        });
        self.sibling_key = SiblingKey::of(&answer.bound_to);
        self.intent = None;
        self.bookkeeping.pause = None;
        Ok(self)
    }

    /// Forgets the predecessor: the grant was confirmed, or the grace window has passed.
    #[must_use]
    pub fn without_previous(mut self) -> Self {
        self.previous = None;
        self
    }

    /// Puts the answer of an exchange on record before it is judged; revision + 1. The grant is not touched.
    pub fn with_candidate(mut self, sealer: &Sealer, answer: &Grant) -> Result<Self, TransitionError> {
        if self.ending.is_some() {
            return Err(TransitionError::Ending);
        }
        if self.candidate.is_some() {
            return Err(TransitionError::CandidateStands);
        }
        self.revision = self.next_revision()?;
        self.candidate = Some(self.sealed(sealer, Field::Candidate, answer)?);
        Ok(self)
    }

    /// Makes the judged candidate the grant; revision + 1. The old grant, its predecessor and its intent go: an attempt that
    /// is still under way learns from `IntentLost` and `GrantMoved` that its answer is not wanted any more.
    pub fn promoted(mut self, sealer: &Sealer, judged: &Candidate) -> Result<Self, TransitionError> {
        if self.ending.is_some() {
            return Err(TransitionError::Ending);
        }
        self.require_candidate(judged)?;
        self.candidate = None;
        self.candidate_intent = None;
        self.revision = self.next_revision()?;
        self.grant = Some(self.sealed(sealer, Field::Grant, &judged.grant)?);
        self.grant_version = Some(GrantVersion::accepted()?);
        self.sibling_key = SiblingKey::of(&judged.grant.bound_to);
        self.previous = None;
        self.intent = None;
        self.bookkeeping.pause = None;
        Ok(self)
    }

    /// Puts the same grant in place with what its owner agreed to since; revision + 1. A mark that stands goes on standing for it.
    pub fn agreed(mut self, sealer: &Sealer, grant: &Grant) -> Result<Self, TransitionError> {
        if self.ending.is_some() {
            return Err(TransitionError::Ending);
        }
        if self.grant.is_none() {
            return Err(TransitionError::NoGrant);
        }
        self.revision = self.next_revision()?;
        self.grant = Some(self.sealed(sealer, Field::Grant, grant)?);
        if let Some(intent) = &mut self.intent {
            intent.revision = self.revision;
        }
        Ok(self)
    }

    /// Erases a candidate that was judged and refused. Not while the grant is being ended: then it goes the same way, because
    /// nobody has said yet what became of it at the provider.
    pub fn candidate_refused(mut self) -> Result<Self, TransitionError> {
        if self.ending.is_some() {
            return Err(TransitionError::Ending);
        }
        self.candidate_intent = None;
        self.candidate.take().map(|_| self).ok_or(TransitionError::NoCandidate)
    }

    /// Marks that the candidate's refresh token is about to be spent, to prove it. Refused while such a mark stands, and while
    /// the grant is being ended. The grant and its own mark are not touched.
    pub fn with_candidate_intent(
        self,
        attempt: AttemptId,
        holder: &str,
        at: Timestamp,
    ) -> Result<Self, TransitionError> {
        self.unmarked(Of::Candidate)?.marked(Of::Candidate, attempt, holder, at, Outcome::Open)
    }

    /// Replaces a mark on the candidate whose holder was watched for longer than the time to live: see [`Record::taking_over`].
    pub fn taking_over_candidate(
        self,
        stale: AttemptId,
        attempt: AttemptId,
        holder: &str,
        at: Timestamp,
    ) -> Result<Self, TransitionError> {
        self.require_intent(Of::Candidate, stale)?;
        self.marked(Of::Candidate, attempt, holder, at, Outcome::Unknown)
    }

    /// Notes that this attempt on the candidate was sent and not understood.
    pub fn candidate_unknown(self, attempt: AttemptId) -> Result<Self, TransitionError> {
        self.in_doubt(Of::Candidate, attempt)
    }

    /// Takes this attempt's mark off the candidate: for an attempt that certainly spent nothing.
    pub fn without_candidate_intent(mut self, attempt: AttemptId) -> Result<Self, TransitionError> {
        self.require_intent(Of::Candidate, attempt)?;
        self.candidate_intent = None;
        Ok(self)
    }

    /// Puts what the provider gave for the candidate in its place; revision + 1, its mark cleared. Whoever's mark stands: an
    /// answer in hand is worth more, as long as it answers this very candidate. Also for a record whose grant is being ended:
    /// then the answer is what is to be revoked.
    pub fn candidate_answered(
        mut self,
        sealer: &Sealer,
        spent: &Candidate,
        answer: &Grant,
    ) -> Result<Self, TransitionError> {
        self.require_candidate(spent)?;
        self.revision = self.next_revision()?;
        self.candidate = Some(self.sealed(sealer, Field::Candidate, answer)?);
        self.candidate_intent = None;
        Ok(self)
    }

    /// Marks the grant, and a candidate beside it, to be revoked and erased. An attempt under way may still commit. A record
    /// that is ending already keeps its times; being deleted outweighs the other reasons.
    #[must_use]
    pub fn with_ending(mut self, reason: EndReason, now: Timestamp, terms: EndTerms) -> Self {
        self.ending = Some(match self.ending {
            None => Ending { reason, since: now, attempts: 0, next_attempt_at: now, last_error: None, terms },
            Some(ending) if reason == EndReason::Deleted => Ending { reason, ..ending },
            Some(ending) => ending,
        });
        self
    }

    /// Counts a failed revocation. `error` is our own wording, never a provider's body; it is cut to 256 characters.
    pub fn ending_postponed(
        mut self,
        next_attempt_at: Timestamp,
        error: &str,
    ) -> Result<Self, TransitionError> {
        let ending = self.ending.as_mut().ok_or(TransitionError::NotEnding)?;
        ending.attempts = ending.attempts.saturating_add(1);
        ending.next_attempt_at = next_attempt_at;
        ending.last_error = Some(error.chars().take(ERROR_LENGTH).collect());
        Ok(self)
    }

    /// Erases what was being ended, so that the same connection can be connected again; the revision goes on counting. Say
    /// so to the owner if the revocation had not succeeded. A deleted connection has no second start.
    pub fn restarted(self) -> Result<Self, TransitionError> {
        match &self.ending {
            None => Err(TransitionError::NotEnding),
            Some(Ending { reason: EndReason::Deleted, .. }) => Err(TransitionError::Ending),
            Some(_) => Ok(Self { revision: self.revision, ..Self::new(self.place) }),
        }
    }

    /// Notes that no connection with this UID is known; an earlier note keeps its time.
    #[must_use]
    pub fn orphaned(mut self, now: Timestamp) -> Self {
        self.orphaned_since.get_or_insert(now);
        self
    }

    /// Takes the note of [`Record::orphaned`] away: the connection is there.
    #[must_use]
    pub fn claimed(mut self) -> Self {
        self.orphaned_since = None;
        self
    }

    /// Puts in what the operator remembers for itself.
    #[must_use]
    pub fn with_bookkeeping(self, bookkeeping: Bookkeeping) -> Self {
        Self { bookkeeping, ..self }
    }

    /// Its intent, to be changed.
    fn slot(&mut self, of: Of) -> &mut Option<Intent> {
        match of {
            Of::Grant => &mut self.intent,
            Of::Candidate => &mut self.candidate_intent,
        }
    }

    fn unmarked(mut self, of: Of) -> Result<Self, TransitionError> {
        match self.slot(of) {
            Some(Intent { attempt, .. }) => Err(TransitionError::IntentStands { attempt: *attempt }),
            None => Ok(self),
        }
    }

    fn marked(
        mut self,
        of: Of,
        attempt: AttemptId,
        holder: &str,
        at: Timestamp,
        outcome: Outcome,
    ) -> Result<Self, TransitionError> {
        if self.ending.is_some() {
            return Err(TransitionError::Ending);
        }
        let (spent, missing) = match of {
            Of::Grant => (&self.grant, TransitionError::NoGrant),
            Of::Candidate => (&self.candidate, TransitionError::NoCandidate),
        };
        let revision = spent.as_ref().ok_or(missing)?.revision;
        *self.slot(of) = Some(Intent { attempt, revision, holder: holder.to_owned(), at, outcome });
        Ok(self)
    }

    fn in_doubt(mut self, of: Of, attempt: AttemptId) -> Result<Self, TransitionError> {
        let intent = self.slot(of).as_mut().filter(|intent| intent.attempt == attempt);
        intent.ok_or(TransitionError::IntentLost)?.outcome = Outcome::Unknown;
        Ok(self)
    }

    fn require_candidate(&self, judged: &Candidate) -> Result<(), TransitionError> {
        match &self.candidate {
            None => Err(TransitionError::NoCandidate),
            Some(_) if judged.stands_on(self) => Ok(()),
            Some(_) => Err(TransitionError::CandidateMoved),
        }
    }

    fn require_intent(&self, of: Of, attempt: AttemptId) -> Result<(), TransitionError> {
        let intent = match of {
            Of::Grant => &self.intent,
            Of::Candidate => &self.candidate_intent,
        };
        match intent {
            Some(intent) if intent.attempt == attempt => Ok(()),
            _ => Err(TransitionError::IntentLost),
        }
    }

    fn may_commit(&self, spent: Spent) -> Result<(), TransitionError> {
        let grant_revision = self.grant.as_ref().map(SealedField::revision);
        match (spent, &self.intent) {
            (Spent::Marked(attempt), _) => self.require_intent(Of::Grant, attempt),
            (Spent::Unmarked, Some(Intent { attempt, .. })) => {
                Err(TransitionError::IntentStands { attempt: *attempt })
            }
            (Spent::Unmarked, None) => Ok(()),
            (Spent::Overtaken { revision }, _) if grant_revision == Some(revision) => Ok(()),
            (Spent::Overtaken { .. }, _) => Err(TransitionError::GrantMoved),
        }
    }

    fn next_revision(&self) -> Result<i64, TransitionError> {
        self.revision.checked_add(1).ok_or(TransitionError::RevisionExhausted)
    }

    /// Seals for this record at its revision, which the caller has just counted up.
    fn sealed(&self, sealer: &Sealer, field: Field, grant: &Grant) -> Result<SealedField, TransitionError> {
        let plaintext = grant.to_plaintext()?;
        let bytes = sealer.seal(&self.place, field, self.revision, &plaintext)?;
        Ok(SealedField { revision: self.revision, bytes: bytes.into() })
    }
}
