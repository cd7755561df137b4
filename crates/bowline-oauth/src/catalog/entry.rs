//! The schema of a catalogue file, `providers/<name>.yaml`.

use std::collections::BTreeMap;

use bowline_api::connection::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::calls::{Call, Identity, Key, Revoke};
use super::errors::ErrorTable;
use super::look::{Color, Group};
use super::parameter::Parameter;
use super::protocol::{ClientAuth, Grant, Scopes, TokenRequest, TokenResponse};
use super::template::Template;

/// A third party as the catalogue knows it, for everybody: how it is connected, refreshed, identified, checked and revoked.
/// Resolving it for one connection gives a [`Description`](super::Description).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The entry this one is laid over: maps merge, lists and scalars replace, `null` removes.
    #[serde(default)]
    pub(crate) extends: Option<String>,
    /// Name for people.
    pub display_name: String,
    /// What it enables, in one line for people.
    #[serde(default)]
    pub about: String,
    /// Where it stands among others.
    #[serde(default)]
    pub group: Group,
    /// Its colour, for white text.
    #[serde(default)]
    pub color: Color,
    /// How grants can be obtained, the usual one first.
    #[serde(default)]
    pub(crate) methods: Vec<Method>,
    /// Values that an administrator or a connection sets.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Addresses.
    #[serde(default)]
    pub(crate) endpoints: Endpoints<Template>,
    /// How the client may prove itself, the preferred way first.
    #[serde(default)]
    pub(crate) client_auth: Vec<ClientAuth>,
    /// What the authorization request needs.
    #[serde(default)]
    pub(crate) authorize: Authorize,
    /// What the device authorization request needs.
    #[serde(default)]
    pub(crate) device: DeviceFlow,
    /// What a token request needs beyond the standard.
    #[serde(default)]
    pub(crate) token_request: TokenRequest,
    /// Where a token answer has its parts.
    #[serde(default)]
    pub(crate) token_response: TokenResponse,
    /// Scopes.
    #[serde(default)]
    pub scopes: Scopes,
    /// What a grant is like.
    #[serde(default)]
    pub(crate) grant: Grant,
    /// How the account is learnt. Absent means that it is not.
    #[serde(default)]
    pub(crate) identity: Option<Identity<Template>>,
    /// A cheap call that tells whether an access token works. Absent means the identity call.
    #[serde(default)]
    pub(crate) probe: Option<Call<Template>>,
    /// How a grant is withdrawn.
    #[serde(default)]
    pub(crate) revoke: Revoke<Template>,
    /// Where a key goes and how it is checked, for the methods `ApiKey` and `BasicAuth`.
    #[serde(default)]
    pub(crate) key: Option<Key<Template>>,
    /// What failures mean.
    #[serde(default)]
    pub(crate) errors: ErrorTable,
    /// How credentials begin, kind → prefix. Published formats grow: a hint, never a check.
    #[serde(default)]
    pub(crate) token_prefixes: BTreeMap<String, String>,
    /// Limits that the provider sets, for people.
    #[serde(default)]
    pub(crate) limits: Vec<String>,
    /// What else an administrator should know.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Documents and code that the facts come from.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// How well the facts are established.
    #[serde(default)]
    pub(crate) confidence: Confidence,
    /// The same as data, which is what resolving works on.
    #[serde(skip)]
    pub(super) json: Map<String, Value>,
}

/// Where an entry has addresses, and what each is for.
pub(super) const ADDRESSES: [(&str, &str); 12] = [
    ("/endpoints/issuer", "issuer"),
    ("/endpoints/authorization", "authorization"),
    ("/endpoints/pushedAuthorizationRequest", "pushed authorization request"),
    ("/endpoints/token", "token"),
    ("/endpoints/deviceAuthorization", "device authorization"),
    ("/endpoints/revocation", "revocation"),
    ("/endpoints/userinfo", "userinfo"),
    ("/endpoints/adminConsent", "admin consent"),
    ("/identity/call/url", "the account"),
    ("/probe/url", "the probe"),
    ("/revoke/url", "revocation"),
    ("/key/validate/url", "the key's check"),
];

/// Where an entry has parameters of requests, whose values may have placeholders.
pub(super) const PARAMETERS: [&str; 3] = ["/authorize/params", "/device/params", "/tokenRequest/params"];

/// Addresses of a provider. `U` is an address: with placeholders, or filled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints<U> {
    /// Issuer identifier (RFC 8414 §2). The token endpoint is read from its metadata when it is not given here.
    pub issuer: Option<U>,
    /// Authorization endpoint (RFC 6749 §3.1).
    pub authorization: Option<U>,
    /// Pushed authorization request endpoint (RFC 9126 §2). Used whenever it is known.
    pub(crate) pushed_authorization_request: Option<U>,
    /// Token endpoint (RFC 6749 §3.2).
    pub token: Option<U>,
    /// Device authorization endpoint (RFC 8628 §3.1).
    pub(crate) device_authorization: Option<U>,
    /// Revocation endpoint (RFC 7009 §2).
    pub(crate) revocation: Option<U>,
    /// Where the account is read.
    pub(crate) userinfo: Option<U>,
    /// Where an administrator of the account approves the app.
    pub(crate) admin_consent: Option<U>,
}

impl<U> Endpoints<U> {
    /// Every address with its name for people: the one list that whoever looks at all of them goes through.
    pub(crate) fn named(&self) -> [(&'static str, Option<&U>); 8] {
        let Self {
            issuer,
            authorization,
            pushed_authorization_request,
            token,
            device_authorization,
            revocation,
            userinfo,
            admin_consent,
        } = self;
        [
            ("issuer", issuer.as_ref()),
            ("authorization", authorization.as_ref()),
            ("pushed request", pushed_authorization_request.as_ref()),
            ("token", token.as_ref()),
            ("device authorization", device_authorization.as_ref()),
            ("revocation", revocation.as_ref()),
            ("userinfo", userinfo.as_ref()),
            ("admin consent", admin_consent.as_ref()),
        ]
    }
}

// Written out: a derived `Default` would ask the same of `U`.
impl<U> Default for Endpoints<U> {
    fn default() -> Self {
        Self {
            issuer: None,
            authorization: None,
            pushed_authorization_request: None,
            token: None,
            device_authorization: None,
            revocation: None,
            userinfo: None,
            admin_consent: None,
        }
    }
}

/// What the authorization request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Authorize {
    /// What the provider makes of PKCE (RFC 7636).
    #[serde(default)]
    pub(crate) pkce: Pkce,
    /// The parameter that carries the scopes.
    #[serde(default)]
    pub(crate) scope_parameter: ScopeParameter,
    /// Parameters to send besides the standard's. One whose placeholder has no value is left out.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
    /// Parameters that may be sent, too.
    #[serde(default)]
    pub(crate) optional_params: Vec<String>,
    /// Whether callbacks carry `iss` (RFC 9207), so that one without it is refused. Metadata may say so as well.
    #[serde(default)]
    pub(crate) issuer_in_callback: bool,
}

/// The parameter of the authorization request that carries the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeParameter {
    /// `scope`, the standard's.
    #[default]
    Scope,
    /// `user_scope`: Slack's, for a token of the person instead of the app's bot.
    UserScope,
}

impl ScopeParameter {
    /// Its name in the request.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::UserScope => "user_scope",
        }
    }
}

/// What the device authorization request needs (RFC 8628 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeviceFlow {
    /// Whether the client proves itself as at the token endpoint. If not, only its id is sent.
    #[serde(default = "yes")]
    pub(crate) authenticated: bool,
    /// Parameters to send besides the standard's. One whose placeholder has no value is left out.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

impl Default for DeviceFlow {
    fn default() -> Self {
        Self { authenticated: yes(), params: BTreeMap::new() }
    }
}

/// What a provider makes of PKCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
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

impl Entry {
    /// Whether there is a parameter of this name that fills placeholders.
    pub(super) fn fills(&self, name: &str) -> bool {
        self.parameters.get(name).is_some_and(|parameter| parameter.sets.is_none())
    }
}
