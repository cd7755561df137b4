//! `IntegrationProvider`: a configured third party, that is a catalogue entry and our app registration there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::SecretRef;
use super::connection::Method;
use super::duration::Duration;
use super::open::Open;

/// A configured third party: a catalogue entry and our app registration there.
///
/// The kind is cluster-wide for good: a provider is the platform's, and connections name it without a namespace.
#[skip_serializing_none]
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
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Rotation", type_ = "string", json_path = ".status.rotation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.endpoints) || (has(self.network) && has(self.network.allowHTTP) && self.network.allowHTTP) || \
         ((!has(self.endpoints.issuer) || self.endpoints.issuer.startsWith('https://')) && \
         (!has(self.endpoints.authorization) || self.endpoints.authorization.startsWith('https://')) && \
         (!has(self.endpoints.deviceAuthorization) || self.endpoints.deviceAuthorization.startsWith('https://')) && \
         (!has(self.endpoints.token) || self.endpoints.token.startsWith('https://')) && \
         (!has(self.endpoints.revocation) || self.endpoints.revocation.startsWith('https://')) && \
         (!has(self.endpoints.userinfo) || self.endpoints.userinfo.startsWith('https://')))"
    )
    .message("endpoints begin with https:// unless network.allowHTTP is true")
    .field_path(".endpoints")
)]
pub struct IntegrationProviderSpec {
    /// Name of a catalogue entry; `bowline catalog list` shows them. Required, immutable.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("type is immutable: make a new provider"))]
    pub type_: String,

    /// Name shown to people, up to 128 characters. Absent means the catalogue entry's.
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// Your app registration at the provider: a Secret of type `bowline.dev/app` in the operator's namespace, with the keys
    /// `client_id`, `client_secret` and, while you replace a secret, `client_secret_previous`. It says what it is for, and is sent
    /// nowhere else: `providers` names the provider objects that may use it, `hosts` every host that may receive it or a token.
    /// Absent means none: for types that need none, where connections have their own (`allow.ownApp`), or where the operator
    /// registers itself (type `mcp`), which it keeps in the Secret `NAME-registration`.
    pub app: Option<SecretRef>,

    /// Values for the catalogue entry's placeholders, for all connections. Up to 16. Connections can set those that are left out,
    /// where the entry allows it. Absent means none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 253}))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 63)").message("a parameter name may have 63 characters"))]
    pub parameters: BTreeMap<String, String>,

    /// Addresses that replace those of the catalogue entry. Absent means the entry's.
    pub endpoints: Option<Endpoints>,

    /// Scopes that replace those of the catalogue entry. Absent means the entry's.
    pub scopes: Option<ScopePolicy>,

    /// What the catalogue entry does not say, or says otherwise: any field of an entry, laid over the entry that `type` names. Maps
    /// merge, lists and single values replace, and `null` removes. `bowline catalog show NAME -o yaml` prints an entry, and `bowline
    /// catalog check FILE` says what becomes of it with this object. Absent means the entry as it is.
    pub overlay: Option<Overlay>,

    /// Who may use the provider, and how. Absent means every connection, with the provider's own app and without device flow;
    /// for methods without a person (`ClientCredentials`, `JwtBearer`, `TokenExchange`) it means no connection.
    pub allow: Option<Allow>,

    /// When to refresh, and how many requests may run at once. Absent means the defaults of its fields.
    pub refresh: Option<RefreshPolicy>,

    /// Contact shown when only an administrator can fix the problem, up to 253 characters. Absent means that messages name none.
    #[schemars(length(max = 253))]
    pub contact: Option<String>,

    /// How the provider may be reached. The operator's flags limit each field. Absent means `https://` to public addresses.
    pub network: Option<NetworkPolicy>,
}

/// The Secret in which the operator keeps a registration that it made itself for this provider.
pub fn registration_name(provider: &str) -> String {
    format!("{provider}-registration")
}

impl IntegrationProvider {
    /// The Secret with its registration: the one it names, or else the one that the operator writes if it registers itself.
    pub fn app_secret_name(&self) -> String {
        let named = self.spec.app.as_ref().map(|app| app.secret_name.clone());
        named.unwrap_or_else(|| registration_name(self.metadata.name.as_deref().unwrap_or_default()))
    }
}

/// Fields of a catalogue entry that a provider object states. Its schema is generated from that of an entry, which a test
/// compares.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(transparent)]
pub struct Overlay(pub Map<String, Value>);

impl JsonSchema for Overlay {
    fn schema_name() -> Cow<'static, str> {
        "Overlay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    #[allow(clippy::expect_used, reason = "compiled in, and tests read it")]
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        serde_json::from_str(include_str!("overlay.json")).expect("a schema")
    }
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Allow `http://` besides `https://`, for tests or a sidecar on loopback, which also needs `127.0.0.0/8` in `allowedCIDRs`.
    /// Refused unless the operator runs with `--allow-http-providers`. Absent means false.
    #[serde(rename = "allowHTTP")]
    pub allow_http: Option<bool>,

    /// Private networks that may be reached besides public addresses, such as `10.20.0.0/16`. Up to 32. Each must lie within the
    /// operator's `--provider-networks`. Metadata and other link-local addresses (`169.254.0.0/16`, `fd00:ec2::/32`) are never
    /// reached. Absent means none.
    #[serde(rename = "allowedCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 43)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(c, isCIDR(c))").message("write a network as a CIDR, such as 10.20.0.0/16 or fd12::/48"),
        validation = Rule::new(
            "self.all(c, !isCIDR(c) || !(cidr('169.254.0.0/16').containsCIDR(c) || cidr('fd00:ec2::/32').containsCIDR(c)))"
        )
        .message("metadata addresses (169.254.0.0/16, fd00:ec2::/32) are never reached: remove them")
    )]
    pub allowed_cidrs: Vec<String>,

    /// Name of a Secret in the operator's namespace whose key `ca.crt` holds certificate authorities in PEM. They are trusted for
    /// this provider besides the system's. A change is picked up at once. Absent means the system's alone.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub ca_secret_name: Option<String>,

    /// Egress proxy for all requests to this provider, such as `http://proxy.example.com:3128`, without user name or password.
    /// Must be one of the operator's `--provider-proxy`. Absent means none.
    #[schemars(
        length(max = 300),
        regex(pattern = r"^https?://([-a-zA-Z0-9.]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?$")
    )]
    pub proxy: Option<String>,
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Issuer identifier. The other addresses are then read from its metadata (RFC 8414, `OpenID` discovery). Absent means the
    /// catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub issuer: Option<String>,
    /// Authorization endpoint (RFC 6749 §3.1), to which browsers are sent. Absent means the catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub authorization: Option<String>,
    /// Device authorization endpoint (RFC 8628 §3.1). Absent means the catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub device_authorization: Option<String>,
    /// Token endpoint (RFC 6749 §3.2). Absent means the catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub token: Option<String>,
    /// Revocation endpoint (RFC 7009). Absent means the catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub revocation: Option<String>,
    /// Where the account is read. Absent means the catalogue entry's.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://"))]
    pub userinfo: Option<String>,
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.allowed) || size(self.allowed) == 0 || !has(self.required) || self.required.all(s, s in self.allowed)")
        .message("each required scope must be among the allowed ones: add it to scopes.allowed")
        .field_path(".required"),
    validation = Rule::new("!has(self.allowed) || size(self.allowed) == 0 || !has(self.default) || self.default.all(s, s in self.allowed)")
        .message("each default scope must be among the allowed ones: add it to scopes.allowed")
        .field_path(".default")
)]
pub struct ScopePolicy {
    /// Scopes that are requested for connections that name none. Up to 64. Absent means the catalogue entry's.
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = r"^[^ ]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub default: Option<Vec<String>>,
    /// Scopes that are always requested, and without which a connection is not Ready. Up to 64. Absent means the catalogue entry's.
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = r"^[^ ]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required: Option<Vec<String>>,
    /// Scopes that connections may request, up to 128. Empty means no limit, and for methods without a person
    /// (`ClientCredentials`, `JwtBearer`, `TokenExchange`), which need this field, none. Absent means the catalogue entry's.
    #[schemars(length(max = 128), inner(length(min = 1, max = 256), regex(pattern = r"^[^ ]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed: Option<Vec<String>>,
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Namespaces whose connections may use the provider, by their labels. Absent means all namespaces.
    pub namespaces: Option<LabelSelector>,
    /// Workspaces whose members may use the provider in the workspace's namespaces, 1 to 256. A connection must name one of them,
    /// its owner must be a member, and its namespace must belong to it. Absent means that no workspace is needed.
    #[schemars(
        length(min = 1, max = 256),
        inner(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub workspaces: Option<Vec<String>>,
    /// Whether connections may use their own app registration (`spec.app` of a connection). Absent means false.
    pub own_app: Option<bool>,
    /// Whether connections may be authorized by device flow (RFC 8628), which cannot prove who completed it. Absent means false.
    pub device_flow: Option<bool>,
}

#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RefreshPolicy {
    /// How long before it expires a token is refreshed, in h, m, s and ms, such as `10m` or `1h30m`; at most half of its lifetime.
    /// Absent means 10m.
    pub before: Option<Duration>,
    /// How many requests to this provider may run at once, 1 to 64. Absent means 8.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent: Option<i32>,
    /// How many requests for tokens may be sent to this provider in a minute, 1 to 6000, for all connections together.
    /// Absent means the catalogue entry's limit, or none.
    #[schemars(range(min = 1, max = 6000))]
    pub per_minute: Option<i32>,
}

/// What the operator knows of a provider.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationProviderStatus {
    /// The redirect URI to register at the provider. Absent where no portal is set up, or no method needs it.
    #[serde(rename = "callbackURL")]
    pub callback_url: Option<String>,
    /// How grants can be obtained, the usual way first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Open<Method>>,
    /// What a refresh does to the refresh token.
    pub rotation: Option<Open<Rotation>>,
    /// When the TLS client certificate of the app Secret, or the first of its chain, ends. Absent where there is none.
    pub certificate_expires_at: Option<Time>,
    /// The generation that this status is about.
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl IntegrationProviderStatus {
    /// Whether grants can be obtained in this way.
    pub fn offers(&self, method: Method) -> bool {
        self.methods.iter().any(|offered| offered.is(method))
    }
}

/// What using a refresh token does to it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transform = crate::schema::undescribed)]
pub enum Rotation {
    /// It never changes.
    None,
    /// A new one may come; without one the old one stays. Treated as single use, because the old one may die.
    #[default]
    Optional,
    /// A new one comes each time and the old one still works.
    Sliding,
    /// A new one comes each time and the old one dies.
    SingleUse,
    /// There is no refresh token: a new access token is minted from the app registration or key.
    PerMint,
}
