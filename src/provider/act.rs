//! Queries a provider's issuer if that is due, and wakes its connections when something changed for them.

use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::condition::ConditionType;
use bowline_api::reason::Reason;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::catalog::{Description, DiscoveredEndpoints, MetadataSource};
use bowline_oauth::certificate::ClientCertificate;
use bowline_oauth::discovery::{DiscoveryError, discover};
use bowline_oauth::http::Http;
use bowline_oauth::resource::discover_for;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::decide::CheckedProvider;
use super::network::unusable;
use super::{change, registration};
use crate::context::Context;
use crate::discovered::{IssuerQuestion, IssuerReading};
use crate::grant::incident::Trouble;
use crate::kinds::keys;
use crate::metrics::{Metrics, Operation};
use crate::world::{ProviderRefusal, ReadyProvider, Resolution, sentence};

#[derive(Debug, Default)]
pub(super) struct ProviderOutcome {
    /// Its description with placeholders for what connections set; `None` if the object was refused before that.
    pub(crate) sketch: Option<Description>,
    pub(crate) refusal: Option<ProviderRefusal>,
    /// When its issuer is to be queried again.
    pub(crate) next: Option<Timestamp>,
    /// When the certificate of its app registration ends.
    pub(crate) certificate_ends: Option<Timestamp>,
}

/// Queries the issuer if that is due, and publishes the resolution to connections.
pub(super) async fn act(
    ctx: &Context,
    provider: &Arc<IntegrationProvider>,
    checked: Result<CheckedProvider, ProviderRefusal>,
) -> ProviderOutcome {
    let name = provider.name_any();
    let mut outcome = ProviderOutcome::default();
    let resolution = match checked {
        Ok(checked) => resolve(ctx, provider, checked, &mut outcome).await,
        Err(refusal) => Err(refusal),
    };
    outcome.refusal = resolution.as_ref().err().cloned();
    resume(ctx, provider);
    settle(ctx, &name, resolution);
    // The provider stays usable meanwhile: probes of its connections need it.
    let now = ctx.clock.now();
    let has =
        |trouble| outcome.refusal.is_none() && ctx.grants.incidents().present(&name, trouble, now).is_some();
    if has(Trouble::Registration) {
        let message = "The third party does not accept our registration (invalid_client, or our TLS client certificate): its refreshes pause, and one is tried every five minutes. Put the right client_id and client_secret, or certificate, into the app Secret.";
        let contact = provider.spec.contact.as_deref();
        outcome.refusal = Some(ProviderRefusal::new(Reason::AppRejected, message, contact));
    } else if has(Trouble::Grants) {
        let message = "The third party refuses the grants of several connections at once. None is given up and nothing is withdrawn; one at a time is tried every minute until one works.";
        outcome.refusal = Some(ProviderRefusal::new(Reason::GrantsRefused, message, None));
    }
    outcome
}

async fn resolve(
    ctx: &Context,
    provider: &Arc<IntegrationProvider>,
    checked: CheckedProvider,
    outcome: &mut ProviderOutcome,
) -> Resolution {
    let CheckedProvider { app, registers, sketch, question, network } = checked;
    outcome.sketch = Some(sketch);
    let certificate = app.as_ref().and_then(|app| app.certificate.as_ref());
    outcome.certificate_ends = certificate.map(ClientCertificate::not_after);
    let (name, contact) = (provider.name_any(), provider.spec.contact.as_deref());
    let http = ctx
        .clients
        .client(&network)
        .map_err(|error| ProviderRefusal::new(Reason::EndpointRefused, &unusable(&error), contact))?;
    let metadata = if let Some(question) = question {
        let reading = reading(ctx, &name, &http, question).await;
        outcome.next = Some(reading.next);
        let refused = |why: String| ProviderRefusal::new(Reason::DiscoveryFailed, &sentence(&why), contact);
        Some(Arc::clone(reading.usable().map_err(refused)?))
    } else {
        ctx.world.issuers.forget(&name);
        None
    };
    let app = change::app_to_use(ctx.world.resolutions.get(&name).as_deref(), app);
    let http: Arc<dyn Http> = Arc::new(http);
    let mut ready = ReadyProvider::new(Arc::clone(provider), app, metadata, http);
    if registers {
        ready = Box::pin(registered(ctx, ready, outcome)).await?;
    }
    if let Some(why) = ready.unspoken_client_auth() {
        return Err(ProviderRefusal::new(Reason::DiscoveryFailed, &why, contact));
    }
    match ready.misused_app(&ctx.settings.namespace) {
        Some(why) => Err(ProviderRefusal::new(Reason::AppSecretIncomplete, &why, contact)),
        None => Ok(ready),
    }
}

/// The provider with a registration that the operator makes now.
async fn registered(ctx: &Context, ready: ReadyProvider, outcome: &mut ProviderOutcome) -> Resolution {
    let app = registration::register(ctx, &ready).await.map_err(|failure| {
        outcome.next = Some(failure.next);
        let contact = ready.object.spec.contact.as_deref();
        ProviderRefusal::new(Reason::RegistrationFailed, &sentence(&failure.why), contact)
    })?;
    let ReadyProvider { object, metadata, http, .. } = ready;
    Ok(ReadyProvider::new(object, Some(Arc::new(app)), metadata, http))
}

/// What is known about the issuer; it is queried if that is due.
async fn reading(ctx: &Context, name: &str, http: &dyn Http, question: IssuerQuestion) -> IssuerReading {
    let last = ctx.world.issuers.get(name).filter(|last| last.question == question);
    if let Some(last) = last.as_ref().filter(|last| ctx.clock.now() < last.next) {
        return last.clone();
    }
    let read = discover_counted(&ctx.metrics, http, &question.source).await;
    if let Err(error) = &read {
        tracing::warn!(provider = name, error = %chain(error), "the issuer's metadata could not be read");
    }
    let reading = IssuerReading::after(last, question, read, ctx.clock.now());
    ctx.world.issuers.set(name, reading.clone());
    reading
}

/// Reads the issuer's metadata, and counts result and duration.
async fn discover_counted(
    metrics: &Metrics,
    http: &dyn Http,
    source: &MetadataSource,
) -> Result<DiscoveredEndpoints, DiscoveryError> {
    let call = metrics.provider_call(Operation::Discovery);
    let read = match source {
        MetadataSource::Issuer(issuer) => Box::pin(discover(http, issuer)).await,
        MetadataSource::Resource(resource) => Box::pin(discover_for(http, resource)).await,
    };
    let class = |error: &DiscoveryError| if error.passes() { Class::Transient } else { Class::Config };
    call.finish(read.as_ref().err().map(class));
    read
}

/// After a restart: goes on with an incident that status shows. Connections wait for the first resolution.
fn resume(ctx: &Context, provider: &IntegrationProvider) {
    let name = provider.name_any();
    let conditions = provider.status.iter().flat_map(|status| &status.conditions);
    let mut shown = conditions.filter(|it| it.type_ == ConditionType::Ready.as_str());
    let refused = shown.find(|ready| ready.reason == Reason::GrantsRefused.as_str());
    if let Some(ready) = refused.filter(|_| ctx.world.resolutions.get(&name).is_none()) {
        let (began, now) = (ready.last_transition_time.0, ctx.clock.now());
        ctx.grants.incidents().resume(&name, Trouble::Grants, began, now);
    }
}

/// Publishes the resolution, forgets the rejection of a replaced registration, and wakes the connections that are affected.
fn settle(ctx: &Context, name: &str, next: Resolution) {
    let resolutions = &ctx.world.resolutions;
    let last = resolutions.get(name);
    let last = last.as_deref();
    let rewritten = last.is_some_and(|last| change::is_rewritten(last, &next));
    if rewritten || change::app_is_new(last, &next) {
        ctx.grants.incidents().replaced(name, Trouble::Registration);
    }
    if rewritten {
        ctx.grants.incidents().replaced(name, Trouble::Grants);
    }
    let changed = last.is_none_or(|last| !change::same(last, &next));
    resolutions.set(name, Arc::new(next));
    if changed {
        wake_connections(ctx, name);
    }
}

/// Forgets a provider object that is gone or cannot be read, and wakes its connections.
pub(super) fn forget(ctx: &Context, name: &str) {
    ctx.world.issuers.forget(name);
    ctx.world.resolutions.forget(name);
    wake_connections(ctx, name);
}

pub(super) fn wake_connections(ctx: &Context, name: &str) {
    for connection in ctx.world.kinds.connections.having(&keys::provider(name)) {
        ctx.world.kinds.connections.wake(ObjectRef::from_obj(&*connection));
        // What it says of settings may have changed.
        ctx.world.kinds.bindings.wake_having(&keys::id(&connection.id()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::target::tests::Offline;

    #[tokio::test]
    async fn a_request_to_an_issuer_is_counted() {
        let metrics = Metrics::new(0).unwrap();
        let issuer = MetadataSource::Issuer("https://id.example.com".parse().unwrap());
        assert!(discover_counted(&metrics, &Offline::default(), &issuer).await.is_err());
        let text = metrics.encode().unwrap();
        let line = r#"bowline_provider_requests_total{class="config",operation="discovery"} 1"#;
        assert!(text.lines().any(|known| known == line), "{text}");
    }
}
