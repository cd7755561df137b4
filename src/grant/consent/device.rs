//! The device flow (RFC 8628): a code that the owner types elsewhere, and the operator polling until somebody has.
//!
//! It cannot prove who finished it, so the first grant from a device flow is not published before its owner confirms the
//! account.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::attempt::{Attempt, AttemptEnding, ConnectionRef, DeviceCode, LIFETIME, Step, attempt_name};
use bowline_api::connection::Method;
use bowline_api::opaque::random_text;
use bowline_api::reason::Reason;
use bowline_oauth::device::{self, DeviceAuthorization, Poll};
use bowline_runtime::attempts::{AttemptError, StoredAttempt};
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::arrival::{Arrival, arrived};
use super::terms::{Pledge, app, declined, not_offered, offers, pledged_app};
use crate::grant::Engine;
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::refusal::ConsentError;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{GrantType, Place};

/// What `slow_down` adds to the interval (RFC 8628 §3.5), in seconds.
const SLOWER_BY: u32 = 5;

/// Requests a device code and shows it.
pub(super) async fn ask(engine: &Engine, job: &Job, request: &str) -> WorkResult {
    let target = &job.target;
    if !offers(job, Method::DeviceCode) || !target.allows_device_flow() {
        return Err(not_offered(job).into());
    }
    let app = app(engine, job).await?;
    let permit = engine.gate.admit(job).await?;
    let scopes = requested(target, &job.scopes);
    let now = engine.records.clock.now();
    let asked = device::authorize(job.target.http(), target.description(), &app, &scopes, now);
    let asked = engine.gate.timed(Operation::Authorize, asked).await;
    drop(permit);
    let asked = asked.map_err(|failure| declined(engine, job, failure))?;
    let name = random_text().map_err(|_| Outcome::Stale)?;
    let name = attempt_name(name.expose_secret());
    let pledge = Pledge {
        attempt: name.clone(),
        secret: asked.device_code.clone(),
        sent_challenge: false,
        redirect_uri: String::new(),
        scopes,
        agreed: Some(job.agreeing.unseen.clone()),
        bound_to: job.binding(Some(&app)),
    };
    let sealed = pledge.seal(&engine.records.sealer, &job.place)?;
    let waiting = waiting(job, request, asked, sealed, now);
    engine.consents.attempts.create(&name, &waiting).await.map_err(|error| unkept(&error))?;
    replace_codes(engine, job, &name).await;
    Ok(Outcome::Stepped)
}

/// Ends earlier codes that still wait, so that none is shown as the new one (`by`); at the latest when the watch shows both.
async fn replace_codes(engine: &Engine, job: &Job, by: &str) {
    let earlier = engine.consents.attempts.of_connection(&job.place.uid).await.unwrap_or_else(|error| {
        tracing::info!(error = %chain(&error), "earlier codes cannot be listed now");
        Vec::new()
    });
    let waits = |kept: &StoredAttempt| kept.name != by && matches!(kept.attempt.step, Step::Waiting { .. });
    for kept in earlier.into_iter().filter(waits) {
        engine.consents.conclude(kept, replaced_code()).await;
    }
}

pub(super) async fn poll(engine: &Engine, job: &Job, name: &str) -> WorkResult {
    let consents = &engine.consents;
    let kept = consents.attempt(name).await?;
    let Step::Waiting { interval, sealed, .. } = &kept.attempt.step else { return Ok(Outcome::Stepped) };
    let interval = *interval;
    let pledged = async {
        let pledge = Pledge::open(engine, job, &kept, sealed)?;
        let app = pledged_app(engine, job, &pledge).await?;
        Ok::<_, Outcome>((pledge, app))
    };
    let (pledge, app) = match pledged.await {
        Ok(pledged) => pledged,
        Err(outcome) => return Err(consents.failed(kept, outcome).await),
    };
    let permit = engine.gate.admit(job).await?;
    let asked_at = engine.records.clock.now();
    let poll = device::poll(job.target.http(), job.target.description(), &app, &pledge.secret, asked_at);
    let polled = engine.gate.timed(Operation::Exchange, poll).await;
    drop(permit);
    let why = match polled {
        Ok(Poll::Granted(granted)) => {
            let (grant_type, parameters) = (GrantType::DeviceCode, BTreeMap::new());
            let arrival = Arrival { kept, pledge: &pledge, app: &app, grant_type, asked_at, parameters };
            return Box::pin(arrived(engine, job, arrival, granted.answer)).await;
        }
        Ok(Poll::Pending) => return Ok(Outcome::Polled { until: next_poll(engine, interval) }),
        Ok(Poll::SlowDown) => return Ok(slower(engine, kept).await),
        Ok(Poll::Denied) => ConsentError::Denied,
        Ok(Poll::Expired) => ConsentError::TooLate,
        Err(failure) => match declined(engine, job, failure) {
            // RFC 8628 §3.5: after no answer, poll again, more slowly.
            ConsentError::Unavailable { .. } => return Ok(slower(engine, kept).await),
            why => why,
        },
    };
    Err(consents.failed(kept, why).await)
}

/// When to poll again. This is not stored: after a restart the provider says how fast is too fast.
fn next_poll(engine: &Engine, interval: u32) -> Timestamp {
    later(engine.records.clock.now(), Duration::from_secs(interval.into()))
}

/// Polls less often from now on.
async fn slower(engine: &Engine, kept: StoredAttempt) -> Outcome {
    let mut step = kept.attempt.step.clone();
    let Step::Waiting { next_poll: due, interval, .. } = &mut step else { return Outcome::Stepped };
    *interval = interval.saturating_add(SLOWER_BY);
    *due = next_poll(engine, *interval);
    let until = *due;
    let _ = engine.consents.step(kept, step).await;
    Outcome::Polled { until }
}

/// The outcome if a code could not be stored.
fn unkept(error: &AttemptError) -> Outcome {
    tracing::warn!(error = %chain(error), "a device code could not be kept");
    match error {
        // Requesting one code after another would not help.
        AttemptError::Kube(kube::Error::Api(status)) if [403, 404].contains(&status.code) => {
            ConsentError::NotInstalled.into()
        }
        _ => Outcome::Stale,
    }
}

/// The end of a code that a newer one has replaced.
pub(crate) fn replaced_code() -> AttemptEnding {
    let message = "Another code was asked for since; this one is not waited for any more.";
    AttemptEnding::failed(Reason::AuthorizationFailed, message.to_owned())
}

/// The attempt that waits for somebody to type the code.
fn waiting(
    job: &Job,
    request: &str,
    asked: DeviceAuthorization,
    sealed: ByteString,
    now: Timestamp,
) -> Attempt {
    let code = DeviceCode {
        user_code: asked.user_code,
        verification_uri: asked.verification_uri.into(),
        verification_uri_complete: asked.verification_uri_complete.map(Into::into),
    };
    let Place { namespace, name, uid, .. } = job.place.clone();
    Attempt {
        terms: None,
        user: job.owner.clone(),
        person: None,
        connection: ConnectionRef { namespace, name, uid },
        request: Some(request.to_owned()),
        provider: job.target.provider().to_owned(),
        started_at: now,
        expires_at: later(now, asked.expires_in.min(LIFETIME)),
        step: Step::Waiting {
            code,
            next_poll: later(now, asked.interval),
            interval: u32::try_from(asked.interval.as_secs()).unwrap_or(u32::MAX),
            sealed,
        },
    }
}
