//! The Secret a connection should have. Pure.

use bowline_api::IntegrationConnection;
use bowline_api::connection::SecretTemplate;
use bowline_api::reason::Reason;
use kube::ResourceExt;

use crate::publishing::metadata::{AllowedMetadata, MetadataError};
use crate::publishing::secret::controller;
use crate::publishing::template::{self, RenderError};
use crate::publishing::{ContentError, Desired, Material, Published, Unpublishable};
use crate::vault::Grant;
use crate::vault::record::GrantVersion;

/// Why the Secret cannot be made as the spec wants it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// A value does not fit the format.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] RenderError),
    /// A label or annotation is not allowed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// There is no access token in the grant that may be published.
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
    /// The API server gave an object without a UID.
    #[error("the connection has no UID")]
    NoUid,
}

impl BuildError {
    /// The reason for the condition.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Template(_) => Reason::TemplateFailed,
            Self::Content(_) | Self::Metadata(_) => Reason::FormatFailed,
            Self::Unpublishable(Unpublishable::TokenType) => Reason::Withheld,
            Self::Unpublishable(Unpublishable::NoToken) | Self::NoUid => Reason::NotYet,
        }
    }
}

/// The Secret in the connection's own namespace.
pub(super) fn secret(
    connection: &IntegrationConnection,
    grant: &Grant,
    revision: i64,
    version: GrantVersion,
    allowed: &AllowedMetadata,
) -> Result<Desired, BuildError> {
    let wanted = connection.spec.secret.clone().unwrap_or_default();
    let SecretTemplate { type_, metadata, data } = wanted.template.unwrap_or_default();
    let metadata = metadata.unwrap_or_default();
    allowed.check(&metadata)?;
    let material = Material::of(grant)?;
    let content = if data.is_empty() {
        Published::new(&material, wanted.format.unwrap_or_default())?
    } else {
        Published::rendered(type_.as_ref(), template::render(&data, &material)?)?
    };
    let namespace = connection.namespace().unwrap_or_default();
    Ok(Desired {
        name: connection.secret_name(),
        owner: controller(connection).ok_or(BuildError::NoUid)?,
        connection_id: connection.id(),
        connection_uid: connection.uid().ok_or(BuildError::NoUid)?,
        namespace,
        revision,
        grant: version,
        expires_at: grant.expires_at,
        metadata,
        content,
    })
}
