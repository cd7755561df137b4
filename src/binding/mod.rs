//! The controller of bindings: read → decide → act → report.
//!
//! A binding is its author's, and its Secret goes with it: the API server deletes what its object controls.

mod act;
mod build;
mod decide;
mod delivery;
#[cfg(test)]
mod fixtures;
mod observe;
mod report;

use std::sync::Arc;

use bowline_api::binding::PinnedConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::delivery::LastDelivery;
use bowline_api::{ConnectionBinding, names};
use bowline_runtime::clock::later;
use bowline_runtime::follow::Change;
use kube::Resource;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use self::act::act;
use self::decide::{ObservedBinding, decide};
use self::observe::observe;
use crate::context::{Context, Controlled, ReconcileError, Reconciled, look_again};
use crate::metrics::PassOutcome;
use crate::publishing::PAUSE;
use crate::secret_plan::SecretOutcome;

impl Controlled for ConnectionBinding {
    const LABEL: &'static str = "binding";

    /// Itself, and a connection that it begins or ceases to depend on, or for which its workload reports something.
    fn changed(ctx: &Context, change: &Change<Self>) {
        let (before, now) = match change {
            Change::Applied { object, before } => {
                ctx.world.kinds.bindings.wake(ObjectRef::from_obj(&**object));
                (before.as_deref(), Some(&**object))
            }
            Change::Gone { metadata, last } => {
                let uid = metadata.uid.as_deref().unwrap_or_default();
                ctx.last_published.forget(uid);
                ctx.deliveries_told.forget(uid);
                ctx.nudges.forget(uid);
                (last.as_deref(), None)
            }
            Change::SetAside(_) => return,
        };
        let [before, now] = [before, now].map(|binding| binding.and_then(concern));
        if before == now {
            return;
        }
        for ((id, _), _) in [before, now].into_iter().flatten() {
            if let Some((namespace, name)) = names::connection_of(id) {
                ctx.world.kinds.connections.wake(ObjectRef::new(name).within(namespace));
            }
        }
    }

    async fn reconcile(binding: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        Ok((PassOutcome::Settled, step(&binding, &ctx).await?))
    }
}

/// What of a binding its connection tells, and the connection's id.
fn concern(binding: &ConnectionBinding) -> Option<((&str, &PinnedConnection), Option<&LastDelivery>)> {
    Some((binding.depends_on()?, binding.last_delivery()))
}

/// Whether others are withdrawn before this one is reported.
fn must_wait(ctx: &Context, binding: &ConnectionBinding, observed: &ObservedBinding) -> bool {
    if observed.follower(binding).seen.is_some() {
        ctx.withdrawals.note();
    }
    binding.is(ConditionType::Ready) && ctx.withdrawals.go_on()
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
    if matches!(outcome.secret, SecretOutcome::Withdrawn) && must_wait(ctx, binding, &observed) {
        return Ok(Action::requeue(PAUSE));
    }
    let now = ctx.clock.now();
    let status = report::status(binding, &observed, &plan, &outcome, now);
    if ctx.write_status(binding, &status).await? {
        for (reason, note) in report::news(binding, &status) {
            ctx.events.publish(&binding.object_ref(&()), reason, "Bind", note).await;
        }
    }
    if observed.delivery.told != delivery::told(binding) {
        ctx.deliveries_told.set(&observed.uid, now);
    }
    let try_again = outcome.try_again.map(|wait| later(now, wait));
    Ok(look_again([try_again, observed.delivery.rest_at].into_iter().flatten().min(), now))
}
