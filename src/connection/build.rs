//! The Secret a connection should have. Pure.

use bowline_api::{IntegrationConnection, names, reason};
use kube::ResourceExt;

use super::decide::secret_name;
use crate::publishing::labels::{LabelError, LabelPrefixes};
use crate::publishing::secret::controller;
use crate::publishing::template::{self, TemplateError};
use crate::publishing::{ContentError, Desired, Published, Unpublishable, material};
use crate::vault::Grant;

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
    /// Its constant of `api::reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Template(_) => reason::TEMPLATE_FAILED,
            Self::Content(_) | Self::Label(_) => reason::FORMAT_FAILED,
            Self::Unpublishable(Unpublishable::TokenType) => reason::WITHHELD,
            Self::Unpublishable(Unpublishable::NoToken) | Self::NoUid => reason::NOT_YET,
        }
    }
}

/// The Secret in the connection's own namespace.
pub fn secret(
    connection: &IntegrationConnection,
    grant: &Grant,
    revision: i64,
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
        name: secret_name(connection),
        owner: controller(connection).ok_or(BuildError::NoUid)?,
        connection_id: names::connection_id(&namespace, &connection.name_any()),
        connection_uid: connection.uid().ok_or(BuildError::NoUid)?,
        namespace,
        revision,
        expires_at: grant.expires_at,
        labels: wanted.labels,
        content,
    })
}
