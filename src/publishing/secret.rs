//! The Secret to apply, built from scratch. Pure.

use std::collections::BTreeMap;

use bowline_api::connection::TemplateMetadata;
use bowline_api::names;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;

use super::content::Published;
use crate::kube_ext::index::IndexedSecret;
use crate::vault::record::GrantVersion;

#[derive(Debug)]
pub struct Desired {
    pub namespace: String,
    pub name: String,
    /// Its controller: the connection or share, from [`controller`].
    pub owner: OwnerReference,
    /// Id of the connection, `<namespace>.<name>`.
    pub connection_id: String,
    pub connection_uid: String,
    pub grant: GrantVersion,
    pub expires_at: Option<Timestamp>,
    /// The user's labels and annotations, checked by [`super::metadata::AllowedMetadata`].
    pub metadata: TemplateMetadata,
    pub content: Published,
    /// [`Description::publishing_digest`](bowline_oauth::catalog::Description::publishing_digest), if the content depends on it.
    pub described: Option<u64>,
}

/// A Secret of a connection or share as it was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedVersion {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Its resourceVersion, if this process wrote it. Without one it is not known whether it was edited since: it is applied
    /// once more, which changes nothing if it is as it should be.
    pub(crate) resource_version: Option<String>,
    /// The grant whose token it contains, if that is known.
    pub(crate) grant: Option<GrantVersion>,
    /// As in [`Desired`], if this process wrote it.
    pub(crate) described: Option<u64>,
}

impl PublishedVersion {
    /// The Secret under `name` that an earlier process wrote for the owner with this UID, as far as its metadata shows.
    pub(crate) fn found(secret: &IndexedSecret, name: &str, owner_uid: &str) -> Option<Self> {
        let is_ours = secret.owner.as_ref().is_some_and(|owner| &*owner.uid == owner_uid);
        is_ours.then(|| Self {
            name: name.to_owned(),
            uid: secret.object.uid.to_string(),
            resource_version: None,
            grant: secret.grant,
            described: None,
        })
    }

    /// Whether what is seen under `name` is this object; it may have been edited since.
    pub(crate) fn is_object(&self, seen: &ObjectVersion, name: &str) -> bool {
        self.name == name && *self.uid == *seen.uid
    }

    /// Whether what is seen under `name` is this object, unchanged since.
    pub(crate) fn is_untouched(&self, seen: &ObjectVersion, name: &str) -> bool {
        self.is_object(seen, name) && self.resource_version.as_deref() == Some(&*seen.resource_version)
    }
}

/// The ownerReference that makes a Secret ours. It does not block the owner's deletion: we withdraw Secrets ourselves, and
/// garbage collection is only a backstop.
pub fn controller<K: kube::Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner
        .controller_owner_ref(&())
        .map(|reference| OwnerReference { block_owner_deletion: None, ..reference })
}

impl Desired {
    /// The Secret for the API server. With `known` a write fails unless it finds exactly that object.
    pub(super) fn secret(&self, known: Option<&ObjectVersion>) -> Secret {
        let Self { namespace, name, owner, content, .. } = self;
        Secret {
            metadata: ObjectMeta {
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid: known.map(|known| known.uid.to_string()),
                resource_version: known.map(|known| known.resource_version.to_string()),
                labels: Some(self.all_labels()),
                annotations: Some(self.all_annotations()),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some(content.type_.as_str().to_owned()),
            // Set explicitly, so that a Secret that somebody made immutable is refused now and not at the next rotation.
            immutable: Some(false),
            data: Some(
                content.data.iter().map(|(key, value)| (key.clone(), ByteString(value.to_vec()))).collect(),
            ),
            string_data: None,
        }
    }

    pub(super) fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.metadata.labels.clone();
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned());
        labels.insert(names::LABEL_CONNECTION_UID.to_owned(), self.connection_uid.clone());
        labels
    }

    /// Annotations of the Secret; ours override the user's.
    pub(super) fn all_annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.metadata.annotations.clone();
        annotations.insert(names::ANNOTATION_CONNECTION.to_owned(), self.connection_id.clone());
        annotations.insert(names::ANNOTATION_GRANT_ID.to_owned(), self.grant.id.to_string());
        annotations.insert(names::ANNOTATION_REVISION.to_owned(), self.grant.revision.to_string());
        if let Some(expires_at) = self.expires_at {
            annotations.insert(names::ANNOTATION_EXPIRES_AT.to_owned(), expires_at.to_string());
        }
        annotations
    }
}
