//! The device flow (RFC 8628): a code that the owner types elsewhere, and the operator asking until somebody has.
//!
//! It cannot prove who finished it, so the first grant that comes this way is not published before its owner agrees to the
//! account.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::attempt::attempt_name;
use bowline_api::attempt::{Attempt, ConnectionRef, DeviceCode, Ending, LIFETIME, Step};
use bowline_api::connection::Method;
use bowline_api::opaque::random_text;
use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::classify::Failure;
use bowline_oauth::device::{self, DeviceAuthorization, Poll};
use bowline_runtime::attempts::{AttemptError, Kept};
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;

use super::arrival::Arrival;
use super::pledge::Pledge;
use super::{ConsentError, Unasked, not_offered};
use crate::grant::actor::Grants;
use crate::grant::candidate::binding;
use crate::grant::outcome::Outcome;
use crate::grant::schedule::later;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{Place, Way};
use secrecy::ExposeSecret;

/// What `slow_down` adds to the interval (RFC 8628 §3.5), in seconds.
const SLOWER_BY: u32 = 5;

impl Grants {
    /// Asks for a device code and shows it.
    pub(super) async fn ask_device(&self, job: &Job) -> Outcome {
        match self.device_code(job).await {
            Ok(()) => Outcome::Stepped,
            Err(Unasked::Refused(why)) => Outcome::IntakeRefused { why: why.into() },
            Err(Unasked::Later(outcome)) => outcome,
        }
    }

    async fn device_code(&self, job: &Job) -> Result<(), Unasked> {
        let target = &job.target;
        if !target.methods().contains(&Method::DeviceCode) || !target.allows_device_flow() {
            return Err(not_offered(job).into());
        }
        let app = self.consented_app(job).await?;
        let permit = self.admitted(job).await?;
        let scopes = requested(target, &job.scopes);
        let now = self.clock.now();
        let http = target.http();
        let asked = device::authorize(http, target.description(), &app, &scopes, now);
        let asked = self.timed(Operation::Authorize, asked).await;
        drop(permit);
        let asked = asked.map_err(|failure| self.declined(job, failure))?;
        let name = random_text().map_err(|_| Outcome::Stale)?;
        let name = attempt_name(name.expose_secret());
        let pledge = Pledge {
            attempt: name.clone(),
            secret: asked.device_code.clone(),
            redirect_uri: String::new(),
            scopes,
            bound_to: binding(job, Some(&app)),
        };
        let sealed = pledge.seal(&self.sealer, &job.place)?;
        self.attempts
            .create(&name, &waiting(job, asked, sealed, now))
            .await
            .map_err(|error| unkept(&error))?;
        self.replace_codes(&job.place.uid, &name).await;
        Ok(())
    }

    /// Ends the codes that waited before, so that none of them is shown as the one that was just asked for (`by`). What cannot be
    /// ended now is ended when the watch shows both.
    async fn replace_codes(&self, uid: &str, by: &str) {
        let earlier = self.attempts.of_connection(uid).await.unwrap_or_else(|error| {
            tracing::info!(error = %chain(&error), "earlier codes cannot be listed now");
            Vec::new()
        });
        let waits = |kept: &Kept| kept.name != by && matches!(kept.attempt.step, Step::Waiting { .. });
        for kept in earlier.into_iter().filter(waits) {
            self.conclude(kept, replaced_code()).await;
        }
    }

    /// Asks once whether somebody has decided.
    pub(super) async fn poll(&self, job: &Job, name: &str) -> Outcome {
        let kept = match self.attempt(name).await {
            Ok(kept) => kept,
            Err(outcome) => return outcome,
        };
        let (pledge, app) = match self.waited_for(job, &kept).await {
            Ok(known) => known,
            Err(Unasked::Refused(why)) => return self.fail(kept, why).await,
            Err(Unasked::Later(outcome)) => return outcome,
        };
        let permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        let asked_at = self.clock.now();
        let http = job.target.http();
        let poll = device::poll(http, job.target.description(), &app, &pledge.secret, asked_at);
        let polled = self.timed(Operation::Exchange, poll).await;
        drop(permit);
        match polled {
            Ok(Poll::Granted(granted)) => {
                let arrival = Arrival { kept, pledge: &pledge, app: &app, way: Way::Device, asked_at };
                self.arrived(job, arrival, granted.answer).await
            }
            Ok(Poll::Pending) => self.polled(&kept, 0),
            Ok(Poll::SlowDown) => self.slower(kept).await,
            Ok(Poll::Denied) => self.fail(kept, ConsentError::Denied).await,
            Ok(Poll::Expired) => self.fail(kept, ConsentError::TooLate).await,
            Err(failure) => self.unanswered(job, kept, failure).await,
        }
    }

    /// The device code that is asked with, if the terms are still those under which it was given.
    async fn waited_for(&self, job: &Job, kept: &Kept) -> Result<(Pledge, Arc<App>), Unasked> {
        let Step::Waiting { sealed, .. } = &kept.attempt.step else { return Err(Outcome::Stepped.into()) };
        if kept.attempt.is_expired_at(self.clock.now()) {
            return Err(ConsentError::TooLate.into());
        }
        let pledge = Pledge::open(&self.sealer, &job.place, &kept.name, sealed)?;
        let app = self.consented_app(job).await?;
        if pledge.holds_for(&binding(job, Some(&app))) {
            Ok((pledge, app))
        } else {
            Err(ConsentError::TermsMoved.into())
        }
    }

    async fn unanswered(&self, job: &Job, kept: Kept, failure: Failure) -> Outcome {
        match self.declined(job, failure) {
            // RFC 8628 §3.5: after no answer, ask again, more slowly.
            ConsentError::Unavailable { .. } => self.slower(kept).await,
            why => self.fail(kept, why).await,
        }
    }

    /// When to ask again. Nothing is written for it: after a restart the provider says how fast is too fast.
    fn polled(&self, kept: &Kept, more: u32) -> Outcome {
        let Step::Waiting { interval, .. } = &kept.attempt.step else { return Outcome::Stepped };
        let wait = Duration::from_secs(u64::from(interval.saturating_add(more)));
        Outcome::Polled { until: later(self.clock.now(), wait) }
    }

    async fn slower(&self, kept: Kept) -> Outcome {
        let outcome = self.polled(&kept, SLOWER_BY);
        let (Step::Waiting { code, interval, sealed, .. }, Outcome::Polled { until }) =
            (kept.attempt.step.clone(), &outcome)
        else {
            return Outcome::Stepped;
        };
        let interval = interval.saturating_add(SLOWER_BY);
        let _ = self.step(kept, Step::Waiting { code, next_poll: *until, interval, sealed }).await;
        outcome
    }
}

/// Why a code is not waited for that could not be kept.
fn unkept(error: &AttemptError) -> Unasked {
    tracing::warn!(error = %chain(error), "a device code could not be kept");
    match error {
        // Asking for one code after another would not help.
        AttemptError::Kube(kube::Error::Api(status)) if [403, 404].contains(&status.code) => {
            ConsentError::NotInstalled.into()
        }
        _ => Outcome::Stale.into(),
    }
}

/// The end of a code that another one was asked for after.
pub fn replaced_code() -> Ending {
    let message = "Another code was asked for since; this one is not waited for any more.";
    Ending::failed(Reason::AuthorizationFailed, message.to_owned())
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
