//! The controller of shares: read → decide → act → report.
//!
//! A share is output: one that is not in the computed set is taken back, whoever made it. What is published is only
//! what the connection's own controller has judged.

mod act;
mod build;
pub mod decide;
mod observe;
mod report;

use std::sync::Arc;
use std::time::Duration;

use bowline_api::{ConnectionShare, ConnectionShareStatus};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use self::act::{Outcome, act};
use self::decide::{Unshared, decide};
use self::observe::observe;
use crate::context::Context;
use crate::kube_ext::apply;
use crate::metrics::{Controller, PassOutcome};
use crate::publishing::{PublishError, withdraw_share};

/// Reporting or taking back failed. That a Secret could not be written is an outcome with a condition, never this.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take the status.
    #[error("the status could not be written")]
    Status(#[source] kube::Error),
    /// The share or its Secret is still there.
    #[error("the share is not taken back yet")]
    Withdraw(#[source] PublishError),
}

/// Brings one share a step towards what its connection and workspace ask for.
pub async fn reconcile(share: Arc<ConnectionShare>, ctx: Arc<Context>) -> Result<Action, Error> {
    let pass = ctx.metrics.pass(Controller::Share);
    let result = step(&share, &ctx).await;
    pass.finish(if result.is_ok() { PassOutcome::Settled } else { PassOutcome::Retrying });
    result
}

async fn step(share: &ConnectionShare, ctx: &Context) -> Result<Action, Error> {
    // Its Secret goes with it; the connection makes it again where it belongs.
    if share.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let observed = observe(ctx, share);
    let plan = match decide(share, &observed) {
        Ok(plan) => plan,
        Err(unshared) => return take_back(ctx, share, &unshared).await,
    };
    let outcome = act(ctx, share, &observed, &plan).await;
    let status = report::status(share, &observed, &plan, &outcome, ctx.clock.now());
    write(ctx, share, &status).await?;
    Ok(next(&outcome))
}

/// Removes the Secret and the share, then says why in the share's namespace.
async fn take_back(ctx: &Context, share: &ConnectionShare, unshared: &Unshared) -> Result<Action, Error> {
    withdraw_share(&ctx.client, &ctx.world.published, share).await.map_err(Error::Withdraw)?;
    ctx.written.forget(&share.uid().unwrap_or_default());
    let object = kube::Resource::object_ref(share, &());
    if unshared.warning() {
        ctx.events.warning(&object, unshared.reason(), "Withdraw", &unshared.note(share)).await;
    } else {
        ctx.events.normal(&object, unshared.reason(), "Withdraw", &unshared.note(share)).await;
    }
    Ok(Action::await_change())
}

async fn write(ctx: &Context, share: &ConnectionShare, status: &ConnectionShareStatus) -> Result<(), Error> {
    if share.status.as_ref() == Some(status) {
        return Ok(());
    }
    let namespace = share.namespace().unwrap_or_default();
    let api: Api<ConnectionShare> = Api::namespaced(ctx.client.clone(), &namespace);
    match apply::apply_status(&api, &share.name_any(), status).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(()),
        Err(error) => Err(Error::Status(error)),
    }
}

/// When to look again, where nothing would wake the share.
fn next(outcome: &Outcome) -> Action {
    outcome.try_again.map_or_else(Action::await_change, Action::requeue)
}

/// Reporting or taking back failed: the API server needs a pause, not a storm.
pub fn error_policy(_: Arc<ConnectionShare>, _: &Error, _: Arc<Context>) -> Action {
    Action::requeue(Duration::from_secs(5))
}
