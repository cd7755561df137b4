//! What the grant's actor is told to do, if anything.

use bowline_api::connection::Method;
use bowline_api::names::{ANNOTATION_INTAKE, ANNOTATION_REFRESH_REQUESTED};
use bowline_api::reason::Effect;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::checks::Input;
use super::verdict::Verdict;
use super::{consent, fresh};
use crate::connection::observed::{Provider, RecordState, SourceSeen};
use crate::grant::intake::Announcement;
use crate::grant::may_be_sent_again;
use crate::grant::schedule::Policy;
use crate::grant::target::Target;
use crate::grant::work::Task;

/// So many characters of a refresh request tell it from the one before.
const LONGEST_REQUEST: usize = 64;

/// The task that is due now.
pub(super) fn task(
    input: &Input,
    authorized: &Verdict,
    target: &Target,
    next_attempt: Option<Timestamp>,
    policy: &Policy,
) -> Option<Task> {
    let rests = input.observed.rest_until.is_some_and(|until| until > input.now);
    if rests || input.observed.busy {
        return None;
    }
    if let Some(step) = consent::task(input, authorized) {
        return Some(Task::Consent(step));
    }
    if input.connection.spec.suspend.unwrap_or_default() {
        return None;
    }
    if let Some(taking) = taking(input, authorized) {
        return Some(taking);
    }
    if !matches!(authorized.effect, Effect::Serve | Effect::Withhold) {
        return None;
    }
    let request = pending_request(input);
    let asked_at = request.as_ref().and(earliest(input, policy));
    let due = [next_attempt, asked_at].into_iter().flatten().min()?;
    (due <= input.now).then(|| {
        if target.method(&input.connection.spec) == Method::ClientCredentials {
            Task::Mint { request }
        } else {
            Task::Refresh { request }
        }
    })
}

/// Whether no grant may be taken in now, for the cause that `authorized` or the suspension names.
pub(super) fn is_blocked(input: &Input, authorized: &Verdict) -> bool {
    let blocked = match authorized.effect {
        Effect::End => true,
        // A withdrawn grant may be replaced; a connection that is not allowed may not.
        Effect::Withdraw => input.history.ruling.is_none(),
        Effect::Serve | Effect::Coast | Effect::Withhold => false,
    };
    let usable = matches!(input.observed.provider, Provider::Ready(_));
    // An unreadable record may hold a good grant: it is never overwritten.
    let unreadable = matches!(input.observed.record, RecordState::Unreadable);
    blocked || !usable || unreadable || input.connection.spec.suspend.unwrap_or_default()
}

/// A grant that was imported goes before everything else.
fn taking(input: &Input, authorized: &Verdict) -> Option<Task> {
    if is_blocked(input, authorized) {
        return None;
    }
    let taken = input.observed.taken.as_ref();
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

/// The version of the credentials Secret that was neither accepted nor refused yet.
pub(super) fn unread_credentials<'a>(input: &Input<'a>) -> Option<&'a SourceSeen> {
    input.connection.spec.credentials.as_ref()?;
    let seen = input.observed.credentials.as_ref()?;
    let read = input.observed.record.grant().and_then(|grant| grant.source.as_ref());
    let unread =
        read.is_none_or(|read| read.uid != seen.uid || read.resource_version != seen.resource_version);
    let refused_before = input.observed.refused_source.as_ref() == Some(seen);
    (unread && !refused_before).then_some(seen)
}

/// Whether a candidate waits that may be sent to the provider, for the first time or once more.
fn may_be_judged(input: &Input) -> bool {
    let record = &input.observed.record;
    let Some(present) = record.present().filter(|present| present.has_candidate && !present.ending) else {
        return false;
    };
    let grace = input.observed.provider.target().and_then(|target| target.grace());
    let again = |sent_at| may_be_sent_again(sent_at, grace, record.grant().map(AsRef::as_ref), input.now);
    present.doubted_since.is_none_or(again)
}

/// The announcement on the object.
pub(super) fn announcement(input: &Input) -> Option<Announcement> {
    input.connection.annotations().get(ANNOTATION_INTAKE).map(|value| Announcement::parse(value))
}

/// The refresh request on the object that nobody answered yet.
pub(super) fn pending_request(input: &Input) -> Option<String> {
    let asked = input.connection.annotations().get(ANNOTATION_REFRESH_REQUESTED)?;
    // It is echoed in status: no more of it than a time and a name need.
    let asked: String = asked.chars().take(LONGEST_REQUEST).collect();
    (input.history.handled_refresh.as_ref() != Some(&asked)).then_some(asked)
}

/// When a request may be served: at once, but no sooner than the least interval after the last attempt, and not before a
/// second opinion on the grant would count. `None` where there is nothing to refresh.
pub(super) fn earliest(input: &Input, policy: &Policy) -> Option<Timestamp> {
    let grant = input.observed.record.grant().filter(|grant| fresh::refreshable(grant, input))?;
    let failed = input.history.last_failure.as_ref().map(|failure| failure.at.0);
    let last = failed.map_or(grant.obtained_at, |failed| failed.max(grant.obtained_at));
    let counts = input.history.second_opinion_at(policy).unwrap_or(last);
    Some(later(last, policy.bounds.min_interval).max(counts).max(input.now))
}
