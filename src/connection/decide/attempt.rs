//! The last attempt to connect: what started it, and how it ended. Pure.

use bowline_api::attempt::{EndResult, LIFETIME, Step};
use bowline_api::connection::{AttemptMethod, AttemptResult, LastAttempt};
use bowline_api::open::Open;
use bowline_api::reason::Reason;
use bowline_runtime::attempts::StoredAttempt;
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::consent::{self, pending_request};
use super::input::Input;
use super::task::{announcement, unread_credentials};
use super::verdict::ConditionVerdict;
use crate::grant::outcome::{FinishedWork, Outcome};

/// The last attempt, as the next status shows it.
pub(crate) fn last_attempt(input: &Input) -> Option<LastAttempt> {
    let current = started(input).or_else(|| input.connection.last_attempt().cloned())?;
    let end = if current.is_running() {
        match input.observed.newest_attempt.as_ref().filter(|kept| kept.id() == current.id) {
            Some(kept) => from_its_secret(input, kept),
            None => finished(input, &current.id).or_else(|| left_behind(input, &current)),
        }
    } else if current.result.is(AttemptResult::Unknown) {
        // A candidate in doubt may be sent once more.
        finished(input, &current.id)
    } else {
        None
    };
    Some(match end {
        Some(end) => end.onto(current, input),
        None => current,
    })
}

/// The last attempt. A request for a device flow that cannot be served fails at once.
pub(crate) fn answered(
    input: &Input,
    unaskable: Option<&str>,
    authorized: &ConditionVerdict,
) -> Option<LastAttempt> {
    let attempt = input.attempt.clone()?;
    if unaskable != Some(attempt.id.as_str()) || !attempt.is_running() {
        return Some(attempt);
    }
    let (reason, message) = consent::why_blocked(input, authorized);
    Some(AttemptUpdate::failed(reason, message).onto(attempt, input))
}

/// An attempt that began after the one in status.
fn started(input: &Input) -> Option<LastAttempt> {
    let known = input.connection.last_attempt();
    let is_new = |begun: &LastAttempt| known.is_none_or(|known| known.id != begun.id);
    let consented = consented(input).filter(|begun| is_later(begun, known));
    [imported(input), requested(input), consented, read(input), supplied(input)]
        .into_iter()
        .flatten()
        .find(is_new)
}

fn imported(input: &Input) -> Option<LastAttempt> {
    let announced = announcement(input)?.value;
    (input.observed.actor.taken.as_ref() != Some(&announced))
        .then(|| running(announced, AttemptMethod::Import, None, input.now))
}

/// Started by a request for a device flow, handled just now or not yet.
fn requested(input: &Input) -> Option<LastAttempt> {
    let finished = input.observed.actor.finished.as_ref().and_then(|finished| finished.authorization.clone());
    let request = pending_request(input).or(finished)?;
    Some(running(request, AttemptMethod::DeviceCode, None, input.now))
}

/// Started by the Secret through which portal and operator share an attempt.
fn consented(input: &Input) -> Option<LastAttempt> {
    let kept = input.observed.newest_attempt.as_ref()?;
    let method = match kept.attempt.request {
        Some(_) => AttemptMethod::DeviceCode,
        None if input.observed.issues_keys(&input.connection.spec) => AttemptMethod::IssuedKey,
        None if input.observed.takes_keys(&input.connection.spec) => AttemptMethod::KeyForm,
        None if input.observed.links(&input.connection.spec) => AttemptMethod::LinkSession,
        None => AttemptMethod::AuthorizationCode,
    };
    let user = Some(kept.attempt.user.clone());
    Some(running(kept.id().to_owned(), method, user, kept.attempt.started_at))
}

/// Started by the version of the credentials Secret that was just read or judged. The watch may show an older or a newer one.
fn read(input: &Input) -> Option<LastAttempt> {
    let source = input.observed.actor.finished.as_ref()?.source.as_ref()?;
    let (credentials, _) = input.observed.credentials.as_ref()?;
    (source.0 == *credentials)
        .then(|| running(credentials_id(source), AttemptMethod::Credentials, None, input.now))
}

/// Started by a version of the credentials Secret that was not read yet.
fn supplied(input: &Input) -> Option<LastAttempt> {
    let source = unread_credentials(input)?;
    Some(running(credentials_id(source), AttemptMethod::Credentials, None, input.now))
}

/// Whether the attempt with this id provided what is in a Secret: it names the credentials Secret, or an intake Secret.
fn is_provided_by(source: &(String, String), id: &str) -> bool {
    id == credentials_id(source) || id.rsplit_once('/').is_some_and(|(_, uid)| uid == source.0)
}

fn credentials_id((uid, resource_version): &(String, String)) -> String {
    format!("{uid}/{resource_version}")
}

fn running(id: String, method: AttemptMethod, requested_by: Option<String>, at: Timestamp) -> LastAttempt {
    LastAttempt {
        id,
        method: Open::Known(method),
        requested_by,
        started_at: Time(at),
        ended_at: None,
        grant_in_use: None,
        result: AttemptResult::Running.into(),
        reason: None,
        message: String::new(),
    }
}

/// Whether an attempt's Secret is not of an earlier attempt. Times have whole seconds; of two Secrets we look at the newest.
fn is_later(begun: &LastAttempt, known: Option<&LastAttempt>) -> bool {
    known.is_none_or(|known| {
        let tie = known.started_at == begun.started_at && came_by_secret(known);
        known.started_at.0 < begun.started_at.0 || tie
    })
}

fn came_by_secret(attempt: &LastAttempt) -> bool {
    use AttemptMethod::{AuthorizationCode, DeviceCode, IssuedKey, KeyForm, LinkSession};
    [AuthorizationCode, DeviceCode, IssuedKey, KeyForm, LinkSession]
        .into_iter()
        .any(|method| attempt.method.is(method))
}

enum AttemptUpdate {
    /// It continues when a temporary cause is over.
    Delayed(String),
    Ended(AttemptResult, Option<Reason>, String),
}

impl AttemptUpdate {
    fn failed(reason: Reason, message: String) -> Self {
        Self::Ended(AttemptResult::Failed, Some(reason), message)
    }

    fn succeeded() -> Self {
        Self::Ended(AttemptResult::Succeeded, None, String::new())
    }

    fn onto(self, attempt: LastAttempt, input: &Input) -> LastAttempt {
        match self {
            Self::Delayed(message) => {
                LastAttempt { reason: Some(Reason::IntakeDelayed.into()), message, ..attempt }
            }
            Self::Ended(result, reason, message) => LastAttempt {
                ended_at: Some(Time(input.now)),
                // This grant stays in use, whatever the result of the attempt.
                grant_in_use: input.observed.record.in_use().map(|grant| grant.version.id.to_string()),
                result: result.into(),
                reason: reason.map(Into::into),
                message,
                ..attempt
            },
        }
    }
}

/// What the attempt's own Secret says, or will say once it can be written. A stored grant is judged next: an outcome gives
/// that result.
fn from_its_secret(input: &Input, kept: &StoredAttempt) -> Option<AttemptUpdate> {
    let unwritten = input.observed.unwritten().find(|known| known.attempt == kept.name);
    let ending = match (&kept.attempt.step, unwritten) {
        (_, Some(known)) => &known.ending,
        (Step::Ended(ending), None) => ending,
        (_, None) => return kept.attempt.is_expired_at(input.now).then(expired),
    };
    match ending.result {
        EndResult::Connected => Some(AttemptUpdate::succeeded()),
        EndResult::Failed => {
            let reason = ending.reason.known().unwrap_or(Reason::AuthorizationFailed);
            Some(AttemptUpdate::failed(reason, ending.message.clone()))
        }
        EndResult::Kept => finished(input, kept.id()).or_else(|| judged(input, kept.attempt.started_at)),
    }
}

fn expired() -> AttemptUpdate {
    let message = "It took more than ten minutes. Connect again.".to_owned();
    AttemptUpdate::failed(Reason::AuthorizationFailed, message)
}

/// The result of the actor's newest work, unless it was done for another attempt than the one with this id.
fn finished(input: &Input, id: &str) -> Option<AttemptUpdate> {
    let FinishedWork { outcome, authorization, announcement, source, .. } =
        input.observed.actor.finished.as_ref()?;
    let served = authorization.as_ref().or(announcement.as_ref());
    if served.is_some_and(|served| served != id)
        || source.as_ref().is_some_and(|source| !is_provided_by(source, id))
    {
        return None;
    }
    match outcome {
        Outcome::Committed { accepted: true } => Some(AttemptUpdate::succeeded()),
        Outcome::IntakeRefused { why } => Some(AttemptUpdate::failed(why.reason(), why.to_string())),
        Outcome::IntakeDelayed { message } => Some(AttemptUpdate::Delayed(message.clone())),
        Outcome::IntakeInDoubt => Some(in_doubt(input)),
        _ => None,
    }
}

fn in_doubt(input: &Input) -> AttemptUpdate {
    let next = match input.observed.record.grant() {
        Some(_) => "The earlier grant stays in use. Import it again.",
        None => "It is tried again; should that be refused, import a new one.",
    };
    let message = format!("What was imported was sent to the provider and its answer never arrived. {next}");
    AttemptUpdate::Ended(AttemptResult::Unknown, Some(Reason::IntakeOutcomeUnknown), message)
}

/// What the record says about a grant that was accepted since.
fn judged(input: &Input, since: Timestamp) -> Option<AttemptUpdate> {
    let record = &input.observed.record;
    match record.present() {
        Some(present) if present.doubted_since.is_some() => return Some(in_doubt(input)),
        Some(present) if present.has_candidate || input.observed.actor.busy => return None,
        _ => {}
    }
    // Times have whole seconds: within the same second it is probably the grant of an earlier attempt.
    record.grant().filter(|grant| grant.obtained_at > since).map(|_| AttemptUpdate::succeeded())
}

/// An attempt whose end was not reported by an earlier process.
fn left_behind(input: &Input, attempt: &LastAttempt) -> Option<AttemptUpdate> {
    let record = input.observed.record.present();
    let waits = input.observed.actor.busy
        || record.is_some_and(|present| present.has_candidate && present.doubted_since.is_none())
        || announcement(input).is_some_and(|announcement| announcement.value == attempt.id)
        || unread_credentials(input).is_some()
        || pending_request(input).is_some_and(|request| request == attempt.id);
    if waits {
        return None;
    }
    let over = later(attempt.started_at.0, LIFETIME) <= input.now;
    match judged(input, attempt.started_at.0) {
        Some(end) => Some(end),
        // The watch may not show its Secret yet.
        None if came_by_secret(attempt) => over.then(expired),
        None => {
            let message = "The operator was interrupted, and what became of it is not known.".to_owned();
            Some(AttemptUpdate::Ended(AttemptResult::Unknown, Some(Reason::AuthorizationFailed), message))
        }
    }
}
