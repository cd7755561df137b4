//! `IntegrationConnection`: one person's authorized link to one account at one provider.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;

/// One person's authorized link to one account at one provider.
///
/// Somebody consents once; from then on a Secret beside this object holds a fresh access token.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "IntegrationConnection",
    namespaced,
    status = "IntegrationConnectionStatus",
    shortname = "ic",
    category = "bowline",
    derive = "PartialEq",
    doc = "One person's authorized link to one account at one provider. A Secret beside it holds a fresh access token.",
    selectable = ".spec.provider",
    selectable = ".spec.owner",
    selectable = ".spec.workspace",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account.name"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Shared",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Shared")].status"#
    ),
    printcolumn(name = "Refreshed", type_ = "date", json_path = ".status.token.lastRefreshedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Workspace", type_ = "string", json_path = ".spec.workspace", priority = 1),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.token.expiresAt", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters"),
    validation = Rule::new("!self.metadata.name.contains('.')")
        .message("metadata.name may not contain a dot: the id of a connection is <namespace>.<name>")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.shared) && self.shared) || has(self.workspace)")
        .message("shared needs a workspace: name one in spec.workspace")
        .field_path(".shared"),
    validation = Rule::new("has(self.app) == has(oldSelf.app) && (!has(self.app) || self.app == oldSelf.app)")
        .message("app is immutable: a grant belongs to one app registration; make a new connection"),
    validation = Rule::new(
        "has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters)"
    )
    .message("parameters are immutable: they decide where the grant is sent; make a new connection")
)]
pub struct IntegrationConnectionSpec {
    /// Name of the `IntegrationProvider`. Immutable.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("provider is immutable: make a new connection"))]
    pub provider: String,

    /// Kubernetes user name of the owner: the one who consents. `system:` users own nothing.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('system:')").message("owner must be a person or a pipeline, not a system: user")
    )]
    pub owner: String,

    /// Name of the Workspace the connection counts towards and may be shared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub workspace: Option<String>,

    /// Promote to the workspace: publish the access token in each of its namespaces. Absent means false. Needs `workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,

    /// Scopes to ask for, plus the provider's required ones. Empty means the provider's default scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(s, !s.contains(' '))").message("a scope has no spaces: write one list entry per scope")
    )]
    pub scopes: Vec<String>,

    /// Name shown to people, up to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// What the connection is for, up to 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Stop all provider traffic. What is published stays until it expires. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Revoke the grant and withdraw its Secrets everywhere, but keep this object, its id and settings.
    /// False again means: connect again. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<bool>,

    /// How the grant is obtained. Absent means the first method of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,

    /// Values for placeholders that the provider leaves to connections (a tenant, say). Immutable.
    /// A value is one path segment or one DNS label; it can never change the host or the path around it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 253}))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 63)").message("a parameter name may have 63 characters"),
        validation = Rule::new("self.all(k, self[k].matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$') && !self[k].contains('..'))")
            .message("a parameter value holds letters, digits, '.', '_' and '-', begins and ends with a letter or digit, and never '..'")
    )]
    pub parameters: BTreeMap<String, String>,

    /// A key or grant that somebody else keeps here (`SealedSecrets`, External Secrets): same keys as an intake Secret.
    /// Only a Secret of type `bowline.dev/credential` is read; it is never changed or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretRef>,

    /// The team's own app registration, in a Secret of type `bowline.dev/credential` with the keys `client_id` and
    /// `client_secret`. Immutable. The provider must allow it (`allow.ownApp`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<SecretRef>,

    /// What is published in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<PublishedSecret>,
}

/// How a grant is obtained.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A person consents at the provider (RFC 6749 §4.1). The grant arrives by an intake Secret.
    AuthorizationCode,
    /// A refresh token that was obtained elsewhere and is brought by an intake or credentials Secret (RFC 6749 §6).
    RefreshToken,
    /// The app registration itself is the grant (RFC 6749 §4.4). No person consents.
    ClientCredentials,
    /// A key that the provider issued.
    ApiKey,
    /// User name and password (RFC 7617).
    BasicAuth,
}

/// The Secret that workloads mount.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.format) && has(self.template))")
        .message("template replaces format: set one of them")
)]
pub struct PublishedSecret {
    /// Name of the Secret. Absent means the name of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: Option<String>,

    /// Which keys it has. Absent means Raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,

    /// Key of the Secret to minijinja template over `token`, `account`, `scopes` and `expiresAt`. Replaces `format`.
    /// Rendering has a step limit, refuses names that do not exist, and yields at most 256 KiB in all.
    /// A template may have 8192 characters, all of them together 32768.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && size(self[k]) <= 8192)")
            .message("a template key holds letters, digits, '-', '_' and '.'; a template may have 8192 characters"),
        validation = Rule::new("self.map(k, size(self[k])).sum() <= 32768")
            .message("the templates of a connection may have 32768 characters together")
    )]
    pub template: BTreeMap<String, String>,

    /// Labels for the Secret. Only prefixes that the administrator allows (`--published-label-prefix`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 317 && size(self[k]) <= 63)")
            .message("a label name may have 317 characters, a label value 63")
    )]
    pub labels: BTreeMap<String, String>,
}

/// Keys of a published Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `access_token`, `token_type`, `expires_at`, `scopes`, `account_id`, `account_name`; or `api_key`; or `username`, `password`.
    #[default]
    Raw,
    /// Raw's keys in upper case, for `envFrom`.
    Env,
}

/// What the operator knows of a connection. Never a secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationConnectionStatus {
    /// The one word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Stable id `<namespace>.<name>`; also the name of the Secret wherever it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The account at the provider, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// When the present grant was first accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<Time>,
    /// Who owned the connection when the present grant was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_by: Option<String>,
    /// Scopes: asked for, given, not given, given beyond what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<ScopesStatus>,
    /// The access token: times and counters, never the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// The grant behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantStatus>,
    /// The Secret as last published here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretStatus>,
    /// Where it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingStatus>,
    /// The last value of the annotation `bowline.dev/refresh-requested-at` that was carried out or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh: Option<String>,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Authorized, `TokenFresh`, `SecretPublished`, Shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The state of a connection in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Never authorized yet: waiting for its owner, or for something it needs.
    Pending,
    /// Ready.
    Active,
    /// No valid token now, and the grant is not known to be dead.
    Expired,
    /// Not ready, and a person must act.
    Error,
    /// Withdrawn at the provider, or by an administrator there.
    Revoked,
    /// Suspended by its spec.
    Suspended,
    /// Disconnected by its spec.
    Disconnected,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: &[Self] = &[
        Self::Pending,
        Self::Active,
        Self::Expired,
        Self::Error,
        Self::Revoked,
        Self::Suspended,
        Self::Disconnected,
    ];
}

/// An account at a provider.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// The provider's stable id.
    pub id: String,
    /// A name for people; it may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Mail address for people; never used to match accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Scopes asked for and given.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScopesStatus {
    /// What the connection asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested: Vec<String>,
    /// What the provider says it gave. Empty where the provider does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// Asked for, but not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Given, but not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<String>,
}

/// Times and counters of the access token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// When the published token expires. Absent: the provider names no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the provider last gave a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refreshed_at: Option<Time>,
    /// When the next attempt is due. Absent: none is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh_at: Option<Time>,
    /// Revision of the grant this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Whether the grant can be refreshed without its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshable: Option<bool>,
    /// Attempts that failed in a row, of any class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// Refusals by the provider in a row; after ten the operator stops. Outages do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_refusals: Option<i32>,
    /// The last failure; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureStatus>,
}

/// One failed attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// When it failed.
    pub at: Time,
    /// Reason, one of the stable constants.
    pub reason: String,
    /// One or two plain sentences.
    pub message: String,
}

/// The grant behind the token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// When the refresh token or the consent itself ends, if the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A Secret as last published.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion when it was last written; another one means that somebody edited it.
    pub resource_version: String,
    /// Revision of the grant whose token it holds.
    pub revision: i64,
}

/// Where and by whom a connection is shared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SharingStatus {
    /// The workspace.
    pub workspace: String,
    /// The owner, in whose name it is shared.
    pub shared_by: String,
    /// Since when.
    pub shared_at: Time,
}
