//! The objects a connection should have: its Secret and its shares. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::decide::secret_name;
use crate::api::share::SharedConnection;
use crate::api::{ConnectionShare, ConnectionShareSpec, IntegrationConnection, names, reason};
use crate::publishing::labels::{LabelError, LabelPrefixes};
use crate::publishing::secret::controller;
use crate::publishing::template::{self, TemplateError};
use crate::publishing::{ContentError, Desired, Published, material};
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
    /// There is no access token in the grant.
    #[error("the grant has no access token yet")]
    NoToken,
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
            Self::NoToken | Self::NoUid => reason::NOT_YET,
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
    let material = material(grant).ok_or(BuildError::NoToken)?;
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

/// The share of the connection in one namespace of its workspace.
pub fn share(connection: &IntegrationConnection, workspace: &str, namespace: &str) -> ConnectionShare {
    let home = connection.namespace().unwrap_or_default();
    let name = connection.name_any();
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_CONNECTION_NAMESPACE.to_owned(), home.clone()),
        (names::LABEL_CONNECTION_NAME.to_owned(), name.clone()),
        (names::LABEL_WORKSPACE.to_owned(), workspace.to_owned()),
    ]);
    let metadata = ObjectMeta {
        name: Some(names::connection_id(&home, &name)),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let spec = ConnectionShareSpec {
        connection: SharedConnection { namespace: home, name, uid: connection.uid().unwrap_or_default() },
        workspace: workspace.to_owned(),
        provider: connection.spec.provider.clone(),
        owner: connection.spec.owner.clone(),
    };
    ConnectionShare { metadata, spec, status: None }
}
