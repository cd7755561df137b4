//! The possible changes of a record, each a function from record to record; none of them writes anything.
//!
//! The usual sequence for a connection: [`Record::new`] → `with_candidate` → `promoted` → (`with_intent` → `answered`)* →
//! [`super::Ending::of`] → erased by the store.

use k8s_openapi::jiff::Timestamp;

use super::{
    Bookkeeping, Grant, GrantId, GrantVersion, Intent, IntentId, IntentState, Opened, Record, SealedField,
    SiblingKey, Slot, SlotContent,
};
use crate::vault::seal::{Place, SealError, SealPurpose, Sealer};

/// Why a change is not possible. The given record is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransitionError {
    #[error("the record holds no {}", match .0 { Slot::InUse => "grant", Slot::Candidate => "candidate" })]
    Empty(Slot),
    #[error("another grant has replaced the one that was spent or judged")]
    Replaced,
    /// An earlier answer is not judged yet; overwriting it would leave a grant at the provider that nobody knows.
    #[error("an earlier candidate is not judged yet")]
    CandidateStands,
    #[error("intent {0} stands")]
    IntentStands(IntentId),
    /// The intent is gone: another process has replaced it.
    #[error("the intent does not stand any more")]
    IntentLost,
    #[error("the connection is gone, or no longer wants a grant")]
    Unwanted,
    #[error("the record's revision cannot grow any more")]
    RevisionExhausted,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the grant cannot be written as JSON")]
    NotSerializable,
    #[error("what is sealed in the record cannot be opened")]
    Unreadable,
}

impl GrantVersion {
    /// A grant that is accepted after every one whose ordinal is given.
    fn accepted(after: impl IntoIterator<Item = Self>) -> Result<Self, SealError> {
        Ok(Self { id: GrantId::generate()?, revision: 1, ordinal: next_ordinal(after) })
    }

    fn refreshed(self) -> Self {
        Self { revision: self.revision.saturating_add(1), ..self }
    }
}

fn next_ordinal(after: impl IntoIterator<Item = GrantVersion>) -> i64 {
    let last = after.into_iter().map(|known| known.ordinal).max().unwrap_or_default();
    last.saturating_add(1)
}

impl Record {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            revision: 0,
            grant: None,
            grant_version: None,
            candidate: None,
            candidate_ordinal: 0,
            previous: None,
            orphaned_since: None,
            sibling_key: None,
            bookkeeping: Bookkeeping::default(),
        }
    }

    /// Notes that a slot's refresh token is about to be spent. Refused while another intent than `replaces` stands on it. The
    /// other slot is not touched.
    ///
    /// `replaces` is an intent that was watched for longer than its time to live. Then the outcome is unknown from the
    /// start, because the former holder may have sent its request. The id is new, so that of two processes that take over,
    /// one learns that it lost.
    pub(crate) fn with_intent(
        mut self,
        slot: Slot,
        replaces: Option<IntentId>,
        id: IntentId,
        holder: &str,
        at: Timestamp,
    ) -> Result<Self, TransitionError> {
        let state = match (self.intent(slot), replaces) {
            (None, None) => IntentState::Open,
            (Some(standing), None) => return Err(TransitionError::IntentStands(standing.id)),
            (_, Some(stale)) => self.own_intent(slot, stale).map(|_| IntentState::Unknown)?,
        };
        self.filled(slot)?.intent = Some(Intent { id, holder: holder.to_owned(), at, state });
        Ok(self)
    }

    /// Notes that this request was sent and not understood. Stays until an answer or a person decides.
    pub(crate) fn intent_unknown(mut self, slot: Slot, id: IntentId) -> Result<Self, TransitionError> {
        let intent = self.own_intent(slot, id)?.clone();
        self.filled(slot)?.intent = Some(Intent { state: IntentState::Unknown, ..intent });
        Ok(self)
    }

    /// Clears the intent of a request that certainly spent nothing.
    pub(crate) fn without_intent(mut self, slot: Slot, id: IntentId) -> Result<Self, TransitionError> {
        self.own_intent(slot, id)?;
        self.filled(slot)?.intent = None;
        Ok(self)
    }

    /// Puts what the provider issued for `spent` in its place: sealed, revision + 1, the intent cleared. An answer counts
    /// more than any intent: it is accepted while what was spent is still on record, or while the intent it was sent under
    /// is there.
    ///
    /// `predecessor` is the grant that still works for a while beside a refreshed one; an earlier predecessor is forgotten.
    pub(crate) fn answered(
        mut self,
        sealer: &Sealer,
        spent: &Opened,
        sent_under: Option<IntentId>,
        answer: &Grant,
        predecessor: Option<&Grant>,
    ) -> Result<Self, TransitionError> {
        let slot = spent.slot();
        let is_ours = sent_under.is_some_and(|id| self.own_intent(slot, id).is_ok());
        if !is_ours && !spent.stands_on(&self) {
            return Err(TransitionError::Replaced);
        }
        let content = self.resealed(sealer, slot, answer)?;
        match slot {
            Slot::Candidate => self.candidate = Some(content),
            Slot::InUse => {
                let version = self.grant_version.map(GrantVersion::refreshed);
                self.put_in_use(content, version, answer);
                self.previous =
                    predecessor.map(|grant| self.seal(sealer, SealPurpose::Previous, grant)).transpose()?;
            }
        }
        Ok(self)
    }

    /// Stores a token that was minted from the app registration; revision + 1. It is the same grant as before as long as
    /// owner, authority and client are the same, and `known`, the newest that was ever published, is not newer.
    pub(crate) fn minted(
        mut self,
        sealer: &Sealer,
        answer: &Grant,
        known: Option<GrantVersion>,
    ) -> Result<Self, TransitionError> {
        let before = self.open_grant(sealer).ok().flatten();
        let is_same = before.is_some_and(|old| old.bound_to == answer.bound_to);
        let version = match self.grant_version {
            Some(version) if is_same && !known.is_some_and(|known| version.is_behind(known)) => {
                version.refreshed()
            }
            version => GrantVersion::accepted(version.into_iter().chain(known))?,
        };
        let content = self.resealed(sealer, Slot::InUse, answer)?;
        self.put_in_use(content, Some(version), answer);
        Ok(self)
    }

    /// Forgets the predecessor: its grace window has passed.
    #[must_use]
    pub(crate) fn without_previous(self) -> Self {
        Self { previous: None, ..self }
    }

    /// Puts the answer of an exchange on record before it is judged; revision + 1. The grant is not changed.
    pub(crate) fn with_candidate(mut self, sealer: &Sealer, answer: &Grant) -> Result<Self, TransitionError> {
        if self.candidate.is_some() {
            return Err(TransitionError::CandidateStands);
        }
        self.candidate = Some(self.resealed(sealer, Slot::Candidate, answer)?);
        self.candidate_ordinal = next_ordinal(self.grant_version);
        Ok(self)
    }

    /// Notes that the candidate was accepted after `known`, the newest grant that was ever published.
    #[must_use]
    pub(crate) fn with_candidate_after(mut self, known: Option<GrantVersion>) -> Self {
        self.candidate_ordinal = self.candidate_ordinal.max(next_ordinal(known));
        self
    }

    /// Makes the judged candidate the grant; revision + 1. The old grant, its predecessor and its intent are removed: the
    /// answer to a request that is still in progress is refused as [`TransitionError::Replaced`]. It is newer than `known`, the
    /// newest grant that was ever published.
    pub(crate) fn promoted(
        mut self,
        sealer: &Sealer,
        judged: &Opened,
        known: Option<GrantVersion>,
    ) -> Result<Self, TransitionError> {
        self.sealed(Slot::Candidate).ok_or(TransitionError::Empty(Slot::Candidate))?;
        if judged.slot() != Slot::Candidate || !judged.stands_on(&self) {
            return Err(TransitionError::Replaced);
        }
        self.candidate = None;
        let content = self.resealed(sealer, Slot::InUse, &judged.grant)?;
        let version = GrantVersion::accepted(self.grant_version.into_iter().chain(known))?;
        self.put_in_use(content, Some(version), &judged.grant);
        Ok(self)
    }

    /// Stores the same grant with what its owner has confirmed since; revision + 1. An intent stays.
    pub(crate) fn agreed(mut self, sealer: &Sealer, grant: &Grant) -> Result<Self, TransitionError> {
        let content = self.resealed(sealer, Slot::InUse, grant)?;
        self.filled(Slot::InUse)?.sealed = content.sealed;
        Ok(self)
    }

    /// Stores the candidate with what judging has found out about it; revision + 1. An intent stays.
    pub(crate) fn with_judged(mut self, sealer: &Sealer, grant: &Grant) -> Result<Self, TransitionError> {
        let content = self.resealed(sealer, Slot::Candidate, grant)?;
        self.filled(Slot::Candidate)?.sealed = content.sealed;
        Ok(self)
    }

    /// Erases a candidate that was judged and refused.
    pub(crate) fn candidate_refused(mut self) -> Result<Self, TransitionError> {
        self.candidate.take().map(|_| self).ok_or(TransitionError::Empty(Slot::Candidate))
    }

    /// Seals all it holds again, with the primary key and for this place; revision + 1. Intents stay: what they say of the refresh
    /// token is as true as before.
    pub(crate) fn sealed_again(mut self, sealer: &Sealer, place: Place) -> Result<Self, TransitionError> {
        let opened = |slot| match self.open(sealer, slot) {
            Ok(opened) => Ok(opened.map(|opened| opened.grant)),
            Err(_) => Err(TransitionError::Unreadable),
        };
        let held = [(Slot::InUse, opened(Slot::InUse)?), (Slot::Candidate, opened(Slot::Candidate)?)];
        let previous = self.open_previous(sealer).map_err(|_| TransitionError::Unreadable)?;
        self.place = place;
        self.revision = self.revision.checked_add(1).ok_or(TransitionError::RevisionExhausted)?;
        for (slot, grant) in held {
            if let Some(grant) = grant {
                self.filled(slot)?.sealed = self.seal(sealer, slot.purpose(), &grant)?;
            }
        }
        self.previous = previous.map(|grant| self.seal(sealer, SealPurpose::Previous, &grant)).transpose()?;
        Ok(self)
    }

    /// Notes that no connection with this UID is known; an earlier note keeps its time.
    #[must_use]
    pub(crate) fn orphaned(mut self, now: Timestamp) -> Self {
        self.orphaned_since.get_or_insert(now);
        self
    }

    /// Removes the note of [`Record::orphaned`]: the connection exists.
    #[must_use]
    pub(crate) fn claimed(self) -> Self {
        Self { orphaned_since: None, ..self }
    }

    #[must_use]
    pub(crate) fn with_bookkeeping(self, bookkeeping: Bookkeeping) -> Self {
        Self { bookkeeping, ..self }
    }

    /// Forgets what a slot holds, and what belongs to it.
    pub(super) fn empty(&mut self, slot: Slot) {
        match slot {
            Slot::Candidate => self.candidate = None,
            Slot::InUse => {
                (self.grant, self.grant_version, self.sibling_key) = (None, None, None);
                self.previous = None;
            }
        }
    }

    fn filled(&mut self, slot: Slot) -> Result<&mut SlotContent, TransitionError> {
        let content = match slot {
            Slot::InUse => &mut self.grant,
            Slot::Candidate => &mut self.candidate,
        };
        content.as_mut().ok_or(TransitionError::Empty(slot))
    }

    fn own_intent(&self, slot: Slot, id: IntentId) -> Result<&Intent, TransitionError> {
        self.intent(slot).filter(|intent| intent.id == id).ok_or(TransitionError::IntentLost)
    }

    /// Puts a grant where tokens are published from. Removes the predecessor, a pause, and the note that nothing works.
    fn put_in_use(&mut self, content: SlotContent, version: Option<GrantVersion>, grant: &Grant) {
        self.grant = Some(content);
        self.grant_version = version;
        self.sibling_key = SiblingKey::of(&grant.bound_to);
        self.previous = None;
        (self.bookkeeping.pause, self.bookkeeping.dead) = (None, None);
    }

    /// Increments the revision and seals the new content of a slot, without an intent.
    fn resealed(
        &mut self,
        sealer: &Sealer,
        slot: Slot,
        grant: &Grant,
    ) -> Result<SlotContent, TransitionError> {
        self.revision = self.revision.checked_add(1).ok_or(TransitionError::RevisionExhausted)?;
        Ok(SlotContent { sealed: self.seal(sealer, slot.purpose(), grant)?, intent: None })
    }

    /// Seals for this record at its revision, which the caller has just incremented.
    fn seal(
        &self,
        sealer: &Sealer,
        purpose: SealPurpose,
        grant: &Grant,
    ) -> Result<SealedField, TransitionError> {
        let plaintext = grant.to_plaintext().map_err(|_| TransitionError::NotSerializable)?;
        let bytes = sealer.seal(&self.place, purpose, self.revision, &plaintext)?;
        Ok(SealedField { revision: self.revision, bytes: bytes.into() })
    }
}
