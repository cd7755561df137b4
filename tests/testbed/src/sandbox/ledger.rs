//! The ledger: what happened to every token, and every request. Tests query it; it contains no token in full.

use serde::{Deserialize, Serialize};

use super::token_text::fingerprint;

/// The endpoint of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/authorize`
    Authorization,
    /// `/par`
    PushedRequest,
    /// `/token`
    Token,
    /// `/device_authorization`
    DeviceAuthorization,
    /// `/revoke`
    Revocation,
    /// `/introspect`
    Introspection,
    /// `/userinfo`
    Userinfo,
    /// Both well-known positions.
    Discovery,
    /// `/api/me`
    ApiMe,
}

/// How a token was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A code from the redirect.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// The client's own authority.
    ClientCredentials,
    /// An assertion (RFC 7523 §2.1).
    JwtBearer,
    /// A token of another issuer (RFC 8693).
    TokenExchange,
    /// A device code (RFC 8628).
    DeviceCode,
    /// The admin API: no OAuth exchange took place.
    Minted,
}

/// The kind of value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
    /// An authorization code.
    Code,
    /// A device code.
    DeviceCode,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The value was issued.
    Issued,
    /// It was exchanged for tokens.
    Spent,
    /// A replaced refresh token was used again inside its grace window, and served.
    SpentInGrace,
    /// A value that may be used once was used a second time, and was refused.
    DoubleSpent,
    /// It was refused for another reason (unknown, expired, of another client, of an ended grant).
    Refused,
    /// An access token was ended because its grant was refreshed.
    Ended,
    /// The token was revoked; an entry without a token means the whole grant.
    Revoked,
}

/// Why a grant or token was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client requested it (RFC 7009).
    Client,
    /// The admin API requested it: as when a person removes the app at the provider.
    Admin,
    /// A refresh token or code was used twice.
    Reuse,
}

/// A token as the ledger names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenName {
    /// What it is.
    pub kind: TokenKind,
    /// Its number in this realm; `None` for a token that the realm never issued.
    pub id: Option<String>,
    /// See [`fingerprint`].
    pub sha256: String,
}

/// One thing that happened to one token, or to a whole grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Order within the realm, shared with [`Request::sequence`].
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
    /// The token.
    pub token: Option<TokenName>,
    /// The client that the grant belongs to.
    pub client: Option<String>,
    /// The account that consented.
    pub account: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// How the token was requested.
    pub grant_type: Option<GrantType>,
    /// The scope of the token, or the requested scope.
    pub scope: Option<String>,
    /// Why it was revoked.
    pub reason: Option<Reason>,
}

/// One request to an endpoint and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Order within the realm, shared with [`Entry::sequence`].
    pub sequence: u64,
    /// Milliseconds since the Unix epoch, at arrival.
    pub at_ms: u64,
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// The client, once it has proved itself.
    pub client: Option<String>,
    /// The account behind the token that was sent.
    pub account: Option<String>,
    /// The grant behind the token that was sent.
    pub grant: Option<String>,
    /// The grant type requested at the token endpoint.
    pub grant_type: Option<GrantType>,
    /// The requested scope.
    pub scope_asked: Option<String>,
    /// Whether the server did the work, whatever the client saw of it. A fault before commit leaves it undone.
    pub committed: bool,
    /// The error code that the work ended with; `None` when it succeeded or was not done.
    pub error: Option<String>,
    /// The fault that changed the response.
    pub fault: Option<String>,
    /// The status that was sent; `None` when the connection was dropped.
    pub status: Option<u16>,
}

impl Request {
    /// Whether the server issued tokens, even if the response never arrived.
    pub fn gave_tokens(&self) -> bool {
        self.endpoint == Endpoint::Token && self.committed && self.error.is_none()
    }
}

/// Everything that happened in a realm, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Events of tokens.
    pub entries: Vec<Entry>,
    /// Requests to the endpoints.
    pub requests: Vec<Request>,
}

impl Ledger {
    /// Entries of one event.
    pub fn of(&self, event: Event) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.event == event)
    }

    /// Values that were used a second time although they may be used once, outside any grace window.
    pub fn spent_twice(&self) -> Vec<&Entry> {
        self.of(Event::DoubleSpent).collect()
    }

    /// Revocations, of tokens and of whole grants, in order.
    pub fn revoked(&self) -> Vec<&Entry> {
        self.of(Event::Revoked).collect()
    }

    /// Whether the whole grant was revoked, by anybody.
    pub fn is_grant_revoked(&self, grant: &str) -> bool {
        self.of(Event::Revoked).any(|entry| entry.token.is_none() && entry.grant.as_deref() == Some(grant))
    }

    /// Requests to one endpoint, whatever the result.
    pub fn requests_to(&self, endpoint: Endpoint) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.endpoint == endpoint)
    }

    /// Refresh requests for a grant for which the server issued tokens, even if the response never arrived.
    pub fn refreshes_of(&self, grant: &str) -> Vec<&Request> {
        self.refresh_attempts_of(grant).into_iter().filter(|request| request.gave_tokens()).collect()
    }

    /// Refresh requests for a grant, whatever the result.
    pub fn refresh_attempts_of(&self, grant: &str) -> Vec<&Request> {
        self.requests_to(Endpoint::Token)
            .filter(|request| request.grant_type == Some(GrantType::RefreshToken))
            .filter(|request| request.grant.as_deref() == Some(grant))
            .collect()
    }

    /// Events of one token.
    pub fn history_of(&self, token: &str) -> Vec<&Entry> {
        let sha256 = fingerprint(token);
        self.entries
            .iter()
            .filter(|entry| entry.token.as_ref().is_some_and(|name| name.sha256 == sha256))
            .collect()
    }

    /// The part after `sequence`.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Self {
        let entries = self.entries.partition_point(|entry| entry.sequence <= sequence);
        let requests = self.requests.partition_point(|request| request.sequence <= sequence);
        Self { entries: self.entries[entries..].to_vec(), requests: self.requests[requests..].to_vec() }
    }

    /// The number of the next entry or request.
    pub(super) fn next_sequence(&self) -> u64 {
        let entry = self.entries.last().map_or(0, |entry| entry.sequence);
        let request = self.requests.last().map_or(0, |request| request.sequence);
        entry.max(request) + 1
    }
}
