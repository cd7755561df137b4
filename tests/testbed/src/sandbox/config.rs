//! The configuration of a realm: its clients, accounts, lifetimes and habits. Rust and the admin API's JSON use the same
//! form.

use serde::{Deserialize, Serialize};

use super::assertion::TrustedIssuer;

/// What happens to a refresh token when it is used. The names are the catalogue's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It never changes, and no response repeats it.
    None,
    /// Every second refresh replaces it; the old one is then invalid as under `single_use`.
    Optional,
    /// Every refresh issues a new one; the old ones still work.
    Sliding,
    /// Every refresh replaces it; outside the grace window the old one is invalid.
    #[default]
    SingleUse,
}

/// How a client may authenticate at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic with form-encoded user and password (RFC 6749 §2.3.1).
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
    /// `client_id` alone; only for clients without a secret.
    None,
}

/// What callbacks say about the issuer (RFC 9207). Metadata announces `iss` except under [`CallbackIssuer::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackIssuer {
    /// `iss` is announced and sent.
    #[default]
    Sent,
    /// It is neither announced nor sent: a server that does not support it.
    Unknown,
    /// It is announced but missing, as in a forged callback.
    Omitted,
    /// It is announced, and names this other server: a mix-up attack.
    Forged(String),
}

/// Pushed authorization requests (RFC 9126).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pushed {
    /// There is no such endpoint.
    Absent,
    /// Announced; other requests are served as well.
    #[default]
    Offered,
    /// Announced; other requests are refused.
    Required,
}

/// A registered app.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Its `client_id`.
    pub id: String,
    /// Its secret; a client without one is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Redirect addresses, compared as exact strings.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
}

/// A person who can consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The stable id.
    pub sub: String,
    /// For display.
    pub name: String,
    /// A label, never an identity.
    pub email: String,
}

/// A key that `/api/me` accepts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The key, as sent in `Authorization: Bearer` or `X-Api-Key`.
    pub key: String,
    /// Its account.
    pub account: String,
    /// A valid key that may not read the account: 403.
    #[serde(default)]
    pub forbidden: bool,
}

/// A user and password that `/api/me` accepts, as HTTP Basic (RFC 7617: sent raw, not form-encoded).
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicUser {
    /// The user's name, without a colon.
    pub user: String,
    /// The password.
    pub password: String,
    /// Its account.
    pub account: String,
    /// Valid credentials that may not read the account: 403.
    #[serde(default)]
    pub forbidden: bool,
}

/// One realm. Each field left out of the admin API's JSON keeps the server's default.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is one habit of a provider, freely combined")]
pub struct RealmConfig {
    /// What happens to a refresh token when it is used.
    pub rotation: Rotation,
    /// How long a replaced refresh token still works, in seconds.
    pub grace_seconds: u64,
    /// How long an access token lives, in seconds. The smallest useful value is 2.
    pub access_lifetime_seconds: u64,
    /// How long a refresh token lives, in seconds; without a value it never expires.
    pub refresh_lifetime_seconds: Option<u64>,
    /// How long an authorization code lives, in seconds.
    pub code_lifetime_seconds: u64,
    /// How long a device code lives, in seconds.
    pub device_lifetime_seconds: u64,
    /// The shortest pause between two polls of a device code, in seconds (RFC 8628 §3.2).
    pub device_interval_seconds: u64,
    /// Whether a refresh ends the access tokens of its grant (GitHub App users, Atlassian).
    pub refresh_ends_access: bool,
    /// Whether a second use of a replaced refresh token revokes its whole grant (RFC 9700 §4.14.2).
    pub reuse_ends_grant: bool,
    /// Leave `expires_in` out of token answers.
    pub omit_expires_in: bool,
    /// Leave `scope` out of token answers.
    pub omit_scope: bool,
    /// What callbacks say about the issuer (RFC 9207).
    pub callback_issuer: CallbackIssuer,
    /// Whether authorization requests may, or must, be pushed first (RFC 9126).
    pub pushed: Pushed,
    /// How long a pushed request lives, in seconds.
    pub pushed_lifetime_seconds: u64,
    /// Whether a new grant has no refresh token.
    pub omit_refresh_token: bool,
    /// Client authentication that is accepted.
    pub client_auth: Vec<AuthMethod>,
    /// Registered apps.
    pub clients: Vec<ClientConfig>,
    /// Whose assertions are accepted as grants.
    pub trusted: Vec<TrustedIssuer>,
    /// People who can consent.
    pub accounts: Vec<Account>,
    /// Scopes that may be requested; all of them if a request names none.
    pub scopes: Vec<String>,
    /// The account that consents without a page being shown.
    pub auto_consent: Option<String>,
    /// Keys that `/api/me` knows.
    pub api_keys: Vec<ApiKey>,
    /// Users that `/api/me` accepts.
    pub basic_users: Vec<BasicUser>,
}

impl Default for RealmConfig {
    /// Single use without grace, one hour, both secrets in use, the client `bowline` and the accounts `alice` and `bob`.
    fn default() -> Self {
        Self {
            rotation: Rotation::SingleUse,
            grace_seconds: 0,
            access_lifetime_seconds: 3600,
            refresh_lifetime_seconds: None,
            code_lifetime_seconds: 60,
            device_lifetime_seconds: 600,
            device_interval_seconds: 5,
            refresh_ends_access: false,
            reuse_ends_grant: true,
            omit_expires_in: false,
            omit_scope: false,
            callback_issuer: CallbackIssuer::Sent,
            pushed: Pushed::Offered,
            pushed_lifetime_seconds: 60,
            omit_refresh_token: false,
            client_auth: vec![AuthMethod::Basic, AuthMethod::Post],
            clients: vec![ClientConfig {
                id: "bowline".into(),
                secret: Some("sandbox:secret/+ %".into()),
                redirect_uris: vec!["http://127.0.0.1:8080/callback".into()],
            }],
            trusted: Vec::new(),
            accounts: vec![account("alice"), account("bob")],
            scopes: ["openid", "email", "read", "write"].map(String::from).to_vec(),
            auto_consent: None,
            api_keys: Vec::new(),
            basic_users: Vec::new(),
        }
    }
}

fn account(sub: &str) -> Account {
    Account { sub: sub.into(), name: sub.to_uppercase(), email: format!("{sub}@example.com") }
}

impl RealmConfig {
    /// This configuration with the members in `changes` replaced.
    ///
    /// # Errors
    /// When `changes` is no object, or contains an unknown member or a value of the wrong type.
    pub fn with(&self, changes: serde_json::Value) -> Result<Self, serde_json::Error> {
        let changes: serde_json::Map<_, _> = serde_json::from_value(changes)?;
        let mut merged = serde_json::to_value(self)?;
        if let Some(members) = merged.as_object_mut() {
            members.extend(changes);
        }
        serde_json::from_value(merged)
    }

    pub(super) fn client(&self, id: &str) -> Option<&ClientConfig> {
        self.clients.iter().find(|client| client.id == id)
    }

    pub(super) fn account(&self, sub: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.sub == sub)
    }
}
