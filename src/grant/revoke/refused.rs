//! What becomes of a candidate at the provider that was refused, or has no place here.

use bowline_oauth::app::App;
use bowline_runtime::telemetry::chain;

use super::request::revoke;
use super::rule::{Asked, may_be_revoked, reach};
use crate::grant::engine::Engine;
use crate::grant::refusal::IntakeError;
use crate::grant::work::Job;
use crate::vault::{Grant, Record};

/// Revokes the refused candidate where that is ours to do, and erases it. What could not be revoked is told with `why`.
pub(crate) async fn discard(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    candidate: &Grant,
    why: IntakeError,
) -> IntakeError {
    let consented = candidate.consent.is_ours();
    let why = match revoke_if_unused(engine, job, app, candidate, consented).await {
        Ok(_) => why,
        Err(error) => {
            tracing::warn!(error, "a refused grant could not be revoked at the provider");
            let by_hand = job.target.description().revoke.by_hand.clone();
            IntakeError::NotRevoked { why: Box::new(why), by_hand }
        }
    };
    if let Err(error) = engine.records.settle(&job.place.uid, Record::candidate_refused).await {
        tracing::warn!(error = %chain(&error), "a refused candidate could not be erased now");
    }
    why
}

/// Revokes a grant that was given to us and has no place here, where that affects no other. Its account must be known, or nobody
/// could tell.
pub(crate) async fn give_back(engine: &Engine, job: &Job, app: &App, grant: &Grant) {
    match revoke_if_unused(engine, job, Some(app), grant, true).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("a grant that has no place here is not revoked: that could end another's");
        }
        Err(why) => tracing::warn!(why, "a grant that has no place here could not be revoked"),
    }
}

/// Whether it was revoked.
async fn revoke_if_unused(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    grant: &Grant,
    consented: bool,
) -> Result<bool, String> {
    let reach = reach(&engine.records.store, &job.place.uid, job.target.description(), grant);
    if !may_be_revoked(Asked::ByNobody { consented }, reach) {
        return Ok(false);
    }
    revoke(engine, job, app, grant).await.map(|()| true)
}
