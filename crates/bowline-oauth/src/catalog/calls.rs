//! Calls to a provider beside the token endpoint: identity, revocation, checks of keys.
//!
//! `U` is an address: with placeholders in an entry ([`super::template::Template`]), filled in a description.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::parameter::Pattern;
use super::pointer::Pointer;
use super::protocol::AccountPaths;

/// HTTP method of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verb {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
}

impl From<Verb> for http::Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Post => Self::POST,
        }
    }
}

/// A call with the access token as bearer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Call<U> {
    /// HTTP method.
    #[serde(default)]
    pub(crate) method: Verb,
    /// Address. Absent means the user-info endpoint.
    pub(crate) url: Option<U>,
    /// Headers to send besides Accept and User-Agent.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON to send. Absent means no body.
    #[serde(default)]
    pub(crate) json: Option<serde_json::Value>,
}

impl<U> Call<U> {
    /// GET of the user-info endpoint (`OpenID` Connect Core §5.3).
    pub(crate) const fn user_info() -> Self {
        Self { method: Verb::Get, url: None, headers: BTreeMap::new(), json: None }
    }
}

/// How the account behind a grant is learnt.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, bound(deserialize = "U: Deserialize<'de>"))]
pub struct Identity<U> {
    /// Where the document comes from.
    pub from: IdentitySource,
    /// The call, if it comes from one. Absent means GET of the user-info endpoint.
    #[serde(default = "Call::<U>::user_info")]
    pub(crate) call: Call<U>,
    /// Where the account is in the document.
    #[serde(default)]
    pub account: AccountPaths,
}

/// Where the account's document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySource {
    /// The claims of the ID token in the token answer.
    IdToken,
    /// A call with the access token.
    Call,
    /// The token answer itself.
    TokenResponse,
}

/// How a grant is withdrawn at the provider.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoke<U> {
    /// How the request is made.
    #[serde(default)]
    pub(crate) style: RevokeStyle,
    /// Where it is sent. Absent means the revocation endpoint.
    pub(crate) url: Option<U>,
    /// What it hits.
    #[serde(default)]
    pub scope: RevokeScope,
    /// Headers to send besides Accept and User-Agent.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Statuses that mean done.
    #[serde(default)]
    pub(crate) success: Vec<u16>,
    /// A boolean in the answer that must be true, too.
    #[serde(default)]
    pub(crate) success_path: Option<Pointer>,
    /// Statuses that mean that there was nothing left to withdraw.
    #[serde(default)]
    pub(crate) gone_status: Vec<u16>,
    /// Error codes that mean that there was nothing left to withdraw, whatever the status.
    #[serde(default)]
    pub(crate) gone_codes: Vec<String>,
    /// How a person does it: a page, or a way through the provider's settings.
    #[serde(default)]
    pub by_hand: Option<String>,
}

// Written out: a derived `Default` would ask the same of `U`.
impl<U> Default for Revoke<U> {
    fn default() -> Self {
        Self {
            style: RevokeStyle::default(),
            url: None,
            scope: RevokeScope::default(),
            headers: BTreeMap::new(),
            success: Vec::new(),
            success_path: None,
            gone_status: Vec::new(),
            gone_codes: Vec::new(),
            by_hand: None,
        }
    }
}

/// How the request that withdraws a grant is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RevokeStyle {
    /// It cannot be done by a request.
    #[default]
    None,
    /// Form with `token` and `token_type_hint`, the client authenticated (RFC 7009 §2.1). Refresh token first.
    Rfc7009,
    /// Form with `token` and nothing else, no client authentication (Google). Refresh or access token.
    FormTokenOnly,
    /// POST without a body, a live access token as bearer (Slack, Dropbox). Refresh first if it has ended.
    BearerCall,
    /// DELETE `<url>/<client id>/token`, Basic with client id and secret, JSON with `access_token` (GitHub).
    GithubDelete,
    /// POST, Basic with client id and secret, JSON with `token` (Notion).
    JsonBasic,
    /// POST with a form field named `refresh_token` or `access_token`, or the access token as bearer (Linear).
    BearerOrNamedForm,
}

/// What a withdrawal hits at the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeScope {
    /// The token alone.
    Token,
    /// All tokens of that account through that client. Assumed where nothing else is known.
    #[default]
    Grant,
    /// The app's installation, for everybody.
    Install,
}

/// A key or a user name and password: where it goes and how it is checked.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key<U> {
    /// Name of the header that carries it.
    #[serde(default = "authorization")]
    pub(crate) header: String,
    /// Word before it in the header. Absent means none. For [`Key::password`], `Basic`.
    #[serde(default)]
    pub(crate) scheme: Option<String>,
    /// What the key looks like, matched as a whole. Absent means anything.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// Whether it is a user name and password (RFC 7617) instead of one key. The password may be empty.
    #[serde(default)]
    pub(crate) password: bool,
    /// How it is checked. Absent means that it is stored unverified, and status says so.
    pub(crate) validate: Option<Validate<U>>,
}

fn authorization() -> String {
    "authorization".to_owned()
}

/// A cheap request that changes nothing and tells whether a key works.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Validate<U> {
    /// HTTP method.
    #[serde(default)]
    pub(crate) method: Verb,
    /// Address. Absent means that an administrator has to set it; until then keys are not checked.
    pub(crate) url: Option<U>,
    /// Headers to send besides Accept and User-Agent.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Statuses of a key that works. Empty means 200 to 299.
    #[serde(default)]
    pub(crate) ok: Vec<u16>,
    /// A path that must lead to a value for the key to work.
    #[serde(default)]
    pub(crate) ok_path: Option<Pointer>,
    /// Statuses of a key that does not work. Empty means 401.
    #[serde(default)]
    pub(crate) invalid: Vec<u16>,
    /// Statuses of a key that works but may not do this. Empty means 403.
    #[serde(default)]
    pub(crate) alive: Vec<u16>,
    /// Statuses that say nothing about the key. Empty means 408, 425, 429 and 500 to 599.
    #[serde(default)]
    pub(crate) transient: Vec<u16>,
    /// Where the account is in the answer.
    #[serde(default)]
    pub(crate) account: AccountPaths,
}

/// What an answer says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyState {
    /// It works.
    Ok,
    /// It does not work.
    Invalid,
    /// It works, but may not do what the check does.
    Alive,
    /// The answer says nothing about it.
    Unknown,
}

impl<U> Validate<U> {
    /// What a status says about the key.
    pub(crate) fn state(&self, status: u16) -> KeyState {
        let among = |given: &[u16], usual: &[std::ops::RangeInclusive<u16>]| match given {
            [] => usual.iter().any(|range| range.contains(&status)),
            given => given.contains(&status),
        };
        if among(&self.ok, &[200..=299]) {
            KeyState::Ok
        } else if among(&self.transient, &[408..=408, 425..=425, 429..=429, 500..=599]) {
            KeyState::Unknown
        } else if among(&self.invalid, &[401..=401]) {
            KeyState::Invalid
        } else if among(&self.alive, &[403..=403]) {
            KeyState::Alive
        } else {
            KeyState::Unknown
        }
    }
}
