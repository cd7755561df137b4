//! Ending a grant: revoke it at the provider, then erase it, long after its connection may be gone.
//!
//! Revocation is repeated for seven days with growing pauses; then it is told where a person can do it by hand. While another
//! connection lives on the same grant, it waits, and the last one to end revokes them all.

use std::time::Duration;

use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::identity::user_info;
use bowline_runtime::clock::later;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;
use tokio::time::sleep;

use super::request::{may_be_sent, revoke_opened};
use super::rule::{Reach, reach};
use crate::grant::Engine;
use crate::grant::outcome::Outcome;
use crate::grant::slot::access_token;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::record::{EndCause, Ending, Kept, RevocationResult, WaitsFor};
use crate::vault::{Account, Binding, Grant, Loaded, Opened, Record, Slot};

/// How long revocation is repeated.
const TRIED_FOR: Duration = Duration::from_hours(7 * 24);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What one attempt did about the grants of an ending.
#[derive(Default)]
struct RevocationPass {
    /// Those that need nothing more, and what became of them.
    settled: Vec<(Slot, Option<RevocationResult>)>,
    waits: Option<WaitsFor>,
    /// Why the rest is to be tried again.
    failed: Option<String>,
    /// Whether an access token had to be fetched for it, which is on record now.
    renewed: bool,
}

/// Revokes the grants of the ending with this key, if it is still what was `read`. What cannot be done now is postponed.
pub(crate) async fn end(engine: &Engine, job: &Job, key: &str, read: &ObjectVersion) {
    let records = &engine.records;
    let now = || records.endings.get(key).ok().flatten();
    let Some(loaded) = now().filter(|loaded| loaded.version.read() == *read) else { return };
    // While its record is there, the grant may still be in use.
    if records.is_unmoved(&loaded.record) {
        return;
    }
    let progress = revoke_all(engine, job, &loaded.record).await;
    // A late answer of another request is not revoked yet, unless it came by this revocation itself.
    let Some(loaded) = now().filter(|now| progress.renewed || now.version.read() == *read) else { return };
    let settle = |ending: Ending, (slot, result)| ending.settled(slot, result);
    let ending = progress.settled.into_iter().fold(Ending::clone(&loaded.record), settle);
    let ending = progress.waits.into_iter().fold(ending, Ending::waiting);
    match progress.failed {
        Some(why) => {
            let by_hand = job.target.description().revoke.by_hand.as_deref();
            postpone(engine, loaded, ending, &why, by_hand).await;
        }
        None => drop(records.replace_ending(loaded, ending).await),
    }
}

async fn revoke_all(engine: &Engine, job: &Job, ending: &Ending) -> RevocationPass {
    let mut progress = RevocationPass::default();
    for slot in [Slot::InUse, Slot::Candidate] {
        if let Err(why) = revoke_slot(engine, job, ending, slot, &mut progress).await {
            progress.failed = Some(why);
            break;
        }
    }
    progress
}

async fn revoke_slot(
    engine: &Engine,
    job: &Job,
    ending: &Ending,
    slot: Slot,
    progress: &mut RevocationPass,
) -> Result<(), String> {
    let (Engine { records, secrets, .. }, record) = (engine, ending.record());
    let opened = record.open(&records.sealer, slot).map_err(|error| error.to_string())?;
    let Some(mut opened) = opened else { return Ok(()) };
    let app = secrets.app(job).await.map_err(|outcome| match outcome {
        Outcome::SecretMissing { message } => message,
        _ => format!("Secret {} could not be read now.", job.own_app.as_deref().unwrap_or_default()),
    })?;
    if ending.cause() != EndCause::Ended && opened.grant.bound_to.account.is_none() {
        opened.grant.bound_to.account = account(engine, job, app.as_deref(), &opened.grant).await;
    }
    match hindrance(engine, job, ending, &opened) {
        Some(Hindrance::LivesOn(waits)) => {
            tracing::info!("not revoked at the provider yet: a connection lives on the same grant there");
            progress.waits = Some(waits);
            return Ok(());
        }
        Some(Hindrance::Unknown(why)) => return Err(why.to_owned()),
        None => {}
    }
    let (result, renewed) = revoke_opened(engine, job, app.as_deref(), opened, record).await?;
    progress.renewed |= renewed;
    progress.settled.push((slot, result));
    Ok(())
}

/// Why a grant is not revoked now.
enum Hindrance {
    LivesOn(WaitsFor),
    /// What it could end is not known.
    Unknown(&'static str),
}

/// Whether something forbids to revoke it now. What its owner disconnects or deletes is revoked, if in doubt; what is only of no
/// use must harm nobody.
fn hindrance(engine: &Engine, job: &Job, ending: &Ending, opened: &Opened) -> Option<Hindrance> {
    let (records, uid) = (&engine.records, ending.record().uid());
    let own = || records.get(uid).map(|loaded| loaded.record).filter(|record| record.is_alive());
    let unknown = "whose account it is, or who else uses it, is not known, so this could end another grant";
    match (reach(records, job.target.description(), &opened.grant), ending.cause()) {
        (Reach::Shared(other), _) => Some(Hindrance::LivesOn(waits_for(engine, opened, &other))),
        (Reach::TokenAlone | Reach::OnlyOne, _) | (Reach::Unknown, EndCause::Ended) => None,
        // The grant that replaced it is of the same account, most likely.
        (Reach::Unknown, EndCause::Replaced) => {
            own().map(|own| Hindrance::LivesOn(waits_for(engine, opened, &own)))
        }
        (Reach::Unknown, EndCause::Refused { .. }) => Some(Hindrance::Unknown(unknown)),
    }
}

/// The other connection, named by its owner if that is the owner of this grant.
fn waits_for(engine: &Engine, opened: &Opened, other: &Record) -> WaitsFor {
    let owner = |bound_to: &Binding| bound_to.owner.clone();
    let theirs = engine.records.opened(other, Slot::InUse).map(|other| owner(&other.grant.bound_to));
    let owner = theirs.filter(|theirs| *theirs == opened.grant.bound_to.owner);
    WaitsFor { uid: other.uid().to_owned(), key: other.sibling_key().cloned(), owner }
}

/// The account that the provider names by now.
async fn account(engine: &Engine, job: &Job, app: Option<&App>, grant: &Grant) -> Option<Account> {
    may_be_sent(job, app, grant).ok()?;
    let now = engine.records.clock.now();
    let info = user_info(job.target.http(), job.target.description(), app, access_token(grant)?, now);
    let account = engine.gate.timed(Operation::Identity, info).await.ok()?.account?;
    Some(Account { id: account.id, name: account.name, email: account.email })
}

/// Records a revocation that failed, unless the ending has changed since it was read: then somebody else has recorded it.
/// `ending` is what it is by now.
pub(crate) async fn postpone(
    engine: &Engine,
    read: Loaded<Ending>,
    ending: Ending,
    why: &str,
    by_hand: Option<&str>,
) {
    let (records, failures) = (&engine.records, ending.progress().failures);
    let next = later(records.clock.now(), pause(failures));
    tracing::warn!(why, failures = failures + 1, "the grant is not revoked yet");
    if records.replace_ending(read, ending.postponed(next, why, by_hand)).await.is_none() {
        // Otherwise the queue would start again at once; the API server needs the pause too.
        sleep(Duration::from_secs(5)).await;
    }
}

/// Whether the revocation has been given up.
pub(in crate::grant) fn is_given_up(ending: &Ending, now: Timestamp) -> bool {
    let progress = ending.progress();
    ending.has_grant() && progress.waits.is_none() && later(progress.since, TRIED_FOR) <= now
}

/// What is known by now of the end of a grant at its provider; `None` while the first request is under way, or if there was
/// nothing at a provider.
pub(crate) fn standing(ending: &Ending, now: Timestamp) -> Option<RevocationResult> {
    let RevocationResult { reason, detail } = revocation(ending, now)?;
    let which = match ending.cause() {
        EndCause::Ended => return Some(RevocationResult { reason, detail }),
        EndCause::Replaced => "It is the former grant, which another one has replaced.",
        EndCause::Refused { .. } => "It is a grant that was refused, and was never used.",
    };
    Some(RevocationResult { reason, detail: format!("{which} {detail}").trim_end().to_owned() })
}

fn revocation(ending: &Ending, now: Timestamp) -> Option<RevocationResult> {
    let progress = ending.progress();
    if let Some(waits) = &progress.waits {
        let detail = waiting_words(waits, ending.record().uid());
        return Some(RevocationResult { reason: Reason::RevocationWaits, detail });
    }
    if !ending.has_grant() {
        return progress.result.clone();
    }
    let why = progress.last_error.as_deref()?.trim_end_matches('.');
    let by_hand = progress.by_hand.as_ref().map_or_else(String::new, |how| format!(" By hand: {how}"));
    Some(if is_given_up(ending, now) {
        RevocationResult {
            reason: Reason::RevocationGivenUp,
            detail: format!("The last attempt: {why}.{by_hand}"),
        }
    } else {
        let detail = format!("{why}. It is tried again for seven days.{by_hand}");
        RevocationResult { reason: Reason::RevocationFailed, detail }
    })
}

fn waiting_words(waits: &WaitsFor, uid: &str) -> String {
    match &waits.owner {
        _ if waits.uid == uid => {
            "This connection uses another grant of the same account: when that ends, this one is revoked too."
                .to_owned()
        }
        Some(owner) => {
            format!(
                "Another connection of {owner} uses the same account: when the last one ends, all are revoked."
            )
        }
        None => {
            "Another connection uses the same account: when the last one ends, all are revoked.".to_owned()
        }
    }
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
