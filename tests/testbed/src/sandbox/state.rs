//! The state of a realm: one structure behind one lock, so that each request's work is atomic.

use std::collections::HashMap;

use super::config::RealmConfig;
use super::faults::Script;
use super::form::Form;
use super::ledger::{Entry, Event, GrantType, Ledger, Reason, Request, TokenKind, TokenName};
use super::token_text::fingerprint;

/// An account's consent to one client, and everything issued under it.
pub(super) struct Grant {
    pub client: String,
    pub account: Option<String>,
    pub scope: Vec<String>,
    pub origin: GrantType,
    pub revoked: bool,
    pub refreshes: u32,
    /// Refresh tokens that have not been replaced.
    pub live_refresh: Vec<String>,
    /// Access tokens that have not been ended, some of them perhaps expired.
    pub live_access: Vec<String>,
}

pub(super) struct AccessToken {
    pub id: String,
    pub grant: String,
    pub scope: Vec<String>,
    pub issued_at_ms: u64,
    pub expires_at_ms: u64,
    pub ended: bool,
}

pub(super) struct RefreshToken {
    pub id: String,
    pub grant: String,
    pub replaced_at_ms: Option<u64>,
    pub expires_at_ms: Option<u64>,
}

/// What an authorization request requests, after it was checked.
#[derive(Clone)]
pub(super) struct Asked {
    pub client: String,
    pub redirect_uri: String,
    pub scope: Vec<String>,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub challenge: String,
}

/// A request that was pushed: used once, by the client that pushed it.
pub(super) struct Pushed {
    pub client: String,
    pub form: Form,
    pub expires_at_ms: u64,
}

pub(super) struct Code {
    pub id: String,
    pub asked: Asked,
    pub grant: String,
    pub expires_at_ms: u64,
    pub spent: bool,
}

pub(super) struct Device {
    pub id: String,
    pub user_code: String,
    pub client: String,
    pub scope: Vec<String>,
    pub expires_at_ms: u64,
    pub interval_ms: u64,
    pub last_poll_ms: Option<u64>,
    pub decision: Decision,
}

/// The state of a device request.
pub(super) enum Decision {
    Open,
    Denied,
    Allowed { account: String },
    Spent { grant: String },
}

pub(super) struct State {
    pub issuer: String,
    pub config: RealmConfig,
    pub ledger: Ledger,
    pub script: Script,
    pub grants: HashMap<String, Grant>,
    pub access: HashMap<String, AccessToken>,
    pub refresh: HashMap<String, RefreshToken>,
    pub codes: HashMap<String, Code>,
    /// By device code.
    pub devices: HashMap<String, Device>,
    /// Pushed authorization requests, by their `request_uri`.
    pub pushed: HashMap<String, Pushed>,
    /// Authorization requests that wait for a person, by the number on their page.
    pub waiting: HashMap<String, Asked>,
    numbers: u64,
}

impl State {
    pub fn new(issuer: String, config: RealmConfig) -> Self {
        Self {
            issuer,
            config,
            ledger: Ledger::default(),
            script: Script::default(),
            grants: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            devices: HashMap::new(),
            pushed: HashMap::new(),
            waiting: HashMap::new(),
            numbers: 0,
        }
    }

    /// A name that is unique in this realm.
    pub fn number(&mut self, prefix: &str) -> String {
        self.numbers += 1;
        format!("{prefix}-{}", self.numbers)
    }

    /// Starts an entry about a token or code; `id` is its number if the realm issued it.
    pub fn entry(&self, now: u64, event: Event, kind: TokenKind, text: &str, id: Option<&str>) -> Entry {
        let name = TokenName { kind, id: id.map(str::to_owned), sha256: fingerprint(text) };
        Entry { token: Some(name), ..self.blank(now, event) }
    }

    /// Starts an entry about no token in particular.
    pub fn blank(&self, now: u64, event: Event) -> Entry {
        Entry {
            sequence: self.ledger.next_sequence(),
            at_ms: now,
            event,
            token: None,
            client: None,
            account: None,
            grant: None,
            grant_type: None,
            scope: None,
            reason: None,
        }
    }

    /// Writes an entry, with what is known about the grant.
    pub fn write(&mut self, mut entry: Entry, grant: Option<&str>) {
        if let Some((id, grant)) = grant.and_then(|id| self.grants.get_key_value(id)) {
            entry.grant = Some(id.clone());
            entry.client = Some(grant.client.clone());
            entry.account.clone_from(&grant.account);
        }
        self.ledger.entries.push(entry);
    }

    /// Writes a request, as the latest thing that happened.
    pub fn write_request(&mut self, request: Request) {
        let sequence = self.ledger.next_sequence();
        self.ledger.requests.push(Request { sequence, ..request });
    }

    /// Ends a grant and everything issued under it. A second call changes nothing.
    pub fn revoke_grant(&mut self, id: &str, reason: Reason, now: u64) {
        let Some(grant) = self.grants.get_mut(id).filter(|grant| !grant.revoked) else { return };
        grant.revoked = true;
        let entry = Entry { reason: Some(reason), ..self.blank(now, Event::Revoked) };
        self.write(entry, Some(id));
    }

    /// The access token, if a resource server would accept it now.
    pub fn live_access(&self, token: &str, now: u64) -> Option<(&AccessToken, &Grant)> {
        let access = self.access.get(token)?;
        let grant = self.grants.get(&access.grant)?;
        let alive = !access.ended && !grant.revoked && now < access.expires_at_ms;
        alive.then_some((access, grant))
    }

    /// The refresh token, if the token endpoint would serve it now.
    pub fn live_refresh(&self, token: &str, now: u64) -> Option<(&RefreshToken, &Grant)> {
        let refresh = self.refresh.get(token)?;
        let grant = self.grants.get(&refresh.grant)?;
        let alive = !grant.revoked && !self.is_spent(refresh, now) && !refresh.is_expired_at(now);
        alive.then_some((refresh, grant))
    }

    /// Whether the token was replaced and its grace window is over.
    pub fn is_spent(&self, token: &RefreshToken, now: u64) -> bool {
        token.replaced_at_ms.is_some_and(|at| now >= after(at, self.config.grace_seconds))
    }
}

/// The time `seconds` after `at_ms`, in milliseconds; at most the largest time.
pub(super) fn after(at_ms: u64, seconds: u64) -> u64 {
    at_ms.saturating_add(seconds.saturating_mul(1000))
}

impl RefreshToken {
    pub fn is_expired_at(&self, now: u64) -> bool {
        self.expires_at_ms.is_some_and(|end| now >= end)
    }
}
