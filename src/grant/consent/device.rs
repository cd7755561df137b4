//! The device flow (RFC 8628): a code that the owner types elsewhere, and the operator asking until somebody has.
//!
//! It cannot prove who finished it, so the first grant that comes this way is not published before its owner agrees to the
//! account.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::attempt::{Attempt, AttemptEnding, ConnectionRef, DeviceCode, LIFETIME, Step, attempt_name};
use bowline_api::connection::Method;
use bowline_api::opaque::random_text;
use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::device::{self, DeviceAuthorization, Poll};
use bowline_runtime::attempts::{AttemptError, StoredAttempt};
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::Consenting;
use super::allowed::{NotAsked, app, declined, not_offered};
use super::arrival::{Arrival, arrived};
use super::pledge::Pledge;
use crate::grant::outcome::Outcome;
use crate::grant::refusal::ConsentError;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{GrantType, Place};

/// What `slow_down` adds to the interval (RFC 8628 §3.5), in seconds.
const SLOWER_BY: u32 = 5;

/// Asks for a device code and shows it.
pub(super) async fn ask(at: Consenting<'_>) -> Outcome {
    match device_code(at).await {
        Ok(()) => Outcome::Stepped,
        Err(NotAsked::Refused(why)) => Outcome::IntakeRefused { why: why.into() },
        Err(NotAsked::Later(outcome)) => outcome,
    }
}

async fn device_code(at: Consenting<'_>) -> Result<(), NotAsked> {
    let Consenting { engine, consents, job, .. } = at;
    let target = &job.target;
    if !target.methods().contains(&Method::DeviceCode) || !target.allows_device_flow() {
        return Err(not_offered(job).into());
    }
    let app = app(at).await?;
    let permit = engine.gate.admit(job).await?;
    let scopes = requested(target, &job.scopes);
    let now = engine.records.clock.now();
    let asked = device::authorize(job.target.http(), target.description(), &app, &scopes, now);
    let asked = engine.gate.timed(Operation::Authorize, asked).await;
    drop(permit);
    let asked = asked.map_err(|failure| declined(at, failure))?;
    let name = random_text().map_err(|_| Outcome::Stale)?;
    let name = attempt_name(name.expose_secret());
    let pledge = Pledge {
        attempt: name.clone(),
        secret: asked.device_code.clone(),
        redirect_uri: String::new(),
        scopes,
        bound_to: job.binding(Some(&app)),
    };
    let sealed = pledge.seal(&engine.records.sealer, &job.place)?;
    let waiting = waiting(job, asked, sealed, now);
    consents.attempts.create(&name, &waiting).await.map_err(|error| unkept(&error))?;
    replace_codes(at, &name).await;
    Ok(())
}

/// Ends the codes that waited before, so that none of them is shown as the one that was just asked for (`by`). What cannot be
/// ended now is ended when the watch shows both.
async fn replace_codes(at: Consenting<'_>, by: &str) {
    let earlier = at.consents.attempts.of_connection(&at.job.place.uid).await.unwrap_or_else(|error| {
        tracing::info!(error = %chain(&error), "earlier codes cannot be listed now");
        Vec::new()
    });
    let waits = |kept: &StoredAttempt| kept.name != by && matches!(kept.attempt.step, Step::Waiting { .. });
    for kept in earlier.into_iter().filter(waits) {
        at.consents.conclude(kept, replaced_code()).await;
    }
}

/// Asks once whether somebody has decided.
pub(super) async fn poll(at: Consenting<'_>, name: &str) -> Outcome {
    let Consenting { engine, consents, job, .. } = at;
    let kept = match consents.attempt(name).await {
        Ok(kept) => kept,
        Err(outcome) => return outcome,
    };
    let (pledge, app) = match waited_for(at, &kept).await {
        Ok(waited_for) => waited_for,
        Err(NotAsked::Refused(why)) => return consents.fail(kept, why).await,
        Err(NotAsked::Later(outcome)) => return outcome,
    };
    let permit = match engine.gate.admit(job).await {
        Ok(permit) => permit,
        Err(why) => return why.into(),
    };
    let asked_at = engine.records.clock.now();
    let poll = device::poll(job.target.http(), job.target.description(), &app, &pledge.secret, asked_at);
    let polled = engine.gate.timed(Operation::Exchange, poll).await;
    drop(permit);
    match polled {
        Ok(Poll::Granted(granted)) => {
            let arrival =
                Arrival { kept, pledge: &pledge, app: &app, grant_type: GrantType::DeviceCode, asked_at };
            arrived(at, arrival, granted.answer).await
        }
        Ok(Poll::Pending) => polled_again(at, &kept, 0),
        Ok(Poll::SlowDown) => slower(at, kept).await,
        Ok(Poll::Denied) => consents.fail(kept, ConsentError::Denied).await,
        Ok(Poll::Expired) => consents.fail(kept, ConsentError::TooLate).await,
        Err(failure) => match declined(at, failure) {
            // RFC 8628 §3.5: after no answer, ask again, more slowly.
            ConsentError::Unavailable { .. } => slower(at, kept).await,
            why => consents.fail(kept, why).await,
        },
    }
}

/// The device code that is asked with, if the terms are still those under which it was given.
async fn waited_for(at: Consenting<'_>, kept: &StoredAttempt) -> Result<(Pledge, Arc<App>), NotAsked> {
    let Consenting { engine, job, .. } = at;
    let Step::Waiting { sealed, .. } = &kept.attempt.step else { return Err(Outcome::Stepped.into()) };
    if kept.attempt.is_expired_at(engine.records.clock.now()) {
        return Err(ConsentError::TooLate.into());
    }
    let pledge = Pledge::open(&engine.records.sealer, &job.place, &kept.name, sealed)?;
    let app = app(at).await?;
    if pledge.holds_for(job, &app) { Ok((pledge, app)) } else { Err(ConsentError::TermsMoved.into()) }
}

/// When to ask again. Nothing is written for it: after a restart the provider says how fast is too fast.
fn polled_again(at: Consenting<'_>, kept: &StoredAttempt, more: u32) -> Outcome {
    let Step::Waiting { interval, .. } = &kept.attempt.step else { return Outcome::Stepped };
    let wait = Duration::from_secs(u64::from(interval.saturating_add(more)));
    Outcome::Polled { until: later(at.engine.records.clock.now(), wait) }
}

async fn slower(at: Consenting<'_>, kept: StoredAttempt) -> Outcome {
    let outcome = polled_again(at, &kept, SLOWER_BY);
    let (Step::Waiting { code, interval, sealed, .. }, Outcome::Polled { until }) =
        (kept.attempt.step.clone(), &outcome)
    else {
        return Outcome::Stepped;
    };
    let interval = interval.saturating_add(SLOWER_BY);
    let _ = at.consents.step(kept, Step::Waiting { code, next_poll: *until, interval, sealed }).await;
    outcome
}

/// Why a code is not waited for that could not be kept.
fn unkept(error: &AttemptError) -> NotAsked {
    tracing::warn!(error = %chain(error), "a device code could not be kept");
    match error {
        // Asking for one code after another would not help.
        AttemptError::Kube(kube::Error::Api(status)) if [403, 404].contains(&status.code) => {
            ConsentError::NotInstalled.into()
        }
        _ => Outcome::Stale.into(),
    }
}

/// The end of a code that a newer one has replaced.
pub(crate) fn replaced_code() -> AttemptEnding {
    let message = "Another code was asked for since; this one is not waited for any more.";
    AttemptEnding::failed(Reason::AuthorizationFailed, message.to_owned())
}

/// The attempt that waits for somebody to type the code.
fn waiting(job: &Job, asked: DeviceAuthorization, sealed: ByteString, now: Timestamp) -> Attempt {
    let DeviceAuthorization {
        device_code: _,
        user_code,
        verification_uri,
        verification_uri_complete,
        expires_in,
        interval,
    } = asked;
    let code = DeviceCode {
        user_code,
        verification_uri: verification_uri.into(),
        verification_uri_complete: verification_uri_complete.map(Into::into),
    };
    let Place { namespace, name, uid, .. } = job.place.clone();
    Attempt {
        user: job.owner.clone(),
        person: None,
        connection: ConnectionRef { namespace, name, uid },
        request: job.task.authorization().cloned(),
        provider: job.target.provider().to_owned(),
        started_at: now,
        expires_at: later(now, expires_in.min(LIFETIME)),
        step: Step::Waiting {
            code,
            next_poll: later(now, interval),
            interval: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
            sealed,
        },
    }
}
