//! The controller of shares: read → decide → act → report.
//!
//! A share is output: one that is not in the computed set is removed, whoever created it. Only what the connection's own
//! controller has judged is published.

mod act;
mod build;
mod decide;
mod observe;
mod report;

use std::sync::Arc;

use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::{ConnectionShare, names};
use bowline_runtime::follow::Change;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use self::act::act;
use self::decide::{Unshared, decide};
use self::observe::observe;
use crate::context::{Context, Controlled, ReconcileError, Reconciled};
use crate::metrics::PassOutcome;

impl Controlled for ConnectionShare {
    const LABEL: &'static str = "share";

    /// Itself, the connection whose condition describes it, and the bindings that it lets use the connection.
    fn changed(ctx: &Context, change: &Change<Self>) {
        let kinds = &ctx.world.kinds;
        if change.matters() {
            let meta = change.meta();
            let (id, namespace) = (meta.name.as_deref(), meta.namespace.as_deref());
            ctx.world.wake_bindings(id.unwrap_or_default(), namespace.unwrap_or_default());
        }
        match change {
            Change::Applied { object, before } => {
                kinds.shares.wake(ObjectRef::from_obj(&**object));
                let was_ready = before.as_ref().is_some_and(|before| before.is(ConditionType::Ready));
                if change.matters() || was_ready != object.is(ConditionType::Ready) {
                    let of = &object.spec.connection;
                    kinds.connections.wake(ObjectRef::new(&of.name).within(&of.namespace));
                }
            }
            Change::Gone { metadata, .. } => {
                ctx.last_published.forget(metadata.uid.as_deref().unwrap_or_default());
                let id = metadata.name.as_deref().unwrap_or_default();
                if let Some((namespace, name)) = names::connection_of(id) {
                    kinds.connections.wake(ObjectRef::new(name).within(namespace));
                }
            }
            Change::SetAside(_) => {}
        }
    }

    async fn reconcile(share: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        Ok((PassOutcome::Settled, step(&share, &ctx).await?))
    }
}

async fn step(share: &ConnectionShare, ctx: &Context) -> Result<Action, ReconcileError> {
    // Its Secret goes with it; the connection creates the share again where it belongs.
    if share.metadata.deletion_timestamp.is_some() || !ctx.world.knows_source_of(share) {
        return Ok(Action::await_change());
    }
    let observed = observe(ctx, share);
    let plan = match decide(share, &observed) {
        Ok(plan) => plan,
        Err(unshared) => return take_back(ctx, share, unshared).await,
    };
    let outcome = act(ctx, share, &observed, &plan).await;
    let status = report::status(share, &observed, &plan, &outcome, ctx.clock.now());
    ctx.write_status(share, &status).await?;
    Ok(outcome.try_again.map_or_else(Action::await_change, Action::requeue))
}

/// Removes the Secret and the share, then says why in the share's namespace.
async fn take_back(
    ctx: &Context,
    share: &ConnectionShare,
    unshared: Unshared,
) -> Result<Action, ReconcileError> {
    ctx.take_back(share).await.map_err(ReconcileError::TakeBack)?;
    ctx.last_published.forget(&share.uid().unwrap_or_default());
    let object = kube::Resource::object_ref(share, &());
    ctx.events.publish(&object, unshared.reason(), "Withdraw", &unshared.note(share)).await;
    Ok(Action::await_change())
}
