//! The queue of grants that are being ended, and what others do to the records of those in use.

use std::sync::Arc;

use bowline_api::IntegrationConnection;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::grant::endings::Endings;
use crate::publishing::PublishError;
use crate::vault::Place;
use crate::vault::record::Debt;
use crate::vault::store::StoreChange;

pub(super) fn queue(ctx: &Arc<Context>) -> Endings {
    let (lookup, finder, remover) = (Arc::clone(ctx), Arc::clone(ctx), Arc::clone(ctx));
    Endings {
        desk: Arc::clone(&ctx.grants),
        find_target: Arc::new(move |place, terms| {
            lookup.world.provider(&place.provider, &terms.parameters).ok()
        }),
        is_there: Arc::new(move |place| is_there(&finder, place)),
        withdraw: Arc::new(move |debt| {
            let ctx = Arc::clone(&remover);
            Box::pin(async move { is_withdrawn(&ctx, &debt).await })
        }),
        retention: ctx.settings.record_retention,
    }
}

/// Whether it is there and stays: one that goes reports nothing any more.
fn is_there(ctx: &Context, place: &Place) -> bool {
    let found = ctx.world.kinds.connections.get(&ObjectRef::new(&place.name).within(&place.namespace));
    let is_it = |it: &IntegrationConnection| {
        it.metadata.uid.as_ref() == Some(&place.uid) && it.metadata.deletion_timestamp.is_none()
    };
    found.is_some_and(|it| is_it(&it))
}

/// Whether a Secret is gone, or goes with its namespace.
async fn is_withdrawn(ctx: &Context, debt: &Debt) -> bool {
    let Debt { namespace, secret, owner, written } = debt;
    if !ctx.world.namespace_lives(namespace) {
        return true;
    }
    match ctx.withdraw(namespace, secret, owner, written.as_deref()).await {
        Ok(()) | Err(PublishError::NamespaceNotFound(_) | PublishError::NamespaceTerminating(_)) => true,
        Err(error) => {
            tracing::warn!(namespace, secret, error = %error, "a Secret of a connection that is gone is still there");
            false
        }
    }
}

/// Wakes a connection whose record somebody else has changed or deleted, or of whose grants one that ends came further: it
/// says so at once.
pub(super) async fn follow_records(ctx: Arc<Context>, stop: CancellationToken) {
    let (records, endings) = (ctx.store.changes(), ctx.grants.records().endings.changes());
    tokio::join!(follow(&ctx, records, false, &stop), follow(&ctx, endings, true, &stop));
}

/// Wakes the connections of these changes; those that are our own only if `own`.
async fn follow(ctx: &Context, mut changes: Receiver<StoreChange>, own: bool, stop: &CancellationToken) {
    let connections = &ctx.world.kinds.connections;
    while let Some(change) = stop.run_until_cancelled(changes.recv()).await {
        match change {
            Ok(change) if change.is_own && !own => {}
            Ok(change) => match change.connection {
                Some((namespace, name)) => connections.wake(ObjectRef::new(&name).within(&namespace)),
                None => connections
                    .wake_where(|connection| connection.metadata.uid.as_deref() == Some(&*change.uid)),
            },
            Err(RecvError::Lagged(_)) => connections.wake_where(|_| true),
            Err(RecvError::Closed) => return,
        }
    }
}
