//! The Secret that a share publishes. Pure.

use bowline_api::connection::{Format, TemplateMetadata};
use bowline_api::{ConnectionShare, names};
use kube::ResourceExt;

use super::decide::Held;
use crate::publishing::secret::controller;
use crate::publishing::{ContentError, Desired, Material, Published};

/// Why there is no Secret to write.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// A value does not fit into a Secret.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// There is no access token in the grant that may be published, or the share was read without a UID.
    #[error("there is no token to publish yet")]
    NoToken,
}

/// The Secret of the share: Raw keys and our own metadata, never the owner's template.
pub(super) fn secret(share: &ConnectionShare, held: &Held) -> Result<Desired, BuildError> {
    let Held { grant, revision, version } = held;
    let connection = &share.spec.connection;
    let material = Material::of(grant).map_err(|_| BuildError::NoToken)?;
    Ok(Desired {
        namespace: share.namespace().unwrap_or_default(),
        name: share.name_any(),
        owner: controller(share).ok_or(BuildError::NoToken)?,
        connection_id: names::connection_id(&connection.namespace, &connection.name),
        connection_uid: connection.uid.clone(),
        revision: *revision,
        grant: *version,
        expires_at: grant.expires_at,
        metadata: TemplateMetadata::default(),
        content: Published::new(&material, Format::Raw)?,
    })
}
