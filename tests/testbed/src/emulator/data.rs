//! The data files: what one provider documents. Every answer names its source; `believed` marks what none says.
#![allow(dead_code, reason = "sources are for readers of the files")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::bearing::Bearing;
use super::claims::{Refusal, Run};
use super::consent::{AuthorizePage, IdToken};
use super::machine::MintEndpoint;
use super::session::SessionCall;
use super::signed::SignedRequests;

/// Values with placeholders, by name.
pub(super) type Values = Map<String, Value>;

/// Where a request may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A browser asks for consent, or the app for a link session.
    Authorize,
    /// A browser is at the page of a link session.
    Visit,
    /// A code becomes tokens.
    Exchange,
    /// A refresh token is used.
    Refresh,
    /// A token is minted: nobody consents.
    Mint,
    /// The account is read, with an access token.
    Account,
    /// A grant or token is revoked.
    Revoke,
}

/// What the engine finds wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Violation {
    /// Unknown client, wrong secret, or a way to prove it that is not accepted.
    Client,
    /// It is not as it must be.
    Request,
    /// A code that is unknown, used or another app's.
    Code,
    /// A refresh token that does not work.
    Refresh,
    /// An access token that does not work.
    Access,
    /// A signature that is missing, or not of this request.
    Signature,
    /// An assertion that is not accepted.
    Assertion,
    /// There is nothing left to revoke.
    Gone,
}

/// One provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Those of them that take no connection without a client certificate that the emulator issued.
    #[serde(default)]
    pub certificate_hosts: Vec<String>,
    /// Registered apps; those that behave differently stand for the provider's settings.
    pub apps: BTreeMap<String, EmulatedApp>,
    /// People or workspaces: values for placeholders in answers.
    pub accounts: BTreeMap<String, Values>,
    /// How scopes are written.
    #[serde(default)]
    pub(super) scopes: ScopeHabits,
    pub(super) authorize: Option<AuthorizePage>,
    pub(super) token: Option<TokenEndpoint>,
    /// Calls of link sessions.
    #[serde(default)]
    pub(super) session: Vec<SessionCall>,
    /// How apps sign requests.
    pub(super) signature: Option<SignedRequests>,
    /// Names of the headers in which apps show their id and secret.
    pub(super) client_headers: Option<[String; 2]>,
    /// Where tokens are minted.
    #[serde(default)]
    pub(super) mints: Vec<MintEndpoint>,
    /// Calls that name the account.
    #[serde(default)]
    pub(super) account: Vec<ApiCall>,
    #[serde(default)]
    pub(super) revoke: Vec<RevokeEndpoint>,
    pub(super) id_token: Option<IdToken>,
    /// How refusals look, unless they say otherwise.
    pub(super) shapes: BTreeMap<Operation, Reply>,
    /// Which refusals the engine itself gives. Without one for `gone`, the answer is that of a success.
    pub(super) says: BTreeMap<Violation, String>,
    /// Where refusals are documented, unless they say otherwise.
    pub(super) refusals_from: String,
    /// What a test can ask for, by name. `{error}` in a shape is the name, unless the refusal has another value for it.
    pub refusals: BTreeMap<String, Refusal>,
    /// What there is to prove.
    pub proves: Vec<Run>,
    /// What no run can show, and why: a column of the proof, a class of refusals that the provider does not give (`token class
    /// Policy`, `api class Consent`), `partial consent` in an answer that names no scopes, or a `revoked access token`.
    #[serde(default)]
    pub lacks: BTreeMap<String, String>,
}

/// An app registration, and what its settings make of grants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmulatedApp {
    /// Client id; of keys that people create there, the name of their kind.
    pub client_id: String,
    /// Client secret; none for a public client.
    pub client_secret: Option<String>,
    /// It has a key: [`TEST_KEY`](super::machine::TEST_KEY).
    #[serde(default)]
    signs: bool,
    pub(super) access: AccessTokens,
    pub(super) refresh: Option<RefreshTokens>,
    /// How its tokens or keys are sent to the API.
    #[serde(default)]
    pub(super) bearing: Bearing,
    /// What people have of a key that they created, by name; `{token}` is what works. Absent: `api_key` alone.
    #[serde(default)]
    pub(super) provides: BTreeMap<String, String>,
    /// What a revocation ends.
    pub(super) revocation: Option<Extent>,
    /// Further values of its grants.
    #[serde(default)]
    pub(super) values: Values,
    pub(super) source: String,
    #[serde(default)]
    pub(super) believed: bool,
}

impl EmulatedApp {
    /// Whether it has a key that signs assertions, or requests.
    pub fn signs(&self) -> bool {
        self.signs
    }

    /// Seconds for which an access token works; `None`: it does not expire.
    pub fn access_lifetime(&self) -> Option<u32> {
        self.access.lifetime
    }

    /// The same for its refresh tokens.
    pub fn refresh_lifetime(&self) -> Option<u32> {
        self.refresh.as_ref()?.lifetime
    }

    /// What a refresh does to the refresh token; `None`: there are no refresh tokens.
    pub fn renewal(&self) -> Option<Renewal> {
        self.refresh.as_ref().map(|refresh| refresh.renewal)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessTokens {
    /// What tokens begin with; with placeholders of the grant.
    pub prefix: String,
    #[serde(default)]
    pub digits: usize, // that follow at least
    pub lifetime: Option<u32>,
    /// How many of one grant work at once: one more ends the oldest.
    pub most: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshTokens {
    pub prefix: String,
    pub renewal: Renewal,
    pub lifetime: Option<u32>,
    /// Seconds for which a replaced token still works.
    #[serde(default)]
    pub grace: u32,
    /// A refresh ends the access tokens in use.
    #[serde(default)]
    pub ends_access: bool,
    /// A replaced token that is used again ends the grant.
    #[serde(default)]
    pub reuse_ends_grant: bool,
    /// Parameters of the authorization request, and a word that each must contain, without which none is issued.
    #[serde(default)]
    pub only_with: BTreeMap<String, String>,
}

/// What a refresh does to the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// It never changes.
    None,
    /// Every second refresh replaces it.
    Optional,
    /// A new one comes each time and the old one still works.
    Sliding,
    /// A new one comes each time and the old one does not work any more.
    SingleUse,
}

/// What a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Extent {
    /// The token alone.
    Token,
    /// The refresh tokens of one consent: access tokens work until they expire.
    Refresh,
    /// The tokens of one consent.
    Grant,
    /// All grants between the account and the app.
    Account,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScopeHabits {
    /// Parameters that request them.
    pub parameters: Vec<String>,
    pub separator: String,
    /// Between scopes in an answer.
    pub answered: String,
    /// What a scope is called in an answer.
    pub renamed: BTreeMap<String, String>,
    /// Granted, and not named in an answer.
    pub unnamed: Vec<String>,
}

impl Default for ScopeHabits {
    fn default() -> Self {
        Self {
            parameters: vec!["scope".to_owned()],
            separator: " ".to_owned(),
            answered: " ".to_owned(),
            renamed: BTreeMap::new(),
            unnamed: Vec::new(),
        }
    }
}

/// What a request must be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Takes {
    /// How the body is written. Absent: there must be none.
    pub body: Option<BodyEncoding>,
    /// Fields or parameters that must be there.
    pub needs: Vec<String>,
    /// Fields or parameters that must not be there.
    pub forbids: Vec<String>,
    /// Headers that must be there, with this value unless it is `*`.
    pub headers: BTreeMap<String, String>,
    /// Ways in which the client proves itself. Empty: it does not.
    pub client: Vec<ClientProof>,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BodyEncoding {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// How a client proves itself (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientProof {
    /// Id and secret in the Authorization header, form-encoded first.
    Basic,
    /// Id and secret in the body.
    Post,
    /// Only the id: a public client.
    None,
    /// The id in the body, and the secret as bearer.
    Bearer,
    /// Id and secret in headers of the family's own.
    Headers,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenEndpoint {
    pub at: String,
    /// Where refresh tokens are used, if not there.
    pub refresh_at: Option<String>,
    pub takes: Takes,
    /// The first that fits is given.
    pub exchange: Vec<Reply>,
    #[serde(default)]
    pub refresh: Vec<Reply>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiCall {
    pub at: String,
    #[serde(default)]
    pub takes: Takes,
    pub replies: Vec<Reply>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeEndpoint {
    pub at: String,
    #[serde(default)]
    pub takes: Takes,
    /// Where the token is: `bearer`, names of fields, or placeholders of the address.
    #[serde(default)]
    pub token: Vec<String>,
    /// The field that names the account instead, which is the account's value of the same name.
    pub account: Option<String>,
    /// Whether refresh tokens are taken, too.
    #[serde(default)]
    pub refresh_tokens: bool,
    /// What it ends. Absent: what the app says.
    pub ends: Option<Extent>,
    pub reply: Reply,
}

/// An answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// A value of the grant, such as a parameter of the authorization request, with which this is the answer. Absent: always.
    pub when: Option<String>,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    /// Absent for the shapes of refusals, which have their own.
    pub source: Option<String>,
    #[serde(default)]
    pub believed: bool,
}

fn ok() -> u16 {
    200
}
