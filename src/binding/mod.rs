//! The controller of bindings: read → decide → act → report.
//!
//! A binding is its author's, and its Secret goes with it: the API server deletes what its object controls.

mod act;
mod build;
mod decide;
#[cfg(test)]
mod fixtures;
mod observe;
mod report;

use std::sync::Arc;

use bowline_api::{ConnectionBinding, names};
use bowline_runtime::follow::Change;
use kube::Resource;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use self::act::act;
use self::decide::decide;
use self::observe::observe;
use crate::context::{Context, Controlled, ReconcileError, Reconciled};
use crate::metrics::PassOutcome;

impl Controlled for ConnectionBinding {
    const LABEL: &'static str = "binding";

    /// Itself, and a connection that it begins or ceases to depend on.
    fn changed(ctx: &Context, change: &Change<Self>) {
        let (before, now) = match change {
            Change::Applied { object, before } => {
                ctx.world.kinds.bindings.wake(ObjectRef::from_obj(&**object));
                (before.as_deref(), Some(&**object))
            }
            Change::Gone { metadata, last } => {
                ctx.last_published.forget(metadata.uid.as_deref().unwrap_or_default());
                (last.as_deref(), None)
            }
            Change::SetAside(_) => return,
        };
        let [before, now] = [before, now].map(|binding| binding.and_then(Self::depends_on));
        if before == now {
            return;
        }
        for (id, _) in [before, now].into_iter().flatten() {
            if let Some((namespace, name)) = names::connection_of(id) {
                ctx.world.kinds.connections.wake(ObjectRef::new(name).within(namespace));
            }
        }
    }

    async fn reconcile(binding: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        Ok((PassOutcome::Settled, step(&binding, &ctx).await?))
    }
}

async fn step(binding: &ConnectionBinding, ctx: &Context) -> Result<Action, ReconcileError> {
    let observed = observe(ctx, binding);
    if binding.metadata.deletion_timestamp.is_some() {
        // Somebody's finalizer holds the object, and must not hold the Secret.
        let outcome = observed.follower(binding).withdraw(ctx).await;
        return Ok(outcome.try_again.map_or_else(Action::await_change, Action::requeue));
    }
    let plan = decide(binding, &observed);
    let outcome = act(ctx, binding, &observed, &plan).await;
    let status = report::status(binding, &observed, &plan, &outcome, ctx.clock.now());
    if ctx.write_status(binding, &status).await?
        && let Some((reason, note)) = report::news(binding, &status)
    {
        ctx.events.publish(&binding.object_ref(&()), reason, "Bind", note).await;
    }
    Ok(outcome.try_again.map_or_else(Action::await_change, Action::requeue))
}
