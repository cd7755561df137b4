//! The controller of workspaces: says which of their namespaces cannot be used. Sharing itself never waits for it.

mod report;

use std::sync::Arc;
use std::time::Duration;

use bowline_api::{Workspace, WorkspaceStatus};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::kube_ext::apply;
use crate::metrics::{Controller, PassOutcome};

/// Reporting failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take the status.
    #[error("the status could not be written")]
    Status(#[source] kube::Error),
}

/// Brings the status of one workspace up to date.
pub async fn reconcile(workspace: Arc<Workspace>, ctx: Arc<Context>) -> Result<Action, Error> {
    let pass = ctx.metrics.pass(Controller::Workspace);
    let result = keep(&workspace, &ctx).await;
    pass.finish(if result.is_ok() { PassOutcome::Settled } else { PassOutcome::Retrying });
    result.map(|()| Action::await_change())
}

async fn keep(workspace: &Workspace, ctx: &Context) -> Result<(), Error> {
    if workspace.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let all = ctx.world.workspaces.state();
    let exists = |namespace: &str| ctx.world.namespace_lives(namespace);
    let status = report::status(workspace, &all, exists, ctx.clock.now());
    if workspace.status.as_ref() == Some(&status) {
        return Ok(());
    }
    write(ctx, &workspace.name_any(), &status).await
}

async fn write(ctx: &Context, name: &str, status: &WorkspaceStatus) -> Result<(), Error> {
    let api: Api<Workspace> = Api::all(ctx.client.clone());
    match apply::apply_status(&api, name, status).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(()),
        Err(error) => Err(Error::Status(error)),
    }
}

/// Reporting failed: the API server needs a pause, not a storm.
pub fn error_policy(_: Arc<Workspace>, _: &Error, _: Arc<Context>) -> Action {
    Action::requeue(Duration::from_secs(5))
}
