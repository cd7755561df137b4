//! The controller of providers: read → decide → act → report.

mod act;
mod change;
mod decide;
mod network;
mod registration;
mod report;

use std::sync::Arc;

use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::provider::IntegrationProviderStatus;
use bowline_api::reason::Reason;
use bowline_api::{IntegrationProvider, attempt};
use bowline_oauth::catalog;
use bowline_runtime::follow::Change;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use self::act::ProviderOutcome;
use self::decide::{ObservedProvider, decide};
use crate::context::{Context, Controlled, ReconcileError, Reconciled, look_again};
use crate::metrics::PassOutcome;

impl Controlled for IntegrationProvider {
    const LABEL: &'static str = "provider";

    /// Itself; its controller wakes its connections when its resolution changes.
    fn changed(ctx: &Context, change: &Change<Self>) {
        let name = change.meta().name.as_deref().unwrap_or_default();
        match change {
            Change::Applied { .. } => ctx.world.kinds.providers.wake(ObjectRef::new(name)),
            Change::SetAside(_) | Change::Gone { .. } => act::forget(ctx, name),
        }
    }

    /// Resolves one provider object, and wakes its connections if the result changed.
    ///
    /// May wait for the issuer's metadata, as long as the client's deadline allows.
    async fn reconcile(provider: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        if provider.meta().deletion_timestamp.is_some() {
            act::forget(&ctx, &provider.name_any());
            return Ok((PassOutcome::Settled, Action::await_change()));
        }
        if catalog::get(&provider.spec.type_).is_some() {
            ctx.metrics.expect_refreshes(&provider.spec.type_);
        }
        let observed = observe(&ctx, &provider);
        let checked = decide(&provider, &observed);
        let outcome = Box::pin(act::act(&ctx, &provider, checked)).await;
        let now = ctx.clock.now();
        let status = report::status(&provider, &outcome, ctx.settings.portal.as_ref(), now);
        publish(&ctx, &provider, &status).await?;
        // Everything but the issuer is a change that wakes the object.
        Ok((pass_outcome(&outcome), look_again(outcome.next, now)))
    }
}

fn observe(ctx: &Context, provider: &IntegrationProvider) -> ObservedProvider {
    let secret = |name: &str| {
        let place = ObjectRef::new(name).within(&ctx.settings.namespace);
        ctx.world.app_secrets.get(&place)
    };
    let spec = &provider.spec;
    let ca = spec.network.as_ref().and_then(|network| network.ca_secret_name.as_deref());
    ObservedProvider {
        namespace: ctx.settings.namespace.clone(),
        app_secret: secret(&provider.app_secret_name()),
        redirect_uri: ctx
            .settings
            .portal
            .as_ref()
            .map(|portal| attempt::redirect_uri(portal, &provider.name_any())),
        ca_secret: ca.and_then(secret),
        bounds: ctx.settings.provider_bounds.clone(),
        now: ctx.clock.now(),
    }
}

/// Writes the status if it changed. Connections wait for probes during an incident: they are woken when it begins and ends.
async fn publish(
    ctx: &Context,
    provider: &IntegrationProvider,
    status: &IntegrationProviderStatus,
) -> Result<(), ReconcileError> {
    let is_there = ctx.write_status(provider, status).await?;
    if is_there && incident(provider.status.as_ref()) != incident(Some(status)) {
        act::wake_connections(ctx, &provider.name_any());
    }
    Ok(())
}

fn incident(status: Option<&IntegrationProviderStatus>) -> Option<Reason> {
    let reason = status?.conditions.reason_of(ConditionType::Ready)?;
    Some(reason).filter(|reason| matches!(reason, Reason::AppRejected | Reason::GrantsRefused))
}

fn pass_outcome(outcome: &ProviderOutcome) -> PassOutcome {
    match (&outcome.refusal, outcome.next) {
        (None, _) => PassOutcome::Settled,
        (Some(_), Some(_)) => PassOutcome::Waiting,
        (Some(_), None) => PassOutcome::Stalled,
    }
}
