//! What belongs to a connection, as far as the user may read it: its provider and its shares.

use std::fmt;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;

use crate::reading::{Readable, seen};
use crate::session::UserSession;
use crate::table::printable;
use bowline_api::connection::Method;
use bowline_api::names::{LABEL_CONNECTION_NAME, LABEL_CONNECTION_NAMESPACE};
use bowline_api::open::Open;
use bowline_api::reason::Entrance;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider};

/// What is needed of a provider object here; nothing if the user may not read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProviderFacts {
    /// Whom to ask about what only an administrator can fix.
    pub(crate) contact: Option<String>,
    /// How grants can be obtained, the usual way first.
    pub(crate) methods: Vec<Open<Method>>,
    pub(crate) device_flow: Option<bool>,
}

impl ProviderFacts {
    /// How a grant reaches this connection.
    pub(crate) fn entrance(&self, connection: &IntegrationConnection) -> Entrance {
        let method = connection.spec.method.as_ref().or(self.methods.first());
        match method.and_then(Open::known) {
            Some(Method::DeviceCode) => Entrance::Device,
            Some(Method::ApiKey | Method::BasicAuth | Method::RefreshToken) => Entrance::Import,
            Some(Method::IssuedKey) => Entrance::Key,
            None if connection.key_prefix().is_some() => Entrance::Key,
            Some(
                Method::AuthorizationCode
                | Method::ClientCredentials
                | Method::JwtBearer
                | Method::TokenExchange
                | Method::LinkSession,
            )
            | None => Entrance::Browser,
        }
    }
}

pub(crate) async fn provider_of(
    session: &UserSession,
    connection: &IntegrationConnection,
) -> anyhow::Result<ProviderFacts> {
    let providers: Api<IntegrationProvider> = Api::all(session.client.clone());
    let provider = seen(providers.get_opt(&connection.spec.provider).await)?.ok().flatten();
    Ok(provider.map_or_else(ProviderFacts::default, |provider| ProviderFacts {
        device_flow: Some(provider.spec.allow.and_then(|allow| allow.device_flow).unwrap_or_default()),
        contact: provider.spec.contact,
        methods: provider.status.map(|status| status.methods).unwrap_or_default(),
    }))
}

pub(crate) async fn shares_of(
    session: &UserSession,
    connection: &IntegrationConnection,
) -> anyhow::Result<Readable<Vec<ConnectionShare>>> {
    if !connection.wants_sharing() {
        return Ok(Ok(Vec::new()));
    }
    let labels = format!(
        "{LABEL_CONNECTION_NAME}={},{LABEL_CONNECTION_NAMESPACE}={}",
        connection.name_any(),
        connection.namespace().unwrap_or_default()
    );
    session.all(&ListParams::default().labels(&labels)).await
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretPlace {
    pub(crate) namespace: String,
    /// The name that it has or will have.
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) is_written: bool,
    /// The workspace through which it is there; none in the connection's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<String>,
    /// The binding that has it; none if it is the connection's own or a share's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binding: Option<String>,
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, is_written, workspace, binding } = self;
        let secret = if *is_written { format!("Secret {name}") } else { "not yet".to_owned() };
        let within = workspace.as_ref().map(|workspace| format!("workspace {workspace}"));
        let by = binding.as_ref().map(|binding| format!("binding {binding}"));
        let notes: Vec<_> = within.into_iter().chain(by).collect();
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        f.write_str(&printable(format!("{namespace}: {secret}{notes}")))
    }
}

/// Where a connection is published: in its own namespace, and by these shares.
pub(crate) fn published(connection: &IntegrationConnection, shares: &[ConnectionShare]) -> Vec<SecretPlace> {
    let own = connection.status.as_ref().and_then(|status| status.secret.as_ref());
    let own = own.map(|secret| SecretPlace {
        namespace: connection.namespace().unwrap_or_default(),
        name: secret.name.clone(),
        is_written: true,
        workspace: None,
        binding: None,
    });
    let elsewhere = shares.iter().map(|share| {
        let name = share.status.as_ref().and_then(|status| status.secret_name.clone());
        SecretPlace {
            namespace: share.namespace().unwrap_or_default(),
            is_written: name.is_some(),
            name: name.unwrap_or_else(|| connection.id()),
            workspace: Some(share.spec.workspace.clone()),
            binding: None,
        }
    });
    own.into_iter().chain(elsewhere).collect()
}

/// The same as lines, with who gets the token there; `None` where it is published nowhere.
pub(crate) fn whereabouts(
    connection: &IntegrationConnection,
    shares: &Readable<Vec<ConnectionShare>>,
) -> Option<String> {
    let places = published(connection, shares.as_deref().unwrap_or_default());
    let hidden = shares.is_err().then(|| hidden(connection));
    let mut lines: Vec<_> = places.iter().map(ToString::to_string).chain(hidden).collect();
    if lines.is_empty() {
        return None;
    }
    lines.push("Whoever may read Secrets or run pods in these namespaces gets the token.".to_owned());
    Some(format!("  {}\n", lines.join("\n  ")))
}

/// Names as one text, and how many there are besides.
pub(crate) fn listed(names: &[String], more: i32) -> String {
    let names = names.join(", ");
    match (names.is_empty(), more) {
        (_, ..=0) => names,
        (true, more) => more.to_string(),
        (false, more) => format!("{names} and {more} more"),
    }
}

/// Where else it is shared, in words.
pub(crate) fn hidden(connection: &IntegrationConnection) -> String {
    let workspace = connection.spec.workspace.as_deref().unwrap_or_default();
    format!("in namespaces of workspace {workspace} whose shares you may not list")
}
