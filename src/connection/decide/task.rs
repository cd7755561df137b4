//! What the grant's actor is to do, if anything.

use bowline_api::connection::Method;
use bowline_api::names::ANNOTATION_INTAKE;
use bowline_api::reason::Effect;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::input::Input;
use super::verdict::ConditionVerdict;
use super::{consent, fresh};
use crate::connection::observed::RecordState;
use crate::grant::intake::Announcement;
use crate::grant::work::Task;
use crate::grant::{has_expired_key, may_be_sent_again, schedule};

pub(super) fn task(
    input: &Input,
    authorized: &ConditionVerdict,
    next_attempt: Option<Timestamp>,
    probe_at: Option<Timestamp>,
) -> Option<Task> {
    let actor = &input.observed.actor;
    let rests = |until: Option<Timestamp>| until.is_some_and(|until| until > input.now);
    // A refresh that waits for its turn gives way: codes expire, and people wait.
    if (!actor.busy || actor.gives_way)
        && !rests(actor.consent_rest_until)
        && let Some(step) = taken_in(input, authorized)
    {
        return Some(step);
    }
    if actor.busy {
        return None;
    }
    // Whatever else is the matter: nothing is sent, and an expired key must not stay published.
    let has_expired = input.observed.record.grant().is_some_and(|grant| has_expired_key(grant, input.now));
    if has_expired && !rests(actor.rest_until) {
        return Some(Task::ExpireKeys);
    }
    let refresh = if rests(actor.rest_until) { None } else { renewal(input, authorized, next_attempt) };
    refresh.or_else(|| probe_at.filter(|at| *at <= input.now).map(|_| Task::Probe))
}

/// Another token, when it is due or requested.
fn renewal(input: &Input, authorized: &ConditionVerdict, next_attempt: Option<Timestamp>) -> Option<Task> {
    if !traffic_allowed(input, authorized) {
        return None;
    }
    let request = input.pending_refresh();
    let requested_for = request.as_ref().and(earliest(input));
    let due = [next_attempt, requested_for].into_iter().flatten().min()?;
    (due <= input.now).then(|| {
        if input.observed.is_minted(&input.connection.spec) {
            Task::Mint { request }
        } else {
            Task::Refresh { request }
        }
    })
}

/// What leads to a new grant: the step of an attempt, or one that is imported.
fn taken_in(input: &Input, authorized: &ConditionVerdict) -> Option<Task> {
    let step = consent::task(input, authorized).map(Task::Consent);
    step.or_else(|| taking(input, authorized).filter(|_| !input.connection.spec.suspend.unwrap_or_default()))
}

/// Whether anything may be sent to the provider with the grant in use. What it decided for good is looked at again, rarely.
pub(super) fn traffic_allowed(input: &Input, authorized: &ConditionVerdict) -> bool {
    let looks_again = input.history.is_condemned_as(authorized.reason);
    let sends = matches!(authorized.effect, Effect::Serve | Effect::Withhold) || looks_again;
    sends && !input.connection.is_paused()
}

/// An imported grant goes first.
fn taking(input: &Input, authorized: &ConditionVerdict) -> Option<Task> {
    if input.is_blocked(authorized) {
        return None;
    }
    let taken = input.observed.actor.taken.as_ref();
    if let Some(announcement) = announcement(input).filter(|announcement| taken != Some(&announcement.value))
    {
        return Some(Task::Take(announcement));
    }
    if may_be_judged(input) {
        return Some(Task::Judge);
    }
    let secret = input.connection.spec.credentials.as_ref()?;
    unread_credentials(input).map(|_| Task::Read { secret: secret.secret_name.clone() })
}

/// Whether what the credentials Secret holds was probably used up since: then only somebody who provides another one connects
/// again.
fn may_hold_a_spent_token(input: &Input) -> bool {
    match input.observed.record {
        RecordState::Tampered | RecordState::RolledBack(_) => true,
        RecordState::Missing => {
            let is_token = input
                .observed
                .target()
                .is_some_and(|target| target.method(&input.connection.spec) == Method::RefreshToken);
            is_token && input.connection.grant().is_some()
        }
        RecordState::Unreadable | RecordState::Present(_) => false,
    }
}

/// UID and resourceVersion of the credentials Secret, if it was neither accepted nor refused yet.
pub(super) fn unread_credentials<'a>(input: &Input<'a>) -> Option<&'a (String, String)> {
    let seen = input.observed.credentials.as_ref()?;
    if may_hold_a_spent_token(input) {
        return None;
    }
    let read = input.observed.record.grant().and_then(|grant| grant.source.as_ref());
    let unread = read.is_none_or(|read| (&read.uid, &read.resource_version) != (&seen.0, &seen.1));
    let refused_before = input.observed.actor.refused_source.as_ref() == Some(seen);
    (unread && !refused_before).then_some(seen)
}

/// Whether a candidate may be sent to the provider, for the first time or again.
fn may_be_judged(input: &Input) -> bool {
    let record = &input.observed.record;
    let Some(present) = record.holding_candidate() else { return false };
    let grace = input.observed.target().and_then(|target| target.grace());
    let again = |sent_at| may_be_sent_again(sent_at, grace, record.grant().map(AsRef::as_ref), input.now);
    present.doubted_since.is_none_or(again)
}

/// The announcement on the object.
pub(super) fn announcement(input: &Input) -> Option<Announcement> {
    input.connection.annotations().get(ANNOTATION_INTAKE).map(|value| Announcement::parse(value))
}

/// When a request may be served: at once, but not before the minimum interval after the last refresh, not before a second
/// opinion on the grant would count, not before a token that may be spent is tried again anyway, and not beyond the
/// provider's budget. Where a refresh ends the token in use, that token first reaches the pods and serves them for as long
/// again. `None` if there is nothing to refresh.
pub(super) fn earliest(input: &Input) -> Option<Timestamp> {
    let spec = &input.connection.spec;
    let grant = input.observed.record.grant().filter(|grant| input.observed.is_refreshable(spec, grant))?;
    let lifetime = schedule::lifetime(grant.obtained_at, grant.expires_at);
    let failed = input.history.last_failure.as_ref().map(|failure| failure.at.0);
    let last = failed.map_or(grant.obtained_at, |failed| failed.max(grant.obtained_at));
    let counts = input.history.second_opinion_at(input.policy).unwrap_or(last);
    let ends_access = input.policy.ends_access && grant.expires_at.is_none_or(|at| at > input.now);
    let served = if ends_access { later(grant.obtained_at, schedule::MOUNT_DELAY * 2) } else { last };
    let doubted = input.observed.target().and_then(|target| fresh::tried_again_at(input, grant, target));
    let room = input.observed.requests_from;
    let paced = later(last, input.policy.least_interval(lifetime)).max(served).max(counts);
    [doubted, room].into_iter().flatten().chain([paced, input.now]).max()
}
