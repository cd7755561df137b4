//! The Secret to apply, built from scratch. Pure.

use std::collections::BTreeMap;

use bowline_api::connection::SecretStatus;
use bowline_api::names;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;

use super::content::Published;
use crate::kube_ext::index::Entry;

/// The Secret as it should be.
#[derive(Debug)]
pub struct Desired {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its controller: the connection or share, from [`controller`].
    pub owner: OwnerReference,
    /// Id of the connection, `<namespace>.<name>`.
    pub connection_id: String,
    /// UID of the connection.
    pub connection_uid: String,
    /// Revision of the grant it holds.
    pub revision: i64,
    /// When the credential ends.
    pub expires_at: Option<Timestamp>,
    /// The user's labels, checked by [`super::labels::LabelPrefixes`].
    pub labels: BTreeMap<String, String>,
    /// Type and data.
    pub content: Published,
}

/// Preconditions of a write: the object as we know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// UID of the Secret.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

impl Known {
    /// Whether this is the object that was written last under `name`; it may have been edited since.
    pub fn is_object_of(&self, written: Option<&SecretStatus>, name: &str) -> bool {
        written.is_some_and(|written| written.name == name && written.uid == self.uid)
    }

    /// Whether this is what was written last under `name`, untouched since.
    pub fn is_as_written(&self, written: &SecretStatus, name: &str) -> bool {
        self.is_object_of(Some(written), name) && written.resource_version == self.resource_version
    }
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        Self { uid: entry.uid.into(), resource_version: entry.resource_version.into() }
    }
}

/// The ownerReference that makes a Secret ours.
///
/// It does not block the owner's deletion: withdrawing is our work, the garbage collector is the backstop.
pub fn controller<K: kube::Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner
        .controller_owner_ref(&())
        .map(|reference| OwnerReference { block_owner_deletion: None, ..reference })
}

impl Desired {
    /// The Secret for the API server. With `known` a write fails unless it meets exactly that object.
    pub(super) fn secret(&self, known: Option<&Known>) -> Secret {
        let Self { namespace, name, owner, content, .. } = self;
        Secret {
            metadata: ObjectMeta {
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid: known.map(|known| known.uid.clone()),
                resource_version: known.map(|known| known.resource_version.clone()),
                labels: Some(self.all_labels()),
                annotations: Some(self.annotations()),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some(content.type_.as_str().to_owned()),
            // Said aloud, so that a Secret somebody made immutable is refused now and not at the next rotation.
            immutable: Some(false),
            data: Some(
                content.data.iter().map(|(key, value)| (key.clone(), ByteString(value.to_vec()))).collect(),
            ),
            string_data: None,
        }
    }

    /// Labels of the Secret; ours win over the user's.
    pub(super) fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned());
        labels.insert(names::LABEL_CONNECTION_UID.to_owned(), self.connection_uid.clone());
        labels
    }

    /// Annotations of the Secret.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (names::ANNOTATION_CONNECTION.to_owned(), self.connection_id.clone()),
            (names::ANNOTATION_REVISION.to_owned(), self.revision.to_string()),
        ]);
        if let Some(expires_at) = self.expires_at {
            annotations.insert(names::ANNOTATION_EXPIRES_AT.to_owned(), expires_at.to_string());
        }
        annotations
    }
}
