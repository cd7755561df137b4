//! A record: everything about one connection that must change together, as one object in the store. Pure.
//!
//! The fields can be read by all and changed only through the transitions (`with_…`, `committed`, `promoted`, …), which seal, count the
//! revision and refuse an order that would lose something. Only the three sealed fields are secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::Generate;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::framing::unhex;
use super::seal::{Field, OpenError, Place, Sealer};

mod grant;
mod object;
mod secret_text;
mod transition;

pub use grant::{
    Account, Binding, Consent, Credential, Grant, NotAGrant, NotASiblingKey, NotSerializable, SiblingKey,
    SourceVersion, Way,
};
pub(super) use object::uid_in_name;
pub use object::{MANAGED_BY, RECORD_TYPE, RecordError, label, record_name};
pub use transition::{Spent, TransitionError};

/// One connection's record. New ones begin at revision 0 with nothing in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    place: Place,
    revision: i64,
    grant: Option<SealedField>,
    candidate: Option<SealedField>,
    candidate_intent: Option<Intent>,
    previous: Option<SealedField>,
    intent: Option<Intent>,
    ending: Option<Ending>,
    orphaned_since: Option<Timestamp>,
    sibling_key: Option<SiblingKey>,
}

/// Sealed bytes, and the record's revision at which they were sealed. `Debug` shows no bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedField {
    revision: i64,
    bytes: Arc<[u8]>,
}

/// The mark that a refresh token is about to be spent, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Tells one attempt from all others.
    pub attempt: AttemptId,
    /// Revision of the grant or candidate that it spends.
    pub revision: i64,
    /// Who makes the attempt: the operator's pod.
    pub holder: String,
    /// When it began. For people: decisions use the observer's own clock.
    pub at: Timestamp,
    /// What is known about it.
    pub outcome: Outcome,
}

/// What is known about an attempt that has no answer on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Under way, or its process died.
    Open,
    /// Bytes were sent and no answer was understood: the token may be spent.
    Unknown,
}

/// A grant that is to be revoked at the provider and then erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// Since when: revocation is given up a bounded time after this.
    pub since: Timestamp,
    /// Revocations tried so far.
    pub attempts: i32,
    /// No attempt before this.
    pub next_attempt_at: Timestamp,
    /// What went wrong last, in our words; at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What the connection itself had set about where its grant is sent; it may be gone when the grant is revoked.
    #[serde(default)]
    pub terms: EndTerms,
}

/// What a connection sets about where its grant is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndTerms {
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Name of the Secret with its own app registration, in its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_app: Option<String>,
}

/// Why a grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The owner asked for it; the connection stays and may be connected again.
    Disconnected,
    /// The connection was deleted.
    Deleted,
    /// The connection is another's now: its former owner's grant does not travel.
    Replaced,
}

/// 128 random bits that name one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId([u8; 16]);

/// The operating system gave no random bytes, so there is no attempt id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes for an attempt id")]
pub struct NoAttemptId;

/// A text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an attempt id is 32 lower-case hexadecimal digits")]
pub struct NotAnAttemptId;

impl AttemptId {
    /// An id nobody has.
    pub fn generate() -> Result<Self, NoAttemptId> {
        <[u8; 16]>::try_generate().map(Self).map_err(|_| NoAttemptId)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for AttemptId {
    type Error = NotAnAttemptId;

    fn try_from(text: String) -> Result<Self, NotAnAttemptId> {
        unhex(&text).map(Self).ok_or(NotAnAttemptId)
    }
}

impl From<AttemptId> for String {
    fn from(attempt: AttemptId) -> Self {
        attempt.to_string()
    }
}

/// An opened candidate. Made only by [`Record::open_candidate`], so only what stands in the record can be promoted.
#[derive(Debug)]
pub struct Candidate {
    /// The answer. Judging may complete it, with the account for instance, before it is promoted.
    pub grant: Grant,
    revision: i64,
}

/// How a candidate came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody had it and brought it, in an intake or credentials Secret.
    Brought,
    /// The provider gave it to us, for a consent that we asked for.
    Consented,
}

impl Candidate {
    /// How it came to us.
    pub fn origin(&self) -> Origin {
        if self.grant.consent.is_ours() { Origin::Consented } else { Origin::Brought }
    }

    /// Whether it is the one that stands on this record.
    pub fn stands_on(&self, record: &Record) -> bool {
        record.candidate().is_some_and(|standing| standing.revision == self.revision)
    }
}

/// Why a sealed field could not be read. What is stored stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It opened, and is no grant.
    #[error(transparent)]
    NotAGrant(#[from] NotAGrant),
}

impl Record {
    /// Where the record says it belongs, and where its sealed fields open. Compare with the connection before believing it.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// UID of the connection.
    pub fn uid(&self) -> &str {
        &self.place.uid
    }

    /// Grows by one with each write of newly sealed bytes; no two sealed fields of one name share it.
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The sealed grant.
    pub const fn grant(&self) -> Option<&SealedField> {
        self.grant.as_ref()
    }

    /// The sealed candidate.
    pub const fn candidate(&self) -> Option<&SealedField> {
        self.candidate.as_ref()
    }

    /// The attempt on the candidate's refresh token that stands.
    pub const fn candidate_intent(&self) -> Option<&Intent> {
        self.candidate_intent.as_ref()
    }

    /// Every attempt that stands.
    pub fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.intent.iter().chain(&self.candidate_intent)
    }

    /// The sealed predecessor of the grant.
    pub const fn previous(&self) -> Option<&SealedField> {
        self.previous.as_ref()
    }

    /// The attempt on the grant that stands.
    pub const fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Set while the grant waits for its revocation.
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Since when no connection with this UID is known.
    pub const fn orphaned_since(&self) -> Option<Timestamp> {
        self.orphaned_since
    }

    /// Set while a grant of a known account is held.
    pub const fn sibling_key(&self) -> Option<&SiblingKey> {
        self.sibling_key.as_ref()
    }

    /// Opens the grant; `None` if there is none.
    pub fn open_grant(&self, sealer: &Sealer) -> Result<Option<Grant>, ReadError> {
        self.open(sealer, Field::Grant, self.grant())
    }

    /// Opens the candidate; `None` if there is none.
    pub fn open_candidate(&self, sealer: &Sealer) -> Result<Option<Candidate>, ReadError> {
        let revision = self.candidate().map(SealedField::revision);
        let grant = self.open(sealer, Field::Candidate, self.candidate())?;
        Ok(revision.zip(grant).map(|(revision, grant)| Candidate { grant, revision }))
    }

    /// Opens the predecessor of the grant; `None` if none is kept.
    pub fn open_previous(&self, sealer: &Sealer) -> Result<Option<Grant>, ReadError> {
        self.open(sealer, Field::Previous, self.previous())
    }

    fn open(
        &self,
        sealer: &Sealer,
        field: Field,
        stored: Option<&SealedField>,
    ) -> Result<Option<Grant>, ReadError> {
        let Some(stored) = stored else { return Ok(None) };
        let plaintext = sealer.open(&self.place, field, stored.revision, &stored.bytes)?;
        Ok(Some(Grant::from_plaintext(&plaintext)?))
    }
}

impl SealedField {
    /// The record's revision when this was sealed.
    pub const fn revision(&self) -> i64 {
        self.revision
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
