//! A grant that another one took the place of: revoked at the provider, but not before pods had time to get the new token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;
use tokio::time::sleep;

use super::actor::Grants;
use super::end::may_be_sent;
use super::work::Job;
use crate::vault::Grant;

/// Former grants that are still to be revoked, by the connection's UID. A process that ends revokes them at once; what one
/// that is killed had here is left to the provider's own clearing up.
pub struct Formers {
    grace: Duration,
    waiting: Mutex<HashMap<String, Vec<Grant>>>,
}

impl Formers {
    /// None yet. Each is left alone for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, waiting: Mutex::default() }
    }

    fn remember(&self, uid: &str, former: Grant) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(uid.to_owned()).or_default().push(former);
    }

    fn take(&self, uid: &str) -> Vec<Grant> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(uid).unwrap_or_default()
    }
}

impl Grants {
    /// Has a grant revoked later whose place `new` took.
    pub(super) fn remember_former(&self, job: &Job, new: &Grant, former: Grant) {
        if is_revoked_for(job, new, &former) {
            self.formers.remember(&job.place.uid, former);
        }
    }

    /// Revokes what this piece of work took the place of: pods read the old token until their node has fetched the new Secret.
    pub(super) async fn revoke_formers(&self, job: &Job) {
        let formers = self.formers.take(&job.place.uid);
        if formers.is_empty() {
            return;
        }
        tokio::select! {
            () = sleep(self.formers.grace) => {}
            () = self.draining.cancelled() => {}
        }
        for former in formers {
            self.revoke_former(job, &former).await;
        }
    }

    /// Revokes a grant whose place another took, if that is ours to do. What cannot be done now is left to the provider.
    pub(super) async fn revoke_former(&self, job: &Job, former: &Grant) {
        let app = self.app(job).await.ok().flatten();
        if self.is_in_use(&job.place.uid, former) || !may_be_sent(former, job, app.as_deref()) {
            return;
        }
        if let Err(why) = self.withdraw(job, app.as_deref(), former).await {
            tracing::info!(why, "the former grant could not be revoked; it is not used any more");
        }
    }
}

/// Whether the former grant is revoked: it was given to us, and that ends it alone. Elsewhere it would end the new one too.
pub(super) fn is_revoked_for(job: &Job, new: &Grant, former: &Grant) -> bool {
    let description = job.target.description();
    let alone =
        description.revoke.scope == RevokeScope::Token && description.grant.chain == Chain::Connection;
    alone && new.consent.is_ours() && former.consent.is_ours()
}
