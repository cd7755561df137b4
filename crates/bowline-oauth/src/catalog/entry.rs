//! The schema of a catalogue file, `providers/<name>.yaml`.
//!
//! A field is added here and nowhere else: to [`ThirdParty`] if resolving needs it, else to [`CatalogEntry`]; an address
//! also to [`ThirdParty::named_addresses`].

use std::collections::BTreeMap;
use std::ops::Deref;

use bowline_api::connection::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calls::{Identity, KeyUsage, Revoke};
use super::errors::ErrorTable;
use super::look::{Color, Group};
use super::parameter::Parameter;
use super::protocol::{ClientAuth, GrantLifecycle, ScopeRules, TokenRequest, TokenResponse};
use super::template::Template;

/// A third party as the catalogue knows it, for everybody. Resolving it for one connection gives a
/// [`Description`](super::Description).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Entry")]
pub struct CatalogEntry {
    /// The entry this one is laid over: maps merge, lists and scalars replace, `null` removes.
    pub(crate) extends: Option<String>,
    /// What it enables, in one line for people.
    pub about: String,
    /// Where it stands among others.
    pub group: Group,
    /// Its colour, for white text.
    pub color: Color,
    /// Values that an administrator or a connection sets.
    pub parameters: BTreeMap<String, Parameter>,
    /// How credentials begin, kind → prefix. Published formats grow: a hint, never a check.
    pub(crate) token_prefixes: BTreeMap<String, String>,
    /// Limits that the provider sets, for people.
    pub(crate) limits: Vec<String>,
    /// What else an administrator should know.
    pub(crate) notes: Vec<String>,
    /// Documents and code that the facts come from.
    pub(crate) sources: Vec<String>,
    /// How well the facts are established.
    pub(crate) confidence: Confidence,
    /// What a description has, too; a file has its fields beside the others.
    #[serde(skip)]
    pub core: ThirdParty<Option<Template>>,
    /// The core as data, which is what resolving works on.
    #[serde(skip)]
    pub(crate) json: Map<String, Value>,
}

impl CatalogEntry {
    /// Reads an entry from the fields of its file.
    ///
    /// serde cannot flatten a struct into one that refuses unknown fields. So each field goes to the struct that has it, and an
    /// unknown one to the core, which refuses it.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let known = serde_json::to_value(Self::default())?;
        let (own, json): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(name, _)| known.get(name).is_some());
        let core = ThirdParty::deserialize(Value::Object(json.clone()))?;
        Ok(Self { core, json, ..Self::deserialize(Value::Object(own))? })
    }

    /// Whether there is a parameter of this name that fills placeholders.
    pub(super) fn fills(&self, name: &str) -> bool {
        self.parameters.get(name).is_some_and(|parameter| parameter.sets.is_none())
    }
}

impl Deref for CatalogEntry {
    type Target = ThirdParty<Option<Template>>;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

/// What is known of a third party: how it is connected, refreshed, identified, checked and revoked.
///
/// `U` is an address that may be absent: with placeholders in a [`CatalogEntry`], filled in a
/// [`Description`](super::Description).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct ThirdParty<U> {
    /// Name for people.
    pub display_name: String,
    /// How grants can be obtained, the usual one first.
    pub methods: Vec<Method>,
    /// Addresses.
    pub endpoints: ProviderEndpoints<U>,
    /// How the client may prove itself, the preferred way first.
    pub(crate) client_auth: Vec<ClientAuth>,
    /// What the authorization request needs.
    pub(crate) authorize: Authorize,
    /// What the device authorization request needs.
    pub(crate) device: DeviceFlow,
    /// What a token request needs beyond the standard.
    pub(crate) token_request: TokenRequest,
    /// Where a token answer has its parts.
    pub(crate) token_response: TokenResponse,
    /// Scopes.
    pub scopes: ScopeRules,
    /// What a grant is like.
    pub grant: GrantLifecycle,
    /// How the account is found out. Absent means that it is not.
    pub identity: Option<Identity<U>>,
    /// How a grant is withdrawn.
    pub revoke: Revoke<U>,
    /// Where a key goes and how it is checked, for the methods `ApiKey` and `BasicAuth`.
    pub key: Option<KeyUsage<U>>,
    /// What failures mean.
    pub(crate) errors: ErrorTable,
}

impl<A> ThirdParty<Option<A>> {
    /// The one list of addresses that a request, or a person, may be sent to: where each is in an entry's data, what it is
    /// for, and the address.
    pub(super) fn named_addresses(&self) -> [(&'static str, &'static str, Option<&A>); 11] {
        let of = &self.endpoints;
        let identity = self.identity.as_ref().and_then(|identity| identity.call.url.as_ref());
        let key = self.key.as_ref().and_then(|key| key.validate.as_ref()?.url.as_ref());
        [
            ("/endpoints/issuer", "issuer", of.issuer.as_ref()),
            ("/endpoints/authorization", "authorization", of.authorization.as_ref()),
            (
                "/endpoints/pushedAuthorizationRequest",
                "pushed authorization request",
                of.pushed_authorization_request.as_ref(),
            ),
            ("/endpoints/token", "token", of.token.as_ref()),
            ("/endpoints/deviceAuthorization", "device authorization", of.device_authorization.as_ref()),
            ("/endpoints/revocation", "revocation", of.revocation.as_ref()),
            ("/endpoints/userinfo", "userinfo", of.userinfo.as_ref()),
            ("/endpoints/adminConsent", "admin consent", of.admin_consent.as_ref()),
            ("/identity/call/url", "the account", identity),
            ("/revoke/url", "revocation", self.revoke.url.as_ref()),
            ("/key/validate/url", "the key's check", key),
        ]
    }
}

impl<U> ThirdParty<U> {
    /// Whether there are tokens to request, and not only a key or a password.
    pub(super) fn uses_tokens(&self) -> bool {
        !self.methods.iter().all(|method| matches!(method, Method::ApiKey | Method::BasicAuth))
    }
}

/// Where an entry has parameters of requests, whose values may have placeholders.
pub(super) const PARAMETERS: [&str; 3] = ["/authorize/params", "/device/params", "/tokenRequest/params"];

/// Addresses of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderEndpoints<U> {
    /// Issuer identifier (RFC 8414 §2). The token endpoint is read from its metadata when it is not given here.
    pub issuer: U,
    /// Authorization endpoint (RFC 6749 §3.1).
    pub authorization: U,
    /// Pushed authorization request endpoint (RFC 9126 §2). Used whenever it is known.
    pub(crate) pushed_authorization_request: U,
    /// Token endpoint (RFC 6749 §3.2).
    pub token: U,
    /// Device authorization endpoint (RFC 8628 §3.1).
    pub(crate) device_authorization: U,
    /// Revocation endpoint (RFC 7009 §2).
    pub(crate) revocation: U,
    /// Where the account is read.
    pub(crate) userinfo: U,
    /// Where an administrator of the account approves the app.
    pub(crate) admin_consent: U,
}

/// What the authorization request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Authorize {
    /// What the provider makes of PKCE (RFC 7636).
    pub(crate) pkce: Pkce,
    /// The parameter that carries the scopes.
    pub(crate) scope_parameter: ScopeParameter,
    /// Parameters to send besides the standard's. One whose placeholder has no value is left out.
    pub(crate) params: BTreeMap<String, String>,
    /// Parameters that may be sent, too.
    pub(crate) optional_params: Vec<String>,
    /// Whether callbacks carry `iss` (RFC 9207), so that one without it is refused. Metadata may say so as well.
    pub(crate) issuer_in_callback: bool,
}

/// The parameter of the authorization request that carries the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeParameter {
    /// `scope`, the standard's.
    #[default]
    Scope,
    /// `user_scope`: Slack's, for a token of the person instead of the app's bot.
    UserScope,
}

impl ScopeParameter {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::UserScope => "user_scope",
        }
    }
}

/// What the device authorization request needs (RFC 8628 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeviceFlow {
    /// Whether the client proves itself as at the token endpoint. If not, only its id is sent.
    pub(crate) authenticated: bool,
    /// Parameters to send besides the standard's. One whose placeholder has no value is left out.
    pub(crate) params: BTreeMap<String, String>,
}

impl Default for DeviceFlow {
    fn default() -> Self {
        Self { authenticated: true, params: BTreeMap::new() }
    }
}

/// What a provider makes of PKCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pkce {
    /// It checks the verifier with S256. Also right where nothing is known: RFC 6749 §3.1 ignores what is unknown.
    #[default]
    Supported,
    /// It takes the parameters without an effect.
    Ignored,
    /// Sending it changes what kind of client the app is: leave it off.
    Off,
}

/// How well the facts of an entry are established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    /// By an official document, and code.
    High,
    /// By two independent code bases, or one official text of uncertain age.
    Medium,
    /// By one indirect source: verify before relying on it.
    #[default]
    Low,
}
