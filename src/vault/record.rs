//! A record: everything about one connection that must change together, as one object in the store. Pure.
//!
//! The fields can be read by all and changed only through the transitions (`with_…`, `answered`, `promoted`, …), which seal,
//! count the revision and refuse an order that would lose something. Only the sealed fields are secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bowline_api::envelope;
use bowline_api::reason::Reason;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::{GrantId, IntentId, KeyId};
use super::seal::{OpenError, Place, SealPurpose, Sealer};

mod ending;
mod grant;
mod issued_keys;
mod object;
mod secret_text;
mod transition;

pub(crate) use ending::{Debt, EndCause, Ending, Withdrawal};
pub(crate) use grant::{
    Account, Binding, Consent, Credential, Grant, GrantType, Mismatch, SiblingKey, SourceVersion, Terms,
};
pub(crate) use issued_keys::{IssuedKey, IssuedKeys, KeyChangeError};
pub(super) use object::CLEAR_PART;
pub(crate) use object::{ENDING_TYPE, Kept, RECORD_TYPE, RecordError};
pub(crate) use transition::TransitionError;

/// One connection's record. New ones begin at revision 0 with nothing in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    place: Place,
    revision: i64,
    grant: Option<SlotContent>,
    grant_version: Option<GrantVersion>,
    candidate: Option<SlotContent>,
    /// The ordinal that the candidate gets as grant in use: a copy of it that is put back later has one that was used before.
    candidate_ordinal: i64,
    previous: Option<SealedField>,
    orphaned_since: Option<Timestamp>,
    sibling_key: Option<SiblingKey>,
    bookkeeping: Bookkeeping,
}

/// The two grants that a record may hold. Each is spent under an intent of its own, and both may be at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The grant whose tokens are published.
    InUse,
    /// An answer of the provider that is not judged yet.
    Candidate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotContent {
    sealed: SealedField,
    intent: Option<Intent>,
}

/// Sealed bytes, and the record's revision at which they were sealed. `Debug` shows no bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedField {
    revision: i64,
    bytes: Arc<[u8]>,
}

/// Says that a refresh token is about to be spent, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Intent {
    pub id: IntentId,
    /// Who sends the request: the operator's pod.
    pub holder: String,
    /// When it began. For people: decisions use the observer's own clock.
    pub at: Timestamp,
    pub state: IntentState,
}

/// What is known about a request without an answer on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IntentState {
    /// In progress, or its process died.
    Open,
    /// Bytes were sent and no answer was understood: the token may have been spent.
    Unknown,
}

/// Why a grant is to be revoked at the provider and then erased, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GrantEnding {
    /// Since when: revocation is given up after a limited time from here.
    pub(crate) since: Timestamp,
    pub(crate) failures: i32,
    pub(crate) not_before: Timestamp,
    /// What went wrong last, in our words; at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    /// How a person can do it instead, if the entry says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by_hand: Option<String>,
    /// What the connection had set about where its grant is sent; it may be gone when the grant is revoked.
    #[serde(default)]
    pub(crate) terms: EndTerms,
    /// Whose end it waits for. That takes as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<WaitsFor>,
    /// What became of the grants that are not here any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<RevocationResult>,
    /// What was told last in the name of a connection that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<Reason>,
}

/// What became of a grant at its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevocationResult {
    pub(crate) reason: Reason,
    /// Our own sentences, never a provider's body; may be empty.
    pub(crate) detail: String,
}

/// A connection that lives on a grant of the same account, client and authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitsFor {
    /// Its UID.
    pub(crate) uid: String,
    /// What both are grants of, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<SiblingKey>,
    /// Its owner, if that is the owner of the grant that ends too: nobody else may learn of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndTerms {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Name of the Secret with its own app registration, in its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) own_app: Option<String>,
}

/// What the operator remembers about a connection for itself. It is not in status: a status that is lost, by a restore or
/// `kubectl replace`, must change no decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bookkeeping {
    /// Set while a failure forbids using the grant. Ends with the next answer of the provider, or another grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The grant of which nothing works any more: it holds back no revocation of another. Ends with the next answer of the
    /// provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<GrantId>,
    /// Since when its connection is disconnected, while that can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnected_at: Option<Timestamp>,
    /// The probe that has worked with the grant in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_probe: Option<ProvenProbe>,
}

/// A call that the provider has answered with success for a grant. Only of such a one is a refusal believed: some calls never
/// work, because the token lacks a scope or the client may not ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvenProbe {
    pub grant: GrantId,
    /// Where it was sent.
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pause {
    pub not_before: Timestamp,
    /// The version of the app registration that it failed with: another one ends the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
}

/// Which grant, and how often it was refreshed. Two are the same only if both agree: after a loss, a restore or another
/// consent an equal revision alone means nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GrantVersion {
    pub id: GrantId,
    /// 1 for the grant as it was accepted; each refresh adds 1.
    pub revision: i64,
    /// Which grant of its connection it is, counted from 1: the later accepted one has the larger. 0 where that is not known.
    #[serde(default)]
    pub ordinal: i64,
}

/// The ordinal only orders: id and revision say what it is.
impl PartialEq for GrantVersion {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.revision) == (other.id, other.revision)
    }
}

impl Eq for GrantVersion {}

impl GrantVersion {
    /// Whether this grant is older than `known`: an earlier revision of it, or one that was accepted before it. Two grants of
    /// one ordinal cannot both follow what came before them, so the one that was known first counts.
    pub(crate) fn is_behind(self, known: Self) -> bool {
        if self.id == known.id {
            return self.revision < known.revision;
        }
        known.ordinal > 0 && self.ordinal <= known.ordinal
    }
}

/// An opened grant. Made only by [`Record::open`], so what is sent, answered or promoted is what is in the record.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The grant. Judging may complete a candidate, with the account for instance, before it is promoted.
    pub grant: Grant,
    slot: Slot,
    sealed: SealedField,
    version: Option<GrantVersion>,
}

impl Opened {
    pub(crate) const fn slot(&self) -> Slot {
        self.slot
    }

    /// The grant in use that it was opened from; `None` for a candidate.
    pub(crate) const fn version(&self) -> Option<GrantVersion> {
        self.version
    }

    /// Says which sealed bytes it was opened from.
    pub(crate) fn digest(&self) -> String {
        self.sealed.digest()
    }

    /// Whether the record still contains these very bytes. Their revision alone would say nothing: a connection's next record
    /// counts from the beginning.
    pub(crate) fn stands_on(&self, record: &Record) -> bool {
        record.sealed(self.slot) == Some(&self.sealed)
    }
}

/// Why a sealed field could not be read. What is stored stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("what opened is not a grant that this Bowline can read")]
    NotAGrant,
}

impl Record {
    /// Whether this key has sealed all it holds.
    pub(crate) fn is_sealed_with(&self, key: &KeyId) -> bool {
        let fields = [self.grant(), self.candidate(), self.previous()];
        fields.into_iter().flatten().all(|field| field.key() == Some(*key))
    }

    /// Where the record says it belongs, and where its sealed fields open. Compare it with the connection before using it.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn uid(&self) -> &str {
        &self.place.uid
    }

    /// Grows by one with each write of newly sealed bytes; two sealed fields of one name never share it.
    pub(crate) const fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn sealed(&self, slot: Slot) -> Option<&SealedField> {
        self.content(slot).map(|content| &content.sealed)
    }

    pub(crate) fn intent(&self, slot: Slot) -> Option<&Intent> {
        self.content(slot)?.intent.as_ref()
    }

    pub(crate) fn intents(&self) -> impl Iterator<Item = &Intent> {
        [Slot::InUse, Slot::Candidate].into_iter().filter_map(|slot| self.intent(slot))
    }

    pub(crate) fn grant(&self) -> Option<&SealedField> {
        self.sealed(Slot::InUse)
    }

    pub(crate) fn candidate(&self) -> Option<&SealedField> {
        self.sealed(Slot::Candidate)
    }

    pub(crate) const fn grant_version(&self) -> Option<GrantVersion> {
        self.grant_version
    }

    /// Whether the connection has a grant of which something works.
    pub(crate) fn is_alive(&self) -> bool {
        self.grant_version.is_some_and(|version| self.bookkeeping.dead != Some(version.id))
    }

    /// Whether the candidate is older than `known`: it was put back.
    pub(crate) fn is_candidate_behind(&self, known: Option<GrantVersion>) -> bool {
        self.candidate.is_some() && known.is_some_and(|known| self.candidate_ordinal <= known.ordinal)
    }

    pub(crate) const fn bookkeeping(&self) -> &Bookkeeping {
        &self.bookkeeping
    }

    pub(crate) const fn previous(&self) -> Option<&SealedField> {
        self.previous.as_ref()
    }

    pub(crate) const fn orphaned_since(&self) -> Option<Timestamp> {
        self.orphaned_since
    }

    pub(crate) fn open(&self, sealer: &Sealer, slot: Slot) -> Result<Option<Opened>, ReadError> {
        let Some(stored) = self.sealed(slot) else { return Ok(None) };
        let grant = self.unsealed(sealer, slot.purpose(), stored)?;
        let version = self.grant_version.filter(|_| slot == Slot::InUse);
        Ok(Some(Opened { grant, slot, sealed: stored.clone(), version }))
    }

    pub(crate) fn open_grant(&self, sealer: &Sealer) -> Result<Option<Grant>, ReadError> {
        Ok(self.open(sealer, Slot::InUse)?.map(|opened| opened.grant))
    }

    pub(crate) fn open_previous(&self, sealer: &Sealer) -> Result<Option<Grant>, ReadError> {
        self.previous().map(|stored| self.unsealed(sealer, SealPurpose::Previous, stored)).transpose()
    }

    fn unsealed(
        &self,
        sealer: &Sealer,
        purpose: SealPurpose,
        stored: &SealedField,
    ) -> Result<Grant, ReadError> {
        let plaintext = sealer.open(&self.place, purpose, stored.revision, &stored.bytes)?;
        Grant::from_plaintext(&plaintext).ok_or(ReadError::NotAGrant)
    }

    fn content(&self, slot: Slot) -> Option<&SlotContent> {
        match slot {
            Slot::InUse => self.grant.as_ref(),
            Slot::Candidate => self.candidate.as_ref(),
        }
    }
}

impl Slot {
    const fn purpose(self) -> SealPurpose {
        match self {
            Self::InUse => SealPurpose::Grant,
            Self::Candidate => SealPurpose::Candidate,
        }
    }
}

impl SealedField {
    pub(crate) const fn revision(&self) -> i64 {
        self.revision
    }

    fn key(&self) -> Option<KeyId> {
        envelope::key_id(&self.bytes).map(KeyId::from_bytes)
    }

    /// Says which bytes they are: no two sealings of the same text are equal.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }
}

impl fmt::Debug for SealedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedField(revision {}, {} bytes)", self.revision, self.bytes.len())
    }
}

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;
