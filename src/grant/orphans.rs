//! Records without a connection: noted, kept for a while in case of a restore, then erased.

use std::time::Duration;

use bowline_runtime::clock::later;

use super::records::Records;
use crate::vault::{Loaded, Record};

/// Notes that nobody knows the connection of this record, and erases the record when that has been so for `retention`.
///
/// Nothing is revoked: nobody asked for that. The caller has made sure by a live look that the connection is gone.
pub(super) async fn orphaned(records: &Records, orphan: Loaded, retention: Duration) {
    let Loaded { record, version } = orphan;
    let (place, now) = (record.place(), records.clock.now());
    let Some(since) = record.orphaned_since() else {
        tracing::warn!(namespace = place.namespace, name = place.name, "a record has no connection");
        if records.settle(&place.uid, |record| Ok(record.orphaned(now))).await.is_err() {
            tracing::warn!("the orphan could not be noted now");
        }
        return;
    };
    if later(since, retention) <= now {
        tracing::info!(namespace = place.namespace, name = place.name, "an orphaned record is erased");
        records.erase(version).await;
    }
}

/// Takes the note off a record whose connection is there: should it go once more, the time counts from then.
pub(super) async fn claimed(records: &Records, uid: &str) {
    if records.settle(uid, |record| Ok(Record::claimed(record))).await.is_err() {
        tracing::warn!(uid, "the note on a record whose connection is back could not be removed now");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{ApiServer, at, place, records};

    const RETENTION: Duration = Duration::from_hours(24);

    #[tokio::test(start_paused = true)]
    async fn an_orphan_is_erased_after_its_retention_which_counts_anew_once_its_connection_was_back() {
        let api = ApiServer::default();
        let records = records(&api).await;
        let _ = records.store.create(Record::new(place("u1")).orphaned(at(-90_000))).await.unwrap();
        claimed(&records, "u1").await;
        for _ in 0..2 {
            orphaned(&records, records.get("u1").unwrap(), RETENTION).await;
        }
        assert_eq!(records.get("u1").unwrap().record.orphaned_since(), Some(at(0)));

        let _ = records.settle("u1", |record| Ok(record.claimed().orphaned(at(-86_400)))).await.unwrap();
        orphaned(&records, records.get("u1").unwrap(), RETENTION).await;
        assert!(!api.has("record-u1"));
    }
}
