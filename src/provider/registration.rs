//! Registers the operator at an authorization server, and keeps what came of it in an app Secret.
//!
//! The Secret is like one that an administrator writes: it names the provider object and the hosts that may receive it, so a
//! registration made at one server is never sent to another that the metadata names later.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::IntegrationProvider;
use bowline_api::attempt;
use bowline_api::names::TYPE_APP;
use bowline_api::provider::registration_name;
use bowline_oauth::app::{App, CLIENT_ID, CLIENT_SECRET, HOSTS, PROVIDERS, hosts_of};
use bowline_oauth::registration::{RegisteredClient, RegistrationError, register as request_registration};
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use crate::context::Context;
use crate::kube_ext::apply::create_secret;
use crate::world::ReadyProvider;

/// Key of the callback URL that a registration was made with.
const REDIRECT_URI: &str = "redirect_uri";

/// When a registration that failed is tried again: soon if that may be temporary. Each request may leave a client at the
/// server that nobody uses.
const AGAIN_SOON: Duration = Duration::from_mins(1);
const AGAIN_LATER: Duration = Duration::from_hours(1);

/// Why the operator is not registered.
pub(super) struct NotRegistered {
    pub(super) why: String,
    pub(super) next: Timestamp,
}

/// The callback URL that a registration of ours was made with.
pub(super) fn redirect_uri_of(secret: &Secret) -> Option<String> {
    let ByteString(uri) = secret.data.as_ref()?.get(REDIRECT_URI)?;
    String::from_utf8(uri.clone()).ok()
}

/// Registers the operator for this provider object, and stores the result. A change of the object tries again at once.
pub(super) async fn register(ctx: &Context, ready: &ReadyProvider) -> Result<App, NotRegistered> {
    let now = ctx.clock.now();
    let failed = |why: String, after| NotRegistered { why, next: later(now, after) };
    let Some(portal) = &ctx.settings.portal else {
        let why = "the operator registers itself with the portal's callback URL, and no portal is set up: see docs/portal.md";
        return Err(failed(why.to_owned(), AGAIN_LATER));
    };
    let name = ready.object.name_any();
    let redirect_uri = attempt::redirect_uri(portal, &name);
    let description = ready
        .description(&BTreeMap::new())
        .map_err(|_| failed("its description depends on its connections".to_owned(), AGAIN_LATER))?;
    let endpoint = ready.metadata.as_ref().and_then(|read| read.endpoints.registration.as_ref());
    let client_name = format!("Bowline ({name})");
    let asked = request_registration(&*ready.http, endpoint, &description, &client_name, &redirect_uri);
    let registered = asked.await.map_err(|error: RegistrationError| {
        failed(error.to_string(), if error.passes() { AGAIN_SOON } else { AGAIN_LATER })
    })?;
    let hosts = hosts_of(&description).into_iter().collect::<Vec<_>>().join(",");
    let secret = secret(&ready.object, &ctx.settings.namespace, &registered, &redirect_uri, &hosts);
    let created = create_secret(&ctx.client, &ctx.settings.namespace, &secret).await.map_err(|error| {
        // Another process may have written one. Its change wakes the provider.
        failed(format!("the registration cannot be stored: {}", chain(&error)), AGAIN_SOON)
    })?;
    tracing::info!(provider = name, client = registered.client_id, "registered at the authorization server");
    let app = App::read(Some(TYPE_APP), secret.data.as_ref().unwrap_or(&BTreeMap::new()));
    let app = app.map_err(|error| failed(error.to_string(), AGAIN_LATER))?;
    let version = created.resource_version().unwrap_or_default();
    Ok(app.of_version(&created.uid().unwrap_or_default(), &version))
}

/// The registration as an app Secret that goes with its provider object.
fn secret(
    provider: &IntegrationProvider,
    namespace: &str,
    registered: &RegisteredClient,
    redirect_uri: &str,
    hosts: &str,
) -> Secret {
    let name = provider.name_any();
    let client_secret = registered.client_secret.as_ref().map(ExposeSecret::expose_secret);
    let values = [
        (CLIENT_ID, Some(registered.client_id.as_str())),
        (CLIENT_SECRET, client_secret),
        (PROVIDERS, Some(&*name)),
        (HOSTS, Some(hosts)),
        (REDIRECT_URI, Some(redirect_uri)),
    ];
    let data =
        values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), ByteString(value?.into()))));
    Secret {
        metadata: ObjectMeta {
            name: Some(registration_name(&name)),
            namespace: Some(namespace.to_owned()),
            owner_references: provider.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE_APP.to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}
