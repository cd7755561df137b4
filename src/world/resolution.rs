//! The resolution of a provider object, and what a connection gets from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_oauth::app::{App, PRIVATE_KEY};
use bowline_oauth::catalog::{self, Description, SetBy};
use bowline_oauth::certificate::{CERTIFICATE, CERTIFICATE_KEY};
use bowline_oauth::http::Http;
use kube::ResourceExt;

use crate::discovered::IssuerMetadata;
use crate::grant::app_secret::AppSecret;
use crate::grant::target::Target;

/// The provider controller's result for one provider object.
pub(crate) type Resolution = Result<ReadyProvider, ProviderRefusal>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderRefusal {
    pub(crate) reason: Reason,
    /// What is wrong, what to do, who can do it.
    pub(crate) message: String,
}

impl ProviderRefusal {
    /// `detail` is placed between what happened and what to do.
    pub(crate) fn new(reason: Reason, detail: &str, contact: Option<&str>) -> Self {
        let facts = MessageFacts { contact, detail: detail.into(), ..MessageFacts::default() };
        Self { reason, message: reason.message(&facts) }
    }
}

#[derive(Debug)]
pub(crate) struct ReadyProvider {
    /// The object as it was judged.
    pub(crate) object: Arc<IntegrationProvider>,
    /// Its app registration, for the methods that need one.
    pub(crate) app: Option<Arc<App>>,
    /// What the issuer's metadata says, if it was read.
    pub(crate) metadata: Option<Arc<IssuerMetadata>>,
    /// Sends requests to it, within its network.
    pub(crate) http: Arc<dyn Http>,
    /// For connections without parameters; `None` if they must set some.
    pub(crate) plain: Option<Arc<Target>>,
}

/// Why a connection cannot use its provider.
#[derive(Debug)]
pub(crate) enum UnusableProvider {
    NotFound,
    /// Not usable now: why, and who can fix it.
    NotReady(String),
    /// The connection's own parameters are not valid: which, and why.
    ParametersInvalid(String),
}

impl UnusableProvider {
    /// The provider object, or what it refers to, has to change.
    pub(super) fn refused(provider: &str, why: &str) -> Self {
        Self::NotReady(format!("Provider {provider} cannot be used: {why}"))
    }
}

impl ReadyProvider {
    pub(crate) fn new(
        object: Arc<IntegrationProvider>,
        app: Option<Arc<App>>,
        metadata: Option<Arc<IssuerMetadata>>,
        http: Arc<dyn Http>,
    ) -> Self {
        let mut ready = Self { object, app, metadata, http, plain: None };
        ready.plain = ready.target(&BTreeMap::new()).ok();
        ready
    }

    /// Why the app registration may not be used by this provider, as a sentence, as far as that depends on no connection.
    pub(crate) fn misused_app(&self, namespace: &str) -> Option<String> {
        let (app, description) = (self.app.as_ref()?, self.description(&BTreeMap::new()).ok()?);
        let name = &self.object.app_secret_name();
        let secret = AppSecret { name, namespace, description: &description };
        secret.admitted(app).err()
    }

    /// Why our client cannot prove itself at the provider, if its metadata says so: before a person is sent there.
    pub(crate) fn unspoken_client_auth(&self) -> Option<String> {
        let announced = &self.metadata.as_ref()?.endpoints.client_auth_announced;
        let app = self.app.as_ref()?;
        let description = self.description(&BTreeMap::new()).ok()?;
        if announced.is_empty() || description.client_auth(app.proofs()).is_some() {
            return None;
        }
        let takes = |ending: &str| announced.iter().any(|name| name.ends_with(ending));
        let remedy = if takes("private_key_jwt") {
            format!(
                "put a private key in PEM into the key {PRIVATE_KEY} of the app Secret, and its id into key_id"
            )
        } else if takes("tls_client_auth") {
            format!(
                "put a client certificate in PEM into the keys {CERTIFICATE} and {CERTIFICATE_KEY} of the app Secret"
            )
        } else {
            "have the server allow client_secret_basic or client_secret_post for this client".to_owned()
        };
        Some(format!(
            "By its metadata the server takes only {} as client authentication: {remedy}; or set overlay.clientAuth if the metadata is wrong.",
            announced.join(", ")
        ))
    }

    /// The provider for a connection with these parameters. Errors name what does not fit, never a value.
    pub(super) fn target(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<Target>, UnusableProvider> {
        if let (Some(plain), true) = (&self.plain, parameters.is_empty()) {
            return Ok(Arc::clone(plain));
        }
        let description = self.description(parameters)?;
        if let Some(Err(other)) = self.app.as_ref().map(|app| app.purpose.admits(&description)) {
            let why = format!("Its app Secret is for something else: {other}.");
            return Err(UnusableProvider::refused(&self.object.name_any(), &why));
        }
        let (terms, http) = (self.object.spec.clone(), Arc::clone(&self.http));
        Ok(Arc::new(Target::new(description, terms, self.app.clone(), http)))
    }

    /// What is known of the provider, its metadata included, for connections with these parameters.
    pub(crate) fn description(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Description, UnusableProvider> {
        let (spec, name) = (&self.object.spec, self.object.name_any());
        let entry = catalog::entry_of(spec);
        let description = entry.and_then(|entry| catalog::resolve(&entry, spec, &name, parameters));
        let description = description.map_err(|error| {
            let why = sentence(&error.to_string());
            match error.concerns() {
                SetBy::Connection => UnusableProvider::ParametersInvalid(why),
                SetBy::Provider => UnusableProvider::refused(&name, &why),
            }
        })?;
        let proofs = self.app.as_ref().map(|app| app.proofs()).unwrap_or_default();
        // What one issuer says is not valid for another, to which a connection's parameters may lead.
        let source = description.metadata_source();
        Ok(match &self.metadata {
            Some(metadata) if source.as_ref() == Some(&metadata.source) => {
                description.with_metadata(&metadata.endpoints, proofs)
            }
            _ if description.needs_discovery() && description.endpoints.token.is_none() => {
                let why = "Its issuer depends on the connection's parameters and is not asked; set endpoints.token on the IntegrationProvider.";
                return Err(UnusableProvider::refused(&name, why));
            }
            _ => description,
        })
    }
}

/// The message of an error as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
