//! What to do about a connection: pure, from the object, what was observed, and the time.

mod adoption;
mod attempt;
mod awaiting;
mod checks;
pub(super) mod consent;
mod ended;
mod fresh;
mod history;
mod input;
pub(super) mod lifespan;
mod probe;
mod shared;
mod task;
pub(super) mod verdict;

use std::collections::BTreeSet;

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{LastAttempt, RevocationStatus};
use bowline_api::reason::{Effect, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use self::history::History;
use self::input::Input;
use self::lifespan::Lifespan;
use self::verdict::ConditionVerdict;
use super::observed::{ObservedConnection, RecordState};
use crate::grant::consent::Dismissal;
use crate::grant::schedule::{self, Policy, RefreshBounds};
use crate::grant::work::Task;
use crate::secret_plan::SecretPlan;
use crate::sharers::Sharer;

/// What to do, and what to report.
#[derive(Debug)]
pub(crate) struct ConnectionPlan {
    pub(crate) authorized: ConditionVerdict,
    pub(crate) fresh: ConditionVerdict,
    /// The verdict on sharing, before shares are written; `None` where it is not requested.
    pub(crate) shared: Option<ConditionVerdict>,
    /// The results of earlier refreshes, including the newest outcome.
    pub(crate) history: History,
    pub(crate) last_attempt: Option<LastAttempt>,
    pub(crate) task: Option<Task>,
    pub(crate) dismissals: Vec<Dismissal>,
    pub(crate) secret: SecretPlan,
    /// Who is to be remembered as sharing under this id, before anything is shared.
    pub(crate) sharer: Option<Sharer>,
    /// Namespaces that lack a share.
    pub(crate) shares_to_write: BTreeSet<String>,
    /// Whether shares and their Secrets are removed from here, before anything else.
    pub(crate) take_back_shares: bool,
    /// Whether the grant is to be moved from the record into an ending.
    pub(crate) end: bool,
    /// When the grant is to be moved there, while a disconnection can be undone.
    pub(crate) revokes_at: Option<Timestamp>,
    /// Since when it can be undone.
    pub(crate) disconnected_since: Option<Timestamp>,
    /// What became of the grant that ended last.
    pub(crate) revocation: Option<RevocationStatus>,
    pub(crate) next_attempt: Option<Timestamp>,
    /// When the token in use is checked next.
    pub(crate) probe_at: Option<Timestamp>,
    /// When the grant ends by itself.
    pub(crate) lifespan: Lifespan,
    /// When a waiting refresh request may be served.
    pub(crate) request_at: Option<Timestamp>,
    /// A refresh request that cannot be served; it is answered as well.
    pub(crate) unanswerable: Option<String>,
    /// A request for a device flow that cannot be served; it is answered as well.
    pub(crate) unaskable: Option<String>,
    /// The former object whose record is to be adopted.
    pub(crate) adopt: Option<String>,
    /// When an attempt to connect changes by itself.
    pub(crate) consent_at: Option<Timestamp>,
}

// long: one line for each part of the plan.
pub(crate) fn decide(
    connection: &IntegrationConnection,
    observed: &ObservedConnection,
    now: Timestamp,
    limits: RefreshBounds,
) -> ConnectionPlan {
    let (jitter, target) = (jitter(connection, observed.record.revision()), observed.target());
    let policy = &target.map_or_else(|| Policy::plain(limits), |target| target.policy(limits));
    let history = History::of(connection, observed, policy, jitter);
    let mut input = Input { connection, observed, history: &history, policy, jitter, attempt: None, now };
    input.attempt = attempt::last_attempt(&input);
    let authorized = checks::authorized(&input);
    let (next_attempt, probe_at) = (next_attempt(&input, &authorized), probe::next(&input, &authorized));
    let task = target.and_then(|_| task::task(&input, &authorized, next_attempt, probe_at));
    let waiting = input.pending_refresh().filter(|_| matches!(task, None | Some(Task::Probe)));
    let revokes_at = ended::revokes_at(&input).filter(|_| authorized.reason == Reason::Disconnected);
    let (unaskable, answerable) = (consent::unaskable(&input, &authorized), answerable(&input, &authorized));
    ConnectionPlan {
        shared: shared::shared(&input),
        sharer: shared::sharer(&input),
        shares_to_write: shares_to_write(observed, &authorized),
        take_back_shares: authorized.effect == Effect::End && !observed.shares.is_empty(),
        secret: secret_plan(&input, &authorized),
        end: ends(observed, &authorized) && revokes_at.is_none(),
        revokes_at,
        disconnected_since: revokes_at.and(ended::disconnected_since(&input)),
        revocation: ended::revocation(&input),
        fresh: fresh::fresh(&input, next_attempt),
        task,
        dismissals: consent::dismissals(&input, &authorized),
        next_attempt,
        probe_at,
        lifespan: lifespan::lifespan(&input),
        request_at: waiting.as_ref().filter(|_| answerable).and(task::earliest(&input)),
        unanswerable: waiting.filter(|_| !observed.actor.busy && !answerable),
        last_attempt: attempt::answered(&input, unaskable.as_deref(), &authorized),
        unaskable,
        adopt: adoption::adopted(&input, &authorized),
        consent_at: consent::next_change(&input),
        authorized,
        history,
    }
}

/// When the next refresh is due. Includes the actor's rest: with "now" the status would change with every reconcile.
fn next_attempt(input: &Input, authorized: &ConditionVerdict) -> Option<Timestamp> {
    let target = input.observed.target().filter(|_| task::traffic_allowed(input, authorized))?;
    let at = fresh::next_attempt(input, target)?;
    Some(at.max(input.observed.actor.rest_until.unwrap_or(at)))
}

fn jitter(connection: &IntegrationConnection, revision: Option<i64>) -> f64 {
    schedule::jitter(&connection.uid().unwrap_or_default(), revision.unwrap_or_default())
}

/// A token that is being removed is not shared with new namespaces.
fn shares_to_write(observed: &ObservedConnection, authorized: &ConditionVerdict) -> BTreeSet<String> {
    let is_taken_away = matches!(authorized.effect, Effect::End | Effect::Withdraw);
    if is_taken_away { BTreeSet::new() } else { shared::missing(&observed.shared, &observed.shares) }
}

/// Whether the grant is to be ended, and is still on record.
fn ends(observed: &ObservedConnection, authorized: &ConditionVerdict) -> bool {
    authorized.effect == Effect::End && !matches!(observed.record, RecordState::Missing)
}

/// Whether a refresh request can still be served later.
fn answerable(input: &Input, authorized: &ConditionVerdict) -> bool {
    input.observed.target().is_some()
        && task::traffic_allowed(input, authorized)
        && !input.is_ruled_out_for_good()
        && task::earliest(input).is_some()
}

fn secret_plan(input: &Input, authorized: &ConditionVerdict) -> SecretPlan {
    let observed = input.observed;
    let has_token = observed.record.grant().is_some();
    // A revoked grant stays withdrawn even if another reason is shown.
    let revoked = input.history.ruling.as_ref().is_some_and(|ruling| ruling.reason.is(Reason::GrantRevoked));
    match authorized.effect {
        Effect::End | Effect::Withdraw => SecretPlan::Withdraw,
        _ if revoked => SecretPlan::Withdraw,
        // What was published under the old terms stays; nothing newer is published.
        _ if authorized.reason == Reason::ConsentOutdated && has_token => {
            if holds_the_token(input) && !is_edited(input) { SecretPlan::Keep } else { SecretPlan::Withhold }
        }
        // The same for what was published while it was allowed. What is not there may have been withdrawn for good reason.
        _ if observed.usage_is_unknown() && has_token => {
            let is_kept = holds_the_token(input) && !is_edited(input) && is_of_this_spec(input);
            if is_kept { SecretPlan::Keep } else { SecretPlan::Withhold }
        }
        Effect::Withhold => SecretPlan::Withhold,
        // A record that cannot be read now says nothing about what is published.
        _ if !has_token && observed.record.present().is_none() && observed.written.is_some() => {
            SecretPlan::Keep
        }
        _ if !has_token => SecretPlan::Nothing,
        _ if as_it_should_be(input) => SecretPlan::Keep,
        Effect::Serve | Effect::Coast => SecretPlan::Write,
    }
}

/// Whether the Secret is the one last written, of this revision, for this spec, and unchanged since.
fn as_it_should_be(input: &Input) -> bool {
    // What could not be published for this spec is repeated until it can.
    is_of_this_spec(input)
        && input.connection.is(ConditionType::SecretPublished)
        && holds_the_token(input)
        && is_as_described(input)
        && is_untouched(input)
}

/// Whether it was written by the description that the provider has now. Of what an earlier process wrote that is not known.
fn is_as_described(input: &Input) -> bool {
    let written = input.observed.written.as_ref().and_then(|written| written.described);
    let now = input.observed.target().map(|target| target.description().publishing_digest());
    written.zip(now).is_none_or(|(written, now)| written == now)
}

/// Whether status is about the present spec.
fn is_of_this_spec(input: &Input) -> bool {
    let status = input.connection.status.as_ref();
    status.is_some_and(|status| status.observed_generation == input.connection.metadata.generation)
}

/// Whether the Secret that was written last holds the token in use.
fn holds_the_token(input: &Input) -> bool {
    let version = input.observed.record.version();
    input.observed.written.as_ref().is_some_and(|written| written.grant.is_some() && written.grant == version)
}

/// Whether the Secret is missing, or differs from what this process wrote. What an earlier process wrote is not known.
fn is_edited(input: &Input) -> bool {
    let written = input.observed.written.as_ref();
    let is_there = written.is_some_and(|written| written.name == input.connection.secret_name());
    !is_there || written.is_some_and(|written| written.resource_version.is_some()) && !is_untouched(input)
}

/// Whether the Secret is as this process wrote it.
fn is_untouched(input: &Input) -> bool {
    let observed = input.observed;
    let (Some(written), Some(seen)) = (&observed.written, &observed.secret) else { return false };
    written.is_untouched(seen, &input.connection.secret_name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
