//! What the operator says of a connection. Never a secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What somebody has to do to authorize it; absent while there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<AuthorizationStatus>,
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
    /// The last value of the annotation `bowline.dev/authorize-requested-at` that was taken up or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_authorization: Option<String>,
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Authorized, `TokenFresh`, `SecretPublished`, Shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where and how somebody authorizes a connection. Never a device code or a state.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationStatus {
    /// The connection's page in the portal. Absent where no portal is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Device flow: the code to type there (RFC 8628 §3.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<String>,
    /// Device flow: the page at the provider to type it into.
    #[serde(rename = "verificationURI", default, skip_serializing_if = "Option::is_none")]
    pub verification_uri: Option<String>,
    /// Device flow: the same page with the code filled in, where the provider offers it.
    #[serde(rename = "verificationURIComplete", default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// Device flow: when the code ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// The page where an administrator at the provider approves the app.
    #[serde(rename = "adminConsentURL", default, skip_serializing_if = "Option::is_none")]
    pub admin_consent_url: Option<String>,
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
    /// The version of the app Secret it happened with, `<uid>/<resourceVersion>`: with another one it is tried again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
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
