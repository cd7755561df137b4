//! The queue of grants that are being ended, and what others do to the records of those in use.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::grant::endings::Endings;
use crate::publishing::PublishError;
use crate::vault::record::Debt;

pub(super) fn queue(ctx: &Arc<Context>) -> Endings {
    let (lookup, remover) = (Arc::clone(ctx), Arc::clone(ctx));
    Endings {
        desk: Arc::clone(&ctx.grants),
        find_target: Arc::new(move |place, terms| {
            lookup.world.provider(&place.provider, &terms.parameters).ok()
        }),
        withdraw: Arc::new(move |debt| {
            let ctx = Arc::clone(&remover);
            Box::pin(async move { is_withdrawn(&ctx, &debt).await })
        }),
        retention: ctx.settings.record_retention,
    }
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

/// Wakes a connection whose record somebody else has changed or deleted: it says so at once.
pub(super) async fn follow_records(ctx: Arc<Context>, stop: CancellationToken) {
    let mut changes = ctx.store.changes();
    let connections = &ctx.world.kinds.connections;
    while let Some(change) = stop.run_until_cancelled(changes.recv()).await {
        match change {
            Ok(change) if change.is_own => {}
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
