//! A record as a Kubernetes Secret, and back.
//!
//! Data: `record.json` (everything in clear, with a format number), and `grant`, `candidate`, `previous` (sealed bytes). An
//! ending has the same, and says in `record.json` why it ends. The store adds `signature` (see [`crate::vault::signature`]).
//! Labels are only for selecting; `record.json` decides.

use std::collections::BTreeMap;

use bowline_api::names;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::ending::EndingPart;
use super::{Bookkeeping, Ending, GrantVersion, Intent, Record, SealedField, SiblingKey, Slot, SlotContent};
use crate::vault::seal::{Place, SealPurpose};

pub(crate) const RECORD_TYPE: &str = names::TYPE_RECORD;
pub(crate) const ENDING_TYPE: &str = names::TYPE_ENDING;
pub(in crate::vault) const CLEAR_PART: &str = "record.json";
const FORMAT: i32 = 1;

/// Why a Secret is not a record that this Bowline can read. Its content is unknown, not gone: it is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the Secret is not of the type of records, or of endings")]
    WrongType,
    #[error("the record has no entry record.json")]
    NoClearPart,
    #[error("the record's entry record.json cannot be read")]
    ClearPartUnreadable,
    #[error("the record has format {format}, which this Bowline does not know")]
    UnknownFormat { format: i32 },
    #[error("the record's name does not fit the connection it names")]
    WrongName,
    /// Sealed bytes without the revision they were sealed at, or the reverse, or an impossible revision.
    #[error("the record's {field} and its revision do not fit together")]
    FieldMismatch { field: &'static str },
    #[error("the record's revision is below zero")]
    NegativeRevision,
    /// Somebody else wrote or copied it.
    #[error("the record's signature does not fit its content")]
    Tampered,
    /// Somebody else wrote it.
    #[error("the record has no signature")]
    Unsigned,
    #[error("the keyring has no key for the record's signature")]
    NoKey,
}

impl RecordError {
    /// Whether somebody else wrote it, as far as anybody can tell.
    pub(crate) const fn is_untrusted(self) -> bool {
        matches!(self, Self::Tampered | Self::Unsigned)
    }
}

/// The entry `record.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClearPart {
    format: i32,
    place: Place,
    revision: i64,
    #[serde(default)]
    sealed_at: SealedAt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant_version: Option<GrantVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate_intent: Option<Intent>,
    #[serde(default)]
    candidate_ordinal: i64,
    /// An [`EndingPart`]; records have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    orphaned_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sibling_key: Option<SiblingKey>,
    #[serde(default, skip_serializing_if = "is_default")]
    bookkeeping: Bookkeeping,
}

fn is_default(bookkeeping: &Bookkeeping) -> bool {
    *bookkeeping == Bookkeeping::default()
}

#[derive(Default, Serialize, Deserialize)]
struct SealedAt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<i64>,
}

/// Read before the rest, so that a newer format is reported as such.
#[derive(Deserialize)]
struct FormatOnly {
    format: i32,
}

/// What the store keeps as Secrets of a type of its own, each under one key.
pub(crate) trait Kept: Clone + PartialEq + Send + Sync + 'static {
    const TYPE: &'static str;
    /// Before the key in the Secret's name.
    const PREFIX: &'static str;
    /// Whether it is believed only in the very Secret that it was written for: a copy proves nothing.
    const BOUND_TO_OBJECT: bool;

    fn key(&self) -> &str;
    fn place(&self) -> &Place;
    /// Never falls from one write to the next.
    fn revision(&self) -> i64;
    /// By which others find that they hold the same grant at the provider. What is being ended counts for nobody.
    fn sibling_key(&self) -> Option<&SiblingKey> {
        None
    }
    /// As a Secret without uid and resourceVersion, and without the proof that we wrote it.
    fn to_secret(&self) -> Result<Secret, serde_json::Error>;
    /// Refuses what is impossible; the store asks for the proof.
    fn from_secret(secret: Secret) -> Result<Self, RecordError>;
}

impl Kept for Record {
    const TYPE: &'static str = RECORD_TYPE;
    const PREFIX: &'static str = "record-";
    const BOUND_TO_OBJECT: bool = false;

    fn key(&self) -> &str {
        self.uid()
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn sibling_key(&self) -> Option<&SiblingKey> {
        self.sibling_key.as_ref()
    }

    fn to_secret(&self) -> Result<Secret, serde_json::Error> {
        secret_of::<Self>(self.uid(), self, None)
    }

    fn from_secret(secret: Secret) -> Result<Self, RecordError> {
        let (name, clear, data) = taken_apart::<Self>(secret)?;
        if name != format!("{}{}", Self::PREFIX, clear.place.uid) {
            return Err(RecordError::WrongName);
        }
        Self::put_together(clear, data)
    }
}

impl Kept for Ending {
    const TYPE: &'static str = ENDING_TYPE;
    const PREFIX: &'static str = "ending-";
    const BOUND_TO_OBJECT: bool = true;

    fn key(&self) -> &str {
        self.key()
    }

    fn place(&self) -> &Place {
        self.record().place()
    }

    fn revision(&self) -> i64 {
        self.record().revision()
    }

    fn to_secret(&self) -> Result<Secret, serde_json::Error> {
        secret_of::<Self>(self.key(), self.record(), Some(self.clear_part()))
    }

    fn from_secret(secret: Secret) -> Result<Self, RecordError> {
        let (name, mut clear, data) = taken_apart::<Self>(secret)?;
        let ending = clear.ending.take().ok_or(RecordError::ClearPartUnreadable)?;
        let ending: EndingPart =
            serde_json::from_value(ending).map_err(|_| RecordError::ClearPartUnreadable)?;
        let ending = Self::read(ending, Record::put_together(clear, data)?);
        if name != format!("{}{}", Self::PREFIX, ending.key()) {
            return Err(RecordError::WrongName);
        }
        Ok(ending)
    }
}

type Data = BTreeMap<String, ByteString>;

fn secret_of<T: Kept>(
    key: &str,
    record: &Record,
    ending: Option<EndingPart>,
) -> Result<Secret, serde_json::Error> {
    let sealed_fields = [
        (SealPurpose::Grant, record.grant()),
        (SealPurpose::Candidate, record.candidate()),
        (SealPurpose::Previous, record.previous()),
    ];
    let ending = ending.map(serde_json::to_value).transpose()?;
    let clear = serde_json::to_vec(&ClearPart { ending, ..record.clear_part() })?;
    let mut data = Data::from([(CLEAR_PART.to_owned(), ByteString(clear))]);
    for (purpose, sealed) in sealed_fields {
        if let Some(sealed) = sealed {
            data.insert(purpose.name().to_owned(), ByteString(sealed.bytes.to_vec()));
        }
    }
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(format!("{}{key}", T::PREFIX)),
            labels: Some(record.labels()),
            ..ObjectMeta::default()
        },
        type_: Some(T::TYPE.to_owned()),
        data: Some(data),
        ..Secret::default()
    })
}

fn taken_apart<T: Kept>(secret: Secret) -> Result<(String, ClearPart, Data), RecordError> {
    if secret.type_.as_deref() != Some(T::TYPE) {
        return Err(RecordError::WrongType);
    }
    let data = secret.data.unwrap_or_default();
    let clear = read_clear(&data)?;
    Ok((secret.metadata.name.unwrap_or_default(), clear, data))
}

impl Record {
    fn put_together(clear: ClearPart, mut data: Data) -> Result<Self, RecordError> {
        if clear.revision < 0 {
            return Err(RecordError::NegativeRevision);
        }
        let SealedAt { grant, candidate, previous } = clear.sealed_at;
        let mut sealed = |purpose, at| take_sealed(&mut data, purpose, at, clear.revision);
        // An intent belongs to the sealed bytes beside it, or there is none.
        let content =
            |sealed: Option<SealedField>, intent| sealed.map(|sealed| SlotContent { sealed, intent });
        let grant = sealed(SealPurpose::Grant, grant)?;
        if grant.is_some() != clear.grant_version.is_some() {
            return Err(RecordError::FieldMismatch { field: "grant" });
        }
        Ok(Self {
            grant_version: clear.grant_version,
            grant: content(grant, clear.intent),
            candidate: content(sealed(SealPurpose::Candidate, candidate)?, clear.candidate_intent),
            candidate_ordinal: clear.candidate_ordinal,
            previous: sealed(SealPurpose::Previous, previous)?,
            place: clear.place,
            revision: clear.revision,
            orphaned_since: clear.orphaned_since,
            sibling_key: clear.sibling_key,
            bookkeeping: clear.bookkeeping,
        })
    }

    fn clear_part(&self) -> ClearPart {
        let at = |sealed: Option<&SealedField>| sealed.map(SealedField::revision);
        ClearPart {
            format: FORMAT,
            place: self.place.clone(),
            revision: self.revision,
            sealed_at: SealedAt {
                grant: at(self.grant()),
                candidate: at(self.candidate()),
                previous: at(self.previous()),
            },
            grant_version: self.grant_version,
            intent: self.intent(Slot::InUse).cloned(),
            candidate_intent: self.intent(Slot::Candidate).cloned(),
            candidate_ordinal: self.candidate_ordinal,
            ending: None,
            orphaned_since: self.orphaned_since,
            sibling_key: self.sibling_key.clone(),
            bookkeeping: self.bookkeeping.clone(),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let Place { cluster: _, namespace, name, uid, provider } = &self.place;
        [
            (names::LABEL_MANAGED_BY, names::MANAGED_BY),
            (names::LABEL_CONNECTION_NAMESPACE, namespace),
            (names::LABEL_CONNECTION_NAME, name),
            (names::LABEL_CONNECTION_UID, uid),
            (names::LABEL_PROVIDER, provider),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

fn read_clear(data: &BTreeMap<String, ByteString>) -> Result<ClearPart, RecordError> {
    let clear = &data.get(CLEAR_PART).ok_or(RecordError::NoClearPart)?.0;
    let unreadable = |_| RecordError::ClearPartUnreadable;
    match serde_json::from_slice(clear).map_err(unreadable)? {
        FormatOnly { format: FORMAT } => serde_json::from_slice(clear).map_err(unreadable),
        FormatOnly { format } => Err(RecordError::UnknownFormat { format }),
    }
}

fn take_sealed(
    data: &mut BTreeMap<String, ByteString>,
    purpose: SealPurpose,
    at: Option<i64>,
    record_revision: i64,
) -> Result<Option<SealedField>, RecordError> {
    match (data.remove(purpose.name()), at) {
        (None, None) => Ok(None),
        (Some(bytes), Some(revision)) if (1..=record_revision).contains(&revision) => {
            Ok(Some(SealedField { revision, bytes: bytes.0.into() }))
        }
        _ => Err(RecordError::FieldMismatch { field: purpose.name() }),
    }
}
