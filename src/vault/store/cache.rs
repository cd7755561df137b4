//! What the store believes: the newest news of each record, by the rules of [`Newest`].
//!
//! Those order intents too, which do not count the record's own revision; and since that only grows, the higher revision wins
//! with the greater resourceVersion.

use std::sync::Arc;

use bowline_runtime::follow::{Newest, ObjectVersion};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::vault::record::{Record, RecordError, uid_in_name};

/// All records, by UID of the connection.
pub(super) struct Cache(pub(super) Newest<Arc<str>, Content>);

/// What is known of one connection's record: the record, or why its Secret could not be read.
pub(super) type Content = Result<Arc<Record>, RecordError>;

impl Default for Cache {
    fn default() -> Self {
        let revision = |content: &Content| content.as_ref().map_or(-1, |record| record.revision());
        Self(Newest::by_revision(revision))
    }
}

/// Whose record the Secret with this metadata is, and which state of it; `None` if its name is not a record's. The name decides:
/// a label could be copied to a second Secret.
pub(super) fn identity(metadata: &ObjectMeta) -> Option<(Arc<str>, ObjectVersion)> {
    Some((uid_in_name(metadata.name.as_deref()?)?.into(), ObjectVersion::of(metadata)?))
}

/// Reads a Secret from the API server.
pub(super) fn content(secret: Secret) -> Content {
    Record::from_secret(secret).map(Arc::new)
}

#[cfg(test)]
mod tests;
