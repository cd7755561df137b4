//! The kinds of the group `bowline.dev`, and nothing else: fields, their rules, reasons and well-known names.
//!
//! A spec is the user's, a status is the operator's; neither ever holds a secret. Rules about one object alone are CEL in
//! the schema, so the API server enforces them for everybody, with our messages.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod attempt;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod binding;
pub mod change;
pub mod condition;
mod condition_type;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod connection;
pub mod delivery;
pub mod duration;
pub mod envelope;
pub mod issued_key;
pub mod keyring;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod member;
pub mod membership;
pub mod names;
pub mod opaque;
pub mod open;
pub mod owner;
#[cfg(test)]
mod page;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod provider;
pub mod reason;
mod schema;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod share;
pub mod shown;
pub mod terms;
pub mod view;
#[allow(unreachable_pub, reason = "KubeSchema repeats each struct in a function")]
pub mod workspace;

pub use binding::{ConnectionBinding, ConnectionBindingSpec, ConnectionBindingStatus};
pub use connection::{IntegrationConnection, IntegrationConnectionSpec, IntegrationConnectionStatus};
pub use provider::{IntegrationProvider, IntegrationProviderSpec, IntegrationProviderStatus};
pub use share::{ConnectionShare, ConnectionShareSpec, ConnectionShareStatus};
pub use workspace::{Workspace, WorkspaceSpec, WorkspaceStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a consumer: the names and values of one JSON object. Not secret.
pub type ConsumerConfig = serde_json::Map<String, serde_json::Value>;

/// A Secret in a namespace that the field's owner fixes: only the name can be chosen.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret. Required.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// Calls the macro `$with` with the table of kinds, in the order they are installed and printed. A kind is one line here.
#[macro_export]
macro_rules! kinds {
    ($with:ident) => {
        $with! {
            connections: $crate::connection::IntegrationConnection,
            providers: $crate::provider::IntegrationProvider,
            workspaces: $crate::workspace::Workspace,
            shares: $crate::share::ConnectionShare,
            bindings: $crate::binding::ConnectionBinding,
        }
    };
}

macro_rules! definitions {
    ($($field:ident: $kind:ty,)+) => { vec![$(definition::<$kind>()),+] };
}

/// The definitions of all kinds, in the order they are installed and printed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    kinds!(definitions)
}

/// The definition of a kind as it is installed.
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    schema::complete(&mut definition);
    definition
}
