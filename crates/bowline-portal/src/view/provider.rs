//! A provider as pages show it: its name and mark, and whether it can be used.

use bowline_api::connection::Method;
use bowline_api::open::Open;
use bowline_api::provider::Overlay;
use bowline_api::{IntegrationConnection, IntegrationProvider};
use kube::ResourceExt;

use super::mark::{ProviderMark, initials};
use bowline_oauth::catalog::look::Group;
use bowline_oauth::catalog::{self, CatalogEntry, Description};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) mark: ProviderMark,
    pub(crate) group: Group,
    /// What it is useful for, in one line.
    pub(crate) about: String,
    /// Whether it can be used, and the operator's message about that.
    pub(crate) ready: bool,
    pub(crate) message: String,
    pub(crate) contact: Option<String>,
    /// Whether it can be connected in a browser.
    pub(crate) by_browser: bool,
    /// Whether it can be connected with a device code.
    pub(crate) by_code: bool,
    /// How its grants can be obtained, the usual way first.
    pub(crate) methods: Vec<Open<Method>>,
}

impl Card {
    pub(crate) fn of(provider: &IntegrationProvider) -> Self {
        let name = provider.name_any();
        let entry = catalog::entry_of(&provider.spec).ok();
        let entry = entry.as_deref();
        let title = title(provider, entry).unwrap_or_else(|| name.clone());
        let status = provider.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let allows_codes =
            provider.spec.allow.as_ref().and_then(|allow| allow.device_flow).unwrap_or_default();
        Self {
            mark: ProviderMark::of(&provider.spec.type_, entry, &title),
            group: entry.map_or(Group::Generic, |entry| entry.group),
            about: entry.map(|entry| about(provider, entry)).unwrap_or_default(),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            message: ready.map_or_else(|| "Not looked at yet.".to_owned(), |ready| ready.message.clone()),
            contact: provider.spec.contact.clone(),
            by_browser: status.offers(Method::AuthorizationCode) || status.offers(Method::LinkSession),
            by_code: status.offers(Method::DeviceCode) && allows_codes,
            methods: status.methods,
            title,
            name,
        }
    }

    /// The card of a provider that does not exist, or not any more.
    pub(crate) fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            mark: ProviderMark::letters(&initials(name)),
            message: "There is no provider of this name.".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn connects_by_browser(&self, connection: &IntegrationConnection) -> bool {
        self.by_browser && allows(connection, &[Method::AuthorizationCode, Method::LinkSession])
    }

    /// Whether the keys of the connection are issued here.
    pub(crate) fn issues_keys(&self, connection: &IntegrationConnection) -> bool {
        self.method(connection) == Some(Method::IssuedKey)
    }

    /// `ApiKey` or `BasicAuth`, if its owner provides one of them and no other Secret does.
    pub(crate) fn key_method(&self, connection: &IntegrationConnection) -> Option<Method> {
        let takes_one = connection.spec.credentials.is_none();
        let is_key = |method: &Method| matches!(method, Method::ApiKey | Method::BasicAuth);
        self.method(connection).filter(|method| takes_one && is_key(method))
    }

    /// The method of the connection, if the provider offers it.
    fn method(&self, connection: &IntegrationConnection) -> Option<Method> {
        let chosen = connection.spec.method.as_ref().or(self.methods.first())?.known()?;
        self.methods.iter().any(|offered| offered.is(chosen)).then_some(chosen)
    }

    pub(crate) fn connects_by_code(&self, connection: &IntegrationConnection) -> bool {
        self.by_code && allows(connection, &[Method::AuthorizationCode, Method::DeviceCode])
    }
}

/// What a provider is called, if somebody says so. All generic ones would be called alike.
fn title(provider: &IntegrationProvider, entry: Option<&CatalogEntry>) -> Option<String> {
    let own = provider.spec.display_name.clone();
    own.or_else(|| {
        let entry = entry.filter(|entry| !is_anybodys(provider, entry, "displayName"))?;
        // Without the catalogue's note for administrators: `GitHub (OAuth App)` is shown as GitHub.
        entry.display_name.split(" (").next().map(ToOwned::to_owned)
    })
}

/// What it is useful for; of a generic one, where it is.
fn about(provider: &IntegrationProvider, entry: &CatalogEntry) -> String {
    let host = || {
        let description = catalog::sketch(entry, &provider.spec, &provider.name_any()).ok()?;
        let endpoints = &description.endpoints;
        let known =
            endpoints.issuer.as_ref().or(endpoints.authorization.as_ref()).or(endpoints.token.as_ref())?;
        known.host_str().map(|host| format!("At {host}."))
    };
    let generic = is_anybodys(provider, entry, "about").then(host).flatten();
    generic.unwrap_or_else(|| entry.about.clone())
}

/// Whether a field of a generic entry is not the provider's own.
fn is_anybodys(provider: &IntegrationProvider, entry: &CatalogEntry, field: &str) -> bool {
    let states = provider.spec.overlay.as_ref().is_some_and(|Overlay(overlay)| overlay.contains_key(field));
    entry.group == Group::Generic && !states
}

/// Whether the spec leaves the method open, or chooses one of these.
fn allows(connection: &IntegrationConnection, methods: &[Method]) -> bool {
    connection.spec.method.as_ref().is_none_or(|chosen| methods.iter().any(|method| chosen.is(*method)))
}

/// What is known of a provider for one connection, placeholders filled where they can be.
pub(crate) fn description(
    provider: &IntegrationProvider,
    connection: &IntegrationConnection,
) -> Option<Description> {
    let entry = catalog::entry_of(&provider.spec).ok()?;
    let name = provider.name_any();
    let exact = catalog::resolve(&entry, &provider.spec, &name, &connection.spec.parameters).ok();
    exact.or_else(|| catalog::sketch(&entry, &provider.spec, &name).ok())
}

pub(crate) fn heading(group: Group) -> &'static str {
    match group {
        Group::Mail => "Mail",
        Group::Calendar => "Calendar",
        Group::Chat => "Chat",
        Group::Code => "Code",
        Group::Files => "Files",
        Group::Documents => "Documents",
        Group::Project => "Projects",
        Group::Bank => "Banking",
        Group::Account => "Accounts",
        Group::Generic => "Other services",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generic_providers_are_told_apart_by_their_object_and_host() {
        let card = |spec: serde_json::Value| {
            Card::of(&IntegrationProvider::new("crm", serde_json::from_value(spec).unwrap()))
        };
        let issuer = json!({"issuer": "https://id.example.com/realms/a"});
        let plain = card(json!({"type": "generic-oauth2", "endpoints": issuer}));
        assert_eq!((plain.title.as_str(), plain.about.as_str()), ("crm", "At id.example.com."));
        let named = card(json!({"type": "generic-oauth2", "endpoints": issuer, "overlay": {
            "displayName": "Fern", "about": "Use your ferns.", "group": "Documents"}}));
        assert_eq!((named.title.as_str(), named.about.as_str()), ("Fern", "Use your ferns."));
        assert_eq!(named.group, Group::Documents);
        assert_eq!(card(json!({"type": "github"})).title, "GitHub");
        assert_eq!(card(json!({"type": "generic-api-key"})).title, "crm");
        assert_eq!(card(json!({"type": "generic-api-key", "displayName": "Keys"})).title, "Keys");
    }
}
