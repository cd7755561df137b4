//! Calls to a provider besides the token endpoint: identity, revocation, checks of keys.
//!
//! `U` is an address that may be absent, as in [`super::entry::ThirdParty`].

use std::collections::BTreeMap;

use bowline_api::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::errors::{Class, passes};
use super::parameter::Pattern;
use super::pointer::Pointer;
use super::protocol::AccountPaths;

/// HTTP method of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(bound = "U: Default + JsonSchema")]
pub(crate) struct ApiCall<U> {
    /// HTTP method.
    pub(crate) method: Verb,
    /// Address. Absent means the user-info endpoint (`OpenID` Connect Core §5.3).
    pub(crate) url: U,
    /// Headers to send besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON to send. Absent means no body.
    pub(crate) json: Option<serde_json::Value>,
}

/// How the account of a grant is found out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct Identity<U> {
    /// Where the document comes from: the first that names the account counts. What the answer says is known at once, so it
    /// stands before the call.
    pub from: Vec<IdentitySource>,
    /// The call, if it comes from one. Absent means GET of the user-info endpoint.
    #[serde(default)]
    pub(crate) call: ApiCall<U>,
    /// Where the account is in the document.
    #[serde(default)]
    pub account: AccountPaths,
}

impl<U> Identity<U> {
    /// Whether the id token counts before the call.
    pub fn trusts_claims_first(&self) -> bool {
        let at = |source| self.from.iter().position(|it| *it == source);
        at(IdentitySource::IdToken) < at(IdentitySource::Call) || at(IdentitySource::Call).is_none()
    }
}

/// Where the account's document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum IdentitySource {
    /// The claims of the ID token in the token answer.
    #[serde(rename = "IDToken")]
    IdToken,
    /// A call with the access token. One that is refused is no failure if another source names the account.
    Call,
    /// The token answer itself.
    TokenResponse,
}

/// How the token or key in use is checked between refreshes, so that a grant that was ended at the provider is noticed before
/// its token expires. A check spends nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct Probe<U> {
    /// How often, from `10s` to `168h`.
    pub(crate) every: Duration,
    /// The call. Absent means token introspection (RFC 7662) where the provider has it, else the call for the account. A key is
    /// always checked as `key.validate` says.
    pub(crate) call: Option<ApiCall<U>>,
}

impl<U> Probe<U> {
    /// How often the token or key is checked.
    pub fn every(&self) -> std::time::Duration {
        self.every.get()
    }
}

/// How a grant is withdrawn at the provider.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct Revoke<U> {
    /// How the request is made.
    pub(crate) style: RevokeStyle,
    /// Where it is sent. Absent means the revocation endpoint.
    pub(crate) url: U,
    /// What it ends.
    pub scope: RevokeScope,
    /// Headers to send besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// Statuses that mean done. Empty means 200 to 299.
    pub(crate) success: Vec<u16>,
    /// A boolean in the answer that must be true, too.
    pub(crate) success_path: Option<Pointer>,
    /// Statuses that mean that there was nothing left to withdraw.
    pub(crate) gone_status: Vec<u16>,
    /// Error codes that mean that there was nothing left to withdraw, whatever the status.
    pub(crate) gone_codes: Vec<String>,
    /// How a person does it: a page, or a way through the provider's settings.
    pub by_hand: Option<String>,
}

/// How the request that withdraws a grant is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum RevokeStyle {
    /// It cannot be done by a request.
    #[default]
    None,
    /// Form with `token` and `token_type_hint`, the client authenticated (RFC 7009 §2.1). Refresh token first.
    #[serde(rename = "RFC7009")]
    Rfc7009,
    /// Form with `token` and nothing else, no client authentication (Google, Slack). Refresh or access token.
    FormTokenOnly,
    /// POST without a body, a live access token as bearer (Dropbox). Refresh first if it has expired.
    BearerCall,
    /// DELETE `<url>/<client id>/token`, Basic with client id and secret, JSON with `access_token` (GitHub).
    #[serde(rename = "GitHubDelete")]
    GithubDelete,
    /// The same at `<url>/<client id>/grant`, with a live access token: it ends all that the person gave the app (GitHub Apps).
    /// Refresh first if it has expired.
    #[serde(rename = "GitHubDeleteGrant")]
    GithubDeleteGrant,
    /// POST, Basic with client id and secret, JSON with `token` (Notion).
    #[serde(rename = "JSONBasic")]
    JsonBasic,
    /// POST with a form field named `refresh_token` or `access_token`, or the access token as bearer (Linear).
    BearerOrNamedForm,
    /// Form with `client_id` and `stripe_user_id`, the account's id; the client secret as bearer (Stripe Connect).
    StripeDeauthorize,
}

/// What a withdrawal ends at the provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
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
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct KeyUsage<U> {
    /// Name of the header that carries it.
    #[serde(default = "authorization")]
    pub(crate) header: String,
    /// Word before it in the header. Absent means none. `Basic` for a user name and password.
    pub(crate) scheme: Option<String>,
    /// What the key looks like, matched as a whole. Absent means anything.
    #[serde(skip_serializing)]
    pub pattern: Option<Pattern>,
    /// Whether it is a user name and password (RFC 7617) instead of one key. The password may be empty.
    #[serde(default)]
    pub(crate) password: bool,
    /// How it is checked. Absent means that it is stored unverified, and status says so.
    pub(crate) validate: Option<Validate<U>>,
}

impl<U> KeyUsage<U> {
    /// The word before a key in its header.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }
}

fn authorization() -> String {
    "authorization".to_owned()
}

/// A cheap request that changes nothing and tells whether a key works.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub(crate) struct Validate<U> {
    /// HTTP method.
    pub(crate) method: Verb,
    /// Address. Absent means that an administrator has to set it and keys are not checked until then.
    pub(crate) url: U,
    /// Headers to send besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON to send. Absent means no body.
    pub(crate) json: Option<serde_json::Value>,
    /// Statuses of a key that works. Empty means 200 to 299.
    pub(crate) ok: Vec<u16>,
    /// A path that must lead to a value for the key to work.
    pub(crate) ok_path: Option<Pointer>,
    /// Statuses of a key that does not work. Empty means 401.
    pub(crate) invalid: Vec<u16>,
    /// Statuses of a key that works but may not do this. Empty means 403.
    pub(crate) alive: Vec<u16>,
    /// Statuses that say nothing about the key. Empty means 408, 425, 429 and 500 to 599.
    pub(crate) transient: Vec<u16>,
    /// Where the account is in the answer.
    pub(crate) account: AccountPaths,
}

impl<U> Validate<U> {
    /// What a status says about the key; `None` if it works.
    pub(crate) fn class(&self, status: u16) -> Option<Class> {
        let among = |given: &[u16], usual| if given.is_empty() { usual } else { given.contains(&status) };
        if among(&self.ok, (200..=299).contains(&status)) {
            None
        } else if among(&self.transient, passes(status)) {
            Some(Class::Transient)
        } else if among(&self.invalid, status == 401) {
            Some(Class::Reauth)
        } else if among(&self.alive, status == 403) {
            Some(Class::Alive)
        } else {
            Some(Class::Transient)
        }
    }
}
