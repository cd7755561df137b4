//! `IntegrationConnection`: one person's authorized link to one account at one provider.

mod secret;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_with::skip_serializing_none;

pub use self::secret::{Format, PublishedSecret, SecretTemplate, SecretType, TemplateMetadata};
pub use self::status::{
    AccountStatus, AttemptMethod, AttemptResult, AuthorizationStatus, DEPENDENT_NAMES, DependentsStatus,
    FailureStatus, GrantStatus, HISTORY_ENTRIES, HistoryEntry, IntegrationConnectionStatus, IssuedKeyStatus,
    LastAttempt, Phase, ReminderStatus, RevocationStatus, RulingStatus, ScopesStatus, SecretStatus,
    SharingStatus, TokenStatus,
};
use super::member::ConnectionMember;
use super::open::Open;
use super::{ConsumerConfig, SecretRef};

/// One person's authorized link to one account at one provider.
///
/// Somebody consents once; from then on a Secret beside this object holds a fresh access token.
#[skip_serializing_none]
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
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Shared", type_ = "string", json_path = ".status.conditions[?(@.type=='Shared')].status"),
    printcolumn(name = "Refreshed", type_ = "date", json_path = ".status.token.lastRefreshedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Workspace", type_ = "string", json_path = ".spec.workspace", priority = 1),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.token.expiresAt", priority = 1),
    printcolumn(
        name = "Dependents",
        type_ = "integer",
        json_path = ".status.dependents.count",
        priority = 1
    ),
    printcolumn(name = "Last used", type_ = "date", json_path = ".status.lastUsedAt", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters"),
    validation = Rule::new("!self.metadata.name.contains('.')")
        .message("metadata.name may not contain a dot: the id of a connection is <namespace>.<name>")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.shared) && self.shared) || has(self.workspace)")
        .message("shared needs a workspace: name one in spec.workspace")
        .field_path(".shared"),
    validation = Rule::new("!(has(self.suspend) && self.suspend && has(self.disconnect) && self.disconnect)")
        .message("suspend and disconnect exclude each other: a disconnected connection sends nothing, so set disconnect alone")
        .field_path(".suspend"),
    validation = Rule::new("!self.owner.startsWith('system:serviceaccount:') || has(self.credentials) || has(self.method) && self.method in ['ClientCredentials', 'JwtBearer', 'TokenExchange']")
        .message("a ServiceAccount owns only connections that no person consents to: set method to ClientCredentials, JwtBearer or TokenExchange, or set credentials")
        .field_path(".owner"),
    validation = Rule::new("!has(self.method) || self.method != 'TokenExchange' || self.owner.startsWith('system:serviceaccount:')")
        .message("with method TokenExchange the token of a ServiceAccount is exchanged: owner must be system:serviceaccount:NAMESPACE:NAME, of this namespace")
        .field_path(".owner"),
    validation = Rule::new("!has(self.credentials) || !has(self.method) || self.method in ['RefreshToken', 'ApiKey', 'BasicAuth']")
        .message("credentials hold a refresh token, a key or a password: set method to RefreshToken, ApiKey or BasicAuth, or leave it out")
        .field_path(".credentials"),
    validation = Rule::new("!has(self.method) || self.method != 'IssuedKey' || !has(self.secret) || !has(self.secret.format) || self.secret.format in ['Raw', 'Env']")
        .message("what is published of keys that Bowline issues signs in nowhere: set format to Raw or Env, or leave it out")
        .field_path(".secret"),
    validation = Rule::new("has(self.app) == has(oldSelf.app) && (!has(self.app) || self.app == oldSelf.app)")
        .message("app is immutable: a grant belongs to one app registration; make a new connection"),
    validation = Rule::new(
        "has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters)"
    )
    .message("parameters are immutable: they decide where the grant is sent; make a new connection")
)]
pub struct IntegrationConnectionSpec {
    /// Name of the `IntegrationProvider`. Required, immutable.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("provider is immutable: make a new connection"))]
    pub provider: String,

    /// Kubernetes user name of the owner, as this API server spells it: the one who consents. Required. Changing it needs the
    /// verb `assign-owner`. A `ServiceAccount` (`system:serviceaccount:NAMESPACE:NAME`) may own a connection that no person
    /// consents to: one with method `ClientCredentials`, `JwtBearer` or `TokenExchange`, or with `credentials`. No other `system:` user owns anything.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('system:') || self.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')")
            .message("no system: user owns a connection, except a ServiceAccount: system:serviceaccount:NAMESPACE:NAME")
    )]
    pub owner: String,

    /// Name of the Workspace that the connection belongs to and can be shared with. Absent means none.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub workspace: Option<String>,

    /// Share the connection: publish its access token in each namespace of the workspace. Needs `workspace`. Absent means false.
    pub shared: Option<bool>,

    /// Scopes to request, besides those that the provider requires. Up to 64. Absent means the provider's default scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(s, !s.contains(' '))").message("a scope has no spaces: write one list entry per scope")
    )]
    pub scopes: Vec<String>,

    /// Name shown to people, up to 128 characters. Absent means the object's name.
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// What the connection is for, up to 1024 characters. Shown to people. Absent means nothing is shown.
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Send nothing to the provider. A published token stays until it expires. Not together with `disconnect`. Absent means false.
    pub suspend: Option<bool>,

    /// Revoke the grant and withdraw its Secrets everywhere, but keep this object, its id and its settings. Set it back to
    /// false to connect again. Not together with `suspend`. Absent means false.
    pub disconnect: Option<bool>,

    /// How the grant is obtained. `AuthorizationCode`: a person consents in a browser. `DeviceCode`: a person consents on another
    /// device; the provider must allow it (`allow.deviceFlow`). `RefreshToken`: a refresh token obtained elsewhere.
    /// `ClientCredentials`: the app registration itself is the grant. `JwtBearer`: an assertion that the app's private key signs
    /// is the grant. `TokenExchange`: a token of the owner, which is a `ServiceAccount` of this namespace, is exchanged. `ApiKey`: a key. `BasicAuth`: user name and password.
    /// `IssuedKey`: keys that Bowline issues, of which it keeps the digests; others use them to reach an application of yours.
    /// `LinkSession`: a person links an account, such as a bank account, on a page of the provider.
    /// Absent means the first method of the provider.
    #[schemars(with = "Option<Method>")]
    pub method: Option<Open<Method>>,

    /// Values for placeholders that the provider leaves to connections, such as a tenant. Up to 16, immutable. A value is one
    /// path segment or one DNS label; it cannot change the host or the path around it. Absent means none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 253}))]
    #[x_kube(
        validation = Rule::new("self.all(k, size(k) <= 63)").message("a parameter name may have 63 characters"),
        validation = Rule::new("self.all(k, self[k].matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$') && !self[k].contains('..'))")
            .message("a parameter value holds letters, digits, '.', '_' and '-', begins and ends with a letter or digit, and never '..'")
    )]
    pub parameters: BTreeMap<String, String>,

    /// A key or grant that somebody else manages in this namespace (Sealed Secrets, External Secrets), with the same keys as an
    /// intake Secret. Only a Secret of type `bowline.dev/credential` is read whose annotation `bowline.dev/for` names this
    /// connection; it is never changed or deleted. Setting it needs the right to `get` that Secret. Absent means that the grant is
    /// obtained by consent or imported.
    pub credentials: Option<SecretRef>,

    /// Your own app registration at the provider, in a Secret of type `bowline.dev/app` with the keys `client_id`,
    /// `client_secret`, and what it is for: `providers` (their names), `hosts`, or both; and with this connection in its annotation
    /// `bowline.dev/for`. Immutable. Setting it needs the right to `get` that Secret. The provider must allow it
    /// (`allow.ownApp`). Absent means the provider's registration.
    pub app: Option<SecretRef>,

    /// Settings for those who use the connection, up to 64 and up to 16 KiB as JSON: a repository, a channel, a database. They are
    /// published as `config.json` in this namespace, and a binding may override each of them; shares publish none. They are not
    /// secret. Where the provider's entry names settings, there are no others. Absent means none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub config: ConsumerConfig,

    /// The account at the provider that is expected. Any other is refused, whoever consents. Absent means the account of the
    /// first consent.
    pub account: Option<ExpectedAccount>,

    /// The Secret that is published in this namespace. Absent means a Secret with the connection's name and the keys of format Raw.
    pub secret: Option<PublishedSecret>,

    /// Who else may do what with the connection, up to 50. They may do nothing before its owner has allowed access, and after a
    /// transfer before the new owner has. Absent means nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub members: Vec<ConnectionMember>,

    /// Refuse to delete the connection while bindings hold its token (`status.dependents`), unless its owner confirms that in the
    /// annotation `bowline.dev/confirm-delete`, with the connection's UID as value. `disconnect` is never refused. Absent means true.
    pub deletion_protection: Option<bool>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedAccount {
    /// The provider's stable id of the account, as `status.account.id` shows it. Required.
    #[schemars(length(min = 1, max = 253))]
    pub id: String,
}

/// How a grant is obtained.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transform = crate::schema::undescribed)]
pub enum Method {
    /// A person consents at the provider in a browser (RFC 6749 §4.1), by way of the portal.
    AuthorizationCode,
    /// A person consents on another device (RFC 8628). The provider object must allow it (`allow.deviceFlow`).
    DeviceCode,
    /// A refresh token that was obtained elsewhere and is imported by an intake or credentials Secret (RFC 6749 §6).
    RefreshToken,
    /// The app registration itself is the grant (RFC 6749 §4.4). No person consents.
    ClientCredentials,
    /// An assertion that the private key of the app registration signs (RFC 7523 §2.1). No person consents.
    JwtBearer,
    /// A token of the `ServiceAccount` that owns the connection is exchanged (RFC 8693). No person consents.
    TokenExchange,
    /// A key that the provider issued.
    ApiKey,
    /// User name and password (RFC 7617).
    BasicAuth,
    /// Keys that Bowline issues: it keeps their digests, by which an application recognizes them.
    IssuedKey,
    /// A person links an account on a page of the provider, by way of the portal: how providers of bank data do it.
    LinkSession,
}

impl Method {
    /// Whether a grant of this method is a person's: they consented to it, or they provided it. Otherwise it is the power of
    /// whoever registered the app.
    pub const fn is_a_persons(self) -> bool {
        match self {
            Self::ClientCredentials | Self::JwtBearer | Self::TokenExchange => false,
            Self::AuthorizationCode
            | Self::DeviceCode
            | Self::RefreshToken
            | Self::ApiKey
            | Self::BasicAuth
            | Self::IssuedKey
            | Self::LinkSession => true,
        }
    }

    /// Whether a person consents in a browser that the portal sends to the provider and that comes back.
    pub const fn goes_by_browser(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::LinkSession)
    }

    /// Whether it needs a registration at the provider, and gives tokens.
    pub const fn needs_app(self) -> bool {
        match self {
            Self::ApiKey | Self::BasicAuth | Self::IssuedKey => false,
            Self::AuthorizationCode
            | Self::DeviceCode
            | Self::RefreshToken
            | Self::ClientCredentials
            | Self::JwtBearer
            | Self::TokenExchange
            | Self::LinkSession => true,
        }
    }
}
