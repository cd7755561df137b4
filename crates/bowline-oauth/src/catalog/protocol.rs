//! How one provider speaks OAuth 2.0 where it differs from the standard: what holds for every connection alike.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use bowline_api::duration::Duration;
use bowline_api::provider::Rotation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assertion::{Assertion, SubjectToken};
use super::look::ScopeMeaning;
use super::percentage::Percentage;
use super::pointer::{Pointer, Pointers};
use super::scope_part::ScopePart;
use crate::limits::{AnswerPart, Oversized, fits};

/// How a client proves itself at the token endpoint (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ClientAuth {
    /// Id and secret in the Authorization header, percent-encoded first (RFC 6749 §2.3.1).
    Basic,
    /// Id and secret in the body.
    Post,
    /// Only the id in the body: a public client.
    None,
    /// A signed assertion (RFC 7523 §2.2, `private_key_jwt`), with the key `private_key` of the app Secret.
    #[serde(rename = "PrivateKeyJWT")]
    PrivateKeyJwt,
    /// Only the id in the body, and a certificate that an authority issued, in TLS (RFC 8705 §2.1, `tls_client_auth`): the keys
    /// `tls.crt` and `tls.key` of the app Secret.
    #[serde(rename = "TLSClientAuth")]
    TlsClientAuth,
    /// The same with a certificate that is registered itself (RFC 8705 §2.2, `self_signed_tls_client_auth`).
    #[serde(rename = "SelfSignedTLSClientAuth")]
    SelfSignedTlsClientAuth,
    /// The same assertion as bearer token of the request, and nothing in its body (GitHub Apps).
    #[serde(rename = "BearerJWT")]
    BearerJwt,
    /// Not at all, and the id is not sent either: what requests the token proves enough (RFC 7521 §4.1). Used if no other way of
    /// the list is possible.
    Omitted,
}

impl ClientAuth {
    /// Every way.
    pub(crate) const ALL: [Self; 6] = [
        Self::Basic,
        Self::Post,
        Self::None,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    /// Its name in metadata and registrations (RFC 7591 §2).
    pub(crate) const fn registered_name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::None | Self::Omitted => "none",
            Self::PrivateKeyJwt | Self::BearerJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Whether a client secret is sent.
    pub(crate) const fn takes_secret(self) -> bool {
        matches!(self, Self::Basic | Self::Post)
    }

    /// Whether a client proves itself with a certificate, or not at all.
    pub(crate) fn are_certificates(ways: &[Self]) -> bool {
        !ways.is_empty() && ways.iter().all(|way| way.takes_certificate())
    }

    /// Whether a certificate in TLS proves the client.
    pub(crate) const fn takes_certificate(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }
}

/// Where the app registration comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum ClientRegistration {
    /// Somebody registers the app at the provider and names its Secret.
    #[default]
    Manual,
    /// The operator registers itself (RFC 7591) if the provider object names no app Secret.
    Dynamic,
}

/// How a client can prove itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// With a client secret.
    pub secret: bool,
    /// With a private key.
    pub private_key: bool,
    /// With a certificate in TLS.
    pub certificate: bool,
}

/// Which requests present the certificate of the app Secret (keys `tls.crt` and `tls.key`, RFC 8705), where a server asks for
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum CertificateUse {
    /// Those to the endpoints where the client proves itself, however it does, if there is a certificate: token, refresh,
    /// revocation, introspection, pushed and device authorization. Calls with an access token do so too if the metadata says that
    /// access tokens are bound to the certificate (RFC 8705 §3).
    #[default]
    ClientEndpoints,
    /// Those, and all calls with an access token. The provider takes no connection without a certificate, so there must be one.
    AllRequests,
}

/// How the body of a token request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Encoding {
    /// `application/x-www-form-urlencoded`, the standard's.
    #[default]
    Form,
    /// `application/json`.
    #[serde(rename = "JSON")]
    Json,
}

/// A token request beyond what the standard says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// How the body is written.
    pub(crate) encoding: Encoding,
    /// Headers to send besides Accept and User-Agent.
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether a request to mint a token has no `grant_type`, and only what is stated here.
    pub(crate) omit_grant_type: bool,
    /// Parameters to send besides the standard's. One whose placeholder has no value is left out.
    pub(crate) params: BTreeMap<String, String>,
    /// What assertions are like, which authenticate the client (`clientAuth: PrivateKeyJWT`) or request the token (method
    /// `JwtBearer`).
    pub(crate) assertion: Assertion,
    /// The token that is exchanged, for the method `TokenExchange`.
    pub(crate) subject: SubjectToken,
}

/// Where a token answer has its parts. The paths start at the first of `roots` that leads to an access token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenResponse {
    /// Objects that may hold the token.
    pub(crate) roots: Vec<Pointer>,
    /// The access token.
    pub(crate) access_token: Pointer,
    /// The refresh token. Without one, the old one stays.
    pub(crate) refresh_token: Option<Pointer>,
    /// Seconds until the access token expires.
    pub(crate) expires_in: Option<Pointer>,
    /// When the access token expires (RFC 3339), for an answer that says that instead.
    pub(crate) expires_at: Option<Pointer>,
    /// Seconds until the refresh token expires.
    pub(crate) refresh_expires_in: Option<Pointer>,
    /// Scopes that were granted.
    pub(crate) scope: Option<Pointer>,
    /// ID token (`OpenID` Connect Core §2).
    pub(crate) id_token: Option<Pointer>,
    /// Token type.
    pub(crate) token_type: Option<Pointer>,
    /// When the consent ends, whatever is done with it: RFC 3339, or seconds or milliseconds since 1970. Absent means that answers
    /// do not say.
    pub(crate) consent_ends: Option<Pointer>,
    /// A boolean from the document's root that must be true; false is an error whatever the status.
    pub(crate) success: Option<Pointer>,
    /// Characters that separate scopes in the answer.
    pub(crate) scope_separators: String,
}

/// Scopes: how they are written and compared, and which are requested.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeRules {
    /// What separates scopes in a request. Absent means that the provider knows no scopes, or only those of `parts`.
    pub separator: Option<String>,
    /// Kinds of scopes that requests and answers have elsewhere than in `scope`. If `allowed` names scopes of a part, a connection
    /// requests at least one of them, because none would mean all; a part that `allowed` does not name is not limited.
    pub parts: Vec<ScopePart>,
    /// Requested by connections that name none.
    pub default: Vec<String>,
    /// Always requested, and needed for Ready.
    pub required: Vec<String>,
    /// The most a connection may request. Empty means no limit.
    pub allowed: Vec<String>,
    /// Further scopes that people often want; a hint for people.
    pub optional: Vec<String>,
    /// What scopes mean, scope → words.
    pub describe: BTreeMap<String, ScopeMeaning>,
    /// How requested and granted scopes are compared.
    pub compare: CompareScopes,
}

/// How requested and granted scopes are compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CompareScopes {
    /// Upper and lower case are the same.
    pub(crate) ignore_case: bool,
    /// A prefix that one side may have and the other may lack.
    pub(crate) strip_prefix: Option<String>,
    /// Scopes that the provider grants without naming them.
    pub(crate) unnamed: Vec<String>,
}

impl ScopeRules {
    /// Scopes as a request has them. `None`: there are none, or the provider knows none.
    pub(crate) fn joined(&self, scopes: &[String]) -> Option<String> {
        let separator = self.separator.as_deref().filter(|_| !scopes.is_empty());
        separator.map(|separator| scopes.join(separator))
    }

    /// The form of a scope in which requested and granted ones are compared.
    pub fn comparable<'a>(&self, scope: &'a str) -> Cow<'a, str> {
        let compare = &self.compare;
        let bare =
            compare.strip_prefix.as_deref().and_then(|prefix| scope.strip_prefix(prefix)).unwrap_or(scope);
        if compare.ignore_case { bare.to_ascii_lowercase().into() } else { bare.into() }
    }

    /// What a scope means, however it is written. `None`: nobody has put it into words; show its name.
    pub fn meaning(&self, scope: &str) -> Option<&ScopeMeaning> {
        let same = || self.describe.iter().find(|(name, _)| self.comparable(name) == self.comparable(scope));
        self.describe.get(scope).or_else(|| same().map(|(_, meaning)| meaning))
    }

    /// Those of `scopes` that are beyond `allowed`.
    pub fn beyond<'a>(&self, scopes: &'a [String]) -> Vec<&'a str> {
        let is_limited = |scope: &str| {
            let part = self.parts.iter().find(|part| part.has(scope, &self.parts));
            part.is_none_or(|part| self.allowed.iter().any(|allowed| part.has(allowed, &self.parts)))
        };
        let mut beyond = self.missing(scopes, &self.allowed);
        beyond.retain(|scope| is_limited(scope));
        beyond
    }

    /// Kinds of scopes, by what they are called in a request, of which one must be requested and none is.
    pub fn unlimited(&self, requested: &[String]) -> Vec<&str> {
        let names =
            |part: &ScopePart, scopes: &[String]| scopes.iter().any(|scope| part.has(scope, &self.parts));
        let open = self.parts.iter().filter(|part| names(part, &self.allowed) && !names(part, requested));
        open.map(|part| part.field.as_str()).collect()
    }

    /// Those of `wanted` that `granted` lacks. Scopes that the provider never names are not missed.
    pub fn missing<'a>(&self, wanted: &'a [String], granted: &[String]) -> Vec<&'a str> {
        let there: HashSet<_> =
            granted.iter().chain(&self.compare.unnamed).map(|scope| self.comparable(scope)).collect();
        wanted.iter().map(String::as_str).filter(|scope| !there.contains(&self.comparable(scope))).collect()
    }
}

/// What a grant of this provider is like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantLifecycle {
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// How long the predecessor still works after a rotation. Absent means not at all, or unknown.
    pub(crate) grace: Option<Duration>,
    /// Whether a refresh ends the access token in use, so that publishing cannot wait.
    pub refresh_ends_access: bool,
    /// Who shares one chain of tokens.
    pub chain: Chain,
    /// How long an access token lives where its answer does not say. What the answer says counts. Absent means as long as the one
    /// before it, or unknown.
    pub(crate) access_lifetime: Option<Duration>,
    /// The share of an access token's lifetime before which the provider refuses to refresh, such as `90%`. Absent means none.
    pub refresh_not_before: Option<Percentage>,
    /// How long a refresh token lives, whatever is done with it.
    pub(crate) refresh_lifetime: Option<Duration>,
    /// After how long without use the grant ends. A refresh comes before, also where nobody needs the token. Absent means never,
    /// or unknown.
    pub(crate) idle_lifetime: Option<Duration>,
    /// How long a consent lives, however the grant is used. Its owner is reminded before. Absent means until somebody withdraws
    /// it, or unknown.
    pub(crate) consent_lifetime: Option<Duration>,
}

impl GrantLifecycle {
    /// How long an access token lives where nobody says how long.
    pub fn assumed_lifetime(&self) -> Option<std::time::Duration> {
        self.access_lifetime.map(Duration::get)
    }

    /// How long a refresh token lives, whatever is done with it.
    pub fn refresh_token_lives(&self) -> Option<std::time::Duration> {
        self.refresh_lifetime.map(Duration::get)
    }

    /// After how long without use the grant ends.
    pub fn idle_limit(&self) -> Option<std::time::Duration> {
        self.idle_lifetime.map(Duration::get)
    }

    /// How long a consent lives, however it is used.
    pub fn consent_lives(&self) -> Option<std::time::Duration> {
        self.consent_lifetime.map(Duration::get)
    }

    pub fn grace_window(&self) -> Option<std::time::Duration> {
        self.grace.map(Duration::get)
    }
}

/// Who shares one chain of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Chain {
    /// Each connection has its own.
    #[default]
    Connection,
    /// All connections to one account through one client share it: there may be one only.
    Account,
}

/// How often a provider may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshPace {
    /// Requests for tokens in a minute, for all connections together. Absent means no limit of ours.
    #[schemars(range(min = 1, max = 6000))]
    pub per_minute: Option<u32>,
}

/// Where the account's identity is in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountPaths {
    /// The parts of the stable id, joined by `/`; a part that is absent is left out, the first must be there.
    pub(crate) id: Vec<Pointers>,
    /// A name for people.
    pub(crate) name: Pointers,
    /// E-mail address. A label only: it proves nothing.
    pub(crate) email: Pointers,
}

/// An account as the provider names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAccount {
    /// Stable id.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// E-mail address. A label only.
    pub email: Option<String>,
}

impl AccountPaths {
    /// The account that a document (user info, or the claims of an id token) names; `None` without an id. An id that is too
    /// long is an error: cut off, it could be another account's. A name or address that is too long is left out.
    pub fn read(&self, document: &serde_json::Value) -> Result<Option<ProviderAccount>, Oversized> {
        let Some((first, others)) = self.id.split_first() else { return Ok(None) };
        let Some(mut id) = first.text(document) else { return Ok(None) };
        for part in others.iter().filter_map(|part| part.text(document)) {
            id.push('/');
            id.push_str(&part);
        }
        fits(AnswerPart::AccountId, &id)?;
        let label =
            |paths: &Pointers| paths.text(document).filter(|text| fits(AnswerPart::Claim, text).is_ok());
        Ok(Some(ProviderAccount { id, name: label(&self.name), email: label(&self.email) }))
    }
}
