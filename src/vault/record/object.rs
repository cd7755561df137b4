//! A record as a Kubernetes Secret, and back.
//!
//! Data: `record.json` (everything in clear, with a format number), and `grant`, `candidate`, `previous` (sealed bytes).
//! Labels are only for selecting; `record.json` decides.

use std::collections::BTreeMap;

use bowline_api::names;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{
    Bookkeeping, GrantEnding, GrantId, GrantVersion, Intent, Record, SealedField, SiblingKey, Slot,
    SlotContent,
};
use crate::vault::seal::{Place, SealPurpose};

pub(crate) const RECORD_TYPE: &str = "bowline.dev/record";
const NAME_PREFIX: &str = "record-";
const CLEAR_PART: &str = "record.json";
const FORMAT: i32 = 1;

pub(in crate::vault) fn record_name(uid: &str) -> String {
    format!("{NAME_PREFIX}{uid}")
}

pub(in crate::vault) fn uid_in_name(name: &str) -> Option<&str> {
    name.strip_prefix(NAME_PREFIX)
}

/// Why a Secret is not a record that this Bowline can read. Its content is unknown, not gone: it is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the Secret is not of type bowline.dev/record")]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<GrantEnding>,
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

impl Record {
    /// The record as a Secret without uid and resourceVersion.
    pub(in crate::vault) fn to_secret(&self) -> Result<Secret, serde_json::Error> {
        let sealed_fields = [
            (SealPurpose::Grant, self.grant()),
            (SealPurpose::Candidate, self.candidate()),
            (SealPurpose::Previous, self.previous()),
        ];
        let clear = serde_json::to_vec(&self.clear_part())?;
        let mut data = BTreeMap::from([(CLEAR_PART.to_owned(), ByteString(clear))]);
        for (purpose, sealed) in sealed_fields {
            if let Some(sealed) = sealed {
                data.insert(purpose.name().to_owned(), ByteString(sealed.bytes.to_vec()));
            }
        }
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(record_name(self.uid())),
                labels: Some(self.labels()),
                ..ObjectMeta::default()
            },
            type_: Some(RECORD_TYPE.to_owned()),
            data: Some(data),
            ..Secret::default()
        })
    }

    /// Reads a Secret. Trusts nothing that sealing does not prove later, but refuses what is impossible.
    pub(crate) fn from_secret(secret: Secret) -> Result<Self, RecordError> {
        if secret.type_.as_deref() != Some(RECORD_TYPE) {
            return Err(RecordError::WrongType);
        }
        let mut data = secret.data.unwrap_or_default();
        let clear = read_clear(&data)?;
        if secret.metadata.name != Some(record_name(&clear.place.uid)) {
            return Err(RecordError::WrongName);
        }
        if clear.revision < 0 {
            return Err(RecordError::NegativeRevision);
        }
        let SealedAt { grant, candidate, previous } = clear.sealed_at;
        let mut sealed = |purpose, at| take_sealed(&mut data, purpose, at, clear.revision);
        // An intent belongs to the sealed bytes beside it, or there is none.
        let content =
            |sealed: Option<SealedField>, intent| sealed.map(|sealed| SlotContent { sealed, intent });
        let grant = sealed(SealPurpose::Grant, grant)?;
        Ok(Self {
            // Records of version 0.1 have no grant id.
            grant_version: grant.as_ref().map(|grant| {
                clear
                    .grant_version
                    .unwrap_or(GrantVersion { id: GrantId::from_bytes([0; 16]), revision: grant.revision })
            }),
            grant: content(grant, clear.intent),
            candidate: content(sealed(SealPurpose::Candidate, candidate)?, clear.candidate_intent),
            previous: sealed(SealPurpose::Previous, previous)?,
            place: clear.place,
            revision: clear.revision,
            ending: clear.ending,
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
            ending: self.ending.clone(),
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
