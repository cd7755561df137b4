//! A grant that is being ended, apart from the connection it came from, which may be connected again meanwhile.

use bowline_api::reason::Reason;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    EndTerms, Grant, GrantEnding, IntentId, Opened, Record, RevocationResult, Slot, TransitionError, WaitsFor,
};
use crate::vault::seal::Sealer;

/// Longest text of `GrantEnding::last_error`, in characters.
const ERROR_LENGTH: usize = 256;

/// What was in a connection's record when it ended: to be revoked at the provider, then erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Names its Secret: of one record, several grants may end.
    key: String,
    /// UID of the Secret of the record that it came from.
    record_object: String,
    cause: EndCause,
    record: Record,
    progress: GrantEnding,
    withdrawal: Withdrawal,
}

/// Why a grant ends, and so what shows that it has moved into its ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum EndCause {
    /// Its connection was disconnected or deleted: the record's Secret is gone.
    #[default]
    Ended,
    /// Another grant replaced it: the record is there, and has another grant in use.
    Replaced,
    /// It was a candidate that was refused, or gave way to another before it was judged: the record is there, without the
    /// candidate that was sealed at this revision.
    Refused { sealed_at: i64 },
}

/// Published Secrets that could not be removed when the connection went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Withdrawal {
    pub(crate) debts: Vec<Debt>,
    /// Whether the connection is going and its Secrets are being removed: what is left is not known yet.
    #[serde(default)]
    pub(crate) is_open: bool,
    #[serde(default)]
    pub(crate) failures: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<Timestamp>,
}

impl Withdrawal {
    /// The Secrets of a connection that goes are about to be removed.
    pub(crate) fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// Whether nothing is left to be removed.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_open && self.debts.is_empty()
    }
}

/// One such Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Debt {
    pub(crate) namespace: String,
    pub(crate) secret: String,
    /// UID of the connection or share that controls it.
    pub(crate) owner: String,
    /// UID of the Secret, if we know what we wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) written: Option<String>,
}

/// An ending in `record.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndingPart {
    record_object: String,
    /// Absent where it is `record_object`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default)]
    cause: EndCause,
    #[serde(flatten)]
    progress: GrantEnding,
    #[serde(default)]
    withdrawal: Withdrawal,
}

impl GrantEnding {
    fn new(now: Timestamp, terms: EndTerms) -> Self {
        let (last_error, by_hand) = (None, None);
        let (waits, result, told) = (None, None, None);
        Self { since: now, failures: 0, not_before: now, last_error, by_hand, terms, waits, result, told }
    }
}

impl RevocationResult {
    /// Of two grants that ended together: what somebody has to know counts first.
    fn and(self, other: Option<Self>) -> Self {
        let weight = |result: &Self| match result.reason {
            Reason::AlreadyRevoked => 0,
            Reason::Revoked => 1,
            _ => 2,
        };
        match other {
            Some(other) if weight(&other) > weight(&self) => other,
            _ => self,
        }
    }
}

impl Ending {
    /// The end of everything in a record, whose Secret has this UID.
    pub(crate) fn of(record: Record, record_object: &str, now: Timestamp, terms: EndTerms) -> Self {
        Self {
            key: record_object.to_owned(),
            record_object: record_object.to_owned(),
            cause: EndCause::Ended,
            record,
            progress: GrantEnding::new(now, terms),
            withdrawal: Withdrawal::default(),
        }
    }

    /// The end of the grant in use, or of the candidate that was sealed at this revision, which its record is about to lose.
    /// Nothing is done before `not_before`.
    pub(crate) fn beside(
        mut record: Record,
        (slot, sealed_at): (Slot, i64),
        record_object: &str,
        not_before: Timestamp,
        terms: EndTerms,
    ) -> Self {
        let (cause, other) = match slot {
            Slot::InUse => (EndCause::Replaced, Slot::Candidate),
            Slot::Candidate => (EndCause::Refused { sealed_at }, Slot::InUse),
        };
        record.empty(other);
        let key = format!("{record_object}-{sealed_at}");
        Self { key, cause, ..Self::of(record, record_object, not_before, terms) }
    }

    /// Names its Secret.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) const fn cause(&self) -> EndCause {
        self.cause
    }

    /// Whether the record, whose Secret is there, still has the grant: then it may be in use.
    pub(crate) fn is_still_in(&self, record: &Record) -> bool {
        let id = |record: &Record| record.grant_version().map(|version| version.id);
        match self.cause {
            EndCause::Ended => true,
            EndCause::Replaced => id(record).is_some() && id(record) == id(&self.record),
            EndCause::Refused { sealed_at } => {
                record.candidate().is_some_and(|candidate| candidate.revision() == sealed_at)
            }
        }
    }

    /// UID of the Secret that the record was in.
    pub(crate) fn record_object(&self) -> &str {
        &self.record_object
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) const fn progress(&self) -> &GrantEnding {
        &self.progress
    }

    pub(crate) const fn withdrawal(&self) -> &Withdrawal {
        &self.withdrawal
    }

    /// Whether something is left to be revoked.
    pub(crate) fn has_grant(&self) -> bool {
        self.record.grant().is_some() || self.record.candidate().is_some()
    }

    /// The same ending of what the record holds by now: an answer came before the record was erased.
    #[must_use]
    pub(crate) fn with_record(self, record: Record) -> Self {
        Self { record, ..self }
    }

    /// [`Record::answered`], for a request that was in progress when the grant ended: the answer is what will be revoked.
    pub(crate) fn answered(
        self,
        sealer: &Sealer,
        spent: &Opened,
        sent_under: Option<IntentId>,
        answer: &Grant,
    ) -> Result<Self, TransitionError> {
        let record = self.record.answered(sealer, spent, sent_under, answer, None)?;
        Ok(Self { record, ..self })
    }

    /// Counts a failed revocation. `error` is our own text, never a provider's body; it is cut to 256 characters. `by_hand` is
    /// how a person can do it.
    #[must_use]
    pub(crate) fn postponed(mut self, not_before: Timestamp, error: &str, by_hand: Option<&str>) -> Self {
        self.progress.failures = self.progress.failures.saturating_add(1);
        self.progress.not_before = not_before;
        self.progress.last_error = Some(error.chars().take(ERROR_LENGTH).collect());
        self.progress.by_hand = by_hand.map(ToOwned::to_owned).or(self.progress.by_hand);
        self
    }

    /// Forgets one of the grants, and remembers what became of it at the provider: `None` if it never was there.
    #[must_use]
    pub(crate) fn settled(mut self, slot: Slot, result: Option<RevocationResult>) -> Self {
        self.record.empty(slot);
        self.progress.last_error = None;
        self.progress.result = match result {
            Some(result) => Some(result.and(self.progress.result)),
            None => self.progress.result,
        };
        self
    }

    /// Notes that another connection has to end first.
    #[must_use]
    pub(crate) fn waiting(mut self, waits: WaitsFor) -> Self {
        (self.progress.waits, self.progress.last_error) = (Some(waits), None);
        self
    }

    /// Takes the revocation up: what it waited for is over. It is tried for as long as any other.
    #[must_use]
    pub(crate) fn resumed(mut self, now: Timestamp) -> Self {
        let GrantEnding { terms, result, told, .. } = self.progress;
        self.progress = GrantEnding { result, told, ..GrantEnding::new(now, terms) };
        self
    }

    /// Notes that this was told in the connection's place, which is gone.
    #[must_use]
    pub(crate) fn told(mut self, reason: Reason) -> Self {
        self.progress.told = Some(reason);
        self
    }

    #[must_use]
    pub(crate) fn with_withdrawal(self, withdrawal: Withdrawal) -> Self {
        Self { withdrawal, ..self }
    }

    pub(super) fn clear_part(&self) -> EndingPart {
        let Self { key, record_object, cause, record: _, progress, withdrawal } = self.clone();
        let key = Some(key).filter(|key| *key != record_object);
        EndingPart { record_object, key, cause, progress, withdrawal }
    }

    pub(super) fn read(part: EndingPart, record: Record) -> Self {
        let EndingPart { record_object, key, cause, progress, withdrawal } = part;
        let key = key.unwrap_or_else(|| record_object.clone());
        Self { key, record_object, cause, record, progress, withdrawal }
    }
}
