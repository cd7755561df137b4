//! The life of one grant, whoever requests it: taking it in, refreshing it, ending it.
//!
//! A reconcile never waits for a provider. It submits a [`work::Job`] to the [`desk`] and returns; the work owns the request
//! and its commit, one job per grant at a time, and wakes the connection when it is done.
//!
//! Functions over narrow structs, in modules. Each uses only those above it:
//!
//! | room | holds |
//! |---|---|
//! | [`schedule`] | when; pure |
//! | [`incident`] | whether a provider refuses everybody, not one grant |
//! | [`refusal`] | why a grant was not taken in; pure |
//! | [`target`] | where a grant is sent, and under which terms |
//! | [`lifetime`] | when tokens expire, whatever happens to the wall clock |
//! | [`work`], [`outcome`] | what a piece of work is made of, and how it ended |
//! | [`pace`] | how many at once, and who goes first |
//! | `delays`, `records`, `gate`, `secrets` | the records, the way to providers, what users keep: the [`Engine`] |
//! | `presence` | whether a connection is still there when its first record is |
//! | `slot` | spending a refresh token: intent → request → answer on record |
//! | `revoke` | which grants may be revoked, and how |
//! | `issue` | keys that we issue: orders carried out, expired keys taken out |
//! | [`intake`] | taking a grant in: candidate → judged → promoted |
//! | [`consent`] | a person consents: request, code, device flow |
//! | [`probe`] | the token in use: whether the provider still honors it |
//! | `refresh` | the grant in use: a refresh, or a token from the app registration itself |
//! | [`desk`] | the queue: one piece of work per grant at a time |
//! | [`endings`] | which grants are to be ended, and when |

pub(crate) mod app_secret;
pub(crate) mod budget;
pub(crate) mod consent;
mod delays;
pub(crate) mod desk;
pub(crate) mod endings;
#[cfg(test)]
pub(crate) mod fixtures;
mod gate;
pub(crate) mod incident;
pub(crate) mod intake;
mod issue;
pub(crate) mod lifetime;
pub(crate) mod outcome;
mod pace;
mod presence;
pub(crate) mod probe;
mod records;
mod refresh;
mod refusal;
mod revoke;
pub(crate) mod schedule;
mod secrets;
mod slot;
mod subject;
pub(crate) mod target;
pub(crate) mod work;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::vault::journal::Journal;

pub(crate) use delays::Delays;
pub(crate) use gate::Gate;
pub(crate) use issue::has_expired_key;
pub(crate) use presence::is_uninstalling;
pub(crate) use records::Records;
pub(crate) use revoke::standing;
pub(crate) use secrets::Secrets;
pub(crate) use slot::{Marks, may_be_sent_again};

/// What it takes to send a grant to its provider, and to keep the answer.
pub(crate) struct Engine {
    pub(crate) records: Records,
    pub(crate) journal: Journal,
    pub(crate) gate: Gate,
    pub(crate) marks: Marks,
    pub(crate) secrets: Secrets,
    pub(crate) consents: consent::Consents,
    /// How long a grant that was replaced is left alone before it is revoked.
    pub(crate) revoke_former_after: Duration,
    pub(crate) probes: probe::Probes,
}

/// Locks even if another holder panicked: no statement under these locks leaves the guarded data half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
