//! Orders about issued keys that somebody gave in the portal.

use bowline_api::attempt::Step;
use bowline_api::connection::Method;
use bowline_runtime::attempts::StoredAttempt;

use super::arrival::in_use;
use super::terms::{may_consent, not_offered, offers, person_behind};
use crate::grant::Engine;
use crate::grant::issue::{self, Orderer};
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::refusal::{ConsentError, IntakeError};
use crate::grant::work::Job;

/// Carries out the order of an attempt, and ends the attempt.
pub(super) async fn carry_out(engine: &Engine, job: &Job, name: &str) -> WorkResult {
    let kept = engine.consents.attempt(name).await?;
    let done = match &kept.attempt.step {
        Step::Ordered { .. } => ordered(engine, job, &kept).await,
        _ => return Ok(Outcome::Stepped),
    };
    match done {
        Ok(()) => {
            engine.consents.conclude(kept, in_use()).await;
            Ok(Outcome::Committed { accepted: true })
        }
        Err(outcome) => Err(engine.consents.failed(kept, outcome).await),
    }
}

async fn ordered(engine: &Engine, job: &Job, kept: &StoredAttempt) -> Result<(), Outcome> {
    let Step::Ordered { order } = &kept.attempt.step else { return Err(Outcome::Stepped) };
    if kept.attempt.is_expired_at(engine.records.clock.now()) {
        return Err(ConsentError::TooLate.into());
    }
    may_consent(engine, job, kept)?;
    if job.method != Method::IssuedKey || !offers(job, Method::IssuedKey) {
        return Err(not_offered(job).into());
    }
    let order = order.clone().checked().map_err(IntakeError::from)?;
    let (user, person) = (kept.attempt.user.clone(), person_behind(engine, job, kept));
    issue::carry_out(engine, job, &order, Orderer { user, person, source: None }).await
}
