//! Can this provider object be used? The first check that fails is reported in status. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::connection::Method;
use bowline_api::provider::IntegrationProviderSpec;
use bowline_api::reason::Reason;
use bowline_oauth::app::{App, CLIENT_SECRET, PRIVATE_KEY};
use bowline_oauth::catalog::{self, Description, ResolveError};
use bowline_oauth::guard;
use bowline_oauth::network::{Network, NetworkBounds};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::network::{network, remedy};
use crate::discovered::IssuerQuestion;
use crate::grant::app_secret::AppSecret;
use crate::world::{ProviderRefusal, sentence};

#[derive(Default)]
pub(super) struct ObservedProvider {
    /// The operator's namespace.
    pub(crate) namespace: String,
    /// The Secret that `spec.app` names, in the operator's namespace.
    pub(crate) app_secret: Option<Arc<Secret>>,
    /// The Secret that `spec.network.caSecretName` names, in the operator's namespace.
    pub(crate) ca_secret: Option<Arc<Secret>>,
    /// How the operator allows providers to be reached.
    pub(crate) bounds: NetworkBounds,
}

/// A provider whose object and Secrets are in order.
#[derive(Debug)]
pub(super) struct CheckedProvider {
    pub(crate) app: Option<Arc<App>>,
    /// With placeholders for what connections set: for methods and rotation.
    pub(crate) sketch: Description,
    /// What to request from its issuer, if anything.
    pub(crate) question: Option<IssuerQuestion>,
    /// How it may be reached.
    pub(crate) network: Network,
}

pub(super) fn decide(
    provider: &IntegrationProvider,
    observed: &ObservedProvider,
) -> Result<CheckedProvider, ProviderRefusal> {
    let (spec, name) = (&provider.spec, provider.name_any());
    let refuse = |reason, message: &str| ProviderRefusal::new(reason, message, spec.contact.as_deref());
    let unfit = |error: ResolveError| refuse(unfit(&error), &sentence(&error.to_string()));
    let entry = catalog::entry_of(spec).map_err(unfit)?;
    let network = network(spec.network.as_ref(), observed.ca_secret.as_deref(), &observed.bounds)
        .map_err(|message| refuse(Reason::EndpointRefused, &message))?;
    let sketch = catalog::sketch(&entry, spec, &name).map_err(unfit)?;
    let plain = catalog::resolve(&entry, spec, &name, &BTreeMap::new()).ok();
    for url in sketch.addresses().chain(plain.iter().flat_map(Description::addresses)) {
        guard::check_url(url, &network).map_err(|refused| {
            refuse(Reason::EndpointRefused, &format!("{refused}. {}", remedy(&refused)))
        })?;
    }
    let app = app(spec, &name, &sketch, observed).map_err(|(reason, message)| refuse(reason, &message))?;
    let question = plain.filter(Description::needs_discovery).and_then(|plain| plain.core.endpoints.issuer);
    let question = question.map(|issuer| IssuerQuestion { issuer, network: network.clone() });
    Ok(CheckedProvider { app, sketch, question, network })
}

fn unfit(error: &ResolveError) -> Reason {
    match error {
        ResolveError::UnknownType { .. } => Reason::UnknownType,
        ResolveError::Overlay { .. } | ResolveError::Contradiction { .. } => Reason::OverlayInvalid,
        ResolveError::Insecure { .. }
        | ResolveError::BadAddress { .. }
        | ResolveError::AddressChanged { .. } => Reason::EndpointRefused,
        _ => Reason::ParametersMissing,
    }
}

/// The registration, or why it cannot be used.
fn app(
    spec: &IntegrationProviderSpec,
    provider: &str,
    sketch: &Description,
    observed: &ObservedProvider,
) -> Result<Option<Arc<App>>, (Reason, String)> {
    if !sketch.methods.iter().copied().any(Method::needs_app) {
        return Ok(None);
    }
    let Some(name) = spec.app.as_ref().map(|app| &app.secret_name) else {
        let own = spec.allow.as_ref().and_then(|allow| allow.own_app).unwrap_or_default();
        let message = "This type needs our registration at the provider: set spec.app.secretName to a Secret of type bowline.dev/app in the operator's namespace, or allow.ownApp.";
        return if own { Ok(None) } else { Err((Reason::AppSecretNotFound, message.to_owned())) };
    };
    let of = AppSecret { name, namespace: &observed.namespace, provider };
    let Some(secret) = &observed.app_secret else {
        return Err((Reason::AppSecretNotFound, of.missing()));
    };
    let app = of.read(secret).map_err(|message| (Reason::AppSecretIncomplete, message))?;
    if sketch.client_auth(app.proofs()).is_none() {
        let message = of.unusable(&format!("the key {CLIENT_SECRET}, or {PRIVATE_KEY}, is missing"));
        return Err((Reason::AppSecretIncomplete, message));
    }
    let (uid, version) = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
    Ok(Some(Arc::new(app.of_version(&uid, &version))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
