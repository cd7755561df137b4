//! Calls to a provider besides the token endpoint: identity, probes, revocation.
//!
//! `U` is an address that may be absent, as in [`super::entry::ThirdParty`].

use std::collections::BTreeMap;

use bowline_api::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// DELETE.
    Delete,
}

impl From<Verb> for http::Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Post => Self::POST,
            Verb::Delete => Self::DELETE,
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
    pub(crate) json: Option<Value>,
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
    /// Our app registration, with its client id at `/client_id`: for tokens that are minted, whose account is the app itself.
    App,
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
    /// DELETE without a body, the access token as bearer (GitHub App installations).
    BearerDelete,
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
    /// The calls of `linkSession.revoke`.
    LinkSession,
}

/// What a withdrawal ends at the provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum RevokeScope {
    /// The token alone.
    Token,
    /// All tokens of that account through that client.
    Grant,
    /// The app's installation, for everybody.
    Install,
    /// Nobody has stated it: servers differ. It may be as much as `Grant`, so no other connection's grant is put at risk; and as
    /// little as `Token`, so each token is revoked by itself if the first revocation is not seen to have ended both.
    #[default]
    Unknown,
}
