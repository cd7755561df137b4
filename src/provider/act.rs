//! What is done for a provider: its issuer is asked, its connections are told.

use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::reason::Reason;
use bowline_oauth::discovery::discover;
use bowline_oauth::http::HttpClient;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::change;
use super::decide::{Refusal, Usable};
use super::network::unusable;
use super::report::{Facts, Found};
use crate::context::Context;
use crate::discovered::{IssuerReading, Question};
use crate::world::{Ready, Resolution, sentence};

/// Asks the issuer where that is due, and puts in what the provider comes to.
pub(super) async fn act(
    ctx: &Context,
    provider: &Arc<IntegrationProvider>,
    judged: Result<Usable, Refusal>,
) -> Found {
    let (name, contact) = (provider.name_any(), provider.spec.contact.as_deref());
    let usable = match judged {
        Ok(usable) => usable,
        Err(refusal) => return not_usable(ctx, &name, refusal, None, None),
    };
    let facts = Some(Facts::of(&usable.sketch));
    let http = match ctx.clients.client(&usable.network) {
        Ok(http) => http,
        Err(error) => {
            let refusal = Refusal::new(Reason::EndpointRefused, &unusable(&error), contact);
            return not_usable(ctx, &name, refusal, facts, None);
        }
    };
    let reading = if let Some(question) = &usable.question {
        Some(reading(ctx, &name, &http, question).await)
    } else {
        ctx.world.issuers.forget(&name);
        None
    };
    let next = reading.as_ref().map(IssuerReading::next);
    let metadata = match reading.as_ref().map(IssuerReading::usable).transpose() {
        Ok(metadata) => metadata.cloned(),
        Err(why) => {
            let refusal = Refusal::new(Reason::DiscoveryFailed, &sentence(why), contact);
            return not_usable(ctx, &name, refusal, facts, next);
        }
    };
    let app = change::kept(ctx.world.resolutions.get(&name).as_deref(), usable.app);
    let ready = Ready::new(Arc::clone(provider), app, metadata, Arc::new(http));
    settle(ctx, &name, Resolution::Ready(ready));
    // The provider stays usable meanwhile: a connection's probe has to find its way.
    let verdict =
        if ctx.grants.engine.gate.registrations.is_rejected(&name) { Err(rejected(contact)) } else { Ok(()) };
    Found { facts, verdict, next }
}

fn rejected(contact: Option<&str>) -> Refusal {
    let message = "The third party does not accept our registration (invalid_client): its connections pause. Put the right client_id and client_secret into the app Secret; a probe goes out every five minutes.";
    Refusal::new(Reason::AppRejected, message, contact)
}

fn not_usable(
    ctx: &Context,
    name: &str,
    refusal: Refusal,
    facts: Option<Facts>,
    next: Option<Timestamp>,
) -> Found {
    settle(ctx, name, Resolution::NotReady { reason: refusal.reason, message: refusal.message.clone() });
    Found { facts, verdict: Err(refusal), next }
}

/// What is known of the issuer, asked if that is due.
async fn reading(ctx: &Context, name: &str, http: &HttpClient, question: &Question) -> IssuerReading {
    let last = ctx.world.issuers.get(name).filter(|last| last.answers(question));
    if let Some(last) = last.as_ref().filter(|last| ctx.clock.now() < last.next()) {
        return last.clone();
    }
    let read = discover(http, &question.issuer).await;
    if let Err(error) = &read {
        tracing::warn!(provider = name, error = %chain(error), "the issuer's metadata could not be read");
    }
    let reading = IssuerReading::after(last, question.clone(), read, ctx.clock.now());
    ctx.world.issuers.set(name, reading.clone());
    reading
}

/// Puts in the resolution, lets a new registration start afresh, and wakes connections for which something changed.
fn settle(ctx: &Context, name: &str, next: Resolution) {
    let resolutions = &ctx.world.resolutions;
    let last = resolutions.get(name);
    let last = last.as_deref();
    if change::app_is_new(last, &next) {
        ctx.grants.engine.gate.registrations.accepted(name);
    }
    let changed = last.is_none_or(|last| !change::same(last, &next));
    resolutions.set(name, Arc::new(next));
    if changed {
        wake_connections(ctx, name);
    }
}

/// Forgets a provider object that is gone or cannot be read, and tells its connections.
pub(super) fn forget(ctx: &Context, name: &str) {
    ctx.world.issuers.forget(name);
    ctx.world.resolutions.forget(name);
    wake_connections(ctx, name);
}

/// Wakes all connections of a provider.
pub(super) fn wake_connections(ctx: &Context, name: &str) {
    ctx.world.kinds.connections.wake_where(|connection| connection.spec.provider == name);
}
