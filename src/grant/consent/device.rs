//! The device flow (RFC 8628): a code that the owner types elsewhere, and the operator asking until somebody has.
//!
//! It cannot prove who finished it, so the first grant that comes this way is not published before its owner agrees to the
//! account.

use std::time::Duration;

use super::ConsentError;
use super::arrival::Arrival;
use super::pledge::Pledge;
use crate::api::connection::Method;
use crate::attempt::state::{attempt_name, random_text};
use crate::attempt::store::Kept;
use crate::attempt::{Attempt, ConnectionRef, DeviceCode, LIFETIME, Step};
use crate::grant::actor::Grants;
use crate::grant::candidate::binding;
use crate::grant::outcome::Outcome;
use crate::grant::schedule::later;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::oauth::app::App;
use crate::oauth::device::{self, Poll};
use crate::telemetry::chain;
use crate::vault::Way;
use secrecy::ExposeSecret;

/// What `slow_down` adds to the interval (RFC 8628 §3.5), in seconds.
const SLOWER_BY: u32 = 5;

impl Grants {
    /// Asks for a device code and shows it.
    pub(super) async fn ask_device(&self, job: &Job) -> Outcome {
        match self.device_code(job).await {
            Ok(()) => Outcome::Stepped,
            Err(Ok(why)) => Outcome::IntakeRefused { why: why.into() },
            Err(Err(outcome)) => outcome,
        }
    }

    async fn device_code(&self, job: &Job) -> Result<(), Result<ConsentError, Outcome>> {
        let target = &job.target;
        if !target.methods().contains(&Method::DeviceCode) || !target.allows_device_flow() {
            return Err(Ok(ConsentError::NotOffered { whom_to_ask: target.whom_to_ask() }));
        }
        let app = self.device_app(job).await?;
        let permit = self.admitted(job).await.map_err(Err)?;
        let scopes = requested(target, &job.scopes);
        let now = self.clock.now();
        let http = self.clients.for_provider(target.insecure());
        let asked = device::authorize(http, target.description(), &app, &scopes, now);
        let asked = self.timed(Operation::Authorize, asked).await;
        drop(permit);
        let asked = asked
            .map_err(|failure| Ok(ConsentError::of(&self.heard(job, failure, None), target.whom_to_ask())))?;
        let name = random_text().map_err(|_| Err(Outcome::Stale))?;
        let name = attempt_name(name.expose_secret());
        let pledge = Pledge {
            attempt: name.clone(),
            secret: asked.device_code,
            redirect_uri: String::new(),
            scopes,
            bound_to: binding(job, Some(&app)),
        };
        let code = DeviceCode {
            user_code: asked.user_code,
            verification_uri: asked.verification_uri.into(),
            verification_uri_complete: asked.verification_uri_complete.map(Into::into),
        };
        let interval = u32::try_from(asked.interval.as_secs()).unwrap_or(u32::MAX);
        let sealed = pledge.seal(&self.sealer, &job.place).map_err(Ok)?;
        let attempt = Attempt {
            user: job.owner.clone(),
            connection: ConnectionRef {
                namespace: job.place.namespace.clone(),
                name: job.place.name.clone(),
                uid: job.place.uid.clone(),
            },
            provider: target.provider().to_owned(),
            started_at: now,
            expires_at: later(now, asked.expires_in.min(LIFETIME)),
            step: Step::Waiting { code, next_poll: later(now, asked.interval), interval, sealed },
        };
        self.attempts.create(&name, &attempt).await.map(|_| ()).map_err(|error| {
            tracing::warn!(error = %chain(&error), "a device code could not be kept");
            Err(Outcome::Stale)
        })
    }

    async fn device_app(&self, job: &Job) -> Result<std::sync::Arc<App>, Result<ConsentError, Outcome>> {
        match self.app(job).await {
            Ok(Some(app)) => Ok(app),
            Ok(None) => Err(Ok(ConsentError::NotOffered { whom_to_ask: job.target.whom_to_ask() })),
            Err(none) => Err(Err(none.into())),
        }
    }

    /// Asks once whether somebody has decided.
    pub(super) async fn poll(&self, job: &Job, name: &str) -> Outcome {
        let kept = match self.attempt(name).await {
            Ok(kept) => kept,
            Err(outcome) => return outcome,
        };
        let Step::Waiting { sealed, .. } = &kept.attempt.step else { return Outcome::Stepped };
        if kept.attempt.is_expired_at(self.clock.now()) {
            return self.fail(kept, ConsentError::TooLate).await;
        }
        let pledge = match Pledge::open(&self.sealer, &job.place, name, sealed) {
            Ok(pledge) => pledge,
            Err(why) => return self.fail(kept, why).await,
        };
        let app = match self.device_app(job).await {
            Ok(app) => app,
            Err(Ok(why)) => return self.fail(kept, why).await,
            Err(Err(outcome)) => return outcome,
        };
        if !pledge.holds_for(&binding(job, Some(&app))) {
            return self.fail(kept, ConsentError::TermsMoved).await;
        }
        let permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        let asked_at = self.clock.now();
        let http = self.clients.for_provider(job.target.insecure());
        let poll = device::poll(http, job.target.description(), &app, &pledge.secret, asked_at);
        let polled = self.timed(Operation::Exchange, poll).await;
        let outcome = match polled {
            Ok(Poll::Granted(granted)) => {
                let arrival = Arrival { kept, pledge: &pledge, app: &app, way: Way::Device, asked_at };
                self.arrived(job, arrival, granted.answer).await
            }
            Ok(Poll::Pending) => self.polled(&kept, 0),
            Ok(Poll::SlowDown) => self.slower(kept).await,
            Ok(Poll::Denied) => self.fail(kept, ConsentError::Denied).await,
            Ok(Poll::Expired) => self.fail(kept, ConsentError::TooLate).await,
            Err(failure) => {
                let failure = self.heard(job, failure, None);
                match ConsentError::of(&failure, job.target.whom_to_ask()) {
                    // RFC 8628 §3.5: after no answer, ask again, more slowly.
                    ConsentError::Unavailable { .. } => self.slower(kept).await,
                    why => self.fail(kept, why).await,
                }
            }
        };
        drop(permit);
        outcome
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
