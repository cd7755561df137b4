//! A record as a Kubernetes Secret, and back.
//!
//! Data: `record.json` (everything in clear, with a format number), and `grant`, `candidate`, `previous` (sealed bytes).
//! Labels are for selecting; what counts stands in `record.json`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{
    Bookkeeping, Ending, GrantId, GrantVersion, Intent, Record, SealedField, SiblingKey, Slot, SlotContent,
};
use crate::vault::seal::{Field, Place};

/// Type of every record Secret, and of no other.
pub(crate) const RECORD_TYPE: &str = "bowline.dev/record";
/// The label, with its value, on everything the operator writes.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "bowline");
const NAME_PREFIX: &str = "record-";
const CLEAR: &str = "record.json";
const FORMAT: i32 = 1;

/// Labels of a record Secret.
pub(crate) mod label {
    /// Namespace of the connection.
    pub(crate) const CONNECTION_NAMESPACE: &str = "bowline.dev/connection-namespace";
    /// Name of the connection.
    pub(crate) const CONNECTION_NAME: &str = "bowline.dev/connection-name";
    /// UID of the connection.
    pub(crate) const CONNECTION_UID: &str = "bowline.dev/connection-uid";
    /// Name of the provider.
    pub(crate) const PROVIDER: &str = "bowline.dev/provider";
}

/// Name of the Secret that holds the record of the connection with this UID.
pub(crate) fn record_name(uid: &str) -> String {
    format!("{NAME_PREFIX}{uid}")
}

/// The connection's UID in the name of a record Secret.
pub(in crate::vault) fn uid_in_name(name: &str) -> Option<&str> {
    name.strip_prefix(NAME_PREFIX)
}

/// Why a Secret is not a record that this Bowline can read. What it holds is unknown, not gone: it is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Another type, or none.
    #[error("the Secret is not of type bowline.dev/record")]
    WrongType,
    /// The part in clear is missing.
    #[error("the record has no entry record.json")]
    NoClearPart,
    /// The part in clear is not what it should be.
    #[error("the record's entry record.json cannot be read")]
    ClearPartUnreadable,
    /// Written by a newer Bowline.
    #[error("the record has format {format}, which this Bowline does not know")]
    UnknownFormat {
        /// The format's number.
        format: i32,
    },
    /// The Secret's name does not fit the UID inside.
    #[error("the record's name does not fit the connection it speaks of")]
    WrongName,
    /// Sealed bytes and the revision they were sealed at do not come together, or the revision is impossible.
    #[error("the record's {field} and its revision do not fit together")]
    FieldMismatch {
        /// Name of the sealed field.
        field: &'static str,
    },
    /// A revision below zero.
    #[error("the record's revision is below zero")]
    NegativeRevision,
}

/// The part in clear.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clear {
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
    ending: Option<Ending>,
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

/// The revision of each sealed field.
#[derive(Default, Serialize, Deserialize)]
struct SealedAt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<i64>,
}

/// Read before the rest, so that a newer format is named as such.
#[derive(Serialize, Deserialize)]
struct Format {
    format: i32,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    format: Format,
    #[serde(flatten)]
    clear: &'a Clear,
}

impl Record {
    /// The record as a Secret without uid and resourceVersion.
    pub(in crate::vault) fn to_secret(&self) -> Result<Secret, serde_json::Error> {
        let sealed_fields = [
            (Field::Grant, self.grant()),
            (Field::Candidate, self.candidate()),
            (Field::Previous, self.previous()),
        ];
        let clear = serde_json::to_vec(&Written { format: Format { format: FORMAT }, clear: &self.clear() })?;
        let mut data = BTreeMap::from([(CLEAR.to_owned(), ByteString(clear))]);
        for (field, sealed) in sealed_fields {
            if let Some(sealed) = sealed {
                data.insert(field.name().to_owned(), ByteString(sealed.bytes.to_vec()));
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

    /// Reads a Secret. Believes nothing that sealing does not prove later, but refuses what cannot be.
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
        let mut sealed = |field, at| take_sealed(&mut data, field, at, clear.revision);
        // An intent belongs to the sealed bytes beside it, or to nothing.
        let content =
            |sealed: Option<SealedField>, intent| sealed.map(|sealed| SlotContent { sealed, intent });
        let grant = sealed(Field::Grant, grant)?;
        Ok(Self {
            // Records of version 0.1 name no grant.
            grant_version: grant.as_ref().map(|grant| {
                clear
                    .grant_version
                    .unwrap_or(GrantVersion { id: GrantId::from_bytes([0; 16]), revision: grant.revision })
            }),
            grant: content(grant, clear.intent),
            candidate: content(sealed(Field::Candidate, candidate)?, clear.candidate_intent),
            previous: sealed(Field::Previous, previous)?,
            place: clear.place,
            revision: clear.revision,
            ending: clear.ending,
            orphaned_since: clear.orphaned_since,
            sibling_key: clear.sibling_key,
            bookkeeping: clear.bookkeeping,
        })
    }

    fn clear(&self) -> Clear {
        let at = |sealed: Option<&SealedField>| sealed.map(SealedField::revision);
        Clear {
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
            MANAGED_BY,
            (label::CONNECTION_NAMESPACE, namespace),
            (label::CONNECTION_NAME, name),
            (label::CONNECTION_UID, uid),
            (label::PROVIDER, provider),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

fn read_clear(data: &BTreeMap<String, ByteString>) -> Result<Clear, RecordError> {
    let clear = &data.get(CLEAR).ok_or(RecordError::NoClearPart)?.0;
    let unreadable = |_| RecordError::ClearPartUnreadable;
    match serde_json::from_slice(clear).map_err(unreadable)? {
        Format { format: FORMAT } => serde_json::from_slice(clear).map_err(unreadable),
        Format { format } => Err(RecordError::UnknownFormat { format }),
    }
}

fn take_sealed(
    data: &mut BTreeMap<String, ByteString>,
    field: Field,
    at: Option<i64>,
    record_revision: i64,
) -> Result<Option<SealedField>, RecordError> {
    match (data.remove(field.name()), at) {
        (None, None) => Ok(None),
        (Some(bytes), Some(revision)) if (1..=record_revision).contains(&revision) => {
            Ok(Some(SealedField { revision, bytes: bytes.0.into() }))
        }
        _ => Err(RecordError::FieldMismatch { field: field.name() }),
    }
}
