//! Realms: independent providers in one process, so that parallel tests do not interfere. The typed side of the admin API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::clock::Clock;
use super::config::RealmConfig;
use super::faults::Fault;
use super::grants::Bend;
use super::ledger::{GrantType, Ledger, Reason};
use super::state::State;
use crate::wait::BUSY;

/// The realm whose issuer is the server's own address, without `/r/…`.
pub const DEFAULT_REALM: &str = "default";

/// Why the admin side refused something.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// No client is registered under that id, or none at all.
    #[error("the realm has no such client")]
    UnknownClient,
    /// There is no such account, or none at all.
    #[error("the realm has no such account")]
    UnknownAccount,
    /// A scope that the realm does not know.
    #[error("the realm does not know one of the scopes")]
    UnknownScope,
    /// No grant of that number.
    #[error("the realm has no such grant")]
    UnknownGrant,
    /// No device request waits under that code.
    #[error("no device request waits under that code")]
    UnknownUserCode,
    /// The deadline passed before the condition held.
    #[error("the condition did not hold in time")]
    Deadline,
}

/// A grant to create without a browser. What is left out is the realm's first value, or all scopes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MintRequest {
    /// The account that consents.
    pub account: Option<String>,
    /// Scope values, separated by spaces.
    pub scope: Option<String>,
    /// The client that it consents to.
    pub client_id: Option<String>,
}

impl MintRequest {
    /// A grant of this account.
    pub fn of(account: impl Into<String>) -> Self {
        Self { account: Some(account.into()), ..Self::default() }
    }
}

/// A fresh grant with its first tokens.
#[derive(Clone, Serialize, Deserialize)]
pub struct Minted {
    /// The grant's number, as the ledger names it.
    pub grant_id: String,
    /// Access token.
    pub access_token: String,
    /// Refresh token.
    pub refresh_token: String,
    /// Lifetime of the access token in seconds.
    pub expires_in: u64,
    /// Scope values, separated by spaces.
    pub scope: String,
}

pub(super) struct Realm {
    pub clock: Clock,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Realm {
    fn new(issuer: String, config: RealmConfig, clock: Clock) -> Self {
        Self { clock, state: Mutex::new(State::new(issuer, config)), changes: watch::Sender::new(0) }
    }

    /// The state. A panic of another test's thread does not damage it: nothing below panics half way.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the tasks that wait for the ledger.
    pub fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

pub(super) struct Realms {
    pub base: String,
    pub clock: Clock,
    pub defaults: RealmConfig,
    by_name: RwLock<BTreeMap<String, Arc<Realm>>>,
}

impl Realms {
    pub fn new(base: String, clock: Clock, defaults: RealmConfig) -> Self {
        let realms = Self { base, clock, defaults, by_name: RwLock::default() };
        realms.put(DEFAULT_REALM, realms.defaults.clone());
        realms
    }

    pub fn find(&self, name: &str) -> Option<Arc<Realm>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Creates the realm, or gives an existing one a new configuration; its tokens and ledger stay.
    pub fn put(&self, name: &str, config: RealmConfig) -> Arc<Realm> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(realm) = by_name.get(name) {
            realm.lock().config = config;
            return Arc::clone(realm);
        }
        let issuer = self.issuer(name);
        let realm = Arc::new(Realm::new(issuer, config, self.clock.clone()));
        by_name.insert(name.to_owned(), Arc::clone(&realm));
        realm
    }

    pub fn remove(&self, name: &str) -> bool {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    pub fn names(&self) -> Vec<String> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn issuer(&self, name: &str) -> String {
        if name == DEFAULT_REALM { self.base.clone() } else { format!("{}/r/{name}", self.base) }
    }
}

/// A realm, as tests use it.
#[derive(Clone)]
pub struct RealmHandle(pub(super) Arc<Realm>);

impl RealmHandle {
    /// The issuer, without a slash at its end.
    pub fn issuer(&self) -> String {
        self.0.lock().issuer.clone()
    }

    /// The address of an endpoint, e.g. `token`, `userinfo`, `revoke`, `api/me`.
    pub fn url(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.0.lock().issuer)
    }

    /// The configuration.
    pub fn config(&self) -> RealmConfig {
        self.0.lock().config.clone()
    }

    /// Changes the configuration for later requests; tokens and ledger stay.
    pub fn reconfigure(&self, change: impl FnOnce(&mut RealmConfig)) {
        change(&mut self.0.lock().config);
    }

    /// Creates a grant with its first tokens, without a browser.
    pub fn mint(&self, request: &MintRequest) -> Result<Minted, RealmError> {
        let now = self.0.clock.now_ms();
        let mut state = self.0.lock();
        let client = match &request.client_id {
            Some(id) => state.config.client(id),
            None => state.config.clients.first(),
        };
        let client = client.ok_or(RealmError::UnknownClient)?.id.clone();
        let account = match &request.account {
            Some(sub) => state.config.account(sub),
            None => state.config.accounts.first(),
        };
        let account = account.ok_or(RealmError::UnknownAccount)?.sub.clone();
        let scope = state.requested_scope(request.scope.as_deref()).map_err(|_| RealmError::UnknownScope)?;
        let grant = state.open_grant(&client, Some(&account), scope, GrantType::Minted);
        let issued = state.first_tokens(&grant, &Bend::default(), now);
        drop(state);
        self.0.announce();
        Ok(Minted {
            grant_id: grant,
            access_token: issued.access_token,
            refresh_token: issued.refresh_token.unwrap_or_default(),
            expires_in: issued.expires_in,
            scope: issued.scope.join(" "),
        })
    }

    /// Ends a grant, as when the person removes the app at the provider.
    pub fn revoke_grant(&self, grant: &str) -> Result<(), RealmError> {
        let now = self.0.clock.now_ms();
        let mut state = self.0.lock();
        if !state.grants.contains_key(grant) {
            return Err(RealmError::UnknownGrant);
        }
        state.revoke_grant(grant, Reason::Admin, now);
        drop(state);
        self.0.announce();
        Ok(())
    }

    /// Ends the access tokens of a grant, which itself lives on.
    pub fn end_access_tokens(&self, grant: &str) -> Result<(), RealmError> {
        let now = self.0.clock.now_ms();
        let mut state = self.0.lock();
        if !state.grants.contains_key(grant) {
            return Err(RealmError::UnknownGrant);
        }
        state.end_access(grant, now);
        drop(state);
        self.0.announce();
        Ok(())
    }

    /// Decides a device request: for an account, or against it.
    pub fn decide_device(&self, user_code: &str, account: Option<&str>) -> Result<(), RealmError> {
        let now = self.0.clock.now_ms();
        let decided = self.0.lock().decide_device(user_code, account, now);
        decided.then_some(()).ok_or(RealmError::UnknownUserCode)
    }

    /// Adds a line to the fault script.
    pub fn fault(&self, fault: Fault) {
        self.0.lock().script.add(fault);
    }

    /// Removes the rest of the fault script.
    pub fn clear_faults(&self) {
        self.0.lock().script.clear();
    }

    /// The lines of the fault script that are not used up.
    pub fn remaining_faults(&self) -> Vec<Fault> {
        self.0.lock().script.remaining().to_vec()
    }

    /// A copy of the ledger.
    pub fn ledger(&self) -> Ledger {
        self.0.lock().ledger.clone()
    }

    /// Waits until `find` finds what it looks for in the ledger.
    ///
    /// # Errors
    /// [`RealmError::Deadline`] when that takes longer than `deadline`.
    pub async fn wait_for<T>(
        &self,
        deadline: Duration,
        mut find: impl FnMut(&Ledger) -> Option<T>,
    ) -> Result<T, RealmError> {
        let mut changes = self.0.changes.subscribe();
        let search = async {
            loop {
                changes.mark_unchanged();
                let found = find(&self.0.lock().ledger);
                match found {
                    Some(found) => return Ok(found),
                    None => changes.changed().await.map_err(|_| RealmError::Deadline)?,
                }
            }
        };
        tokio::time::timeout(deadline * BUSY, search).await.map_err(|_| RealmError::Deadline)?
    }

    /// Every access and refresh token that the realm ever issued, in full, to search for them where none may be.
    pub fn tokens(&self) -> Vec<String> {
        let state = self.0.lock();
        state.refresh.keys().chain(state.access.keys()).cloned().collect()
    }

    /// Whether the provider would accept the token now: an access token at a resource, a refresh token at the token endpoint.
    pub fn is_alive(&self, token: &str) -> bool {
        self.introspect(token).get("active") == Some(&true.into())
    }

    /// The introspection of a token, whichever client it belongs to.
    pub fn introspect(&self, token: &str) -> serde_json::Value {
        let now = self.0.clock.now_ms();
        self.0.lock().view(token, now)
    }
}
