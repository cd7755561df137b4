//! The Secret that a share publishes. Pure.

use bowline_api::connection::Format;
use bowline_api::{ConnectionShare, names};
use kube::ResourceExt;

use crate::publishing::secret::controller;
use crate::publishing::{ContentError, Desired, Published, material};
use crate::vault::Grant;

/// Why there is no Secret to write.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value does not fit into a Secret.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// There is no access token in the grant that may be published, or the share was read without a UID.
    #[error("there is no token to publish yet")]
    NoToken,
}

/// The Secret of the share: Raw keys and our own metadata, never the owner's template or labels.
pub fn secret(share: &ConnectionShare, grant: &Grant, revision: i64) -> Result<Desired, BuildError> {
    let connection = &share.spec.connection;
    let material = material(grant).map_err(|_| BuildError::NoToken)?;
    Ok(Desired {
        namespace: share.namespace().unwrap_or_default(),
        name: share.name_any(),
        owner: controller(share).ok_or(BuildError::NoToken)?,
        connection_id: names::connection_id(&connection.namespace, &connection.name),
        connection_uid: connection.uid.clone(),
        revision,
        expires_at: grant.expires_at,
        labels: std::collections::BTreeMap::new(),
        content: Published::new(&material, Format::Raw)?,
    })
}
