//! A connection is being deleted: withdrawn everywhere, its grant marked as ending, and let go within seconds.
//!
//! The provider is not waited for: revocation runs from the record. Nothing is revoked while our definition itself is being
//! deleted, because an uninstall must not end everybody's consent.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::controller::Action;
use kube::{Api, CustomResourceExt, ResourceExt};
use tokio::time::timeout;

use super::Error;
use super::act::{mark_ending, take_back_shares, withdraw_own};
use crate::context::Context;
use crate::vault::LookupError;
use crate::vault::record::EndReason;

/// How long the question about our definition may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Takes back what the connection holds elsewhere; `Ok` lets it go.
pub async fn depart(connection: &Arc<IntegrationConnection>, ctx: &Arc<Context>) -> Result<Action, Error> {
    let uid = connection.uid().unwrap_or_default();
    let shares = ctx.world.shares_of(connection);
    let written = ctx.written.get(&uid).or_else(|| connection.status.as_ref()?.secret.clone());
    let taken_back = take_back_shares(ctx, &shares).await;
    let withdrawn = withdraw_own(ctx, connection, written.as_ref()).await;
    if !taken_back || withdrawn.is_err() {
        return Err(Error::Withdraw);
    }
    let has_record = match ctx.store.get(&uid) {
        Ok(loaded) => loaded.is_some(),
        // It cannot be marked, and nobody could revoke with it: holding the connection back would mend nothing.
        Err(LookupError::Unreadable(error)) => {
            tracing::error!(%uid, %error, "a connection goes whose record cannot be read: its grant is not revoked");
            false
        }
        Err(LookupError::NotSynced) => true,
    };
    if has_record && !uninstalling(ctx).await && !mark_ending(ctx, connection, EndReason::Deleted).await {
        return Err(Error::Withdraw);
    }
    ctx.grants.forget(&uid);
    ctx.written.forget(&uid);
    Ok(Action::await_change())
}

/// Whether the definition of our kind is being deleted. If nobody can tell, the deletion is taken for what it looks like.
async fn uninstalling(ctx: &Context) -> bool {
    let api: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    match timeout(CALL_LIMIT, api.get_metadata_opt(IntegrationConnection::crd_name())).await {
        Ok(Ok(Some(definition))) => definition.metadata.deletion_timestamp.is_some(),
        Ok(Ok(None)) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}
