//! Revoking useless grants: one that was refused or has no place here at once, one that was replaced after pods had time to
//! get the new token.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bowline_oauth::app::App;
use tokio::time::sleep;

use super::request::revoke;
use super::rule::{ends_token_alone, may_be_discarded, reach};
use crate::grant::refusal::IntakeError;
use crate::grant::slot::is_same;
use crate::grant::work::Job;
use crate::grant::{Engine, lock};
use crate::vault::{Grant, Record};

/// Revokes the refused candidate if we may, and erases it. What could not be revoked is reported together with `why`.
pub(crate) async fn discard(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    candidate: &Grant,
    why: IntakeError,
) -> IntakeError {
    let why = match revoke_if_unused(engine, job, app, candidate).await {
        Ok(_) => why,
        Err(error) => {
            tracing::warn!(error, "a refused grant could not be revoked at the provider");
            let by_hand = job.target.description().revoke.by_hand.clone();
            IntakeError::NotRevoked { why: Box::new(why), by_hand }
        }
    };
    engine.records.note(&job.place.uid, "the refusal of a candidate", Record::candidate_refused).await;
    why
}

/// Revokes a grant that has no place here, if that affects no other grant. Its account must be known for that.
pub(crate) async fn give_back(engine: &Engine, job: &Job, app: &App, grant: &Grant) {
    let why = match revoke_if_unused(engine, job, Some(app), grant).await {
        Ok(true) => return,
        Ok(false) => "that could end another's".to_owned(),
        Err(why) => why,
    };
    tracing::warn!(why, "a grant that has no place here is not revoked");
}

/// Whether it was revoked.
async fn revoke_if_unused(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    grant: &Grant,
) -> Result<bool, String> {
    let reach = reach(&engine.records.store, job.target.description(), grant);
    if !may_be_discarded(grant.consent.is_ours(), &reach) {
        return Ok(false);
    }
    revoke(engine, job, app, grant).await.map(|_| true)
}

/// Replaced grants that are still to be revoked, by the connection's UID. A process that ends revokes them at once; those of
/// a process that is killed are left to the provider's own clean-up.
pub(crate) struct Replaced {
    grace: Duration,
    waiting: Mutex<HashMap<String, Vec<Grant>>>,
}

impl Replaced {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, waiting: Mutex::default() }
    }

    /// Schedules the revocation of a grant that `new` has replaced.
    pub(in crate::grant) fn remember(&self, job: &Job, new: &Grant, old: Grant) {
        if is_revoked_after(job, new, &old) {
            lock(&self.waiting).entry(job.place.uid.clone()).or_default().push(old);
        }
    }
}

/// Revokes what this job has replaced: pods use the old token until their node has fetched the new Secret.
pub(crate) async fn revoke_all_replaced(engine: &Engine, job: &Job) {
    let Some(waiting) = lock(&engine.replaced.waiting).remove(&job.place.uid) else { return };
    tokio::select! {
        () = sleep(engine.replaced.grace) => {}
        () = engine.gate.draining.cancelled() => {}
    }
    for old in waiting {
        revoke_replaced(engine, job, &old).await;
    }
}

/// Revokes a replaced grant. If that fails now, it is left to the provider.
pub(crate) async fn revoke_replaced(engine: &Engine, job: &Job, old: &Grant) {
    if engine.records.in_use(&job.place.uid).is_some_and(|in_use| is_same(&in_use, old)) {
        return;
    }
    let app = engine.secrets.app(job).await.ok().flatten();
    if let Err(why) = revoke(engine, job, app.as_deref(), old).await {
        tracing::info!(why, "the former grant could not be revoked; it is not used any more");
    }
}

/// Whether a grant is revoked after `new` has replaced it: only if that does not end the new one too.
pub(crate) fn is_revoked_after(job: &Job, new: &Grant, old: &Grant) -> bool {
    ends_token_alone(job.target.description()) && new.consent.is_ours() && old.consent.is_ours()
}
