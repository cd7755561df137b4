//! The Secret a connection should have. Pure.

use bowline_api::IntegrationConnection;
use bowline_api::connection::SecretTemplate;
use bowline_api::reason::Reason;
use bowline_oauth::catalog::Description;
use kube::ResourceExt;

use crate::publishing::metadata::{AllowedMetadata, MetadataError};
use crate::publishing::secret::controller;
use crate::publishing::template::{self, RenderError};
use crate::publishing::{ContentError, Desired, Material, Published, Unpublishable};
use crate::secret_plan::GrantInUse;

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionSecretError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
    #[error("the connection has no UID")]
    NoUid,
}

impl ConnectionSecretError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Template(_) => Reason::TemplateFailed,
            Self::Content(ContentError::LoginUnknown { .. }) => Reason::LoginUnknown,
            Self::Content(_) | Self::Metadata(_) => Reason::FormatFailed,
            Self::Unpublishable(Unpublishable::TokenType) => Reason::Withheld,
            Self::Unpublishable(Unpublishable::NoToken) | Self::NoUid => Reason::NotYet,
        }
    }
}

pub(super) fn secret(
    connection: &IntegrationConnection,
    grant: &GrantInUse,
    provider: &Description,
    allowed: &AllowedMetadata,
) -> Result<Desired, ConnectionSecretError> {
    let GrantInUse { grant, version } = grant;
    let wanted = connection.spec.secret.clone().unwrap_or_default();
    let SecretTemplate { type_, metadata, data } = wanted.template.unwrap_or_default();
    let metadata = metadata.unwrap_or_default();
    allowed.check(&metadata)?;
    let material = Material::of(grant)?;
    let content = if data.is_empty() {
        Published::new(&material, wanted.format.unwrap_or_default(), provider)?
    } else {
        Published::rendered(type_.as_ref(), template::render(&data, &material)?)?
    };
    Ok(Desired {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.secret_name(),
        owner: controller(connection).ok_or(ConnectionSecretError::NoUid)?,
        connection_id: connection.id(),
        connection_uid: connection.uid().ok_or(ConnectionSecretError::NoUid)?,
        grant: *version,
        expires_at: grant.expires_at,
        metadata,
        content,
        described: Some(provider.publishing_digest()),
    })
}
