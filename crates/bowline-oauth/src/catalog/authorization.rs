//! What is asked of a person, and how: the authorization request, the device flow, PKCE.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Whether only pushed requests are accepted (RFC 9126 §5). Metadata may say so as well.
    pub(crate) require_pushed: bool,
}

/// The parameter of the authorization request that carries the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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
pub(crate) enum Pkce {
    /// Nobody knows. It is sent, with S256: a server ignores parameters that it does not know (RFC 6749 §3.1), or refuses the
    /// code, and the message then names this field.
    #[default]
    Unknown,
    /// It checks the verifier with S256.
    Supported,
    /// It takes the parameters without an effect.
    Ignored,
    /// It refuses a verifier that it does not know, or takes the app for another kind of client: none is sent.
    None,
}
