//! Answer → disk → record: what the provider issued for a spent token is not lost, whatever happens to this process.

use std::time::Duration;

use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::limits::AnswerPart;
use bowline_runtime::telemetry::chain;
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use tokio::time::timeout;

use super::answer::{is_same, renewed};
use super::mark::Mark;
use super::{NotSpent, Spent};
use crate::grant::Engine;
use crate::grant::records::{NotWritten, Patience, Records};
use crate::grant::work::Job;
use crate::vault::journal::JournalEntry;
use crate::vault::record::Ending;
use crate::vault::{Credential, Grant, IntentId, Loaded, Opened, Place, Record, Slot, TransitionError};

/// The way into the cluster is not held back longer by a disk.
const ON_DISK_WITHIN: Duration = Duration::from_secs(2);

/// What a provider issued, on its way into the record of what was spent for it.
struct Renewal<'a> {
    opened: &'a Opened,
    /// The intent that the request was sent under, if it needed one.
    intent: Option<IntentId>,
    grant: &'a Grant,
    /// Whether what was spent still works for a while beside it.
    graced: bool,
}

/// Puts the answer on record before anything in it is judged, however long that takes while what it renews is there. A
/// disconnect in between does not stop it: what is on record then is what gets revoked.
pub(super) async fn keep(
    engine: &Engine,
    job: &Job,
    opened: &Opened,
    mark: Mark,
    answer: TokenAnswer,
    asked_at: Timestamp,
) -> Result<Spent, NotSpent> {
    engine.gate.accepted(job);
    engine.gate.honored(job, &opened.grant);
    let grant = without_spent_token(renewed(&opened.grant, answer.clone(), asked_at), job, &answer);
    let graced = opened.slot() == Slot::InUse && job.target.grace().is_some();
    let renewal = Renewal { opened, intent: mark.intent, grant: &grant, graced };
    write_ahead(engine, &job.place, &renewal).await;
    let kept = put_on_record(&engine.records, &job.place, &renewal).await;
    // Without an intent the old token stays valid: nothing was written ahead.
    if let Some(intent) = mark.intent
        && !matches!(kept, Err(NotSpent::AnswerLost))
    {
        engine.journal.forget(intent).await;
    }
    told_if_oversized(Spent { answer, loaded: kept? }, job, opened.slot())
}

/// Puts an answer on disk whose predecessor it has used up: the process may be killed before it is on record.
async fn write_ahead(engine: &Engine, place: &Place, renewal: &Renewal<'_>) {
    let Some(intent) = renewal.intent else { return };
    let (opened, grant) = (renewal.opened, renewal.grant.clone());
    let (slot, spent) = (opened.slot(), opened.digest());
    let entry = JournalEntry { place: place.clone(), slot, intent, spent, graced: renewal.graced, grant };
    let problem = match timeout(ON_DISK_WITHIN, engine.journal.keep(&entry)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => chain(&error).to_string(),
        Err(_) => "the disk does not answer".to_owned(),
    };
    tracing::error!(
        problem,
        "an answer is not on disk: it is lost if this process dies before it is on record"
    );
}

/// Writes the grant that an answer made over what was spent for it.
async fn put_on_record(records: &Records, place: &Place, renewal: &Renewal<'_>) -> Result<Loaded, NotSpent> {
    let Renewal { opened, intent, grant, graced } = *renewal;
    let predecessor = graced.then_some(&opened.grant);
    let change = |record: Record| {
        let is_kept =
            || records.opened(&record, opened.slot()).is_some_and(|kept| is_same(&kept.grant, grant));
        // A write with an unknown outcome may have happened.
        if !opened.stands_on(&record) && is_kept() {
            return Ok(record);
        }
        record.answered(&records.sealer, opened, intent, grant, predecessor)
    };
    let under_way = |ending: Ending| ending.answered(&records.sealer, opened, intent, grant);
    match records.write(&place.uid, None, Patience::Endless(place), change).await {
        Ok(Some(loaded)) => Ok(loaded),
        // The grant ended meanwhile: what is revoked then is what the provider issued last.
        Ok(None) | Err(NotWritten::Refused(_)) if records.settle_ending(&place.uid, under_way).await => {
            Err(NotSpent::Stale)
        }
        not_written => Err(not_kept(not_written.err(), opened)),
    }
}

/// An answer for which there is no record, or none that takes it.
fn not_kept(why: Option<NotWritten>, opened: &Opened) -> NotSpent {
    match why {
        // Somebody has connected again: the grant in use does not need it.
        Some(NotWritten::Refused(TransitionError::Replaced)) if opened.slot() == Slot::InUse => {
            NotSpent::Stale
        }
        Some(NotWritten::TooLarge) => {
            tracing::error!("an answer of the provider is larger than the API server accepts, and is lost");
            NotSpent::NoRoom { used: opened.version() }
        }
        lost => {
            let error = lost.map_or_else(String::new, |error| chain(&error).to_string());
            tracing::error!(error, "an answer of the provider could not be put on record and is lost");
            NotSpent::AnswerLost
        }
    }
}

/// The new refresh token was too long to be kept, and the old one was used up for it: it is not sent again, because a second
/// use may end the access token as well.
fn without_spent_token(mut grant: Grant, job: &Job, answer: &TokenAnswer) -> Grant {
    let lost = answer.oversized_token().is_some_and(|oversized| oversized.part == AnswerPart::RefreshToken);
    if let Credential::OAuth { refresh_token, .. } = &mut grant.credential
        && lost
        && job.target.needs_intent()
    {
        *refresh_token = None;
    }
    grant
}

/// The answer is on record; a token in it that is not is told.
fn told_if_oversized(spent: Spent, job: &Job, slot: Slot) -> Result<Spent, NotSpent> {
    for flaw in &spent.answer.flaws {
        tracing::warn!(provider = job.target.provider(), %flaw, "a part of the provider's answer is left out");
    }
    let Some(oversized) = spent.answer.oversized_token() else { return Ok(spent) };
    let used = spent.loaded.record.grant_version().filter(|_| slot == Slot::InUse);
    Err(NotSpent::Oversized { used, oversized })
}

/// Puts the answers on record that an earlier process of this pod left on disk. Nothing is sent, and an answer counts only
/// while what was spent for it is on record, or is being ended.
pub(in crate::grant) async fn replay(engine: &Engine) {
    let entries = engine.journal.entries().await;
    join_all(entries.into_iter().map(|entry| replay_one(engine, entry))).await;
}

async fn replay_one(engine: &Engine, entry: JournalEntry) {
    let (records, JournalEntry { place, slot, intent, spent, graced, grant }) = (&engine.records, entry);
    let on_record = match records.store.get(&place.uid) {
        Ok(loaded) => loaded.map(|loaded| loaded.record),
        // Unknown, not gone: it waits on disk.
        Err(_) => return,
    };
    let ending = records.endings.of(&place.uid).into_iter().map(|loaded| loaded.record.record().clone());
    let mut holders = on_record.iter().map(|record| Record::clone(record)).chain(ending);
    let is_spent = |record: &Record| {
        record.sealed(slot).is_some_and(|sealed| sealed.digest() == spent)
            || record.intent(slot).is_some_and(|standing| standing.id == intent)
    };
    if let Some(record) = holders.find(is_spent) {
        // Without the key of the record it waits on disk.
        let Some(opened) = records.opened(&record, slot) else { return };
        let renewal = Renewal { opened: &opened, intent: Some(intent), grant: &grant, graced };
        let kept = put_on_record(records, &place, &renewal).await;
        let (namespace, name) = (&place.namespace, &place.name);
        tracing::info!(
            namespace,
            name,
            kept = kept.is_ok(),
            "an answer that an earlier process left on disk was read"
        );
        if matches!(kept, Err(NotSpent::AnswerLost)) {
            return;
        }
    } else if records.endings.has_unreadable() {
        return;
    } else {
        let (namespace, name) = (&place.namespace, &place.name);
        tracing::info!(
            namespace,
            name,
            "an answer on disk belongs to a grant that was replaced: it is forgotten"
        );
    }
    engine.journal.forget(intent).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::grant::fixtures::{Bench, at, oauth_grant, place};
    use crate::grant::slot::refresh_token;
    use crate::vault::record::{EndTerms, Withdrawal};

    const SUCCESSOR: &str = "successor-canary";

    /// A folder that is removed with the test.
    struct Disk(PathBuf);

    impl Disk {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("bowline-answers-{}", IntentId::generate().unwrap())))
        }

        fn files(&self) -> Vec<String> {
            let listed = std::fs::read_dir(&self.0).into_iter().flatten();
            listed.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A process died when the answer for the grant on record was on disk and nowhere else.
    async fn interrupted(disk: &Disk) -> Bench {
        let bench = Bench::with_disk(Some(disk.0.clone())).await;
        let id = IntentId::generate().unwrap();
        let record = bench.holding("u1", &oauth_grant("sandbox", "spent"));
        let record = record.with_intent(Slot::InUse, None, id, "us/1", at(0)).unwrap();
        let spent = record.sealed(Slot::InUse).unwrap().digest();
        bench.keep(record).await;
        let grant = oauth_grant("sandbox", SUCCESSOR);
        let entry =
            JournalEntry { place: place("u1"), slot: Slot::InUse, intent: id, spent, graced: false, grant };
        bench.engine().journal.keep(&entry).await.unwrap();
        bench
    }

    fn token(grant: &Grant) -> &str {
        refresh_token(grant).unwrap().expose_secret()
    }

    #[tokio::test]
    async fn class_27_an_answer_on_disk_goes_on_record_and_is_sealed_until_then() {
        let disk = Disk::new();
        let bench = interrupted(&disk).await;
        let files = disk.files();
        assert_eq!(files.len(), 1);
        // Bytes are in it as hexadecimal text.
        for legible in ["canary".to_owned(), hex::encode("canary")] {
            assert!(!files[0].contains(&legible), "{files:?}");
        }
        replay(bench.engine()).await;
        let record = bench.loaded("u1").record;
        assert_eq!(token(&bench.engine().records.in_use("u1").unwrap()), SUCCESSOR);
        assert!(record.intent(Slot::InUse).is_none());
        assert!(disk.files().is_empty());
    }

    #[tokio::test]
    async fn class_27_an_answer_on_disk_is_revoked_with_a_grant_that_ended_meanwhile() {
        let disk = Disk::new();
        let bench = interrupted(&disk).await;
        let records = &bench.engine().records;
        assert!(records.end("u1", &EndTerms::default(), &Withdrawal::default()).await);
        replay(bench.engine()).await;
        let ending = &records.endings.of("u1")[0].record;
        assert_eq!(token(&ending.record().open_grant(&records.sealer).unwrap().unwrap()), SUCCESSOR);
        assert!(disk.files().is_empty());
    }

    #[tokio::test]
    async fn class_27_an_answer_for_a_grant_that_was_replaced_is_forgotten() {
        let disk = Disk::new();
        let bench = interrupted(&disk).await;
        let records = &bench.engine().records;
        assert!(records.end("u1", &EndTerms::default(), &Withdrawal::default()).await);
        records.erase_ending(records.endings.of("u1").remove(0).version).await;
        bench.keep(bench.holding("u1", &oauth_grant("sandbox", "next"))).await;
        replay(bench.engine()).await;
        assert_eq!(token(&records.in_use("u1").unwrap()), "next");
        assert!(disk.files().is_empty());
    }

    #[tokio::test]
    async fn class_27_an_answer_waits_on_disk_while_its_record_cannot_be_read() {
        let disk = Disk::new();
        let bench = interrupted(&disk).await;
        let records = &bench.engine().records;
        let good = bench.api.damage("record-u1");
        assert!(records.store.reread("u1").await.is_err());
        replay(bench.engine()).await;
        assert_eq!(disk.files().len(), 1, "what cannot be read is not gone");
        bench.api.restore("record-u1", good);
        records.store.reread("u1").await.unwrap();
        replay(bench.engine()).await;
        assert_eq!(token(&records.in_use("u1").unwrap()), SUCCESSOR);
    }
}
