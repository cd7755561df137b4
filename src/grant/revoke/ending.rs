//! Ending a grant: revoke it at the provider, then erase it, long after its connection may be gone.
//!
//! Revocation is repeated for seven days with growing pauses; then a Warning says where a person can do it by hand.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::reason::Reason;
use bowline_runtime::clock::later;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::time::sleep;

use super::request::revoke_opened;
use super::rule::{may_be_ended, reach};
use crate::grant::Engine;
use crate::grant::outcome::Outcome;
use crate::grant::work::Job;
use crate::kube_ext::events::Events;
use crate::vault::record::{Ending, GrantEnding};
use crate::vault::{Loaded, Opened, Record, Slot};

/// How long revocation is repeated.
const TRIED_FOR: Duration = Duration::from_hours(7 * 24);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Revokes the grant and erases the ending with this key, if it is still what was `read`. What cannot be done now is postponed.
pub(crate) async fn end(engine: &Engine, events: &Events, job: &Job, key: &str, read: &ObjectVersion) {
    let records = &engine.records;
    let now = || records.endings.get(key).ok().flatten();
    let Some(loaded) = now().filter(|loaded| loaded.version.read() == *read) else { return };
    // While its record is there, the grant may still be in use.
    if records.is_unmoved(&loaded.record) {
        return;
    }
    match revoke_all(engine, job, loaded.record.record()).await {
        Ok(renewed) => {
            // A late answer of another request is not revoked yet, unless it came by this revocation itself.
            let Some(revoked) = now().filter(|now| renewed || now.version.read() == *read) else { return };
            if revoked.record.withdrawal().is_settled() {
                records.erase_ending(revoked.version).await;
            } else {
                let next = Ending::clone(&revoked.record).revoked();
                records.replace_ending(revoked, next).await;
            }
        }
        Err(why) => {
            let by_hand = job.target.description().revoke.by_hand.as_deref();
            postpone(engine, events, loaded, &why, by_hand).await;
        }
    }
}

/// Whether an access token had to be fetched for it, which is on record now.
async fn revoke_all(engine: &Engine, job: &Job, record: &Record) -> Result<bool, String> {
    let Engine { records, secrets, .. } = engine;
    let open = |slot| record.open(&records.sealer, slot).map_err(|error| error.to_string());
    let is_revoked =
        |opened: &Opened| may_be_ended(reach(&records.store, job.target.description(), &opened.grant));
    let grants: Vec<_> = [open(Slot::InUse)?, open(Slot::Candidate)?].into_iter().flatten().collect();
    let (revoked, shared): (Vec<_>, Vec<_>) = grants.into_iter().partition(is_revoked);
    if !shared.is_empty() {
        tracing::info!("not revoked at the provider: a connection lives on the same grant there");
    }
    if revoked.is_empty() {
        return Ok(false);
    }
    let app = secrets.app(job).await.map_err(|outcome| match outcome {
        Outcome::SecretMissing { message } => message,
        _ => format!("Secret {} could not be read now.", job.own_app.as_deref().unwrap_or_default()),
    })?;
    let mut renewed = false;
    for opened in revoked {
        renewed |= revoke_opened(engine, job, app.as_deref(), opened, record).await?;
    }
    Ok(renewed)
}

/// Records a revocation that failed, unless the ending has changed since it was read: then somebody else has recorded it. The
/// first failure is reported, and so is the last: the grant still lives at the provider.
pub(crate) async fn postpone(
    engine: &Engine,
    events: &Events,
    failed: Loaded<Ending>,
    why: &str,
    by_hand: Option<&str>,
) {
    let (records, ending) = (&engine.records, Arc::clone(&failed.record));
    let (progress, place) = (ending.progress(), ending.record().place());
    let next = later(records.clock.now(), pause(progress.failures));
    tracing::warn!(why, failures = progress.failures + 1, "the grant is not revoked yet");
    if records.replace_ending(failed, Ending::clone(&ending).postponed(next, why)).await.is_none() {
        // Otherwise the queue would start again at once; the API server needs the pause too.
        return sleep(Duration::from_secs(5)).await;
    }
    let last = is_given_up(progress, next);
    if progress.failures == 0 || last {
        let what_next = if last { "It is not tried again." } else { "It is tried again for seven days." };
        let by_hand = by_hand.map_or_else(String::new, |by_hand| format!(" By hand: {by_hand}"));
        let note = format!("The grant could not be revoked at the provider: {why}. {what_next}{by_hand}");
        // The connection may be gone.
        let mut connection = ObjectRef::<IntegrationConnection>::new(&place.name).within(&place.namespace);
        connection.extra.uid = Some(place.uid.clone());
        events.publish(&connection.into(), Reason::RevocationFailed, "Revoke", &note).await;
    }
}

/// Whether the revocation has been given up.
pub(crate) fn is_given_up(ending: &GrantEnding, now: Timestamp) -> bool {
    later(ending.since, TRIED_FOR) <= now
}

/// Ten seconds, doubling to an hour.
pub(crate) fn pause(failures: i32) -> Duration {
    Duration::from_secs(10).saturating_mul(1 << failures.clamp(0, 9)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<_> = (0..12).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
    }
}
