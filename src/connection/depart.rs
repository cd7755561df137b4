//! A connection is being deleted: withdraw it everywhere, mark its grant as ending, and let the object go within seconds.
//!
//! This does not wait for the provider: revocation needs only the record. While our definition itself is being deleted
//! nothing is revoked, because an uninstall must not end everybody's consent.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::{IntegrationConnection, IntegrationConnectionStatus, names};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta, PartialObjectMetaExt};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, CustomResourceExt, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use super::act::{mark_ending, take_back_shares, withdraw_own};
use super::observe::written;
use super::settled;
use crate::context::{Context, ReconcileError};
use crate::vault::CachedReadError;
use crate::vault::record::EndReason;

/// How long we wait for the answer about our definition.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Withdraws what the connection published; with `Ok` the finalizer is removed.
pub(super) async fn depart(
    connection: &Arc<IntegrationConnection>,
    ctx: &Arc<Context>,
) -> Result<Action, ReconcileError> {
    let uid = connection.uid().unwrap_or_default();
    let taken_back = take_back_shares(ctx, &ctx.world.shares_of(connection)).await;
    let withdrawn = withdraw_own(ctx, connection, written(ctx, connection).as_ref()).await;
    if !taken_back || withdrawn.is_err() {
        return Err(ReconcileError::Withdraw);
    }
    let has_record = match ctx.store.get(&uid) {
        Ok(loaded) => loaded.is_some(),
        // It cannot be marked, and nobody could revoke with it: holding the connection back would fix nothing.
        Err(CachedReadError::Unreadable(error)) => {
            tracing::error!(%uid, %error, "a connection goes whose record cannot be read: its grant is not revoked");
            false
        }
        Err(CachedReadError::NotSynced) => true,
    };
    if has_record && !uninstalling(ctx).await && !mark_ending(ctx, connection, EndReason::Deleted).await {
        return Err(ReconcileError::Withdraw);
    }
    ctx.grants.forget(&uid);
    ctx.last_published.forget(&uid);
    Ok(Action::await_change())
}

/// Lets an unreadable connection go. Its deletion can be read; of its spec and status only what its end needs is read, each
/// field by itself.
pub(crate) async fn depart_unreadable(
    ctx: &Arc<Context>,
    connection: &ObjectMeta,
) -> Result<(), ReconcileError> {
    let (namespace, name) = (connection.namespace.as_deref().unwrap_or_default(), connection.name.as_deref());
    let kind = ApiResource::erase::<IntegrationConnection>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), namespace, &kind);
    let Some(object) = api.get_opt(name.unwrap_or_default()).await.map_err(ReconcileError::Read)? else {
        return Ok(());
    };
    let stand_in = Arc::new(legible(&object).map_err(kube::Error::SerdeError).map_err(ReconcileError::Read)?);
    let api: Api<PartialObjectMeta<IntegrationConnection>> = Api::namespaced(ctx.client.clone(), namespace);
    let metadata = object.metadata.into_response_partial();
    let result = finalizer(&api, names::FINALIZER, Arc::new(metadata), |event| {
        let is_going = matches!(event, Event::Cleanup(_));
        let stand_in = &stand_in;
        // Another object of that name is not our concern here.
        async move { if is_going { depart(stand_in, ctx).await } else { Ok(Action::await_change()) } }
    });
    settled(result.await).map(drop)
}

/// The fields of a connection that its end needs.
fn legible(object: &DynamicObject) -> Result<IntegrationConnection, serde_json::Error> {
    fn field<T: DeserializeOwned>(object: &DynamicObject, pointer: &str) -> Option<T> {
        serde_json::from_value(object.data.pointer(pointer)?.clone()).ok()
    }
    let blank = json!({"metadata": object.metadata, "spec": {"provider": "", "owner": ""}});
    let mut connection: IntegrationConnection = serde_json::from_value(blank)?;
    let spec = &mut connection.spec;
    spec.provider = field(object, "/spec/provider").unwrap_or_default();
    spec.parameters = field(object, "/spec/parameters").unwrap_or_default();
    spec.app = field(object, "/spec/app");
    spec.secret = field(object, "/spec/secret");
    connection.status = field(object, "/status/secret")
        .map(|secret| IntegrationConnectionStatus { secret: Some(secret), ..Default::default() });
    Ok(connection)
}

/// Whether the definition of our kind is being deleted. If that cannot be read, this is an ordinary deletion.
async fn uninstalling(ctx: &Context) -> bool {
    let api: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    match timeout(CALL_LIMIT, api.get_metadata_opt(IntegrationConnection::crd_name())).await {
        Ok(Ok(Some(definition))) => definition.metadata.deletion_timestamp.is_some(),
        Ok(Ok(None)) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_a_connection_that_cannot_be_read_each_field_is_read_by_itself() {
        let object = serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "n", "uid": "u"},
            "spec": {
                "provider": "entra", "owner": 7, "suspend": "perhaps", "parameters": {"tenant": "contoso"},
                "app": {"secretName": "own"}, "secret": {"format": "Cuneiform", "name": "x"},
            },
            "status": {"phase": 3, "secret": {"name": "s"}},
        }));
        let read = legible(&object.unwrap()).unwrap();
        assert_eq!((&*read.spec.provider, &*read.spec.parameters["tenant"]), ("entra", "contoso"));
        assert_eq!(read.spec.app.unwrap().secret_name, "own");
        assert!(read.spec.secret.is_none());
        assert_eq!(read.status.unwrap().secret.unwrap().name, "s");
    }
}
