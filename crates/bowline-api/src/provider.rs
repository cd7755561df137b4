//! `IntegrationProvider`: a configured third party, that is a catalogue entry and our app registration there.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;
use super::connection::Method;
use super::duration::Duration;

/// A configured third party: a catalogue entry and our app registration there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "IntegrationProvider",
    status = "IntegrationProviderStatus",
    shortname = "iprov",
    category = "bowline",
    derive = "PartialEq",
    doc = "A configured third party: a catalogue entry and our app registration there.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Rotation", type_ = "string", json_path = ".status.rotation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationProviderSpec {
    /// Name of a catalogue entry; `bowline catalog` lists them. Immutable.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("type is immutable: make a new provider"))]
    pub type_: String,

    /// Name shown to people, up to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// Our registration there: a Secret in the operator's namespace with the keys `client_id`, `client_secret` and,
    /// while a secret is being replaced, `client_secret_previous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<SecretRef>,

    /// Values for the catalogue entry's placeholders, for all connections. Those left out may be set by connections,
    /// where the entry allows it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 63 && size(self[k]) <= 253)")
            .message("a parameter name may have 63 characters, a value 253")
    )]
    pub parameters: BTreeMap<String, String>,

    /// Addresses that replace the catalogue entry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,

    /// Scopes that replace the catalogue entry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<ScopePolicy>,

    /// Who may use the provider. Absent means everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,

    /// When and how hard to refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshPolicy>,

    /// Whom to ask, named in messages that only an administrator can mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub contact: Option<String>,

    /// Allow `http://` and private addresses for this provider. Refused unless the operator also runs with
    /// `--allow-insecure-providers`. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_insecure: Option<bool>,
}

/// Addresses of a provider. Each replaces the catalogue entry's.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Issuer identifier; the other addresses are then read from its metadata (RFC 8414, `OpenID` discovery).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub issuer: Option<String>,
    /// Authorization endpoint (RFC 6749 §3.1), to which browsers are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub authorization: Option<String>,
    /// Device authorization endpoint (RFC 8628 §3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub device_authorization: Option<String>,
    /// Token endpoint (RFC 6749 §3.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub token: Option<String>,
    /// Revocation endpoint (RFC 7009).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub revocation: Option<String>,
    /// Where the account is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub userinfo: Option<String>,
}

/// Scopes of a provider.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScopePolicy {
    /// Asked for by connections that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub default: Option<Vec<String>>,
    /// Always asked for, and needed for Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub required: Option<Vec<String>>,
    /// The most a connection may ask for. Absent or empty means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    pub allowed: Option<Vec<String>>,
}

/// Who may use a provider. What is left out allows everybody.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Namespaces by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Workspaces by name: connections must name one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub workspaces: Option<Vec<String>>,
    /// Whether connections may bring their own client id and secret. Absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_app: Option<bool>,
    /// Whether connections may be authorized by device flow (RFC 8628), which cannot prove who finished it. Absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_flow: Option<bool>,
}

/// When and how hard to refresh.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RefreshPolicy {
    /// How long before its end a token is refreshed, at most half of its lifetime. Absent means 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Duration>,
    /// How many requests to this provider may run at once. Absent means 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent: Option<i32>,
}

/// What the operator knows of a provider.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationProviderStatus {
    /// The redirect URI to register at the provider. Absent where no portal is set up, or no method needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// How grants can be obtained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// What a refresh does to the refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What using a refresh token does to it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It never changes.
    None,
    /// A new one may come; without one the old one stays. Treated as single use, because the old one may die.
    Optional,
    /// A new one comes each time and the old one still works.
    Sliding,
    /// A new one comes each time and the old one dies.
    SingleUse,
    /// There is no refresh token: a new access token is minted from the app registration or key.
    PerMint,
}
