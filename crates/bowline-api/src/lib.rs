//! The kinds of the group `bowline.dev`, and nothing else: fields, their rules, reasons and well-known names.
//!
//! A spec is the user's, a status is the operator's; neither ever holds a secret. Rules that one object can be judged
//! by alone are CEL in the schema, so the API server enforces them for everybody, with our words.

pub mod attempt;
pub mod connection;
pub mod duration;
pub mod names;
pub mod opaque;
pub mod provider;
pub mod reason;
pub mod share;
pub mod workspace;

pub use connection::{IntegrationConnection, IntegrationConnectionSpec, IntegrationConnectionStatus};
pub use provider::{IntegrationProvider, IntegrationProviderSpec, IntegrationProviderStatus};
pub use share::{ConnectionShare, ConnectionShareSpec, ConnectionShareStatus};
pub use workspace::{Workspace, WorkspaceSpec, WorkspaceStatus};

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Secret in a namespace that the field's owner fixes: only the name can be chosen.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// The definitions of all kinds, in the order they are installed and printed.
///
/// No field is nullable: the API server then drops a `null` before it judges, so `null` means absent for the rules in
/// the schema as it does for us. A nullable field would count as set for `has()`, and `workspace: null` would do.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        IntegrationConnection::crd(),
        IntegrationProvider::crd(),
        Workspace::crd(),
        ConnectionShare::crd(),
    ];
    for version in definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            refuse_null(schema);
        }
    }
    definitions
}

fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(refuse_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
}
