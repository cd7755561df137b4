//! The controller of providers: read → decide → act → report.

mod act;
mod change;
mod decide;
mod report;

use std::sync::Arc;
use std::time::Duration;

use bowline_api::provider::IntegrationProviderStatus;
use bowline_api::{IntegrationProvider, reason};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use self::decide::{Observed, decide};
use self::report::Found;
use crate::context::Context;
use crate::kube_ext::{apply, conditions};
use crate::metrics::{Controller, PassOutcome};

pub use self::act::forget;

/// Reporting itself failed. What an administrator or a third party did wrong is a condition, never this.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take the status.
    #[error("the status could not be written")]
    Status(#[source] kube::Error),
}

/// Finds out what one provider object comes to, and tells its connections when that changed.
///
/// May wait for the issuer's metadata, as long as the client's deadline lets it.
pub async fn reconcile(provider: Arc<IntegrationProvider>, ctx: Arc<Context>) -> Result<Action, Error> {
    let pass = ctx.metrics.pass(Controller::Provider);
    if provider.meta().deletion_timestamp.is_some() {
        act::forget(&ctx, &provider.name_any());
        pass.finish(PassOutcome::Settled);
        return Ok(Action::await_change());
    }
    let observed = observe(&ctx, &provider);
    let judged = decide(&provider, &observed);
    let found = act::act(&ctx, &provider, judged).await;
    let now = ctx.clock.now();
    let status = report::status(&provider, &found, ctx.settings.portal.as_ref(), now);
    let result = publish(&ctx, &provider, &status).await;
    pass.finish(if result.is_ok() { outcome(&found) } else { PassOutcome::Retrying });
    result.map(|()| next(&found, now))
}

fn observe(ctx: &Context, provider: &IntegrationProvider) -> Observed {
    let secret = provider.spec.app.as_ref().and_then(|app| {
        let place = ObjectRef::new(&app.secret_name).within(&ctx.settings.namespace);
        ctx.world.app_secrets.get(&place)
    });
    Observed { app_secret: secret, bounds: ctx.settings.provider_bounds.clone() }
}

/// Writes the status if it changed. Connections wait for probes of a rejected registration: they hear of its end.
async fn publish(
    ctx: &Context,
    provider: &IntegrationProvider,
    status: &IntegrationProviderStatus,
) -> Result<(), Error> {
    if provider.status.as_ref() == Some(status) {
        return Ok(());
    }
    let name = provider.name_any();
    let api: Api<IntegrationProvider> = Api::all(ctx.client.clone());
    match apply::apply_status(&api, &name, status).await {
        Ok(_) => {}
        Err(kube::Error::Api(gone)) if gone.is_not_found() => return Ok(()),
        Err(error) => return Err(Error::Status(error)),
    }
    if is_rejected(provider.status.as_ref()) != is_rejected(Some(status)) {
        act::wake_connections(ctx, &name);
    }
    Ok(())
}

fn is_rejected(status: Option<&IntegrationProviderStatus>) -> bool {
    status
        .and_then(|status| conditions::get(&status.conditions, "Ready"))
        .is_some_and(|ready| ready.reason == reason::APP_REJECTED)
}

fn outcome(found: &Found) -> PassOutcome {
    match (&found.verdict, found.next) {
        (Ok(()), _) => PassOutcome::Settled,
        (Err(_), Some(_)) => PassOutcome::Waiting,
        (Err(_), None) => PassOutcome::Stalled,
    }
}

/// When the issuer is asked again; everything else is a change that wakes the object.
fn next(found: &Found, now: Timestamp) -> Action {
    let Some(at) = found.next else { return Action::await_change() };
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Action::requeue(wait.max(Duration::from_secs(1)))
}

/// Reporting failed: the API server needs a pause, not a storm.
pub fn error_policy(_: Arc<IntegrationProvider>, _: &Error, _: Arc<Context>) -> Action {
    Action::requeue(Duration::from_secs(5))
}
