//! What to do about a connection: pure, from the object, what was gathered, and the time.

mod awaiting;
pub mod checks;
pub mod consent;
pub mod fresh;
pub mod history;
mod shared;
mod task;
pub mod verdict;

use std::collections::BTreeSet;

use bowline_api::{IntegrationConnection, reason};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use self::checks::Input;
use self::history::History;
use self::verdict::{Effect, Verdict};
use super::observed::{Observed, RecordState};
use crate::grant::consent::Dismissal;
use crate::grant::schedule::{self, Limits, Policy};
use crate::grant::target::Target;
use crate::grant::work::Task;
use crate::kube_ext::conditions;

/// What is to be done, and what is to be said.
#[derive(Debug)]
pub struct Plan {
    /// The verdict on the grant.
    pub authorized: Verdict,
    /// The verdict on the token.
    pub fresh: Verdict,
    /// The verdict on sharing, before shares are written.
    pub shared: Verdict,
    /// What earlier attempts came to, with the newest outcome taken in.
    pub history: History,
    /// Work for the grant's actor.
    pub task: Option<Task>,
    /// Tries to connect that are over.
    pub dismissals: Vec<Dismissal>,
    /// What becomes of the Secret here.
    pub publishing: Publishing,
    /// Namespaces that lack a share.
    pub shares_to_write: BTreeSet<String>,
    /// Whether shares and their Secrets are taken back from here, before anything else.
    pub take_back_shares: bool,
    /// Whether the grant is to be revoked and erased.
    pub end: bool,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// When a refresh request that waits may be served.
    pub request_at: Option<Timestamp>,
    /// A refresh request that cannot be served; it is answered all the same.
    pub unanswerable: Option<String>,
    /// A request for a device flow that cannot be served; it is answered all the same.
    pub unaskable: Option<String>,
    /// When a try to connect changes by itself.
    pub consent_at: Option<Timestamp>,
}

/// What becomes of the Secret in the connection's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// Write it.
    Write,
    /// It is as it should be.
    Keep,
    /// It stays as it is, and what came since is not published.
    Withhold,
    /// Remove it.
    Withdraw,
    /// There is nothing to publish.
    Nothing,
}

/// Decides.
pub fn decide(
    connection: &IntegrationConnection,
    observed: &Observed,
    now: Timestamp,
    limits: Limits,
) -> Plan {
    let revision = observed.record.revision();
    let jitter = jitter(connection, revision);
    let target = observed.provider.target();
    let policy = target.map_or_else(|| Policy::plain(limits), |target| target.policy(limits));
    let remembered = History::of(connection.status.as_ref(), revision, observed.app_version.as_deref());
    let history = remembered.absorb(observed.finished.as_ref(), revision, &policy, jitter);
    let input = Input { connection, observed, history: &history, now };
    let authorized = checks::authorized(&input);
    let next_attempt = target
        .filter(|_| traffic_allowed(connection, &authorized))
        .and_then(|target| fresh::next_attempt(&input, target, &policy, jitter))
        // The actor's rest is part of the plan: "now" would be another time, and another status, at each look.
        .map(|at| at.max(observed.rest_until.unwrap_or(at)));
    let task = target.and_then(|it| task::task(&input, &authorized, it, next_attempt, &policy));
    let waiting = task::pending_request(&input).filter(|_| task.is_none());
    let answerable = answerable(&input, &authorized, target, &policy);
    Plan {
        shared: shared::shared(&observed.shared, &observed.shares),
        shares_to_write: shares_to_write(observed, &authorized),
        take_back_shares: authorized.effect == Effect::End && !observed.shares.is_empty(),
        publishing: publishing(&input, &authorized),
        end: ends(observed, &authorized),
        fresh: fresh::fresh(&input, next_attempt),
        task,
        dismissals: consent::dismissals(&input, &authorized),
        next_attempt,
        request_at: waiting.as_ref().filter(|_| answerable).and(task::earliest(&input, &policy)),
        unanswerable: waiting.filter(|_| !observed.busy && !answerable),
        unaskable: consent::unaskable(&input, &authorized),
        consent_at: consent::next_change(&input),
        authorized,
        history,
    }
}

/// Whether anything may be sent to the provider with the grant in use.
fn traffic_allowed(connection: &IntegrationConnection, authorized: &Verdict) -> bool {
    matches!(authorized.effect, Effect::Serve | Effect::Withhold)
        && !connection.spec.suspend.unwrap_or_default()
}

fn jitter(connection: &IntegrationConnection, revision: Option<i64>) -> f64 {
    schedule::jitter(&connection.uid().unwrap_or_default(), revision.unwrap_or_default())
}

/// A token that is taken away is shared with nobody new.
fn shares_to_write(observed: &Observed, authorized: &Verdict) -> BTreeSet<String> {
    match authorized.effect {
        Effect::End | Effect::Withdraw => BTreeSet::new(),
        Effect::Serve | Effect::Coast | Effect::Withhold => {
            shared::missing(&observed.shared, &observed.shares)
        }
    }
}

/// Whether the grant is to be marked as ending, and is not yet.
fn ends(observed: &Observed, authorized: &Verdict) -> bool {
    authorized.effect == Effect::End
        && !matches!(observed.record, RecordState::Missing)
        && observed.record.present().is_none_or(|present| !present.ending)
}

/// Whether a refresh request can still be served later.
fn answerable(
    input: &Input,
    authorized: &Verdict,
    target: Option<&std::sync::Arc<Target>>,
    policy: &Policy,
) -> bool {
    target.is_some()
        && !input.connection.spec.suspend.unwrap_or_default()
        && matches!(authorized.effect, Effect::Serve | Effect::Withhold)
        && !input.history.ruling.as_ref().is_some_and(|ruling| ruling.is_final)
        && task::earliest(input, policy).is_some()
}

fn publishing(input: &Input, authorized: &Verdict) -> Publishing {
    let observed = input.observed;
    let has_token = observed.record.grant().is_some();
    // A grant that was withdrawn stays so while something else is said of the connection.
    let revoked = input.history.ruling.as_ref().is_some_and(|ruling| ruling.reason == reason::GRANT_REVOKED);
    match authorized.effect {
        Effect::End | Effect::Withdraw => Publishing::Withdraw,
        _ if revoked => Publishing::Withdraw,
        // What was published under the old terms stays; nothing new follows it.
        _ if authorized.reason == reason::CONSENT_OUTDATED && has_token => {
            if is_untouched(input) {
                Publishing::Keep
            } else {
                Publishing::Withhold
            }
        }
        Effect::Withhold => Publishing::Withhold,
        // A record that cannot be read now says nothing about what is published.
        Effect::Serve | Effect::Coast
            if !has_token && observed.record.present().is_none() && observed.written.is_some() =>
        {
            Publishing::Keep
        }
        Effect::Serve | Effect::Coast if !has_token => Publishing::Nothing,
        Effect::Serve | Effect::Coast if as_it_should_be(input) => Publishing::Keep,
        Effect::Serve | Effect::Coast => Publishing::Write,
    }
}

/// Whether the Secret is the one last written, of this revision, for this spec, and untouched since.
fn as_it_should_be(input: &Input) -> bool {
    let Some(status) = &input.connection.status else { return false };
    // What could not be published for this spec is tried again, and said again, until it can.
    status.observed_generation == input.connection.metadata.generation
        && conditions::is_true(&status.conditions, "SecretPublished")
        && is_untouched(input)
}

/// Whether the Secret is the one last written, of this revision, and untouched since.
fn is_untouched(input: &Input) -> bool {
    let observed = input.observed;
    let (Some(written), Some(seen)) = (&observed.written, &observed.secret) else { return false };
    Some(written.revision) == observed.record.revision()
        && seen.is_as_written(written, &secret_name(input.connection))
}

/// The name of the Secret in the connection's namespace.
pub fn secret_name(connection: &IntegrationConnection) -> String {
    let chosen = connection.spec.secret.as_ref().and_then(|secret| secret.name.clone());
    chosen.unwrap_or_else(|| connection.name_any())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
