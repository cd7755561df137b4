//! `IntegrationConnection`: one person's authorized link to one account at one provider.

mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::status::{
    AccountStatus, AuthorizationStatus, FailureStatus, GrantStatus, IntegrationConnectionStatus, Phase,
    ScopesStatus, SecretStatus, SharingStatus, TokenStatus,
};
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

    /// The account at the provider that is expected. Any other is refused, whoever consents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ExpectedAccount>,

    /// What is published in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<PublishedSecret>,
}

/// The account at the provider that a connection is for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedAccount {
    /// The provider's stable id of it, as `status.account.id` shows it.
    #[schemars(length(min = 1, max = 253))]
    pub id: String,
}

/// How a grant is obtained.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A person consents at the provider in a browser (RFC 6749 §4.1), by way of the portal.
    AuthorizationCode,
    /// A person consents on another device (RFC 8628). The provider object must allow it (`allow.deviceFlow`).
    DeviceCode,
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
