//! The Secret a connection should have. Pure.

use bowline_api::IntegrationConnection;
use bowline_oauth::catalog::Description;
use kube::ResourceExt;

use crate::publishing::metadata::AllowedMetadata;
use crate::publishing::secret::controller;
use crate::publishing::{ChosenSecretError, Desired, Material, chosen};
use crate::secret_plan::GrantInUse;

pub(super) fn secret(
    connection: &IntegrationConnection,
    grant: &GrantInUse,
    provider: &Description,
    allowed: &AllowedMetadata,
) -> Result<Desired, ChosenSecretError> {
    let GrantInUse { grant, version } = grant;
    let material = Material { config: Some(&connection.spec.config), ..Material::of(grant)? };
    let (content, metadata) = chosen(connection.spec.secret.as_ref(), &material, provider, allowed)?;
    Ok(Desired {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.secret_name(),
        owner: controller(connection).ok_or(ChosenSecretError::NoUid)?,
        connection_id: connection.id(),
        connection_uid: connection.uid().ok_or(ChosenSecretError::NoUid)?,
        grant: *version,
        expires_at: grant.expires_at,
        metadata,
        content,
        described: Some(provider.publishing_digest()),
    })
}
