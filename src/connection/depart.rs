//! A connection is being deleted: end its grant, withdraw it everywhere, and let the object go within seconds.
//!
//! This waits neither for the provider nor for a namespace in which something cannot be removed: the ending needs neither.
//! While our definition itself is being deleted nothing is revoked, because an uninstall must not end everybody's consent.

use std::sync::Arc;

use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{IntegrationConnection, IntegrationConnectionStatus, names};
use bowline_runtime::telemetry::chain;
use kube::core::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta, PartialObjectMetaExt};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::act::{end, take_back_shares, withdraw_own};
use super::observe::written;
use super::settled;
use crate::context::{Context, ReconcileError};
use crate::grant::is_uninstalling;
use crate::vault::CachedReadError;
use crate::vault::record::{Debt, Withdrawal};

/// Ends the grant, then withdraws what the connection published; with `Ok` the finalizer is removed. What cannot be withdrawn
/// now stays with the ending as a debt, and holds back nothing.
pub(super) async fn depart(
    connection: &Arc<IntegrationConnection>,
    ctx: &Arc<Context>,
) -> Result<Action, ReconcileError> {
    let uid = connection.uid().unwrap_or_default();
    // Before looking for a record: work that puts the first one on record asks for this afterwards.
    ctx.grants.leaves(&uid);
    if has_record(ctx, &uid)
        && !is_uninstalling(&ctx.client).await
        && !end(ctx, connection, &Withdrawal::open()).await
    {
        return Err(ReconcileError::End);
    }
    let mut debts = take_back_shares(ctx, &ctx.world.shares_of(connection)).await;
    debts.extend(own_debt(ctx, connection).await);
    tell(ctx, connection, &debts).await;
    if !ctx.grants.records().owe(&uid, &debts).await {
        return Err(ReconcileError::Withdraw);
    }
    ctx.grants.forget(&uid);
    ctx.last_published.forget(&uid);
    Ok(Action::await_change())
}

fn has_record(ctx: &Context, uid: &str) -> bool {
    match ctx.store.get(uid) {
        Ok(loaded) => loaded.is_some(),
        // It cannot be ended, and nobody could revoke with it: holding the connection back would fix nothing.
        Err(CachedReadError::Unreadable(error)) => {
            tracing::error!(%uid, %error, "a connection goes whose record cannot be read: its grant is not revoked");
            false
        }
        Err(CachedReadError::NotSynced) => true,
    }
}

/// The connection's own Secret, if it could not be removed. Garbage collection removes it too, once the connection is gone.
async fn own_debt(ctx: &Context, connection: &IntegrationConnection) -> Option<Debt> {
    let written = written(ctx, connection);
    let error = withdraw_own(ctx, connection, written.as_ref()).await.err()?;
    let (namespace, uid) = (connection.namespace().unwrap_or_default(), connection.uid().unwrap_or_default());
    tracing::warn!(namespace, error = %chain(&error), "a Secret could not be withdrawn yet");
    let secret = written.as_ref().map_or_else(|| connection.secret_name(), |written| written.name.clone());
    Some(Debt { namespace, secret, owner: uid, written: written.map(|written| written.uid) })
}

/// Says which Secrets are still there. In a namespace that is going nobody can be told, and nothing stays.
async fn tell(ctx: &Context, connection: &IntegrationConnection, debts: &[Debt]) {
    let lives = |debt: &&Debt| ctx.world.namespace_lives(&debt.namespace);
    let left: Vec<_> =
        debts.iter().filter(lives).map(|debt| format!("{}/{}", debt.namespace, debt.secret)).collect();
    if !left.is_empty() {
        let list = left.join(", ");
        let facts = MessageFacts { list: Some(&list), ..connection.facts() };
        let note = Reason::NotWithdrawn.message(&facts);
        ctx.events.publish(&connection.object_ref(&()), Reason::NotWithdrawn, "Withdraw", &note).await;
    }
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
