//! A grant that another one has replaced: revoked at the provider, but not before pods had time to get the new token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::request::revoke;
use super::rule::{Asked, Reach, ends_token_alone, may_be_revoked};
use crate::grant::engine::Engine;
use crate::grant::slot::is_same;
use crate::grant::work::Job;
use crate::vault::Grant;

/// Replaced grants that are still to be revoked, by the connection's UID. A process that ends revokes them at once; what one
/// that is killed had here is left to the provider's own clearing up.
pub(crate) struct Replaced {
    grace: Duration,
    waiting: Mutex<HashMap<String, Vec<Grant>>>,
}

impl Replaced {
    /// None yet. Each is left alone for `grace`.
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, waiting: Mutex::default() }
    }

    /// Has a grant revoked later that `new` has replaced.
    pub(in crate::grant) fn remember(&self, job: &Job, new: &Grant, old: Grant) {
        if is_revoked_after(job, new, &old) {
            self.lock().entry(job.place.uid.clone()).or_default().push(old);
        }
    }

    fn take(&self, uid: &str) -> Vec<Grant> {
        self.lock().remove(uid).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Grant>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Revokes what this piece of work has replaced: pods read the old token until their node has fetched the new Secret.
pub(crate) async fn revoke_all_replaced(engine: &Engine, replaced: &Replaced, job: &Job) {
    let waiting = replaced.take(&job.place.uid);
    if waiting.is_empty() {
        return;
    }
    tokio::select! {
        () = sleep(replaced.grace) => {}
        () = engine.gate.closed() => {}
    }
    for old in waiting {
        revoke_replaced(engine, job, &old).await;
    }
}

/// Revokes a replaced grant. What cannot be done now is left to the provider.
pub(crate) async fn revoke_replaced(engine: &Engine, job: &Job, old: &Grant) {
    if engine.records.in_use(&job.place.uid).is_some_and(|in_use| is_same(&in_use, old)) {
        return;
    }
    let app = engine.secrets.app(job).await.ok().flatten();
    if let Err(why) = revoke(engine, job, app.as_deref(), old).await {
        tracing::info!(why, "the former grant could not be revoked; it is not used any more");
    }
}

/// Whether a grant is revoked once `new` has replaced it: only where that does not end the new one too.
pub(crate) fn is_revoked_after(job: &Job, new: &Grant, old: &Grant) -> bool {
    let alone = ends_token_alone(job.target.description());
    let reach = if alone { Reach::TokenAlone } else { Reach::Shared };
    new.consent.is_ours() && may_be_revoked(Asked::ByNobody { consented: old.consent.is_ours() }, reach)
}
