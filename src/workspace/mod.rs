//! The controller of workspaces: reports which of their namespaces cannot be used. Sharing itself never waits for it.

mod report;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::Workspace;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::follow::Change;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::context::{Context, Controlled, Reconciled};
use crate::kinds::keys;
use crate::members::{MembersOutcome, keep_workspace};
use crate::metrics::PassOutcome;

/// How soon the rights of its Admins are written again that could not be.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Gives its Admins their rights; returns when to look again.
async fn after_members(ctx: &Context, workspace: &Workspace) -> Action {
    match keep_workspace(ctx, workspace).await {
        MembersOutcome::Taken(what) => {
            let facts = MessageFacts { list: Some(&what), ..MessageFacts::default() };
            let note = Reason::RoleTaken.message(&facts);
            ctx.events.publish(&workspace.object_ref(&()), Reason::RoleTaken, "Reconcile", &note).await;
            Action::await_change()
        }
        MembersOutcome::Failed(_) => Action::requeue(TRY_AGAIN),
        MembersOutcome::Nobody | MembersOutcome::Waiting | MembersOutcome::InForce => Action::await_change(),
    }
}

impl Controlled for Workspace {
    const LABEL: &'static str = "workspace";

    /// Itself, the workspaces that list one of its namespaces and so may get or lose it, and what is shared in these or names them.
    fn changed(ctx: &Context, change: &Change<Self>) {
        if !change.matters() {
            return;
        }
        let workspaces = &ctx.world.kinds.workspaces;
        let name = change.meta().name.clone().unwrap_or_default();
        let states = match change {
            Change::Applied { object, before } => [Some(object), before.as_ref()],
            Change::Gone { last, .. } => [last.as_ref(), None],
            // Its namespaces are not known: any other may be concerned.
            Change::SetAside(_) => {
                workspaces.wake_where(|_| true);
                for workspace in workspaces.state() {
                    ctx.world.wake_sharing_in(&workspace.name_any());
                }
                return ctx.world.wake_sharing_in(&name);
            }
        };
        for state in states.iter().flatten() {
            ctx.world.wake_limited_by(state);
        }
        let listed = states.into_iter().flatten().flat_map(|state| state.spec.namespaces.clone());
        // While it could not be read it kept the namespaces of its shares.
        let shares = ctx.world.kinds.shares.having(&keys::workspace(&name));
        let held = shares.iter().filter_map(|share| share.namespace());
        let competing = listed.chain(held).flat_map(|it| workspaces.having(&keys::namespace(&it)));
        let concerned: BTreeSet<String> =
            competing.map(|workspace| workspace.name_any()).chain([name]).collect();
        for name in concerned {
            ctx.world.wake_sharing_in(&name);
            if let Some(workspace) = workspaces.get(&ObjectRef::new(&name)) {
                ctx.world.wake_limited_by(&workspace);
            }
            workspaces.wake(ObjectRef::new(&name));
        }
    }

    async fn reconcile(workspace: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        if workspace.metadata.deletion_timestamp.is_none() {
            let all = ctx.world.competing_with(&workspace.name_any());
            let exists = |namespace: &str| ctx.world.namespace_lives(namespace);
            let reserved = |namespace: &str| ctx.world.is_reserved(namespace);
            let counted = || ctx.world.counted_in(&workspace);
            let status = report::status(&workspace, &all, exists, reserved, counted, ctx.clock.now());
            ctx.write_status(&*workspace, &status).await?;
            return Ok((PassOutcome::Settled, after_members(&ctx, &workspace).await));
        }
        Ok((PassOutcome::Settled, Action::await_change()))
    }
}
