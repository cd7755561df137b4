//! The Secret a connection should have. Pure.

use bowline_api::IntegrationConnection;
use bowline_api::reason::Reason;
use kube::ResourceExt;

use crate::publishing::labels::{LabelError, LabelPrefixes};
use crate::publishing::secret::controller;
use crate::publishing::template::{self, TemplateError};
use crate::publishing::{ContentError, Desired, Published, Unpublishable, material};
use crate::vault::Grant;
use crate::vault::record::GrantVersion;

/// Why the Secret cannot be made as the spec wants it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value does not fit the format.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A label is not allowed.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// There is no access token in the grant that may be published.
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
    /// The API server gave an object without a UID.
    #[error("the connection has no UID")]
    NoUid,
}

impl BuildError {
    /// The reason for the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Template(_) => Reason::TemplateFailed,
            Self::Content(_) | Self::Label(_) => Reason::FormatFailed,
            Self::Unpublishable(Unpublishable::TokenType) => Reason::Withheld,
            Self::Unpublishable(Unpublishable::NoToken) | Self::NoUid => Reason::NotYet,
        }
    }
}

/// The Secret in the connection's own namespace.
pub fn secret(
    connection: &IntegrationConnection,
    grant: &Grant,
    revision: i64,
    version: GrantVersion,
    prefixes: &LabelPrefixes,
) -> Result<Desired, BuildError> {
    let wanted = connection.spec.secret.clone().unwrap_or_default();
    prefixes.check(&wanted.labels)?;
    let material = material(grant)?;
    let content = if wanted.template.is_empty() {
        Published::new(&material, wanted.format.unwrap_or_default())?
    } else {
        Published::rendered(template::render(&wanted.template, &material)?)?
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
        labels: wanted.labels,
        content,
    })
}
