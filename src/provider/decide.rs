//! Can this provider object be used? The first check that fails is reported in status. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::connection::Method;
use bowline_api::provider::{IntegrationProviderSpec, registration_name};
use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::catalog::{self, Description, ResolveError};
use bowline_oauth::guard;
use bowline_oauth::network::{Network, NetworkBounds};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::network::{network, remedy};
use super::registration::redirect_uri_of;
use crate::discovered::IssuerQuestion;
use crate::grant::app_secret::AppSecret;
use crate::world::{ProviderRefusal, sentence};

#[derive(Default)]
pub(super) struct ObservedProvider {
    /// The operator's namespace.
    pub(crate) namespace: String,
    /// The Secret with its registration, in the operator's namespace.
    pub(crate) app_secret: Option<Arc<Secret>>,
    /// Where the provider sends people back to, if a portal is set up.
    pub(crate) redirect_uri: Option<String>,
    /// The Secret that `spec.network.caSecretName` names, in the operator's namespace.
    pub(crate) ca_secret: Option<Arc<Secret>>,
    /// How the operator allows providers to be reached.
    pub(crate) bounds: NetworkBounds,
    /// When all of that was read.
    pub(crate) now: Timestamp,
}

/// A provider whose object and Secrets are in order.
#[derive(Debug)]
pub(super) struct CheckedProvider {
    pub(crate) app: Option<Arc<App>>,
    /// The operator has to register itself first.
    pub(crate) registers: bool,
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
    let source = plain.filter(Description::needs_discovery).and_then(|plain| plain.metadata_source());
    let question = source.map(|source| IssuerQuestion { source, network: network.clone() });
    let registers = app.is_none() && registers_itself(spec, &sketch);
    Ok(CheckedProvider { app, registers, sketch, question, network })
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

/// Whether the operator registers itself: the type provides for that, and nobody named a registration.
fn registers_itself(spec: &IntegrationProviderSpec, sketch: &Description) -> bool {
    spec.app.is_none() && sketch.registers_itself()
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
    let registers = registers_itself(spec, sketch);
    if registers && observed.app_secret.is_none() {
        return Ok(None);
    }
    let registration = registration_name(provider);
    let named = spec.app.as_ref().map(|app| &app.secret_name).or(registers.then_some(&registration));
    let Some(name) = named else {
        let own = spec.allow.as_ref().and_then(|allow| allow.own_app).unwrap_or_default();
        let message = "This type needs our registration at the provider: set spec.app.secretName to a Secret of type bowline.dev/app in the operator's namespace, or allow.ownApp.";
        return if own { Ok(None) } else { Err((Reason::AppSecretNotFound, message.to_owned())) };
    };
    let of = AppSecret { name, namespace: &observed.namespace, description: sketch };
    let Some(secret) = &observed.app_secret else {
        return Err((Reason::AppSecretNotFound, of.missing()));
    };
    let app = of.read(secret).map_err(|message| (Reason::AppSecretIncomplete, message))?;
    if registers && redirect_uri_of(secret) != observed.redirect_uri {
        let message = of.unusable("the operator registered itself with another callback URL than the present one. If that is to stay, delete this Secret, and the operator registers again; people must then connect again");
        return Err((Reason::AppSecretIncomplete, message));
    }
    if let Some(missing) = app.missing_proof(sketch) {
        return Err((Reason::AppSecretIncomplete, of.unusable(&missing)));
    }
    if let Some(Err(flaw)) = app.certificate.as_ref().map(|certificate| certificate.check(observed.now)) {
        return Err((Reason::CertificateInvalid, of.unusable(&flaw.to_string())));
    }
    let (uid, version) = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
    Ok(Some(Arc::new(app.of_version(&uid, &version))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
