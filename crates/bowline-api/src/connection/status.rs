//! What the operator says of a connection. Never a secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::delivery::LastDelivery;
use crate::open::Open;
use crate::reason::Reason;
use crate::terms::TermsStatus;

/// What the operator knows of a connection. Never a secret.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationConnectionStatus {
    /// The one word for people.
    pub phase: Option<Open<Phase>>,
    /// Stable id `<namespace>.<name>`; also the name of the Secret wherever it is shared.
    pub id: Option<String>,
    /// The account at the provider, as it says itself.
    pub account: Option<AccountStatus>,
    /// When the present grant was first accepted.
    pub connected_at: Option<Time>,
    /// Who owned the connection when the present grant was accepted.
    pub connected_by: Option<String>,
    /// What somebody has to do to authorize it; absent while there is nothing to do.
    pub authorization: Option<AuthorizationStatus>,
    /// Scopes: asked for, given, not given, given beyond what was asked.
    pub scopes: Option<ScopesStatus>,
    /// The access token: times and counters, never the token.
    pub token: Option<TokenStatus>,
    /// The grant in use. Absent while there is none.
    pub grant: Option<GrantStatus>,
    /// What keys that are issued for the connection begin with. Absent where none are issued.
    pub key_prefix: Option<String>,
    /// Keys that were issued for the connection and are valid, the newest first. Never a key, nor its digest. Up to 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub issued_keys: Vec<IssuedKeyStatus>,
    /// What the provider decided about the grant in use; absent while it honors it.
    pub ruling: Option<RulingStatus>,
    /// What became at the provider of the grant that ended here last: by a disconnect, or because another one replaced it.
    /// Absent before one has ended, and while the first request to revoke it is under way.
    pub revocation: Option<RevocationStatus>,
    /// When the grant of a disconnected connection is revoked at the provider. Until then, setting `spec.disconnect` to false
    /// restores it. Absent if there is nothing to restore.
    pub revokes_at: Option<Time>,
    /// The last attempt to connect, whatever became of it.
    pub last_attempt: Option<LastAttempt>,
    /// What happened to it, the newest first: each change that is worth a look, up to ten. Unlike Events, which anybody in
    /// the namespace may write, this is the operator's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<HistoryEntry>,
    /// The Secret that is published here.
    pub secret: Option<SecretStatus>,
    /// Where it is shared.
    pub sharing: Option<SharingStatus>,
    /// The terms that its owner agreed to. Absent while there is no grant, and where no person consents.
    pub terms: Option<TermsStatus>,
    /// The bindings that hold its token, in its namespace and where it is shared. A change shows within ten seconds; the first binding
    /// at once. Absent while there is none.
    pub dependents: Option<DependentsStatus>,
    /// When a workload last reported, in a binding, that it used the token, to the minute. Absent while none ever did.
    pub last_used_at: Option<Time>,
    /// What that workload reported. A change shows at once, and the next one a minute later.
    pub last_delivery: Option<LastDelivery>,
    /// The last value of the annotation `bowline.dev/refresh-requested-at` that was carried out or refused.
    pub last_handled_refresh: Option<String>,
    /// The last value of the annotation `bowline.dev/authorize-requested-at` that was taken up or refused.
    pub last_handled_authorization: Option<String>,
    /// The generation that this status is about.
    pub observed_generation: Option<i64>,
    /// Ready, Authorized, `TokenFresh`, `SecretPublished`; Shared where sharing is requested, Stalled where a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where and how somebody authorizes a connection. Never a device code or a state.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationStatus {
    /// The connection's page in the portal. Absent where no portal is set up.
    pub url: Option<String>,
    /// Device flow: the code to type there (RFC 8628 §3.2).
    pub user_code: Option<String>,
    /// Device flow: the page at the provider to type it into.
    #[serde(rename = "verificationURI")]
    pub verification_uri: Option<String>,
    /// Device flow: the same page with the code filled in, where the provider offers it.
    #[serde(rename = "verificationURIComplete")]
    pub verification_uri_complete: Option<String>,
    /// Device flow: when the code expires.
    pub expires_at: Option<Time>,
    /// The page where an administrator at the provider approves the app.
    #[serde(rename = "adminConsentURL")]
    pub admin_consent_url: Option<String>,
}

/// The state of a connection in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Never authorized yet: waiting for its owner, or for something it needs.
    Pending,
    Active,
    /// No valid token now, and the grant is not known to be dead.
    Expired,
    /// Not ready, and a person must act.
    Error,
    /// Withdrawn at the provider, or by an administrator there.
    Revoked,
    Suspended,
    Disconnected,
}

impl Phase {
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

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// The provider's stable id.
    pub id: String,
    /// A name for people; it may change.
    pub name: Option<String>,
    /// Mail address for people; never used to match accounts.
    pub email: Option<String>,
}

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

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// When the token expires. Absent: the provider names no time.
    pub expires_at: Option<Time>,
    /// When the provider last issued a token.
    pub last_refreshed_at: Option<Time>,
    /// When the next attempt is due. Absent: none is planned.
    pub next_refresh_at: Option<Time>,
    /// When a refresh that was requested will be sent, while the request waits.
    pub requested_refresh_at: Option<Time>,
    /// Whether the grant can be refreshed without its owner.
    pub refreshable: Option<bool>,
    /// Attempts that failed in a row, of any class.
    pub consecutive_failures: Option<i32>,
    /// Refusals by the provider in a row; after ten the operator stops. Outages do not count.
    pub consecutive_refusals: Option<i32>,
    /// The last failure; absent after a success.
    pub last_failure: Option<FailureStatus>,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// When it failed.
    pub at: Time,
    /// Why.
    pub reason: Open<Reason>,
    /// One or two plain sentences.
    pub message: String,
    /// The app Secret that was used, with its resource version. Another version is tried at once.
    pub app_version: Option<String>,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// Random, new with every grant that is accepted. The published Secret carries it as an annotation.
    pub id: String,
    /// Counts the tokens that were written for the connection; a larger one is newer.
    pub revision: i64,
    /// Which grant of the connection it is, counted from 1; the one that was accepted later has the larger number.
    pub ordinal: Option<i64>,
    /// When the access token in use was obtained.
    pub obtained_at: Time,
    /// When the refresh token or the consent itself expires, if the provider or its catalogue entry says so.
    pub expires_at: Option<Time>,
    /// Present while the grant ends by itself soon.
    pub reminder: Option<ReminderStatus>,
}

impl GrantStatus {
    /// When it ends by itself, as far as that is known: what its owner was reminded of counts first.
    pub fn ends_at(&self) -> Option<&Time> {
        self.reminder.as_ref().map(|reminder| &reminder.ends_at).or(self.expires_at.as_ref())
    }
}

/// The grant ends by itself soon, and its owner was told.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReminderStatus {
    /// When it ends.
    pub ends_at: Time,
    /// The last of the reminders, which come 30, 7 and 1 days ahead.
    pub days: i32,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IssuedKeyStatus {
    /// Names the key: its letters after the prefix begin with it.
    #[schemars(length(max = 8))]
    pub id: String,
    /// When it was created.
    pub created_at: Time,
    /// The user who created it in the portal; the owner if it was created with the plug-in.
    #[schemars(length(max = 253))]
    pub created_by: String,
    /// When it expires. Absent: it does not, unless it is revoked or a new one replaces it.
    pub expires_at: Option<Time>,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RulingStatus {
    /// What was decided: a reason of Authorized.
    pub reason: Open<Reason>,
    /// When it was decided.
    pub since: Time,
    /// Whether only a new grant is likely to help: the old one is tried again rarely, or not at all.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The grant it is about: `status.grant.id`.
    pub grant: Option<String>,
    /// What the provider said, in our words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RevocationStatus {
    /// `Revoked`, `AlreadyRevoked`, `RevocationWaits`, `RevocationFailed`, `RevocationGivenUp` or `RevocationUnsupported`.
    pub reason: Open<Reason>,
    /// Since when that is so.
    pub since: Time,
    /// What happened, what still works, what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastAttempt {
    /// What started it: the value of `bowline.dev/authorize-requested-at` or `bowline.dev/intake`, the UID of the portal's
    /// attempt, or UID and version of the credentials Secret.
    pub id: String,
    /// How the grant was to come.
    pub method: Open<AttemptMethod>,
    /// The user who started it, where that is known.
    pub requested_by: Option<String>,
    /// When it was first seen.
    pub started_at: Time,
    /// When it ended. Absent while it runs.
    pub ended_at: Option<Time>,
    /// What became of it.
    pub result: Open<AttemptResult>,
    /// The grant that was in use when it ended: it stays in use whatever became of the attempt. Absent where there was none.
    pub grant_in_use: Option<String>,
    /// Why it failed, or what is not known.
    pub reason: Option<Open<Reason>>,
    /// What happened, what to do, who does it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The longest `status.history`.
pub const HISTORY_ENTRIES: usize = 10;

/// Something that happened to a connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When the operator saw it.
    pub at: Time,
    /// What happened.
    pub reason: Open<Reason>,
    /// The same in words, with details.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How the grant of an attempt comes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptMethod {
    /// In a browser, by the portal.
    AuthorizationCode,
    /// By a code on another device.
    DeviceCode,
    /// By an intake Secret.
    Import,
    /// By the Secret that `spec.credentials` names.
    Credentials,
    /// As a key or a password that its owner typed, by the portal.
    KeyForm,
    /// As a change of the issued keys, by the portal.
    IssuedKey,
    /// From a link session at the provider, by the portal.
    LinkSession,
}

/// What became of an attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    Running,
    /// Its grant is in use.
    Succeeded,
    /// It ended without a grant that can be used.
    Failed,
    /// Its grant was sent to the provider, and the answer never arrived.
    Unknown,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
}

/// The longest `status.dependents.names`.
pub const DEPENDENT_NAMES: usize = 10;

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DependentsStatus {
    /// How many there are.
    pub count: i32,
    /// The first of them by the alphabet, as `<namespace>/<name>`, up to ten.
    #[schemars(length(max = 10), inner(length(max = 127)))]
    pub names: Vec<String>,
}

impl DependentsStatus {
    /// How many are not named.
    pub fn more(&self) -> i32 {
        self.count.saturating_sub(i32::try_from(self.names.len()).unwrap_or(i32::MAX))
    }
}

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
