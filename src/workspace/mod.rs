//! The controller of workspaces: reports which of their namespaces cannot be used. Sharing itself never waits for it.

mod report;

use std::sync::Arc;

use bowline_api::Workspace;
use bowline_runtime::follow::Change;
use kube::runtime::controller::Action;

use crate::context::{Context, Controlled, Reconciled};
use crate::metrics::PassOutcome;

impl Controlled for Workspace {
    const LABEL: &'static str = "workspace";

    /// All workspaces, which may get or lose a namespace, everything that is shared, and who may use a provider as a member.
    fn changed(ctx: &Context, change: &Change<Self>) {
        if change.matters() {
            ctx.world.kinds.workspaces.wake_where(|_| true);
            ctx.world.wake_of_workspaces();
        }
    }

    async fn reconcile(workspace: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        if workspace.metadata.deletion_timestamp.is_none() {
            let all = ctx.world.kinds.workspaces.state();
            let exists = |namespace: &str| ctx.world.namespace_lives(namespace);
            let reserved = |namespace: &str| ctx.world.is_reserved(namespace);
            let status = report::status(&workspace, &all, exists, reserved, ctx.clock.now());
            ctx.write_status(&*workspace, &status).await?;
        }
        Ok((PassOutcome::Settled, Action::await_change()))
    }
}
