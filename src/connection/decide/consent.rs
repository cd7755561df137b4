//! The next step of attempts to connect.

use bowline_api::attempt::{AttemptEnding, DeviceCode, Step};
use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED, UNNAMED_ACCOUNT};
use bowline_api::reason::{Effect, Reason};
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::input::Input;
use super::verdict::ConditionVerdict;
use crate::grant::consent::{ConsentTask, Dismissal, being_checked, in_use, replaced_code};
use crate::vault::Grant;

pub(crate) fn task(input: &Input, authorized: &ConditionVerdict) -> Option<ConsentTask> {
    let step = |kept: &StoredAttempt| match due(input, kept, authorized)? {
        Due::Step(task) => Some(task),
        Due::End(_) => None,
    };
    input
        .observed
        .attempts
        .iter()
        .find_map(step)
        .or_else(|| confirmation(input))
        .or_else(|| sealing(input))
        .or_else(|| {
            let request = pending_request(input)?;
            (!input.is_blocked(authorized)).then_some(ConsentTask::AskDevice { request })
        })
}

/// Attempts that cannot continue. Ending them needs no provider, so it does not wait for one.
pub(crate) fn dismissals(input: &Input, authorized: &ConditionVerdict) -> Vec<Dismissal> {
    if input.observed.actor.busy {
        return Vec::new();
    }
    let end = |kept: &StoredAttempt| match due(input, kept, authorized)? {
        Due::Step(_) => None,
        Due::End(dismissal) => Some(dismissal),
    };
    input.observed.attempts.iter().filter_map(end).collect()
}

enum Due {
    Step(ConsentTask),
    End(Dismissal),
}

fn due(input: &Input, kept: &StoredAttempt, authorized: &ConditionVerdict) -> Option<Due> {
    let attempt = kept.name.clone();
    let same = |known: &&Dismissal| known.attempt == attempt && known.version == kept.version();
    if let Some(known) = input.observed.unwritten().find(same) {
        return Some(Due::End(known.clone()));
    }
    match &kept.attempt.step {
        Step::Exchanging => Some(left_behind(input, kept)),
        // It may reappear in a moment: after a restart its metadata is read first.
        step if is_ours(step)
            && authorized.reason == Reason::ProviderNotReady
            && input.observed.target().is_none() =>
        {
            None
        }
        step if is_ours(step) && input.is_blocked(authorized) => {
            let (reason, message) = why_blocked(input, authorized);
            Some(Due::End(Dismissal::of(kept, AttemptEnding::failed(reason, message))))
        }
        Step::Asked { .. } => Some(Due::Step(ConsentTask::Begin { attempt })),
        Step::Returned { .. } => Some(Due::Step(ConsentTask::Exchange { attempt })),
        Step::Ordered { .. } => Some(Due::Step(ConsentTask::Issue { attempt })),
        Step::Provided { .. } => Some(Due::Step(ConsentTask::TakeProvided { attempt })),
        Step::Waiting { .. } if !is_newest_code(input, kept) => {
            Some(Due::End(Dismissal::of(kept, replaced_code())))
        }
        Step::Waiting { next_poll, .. } => {
            (poll_at(input, *next_poll) <= input.now).then_some(Due::Step(ConsentTask::Poll { attempt }))
        }
        Step::Prepared { .. } | Step::Sent { .. } | Step::Ended(_) => None,
    }
}

/// Whether the operator has to do something next.
fn is_ours(step: &Step) -> bool {
    !matches!(step, Step::Prepared { .. } | Step::Sent { .. } | Step::Exchanging | Step::Ended(_))
}

/// Why no grant may be taken in. A paused connection has a verdict of its own, which is about the grant in use.
pub(crate) fn why_blocked(input: &Input, authorized: &ConditionVerdict) -> (Reason, String) {
    if authorized.effect != Effect::End && input.connection.is_paused() {
        return (Reason::Suspended, Reason::Suspended.message(&input.facts()));
    }
    if let Some(unprotected) = input.unprotected().filter(|_| authorized.is_true()) {
        return (unprotected.reason, unprotected.message);
    }
    (authorized.reason, authorized.message.clone())
}

/// The later of two times: the one in the attempt, which survives a restart, and the one that the actor knows.
fn poll_at(input: &Input, next_poll: Timestamp) -> Timestamp {
    input.observed.actor.poll_at.map_or(next_poll, |at| at.max(next_poll))
}

/// An exchange that an earlier process began. Its grant may be on record nevertheless.
fn left_behind(input: &Input, kept: &StoredAttempt) -> Due {
    let record = &input.observed.record;
    // Times have whole seconds: within the same second it is probably the grant of the attempt before.
    let is_its = |obtained_at: Timestamp| obtained_at > kept.attempt.started_at;
    let waits = record.holding_candidate().and_then(|present| present.consented_at);
    let in_use_is_its = |grant: &Grant| grant.consent.given_at.is_some() && is_its(grant.obtained_at);
    let ending = if waits.is_some_and(is_its) {
        being_checked()
    } else if record.grant().is_some_and(|grant| in_use_is_its(grant)) {
        in_use()
    } else {
        return Due::Step(ConsentTask::Interrupted { attempt: kept.name.clone() });
    };
    Due::End(Dismissal::of(kept, ending))
}

fn is_newest_code(input: &Input, kept: &StoredAttempt) -> bool {
    let newest =
        input.observed.attempts.iter().find(|kept| matches!(kept.attempt.step, Step::Waiting { .. }));
    newest.is_some_and(|newest| newest.name == kept.name)
}

/// The owner's confirmation of the account of the grant in use. Only admission knows that it is the owner's.
fn confirmation(input: &Input) -> Option<ConsentTask> {
    if input.unprotected().is_some() {
        return None;
    }
    let grant = input.observed.record.grant().filter(|grant| grant.consent.awaits_confirmation())?;
    let account = input.connection.annotations().get(ANNOTATION_ACCEPT_ACCOUNT)?;
    (*account == account_id(grant)).then(|| ConsentTask::Confirm { account: account.clone() })
}

/// What is in force belongs on record: what was narrowed, and what the owner agreed to.
fn sealing(input: &Input) -> Option<ConsentTask> {
    let terms = input.observed.terms.agreed()?;
    let from = terms.to_seal.as_ref()?.from.clone();
    Some(ConsentTask::Agree { from, to: terms.agreed.clone() })
}

/// The id by which the owner confirms the grant's account.
pub(crate) fn account_id(grant: &Grant) -> String {
    grant.bound_to.account.as_ref().map_or_else(|| UNNAMED_ACCOUNT.to_owned(), |account| account.id.clone())
}

/// The request for a device flow that is not handled yet.
pub(crate) fn pending_request(input: &Input) -> Option<String> {
    input.pending(ANNOTATION_AUTHORIZE_REQUESTED, input.history.handled_authorization.as_ref())
}

/// The request for a device flow that cannot be served, because no grant may be accepted.
pub(crate) fn unaskable(input: &Input, authorized: &ConditionVerdict) -> Option<String> {
    pending_request(input).filter(|_| input.is_blocked(authorized))
}

/// The code that waits to be typed at the provider, and when it expires.
pub(crate) fn shown_code(attempts: &[StoredAttempt]) -> Option<(&DeviceCode, Timestamp)> {
    attempts.iter().find_map(|kept| match &kept.attempt.step {
        Step::Waiting { code, .. } => Some((code, kept.attempt.expires_at)),
        _ => None,
    })
}

/// What is in progress, in words.
pub(crate) fn progress(attempts: &[StoredAttempt]) -> Option<String> {
    attempts.iter().find_map(|kept| match &kept.attempt.step {
        Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. } => {
            Some(format!("{} is being asked by the provider to allow access.", kept.attempt.user))
        }
        Step::Waiting { code, .. } => {
            Some(format!("Waiting for the code {} to be typed at {}.", code.user_code, code.verification_uri))
        }
        Step::Returned { .. } | Step::Exchanging => {
            Some("Access was allowed; the token is being fetched.".to_owned())
        }
        Step::Ordered { .. } => Some(format!("{} has ordered a change of the keys.", kept.attempt.user)),
        Step::Provided { .. } => Some(format!("{} has entered a key or a password.", kept.attempt.user)),
        Step::Ended(_) => None,
    })
}

/// When an attempt changes by itself: a poll is due, or it expires.
pub(crate) fn next_change(input: &Input) -> Option<Timestamp> {
    let times = input.observed.attempts.iter().flat_map(|kept| {
        let poll = match &kept.attempt.step {
            Step::Waiting { next_poll, .. } => Some(poll_at(input, *next_poll)).filter(|at| *at > input.now),
            _ => None,
        };
        [poll, Some(kept.attempt.expires_at)]
    });
    times.flatten().min()
}
