//! Records without a connection: noted, kept for a while in case of a restore, then erased.

use std::time::Duration;

use super::actor::Grants;
use super::schedule::later;
use crate::vault::Loaded;

impl Grants {
    /// Notes that nobody knows the connection of this record, and erases the record when that has been so for `retention`.
    ///
    /// Nothing is revoked: nobody asked for that. The caller has made sure by a live look that the connection is gone.
    pub async fn orphaned(&self, orphan: Loaded, retention: Duration) {
        let Loaded { record, version } = orphan;
        let (uid, now) = (record.uid(), self.clock.now());
        let Some(since) = record.orphaned_since() else {
            tracing::warn!(
                namespace = record.place().namespace,
                name = record.place().name,
                "a record has no connection"
            );
            if self.settle(uid, |record| Ok(record.orphaned(now))).await.is_err() {
                tracing::warn!("the orphan could not be noted now");
            }
            return;
        };
        if later(since, retention) <= now {
            tracing::info!(
                namespace = record.place().namespace,
                name = record.place().name,
                "an orphaned record is erased"
            );
            self.erase(version).await;
        }
    }
}
