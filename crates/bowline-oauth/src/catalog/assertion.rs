//! What an assertion is like with which our client requests a token, or proves itself (RFC 7521, RFC 7523).

use std::collections::BTreeMap;

use bowline_api::duration::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long an assertion is valid where nobody says how long: it is used at once.
const LIVES: std::time::Duration = std::time::Duration::from_mins(2);
/// How far it is dated back where nobody says how far, for servers whose clock is behind.
const DATED_BACK: std::time::Duration = std::time::Duration::from_secs(10);
/// The longest of either.
const LONGEST: std::time::Duration = std::time::Duration::from_hours(1);

/// Whom an assertion is meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum AssertionAudience {
    /// The issuer identifier, or the token endpoint if no issuer is known.
    #[default]
    Issuer,
    /// The token endpoint: only for providers that take nothing else, with a key that is used nowhere else.
    TokenEndpoint,
    /// Nobody: it is not said.
    Unsaid,
}

/// How an RSA key signs (RFC 7518 §3.3, §3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum RsaSignature {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
}

/// The type of a JWT as a subject token (RFC 8693 §3).
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The token of a `ServiceAccount` that is exchanged (RFC 8693 §2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubjectToken {
    /// Whom it is for, which the provider checks; never the cluster itself. May have placeholders. Absent means the token
    /// endpoint.
    pub(crate) audience: Option<String>,
    /// What the request calls it. Absent means `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(rename = "type")]
    pub(crate) type_: Option<String>,
}

impl SubjectToken {
    pub(crate) fn called(&self) -> &str {
        self.type_.as_deref().unwrap_or(JWT)
    }
}

/// An assertion that the app's private key signs. Issuer, audience, times and a `jti` are in each.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Assertion {
    /// Whom it is meant for.
    pub(crate) audience: AssertionAudience,
    /// Further claims of one that requests a token. One whose placeholder has no value is left out; `iss` stands in place of the
    /// client id.
    pub(crate) claims: BTreeMap<String, String>,
    /// Whether one that requests a token has the scopes, as the claim `scope`, and the request does not.
    pub(crate) scope_claim: bool,
    /// How long it is valid, up to `1h`. Absent means two minutes.
    pub(crate) lifetime: Option<Duration>,
    /// How an RSA key signs it. Other keys sign in one way.
    pub(crate) rsa: RsaSignature,
    /// How far it is dated back, up to `1h`. Absent means ten seconds.
    pub(crate) dated_back: Option<Duration>,
}

impl Assertion {
    /// Seconds for which it is valid.
    pub(crate) fn lives(&self) -> i64 {
        seconds(self.lifetime, LIVES)
    }

    /// Seconds by which it is dated back.
    pub(crate) fn is_dated_back_by(&self) -> i64 {
        seconds(self.dated_back, DATED_BACK)
    }

    /// Whether its times are such that a provider may accept it.
    pub(super) fn is_sound(&self) -> bool {
        let fits = |given: Option<Duration>| given.is_none_or(|given| given.get() <= LONGEST);
        fits(self.lifetime) && fits(self.dated_back) && self.lives() > 0
    }
}

fn seconds(given: Option<Duration>, usual: std::time::Duration) -> i64 {
    i64::try_from(given.map_or(usual, Duration::get).as_secs()).unwrap_or_default()
}
