//! The Secret that a share publishes. Pure.

use bowline_api::connection::TemplateMetadata;
use bowline_api::reason::Reason;
use bowline_api::{ConnectionShare, names};
use kube::ResourceExt;

use crate::publishing::secret::controller;
use crate::publishing::{ContentError, Desired, Material, Published};
use crate::secret_plan::GrantInUse;

#[derive(Debug, thiserror::Error)]
pub(super) enum ShareSecretError {
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The grant has no access token that may be published, or the share was read without a UID.
    #[error("there is no token to publish yet")]
    NoToken,
}

impl ShareSecretError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Content(_) => Reason::SecretRefused,
            Self::NoToken => Reason::NotYet,
        }
    }
}

/// The Secret of the share: Raw keys and our own metadata, never the owner's template.
pub(super) fn secret(share: &ConnectionShare, grant: &GrantInUse) -> Result<Desired, ShareSecretError> {
    let GrantInUse { grant, version } = grant;
    let connection = &share.spec.connection;
    let material = Material::of(grant).map_err(|_| ShareSecretError::NoToken)?;
    Ok(Desired {
        namespace: share.namespace().unwrap_or_default(),
        name: share.name_any(),
        owner: controller(share).ok_or(ShareSecretError::NoToken)?,
        connection_id: names::connection_id(&connection.namespace, &connection.name),
        connection_uid: connection.uid.clone(),
        grant: *version,
        expires_at: grant.expires_at,
        metadata: TemplateMetadata::default(),
        content: Published::raw(&material)?,
        described: None,
    })
}
