//! The Secret that a binding publishes. Pure.

use bowline_api::ConsumerConfig;
use bowline_api::{ConnectionBinding, IntegrationConnection};
use bowline_oauth::catalog::Description;
use kube::ResourceExt;

use crate::publishing::metadata::AllowedMetadata;
use crate::publishing::secret::controller;
use crate::publishing::{ChosenSecretError, Desired, Material, chosen};
use crate::secret_plan::GrantInUse;

/// The connection's token and the binding's settings, in the form that the binding chooses.
pub(super) fn secret(
    binding: &ConnectionBinding,
    connection: &IntegrationConnection,
    grant: &GrantInUse,
    config: &ConsumerConfig,
    provider: &Description,
    allowed: &AllowedMetadata,
) -> Result<Desired, ChosenSecretError> {
    let GrantInUse { grant, version } = grant;
    let material = Material { config: Some(config), ..Material::of(grant)? };
    let (content, metadata) = chosen(binding.spec.secret.as_ref(), &material, provider, allowed)?;
    Ok(Desired {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.secret_name(),
        owner: controller(binding).ok_or(ChosenSecretError::NoUid)?,
        connection_id: connection.id(),
        connection_uid: connection.uid().ok_or(ChosenSecretError::NoUid)?,
        grant: *version,
        expires_at: grant.expires_at,
        metadata,
        content,
        described: Some(provider.publishing_digest()),
    })
}
