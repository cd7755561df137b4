//! Keys that we issue: an order creates or ends one, and one that has expired is taken out. Nothing is sent anywhere.
//!
//! The client that shows a key generated it; an order has its digest.

use bowline_api::issued_key::KeyOrder;
use bowline_oauth::catalog::issued_key::IssuedKeyRules;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::Engine;
use super::outcome::{Outcome, WorkResult};
use super::presence::write_wanted;
use super::records::{NotWritten, Patience};
use super::refusal::ConsentError;
use super::work::Job;
use crate::vault::record::{IssuedKey, IssuedKeys, KeyChangeError};
use crate::vault::{Consent, Credential, Grant, Record, Slot, SourceVersion};

/// Where an order comes from.
pub(super) struct Orderer {
    /// The user who gave it, or in whose name it was announced.
    pub(super) user: String,
    /// The person behind the owner's name, where the sign-in says so.
    pub(super) person: Option<String>,
    /// The intake Secret that held it.
    pub(super) source: Option<SourceVersion>,
}

/// Carries an order out, in one write.
pub(super) async fn carry_out(
    engine: &Engine,
    job: &Job,
    order: &KeyOrder,
    by: Orderer,
) -> Result<(), Outcome> {
    let (records, now) = (&engine.records, engine.records.clock.now());
    let rules = job.target.description().issued_key.as_ref();
    let rules = rules.ok_or_else(|| ConsentError::NotOffered { whom_to_ask: job.target.whom_to_ask() })?;
    let before = standing(engine, job);
    let held = before.as_ref().and_then(Grant::issued_keys).cloned().unwrap_or_default().valid_at(now);
    let keys = changed(&held, order, rules, &by.user, now)
        .map_err(|why| Outcome::IntakeRefused { why: why.into() })?;
    let (before_person, before_source) = before.map(|it| (it.consent.person, it.source)).unwrap_or_default();
    let person = by.person.or(before_person);
    // An intake Secret that could not be deleted must not create its key again, which may have been revoked since.
    let source = by.source.or(before_source);
    let consent = Consent { person, ..Consent::default() };
    let nothing = Grant::empty(job.binding(None), consent, now);
    let grant = Grant { source, ..nothing.with_issued_keys(keys) };
    let change = |record: Record| record.minted(&records.sealer, &grant, job.newest_known);
    match write_wanted(engine, job, Patience::Brief, change).await {
        Ok(_) => Ok(()),
        Err(NotWritten::TooLarge) => Err(ConsentError::NotKept.into()),
        Err(_) => Err(Outcome::delayed("The change of the keys could not be put on record now.")),
    }
}

/// The grant in use, if its keys still count: they are the present owner's, and nothing newer was ever published.
fn standing(engine: &Engine, job: &Job) -> Option<Grant> {
    let loaded = engine.records.get(&job.place.uid)?;
    let (version, known) = (loaded.record.grant_version(), job.newest_known);
    let is_behind = version.zip(known).is_some_and(|(version, known)| version.is_behind(known));
    let grant = engine.records.opened(&loaded.record, Slot::InUse)?.grant;
    (!is_behind && grant.bound_to.fits(&job.terms(None)).is_ok()).then_some(grant)
}

/// The keys after the order.
fn changed(
    held: &IssuedKeys,
    order: &KeyOrder,
    rules: &IssuedKeyRules,
    user: &str,
    now: Timestamp,
) -> Result<IssuedKeys, KeyChangeError> {
    match order {
        KeyOrder::Create { id, sha256, overlap } => {
            let key = IssuedKey {
                id: id.clone(),
                sha256: sha256.clone(),
                created_at: now,
                created_by: user.to_owned(),
                expires_at: rules.lifetime.map(|lifetime| later(now, lifetime.get())),
            };
            held.with(key, later(now, overlap.unwrap_or(rules.overlap).get()))
        }
        KeyOrder::Revoke { id } => held.without(id),
        KeyOrder::RevokeAll => Ok(IssuedKeys::default()),
    }
}

/// Takes out what has expired, so that the published Secret follows.
pub(super) async fn expire(engine: &Engine, job: &Job) -> WorkResult {
    let (records, now) = (&engine.records, engine.records.clock.now());
    let change = |record: Record| {
        let Ok(Some(grant)) = record.open_grant(&records.sealer) else { return Ok(record) };
        match grant.issued_keys().map(|keys| (keys, keys.valid_at(now))) {
            Some((keys, valid)) if *keys != valid => {
                record.minted(&records.sealer, &grant.with_issued_keys(valid), job.newest_known)
            }
            _ => Ok(record),
        }
    };
    match records.settle(&job.place.uid, change).await {
        Ok(Some(_)) => Ok(Outcome::Committed { accepted: false }),
        Ok(None) | Err(_) => Err(Outcome::Stale),
    }
}

/// Whether the grant consists of keys of which one has expired.
pub(crate) fn has_expired_key(grant: &Grant, now: Timestamp) -> bool {
    matches!(&grant.credential, Credential::IssuedKeys { keys } if keys.next_expiry().is_some_and(|at| at <= now))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::opaque::Digest;

    use super::*;
    use crate::grant::fixtures::{Bench, Fault, job};
    use crate::grant::work::Task;
    use crate::vault::record::GrantVersion;

    const ENTRY: &str = "zapier-key";

    fn create(id: &str) -> KeyOrder {
        KeyOrder::Create { id: id.to_owned(), sha256: Digest::of(id), overlap: None }
    }

    fn by(user: &str, source: Option<&str>) -> Orderer {
        let source = source.map(|uid| SourceVersion {
            uid: uid.to_owned(),
            resource_version: "1".to_owned(),
            digest: "d".to_owned(),
        });
        Orderer { user: user.to_owned(), person: None, source }
    }

    async fn ordered(bench: &Bench, job: &Job, order: &KeyOrder) -> Result<(), Outcome> {
        carry_out(bench.engine(), job, order, by("alice", None)).await
    }

    fn held(bench: &Bench) -> (Vec<String>, GrantVersion) {
        let record = bench.engine().records.get("u1").unwrap().record.clone();
        let grant = record.open_grant(&bench.engine().records.sealer).unwrap().unwrap();
        let ids = grant.issued_keys().unwrap().iter().map(|key| key.id.clone()).collect();
        (ids, record.grant_version().unwrap())
    }

    #[tokio::test]
    async fn each_change_is_another_revision_of_one_grant() {
        let bench = Bench::start().await;
        let job = job(ENTRY, Task::ExpireKeys);
        ordered(&bench, &job, &create("Aaaaaaaa")).await.unwrap();
        let (ids, first) = held(&bench);
        assert_eq!((ids, first.revision), (vec!["Aaaaaaaa".to_owned()], 1));
        bench.api.next(Fault::AnswerLost);
        ordered(&bench, &job, &create("Bbbbbbbb")).await.unwrap();
        let (ids, second) = held(&bench);
        assert_eq!(ids, ["Bbbbbbbb", "Aaaaaaaa"]);
        assert!(second.id == first.id && first.is_behind(second));
        ordered(&bench, &job, &KeyOrder::Revoke { id: "Aaaaaaaa".into() }).await.unwrap();
        assert_eq!(held(&bench).0, ["Bbbbbbbb"]);
        let unknown = ordered(&bench, &job, &KeyOrder::Revoke { id: "Aaaaaaaa".into() }).await;
        assert!(matches!(unknown, Err(Outcome::IntakeRefused { .. })), "{unknown:?}");
        ordered(&bench, &job, &KeyOrder::RevokeAll).await.unwrap();
        assert!(held(&bench).0.is_empty());
    }

    /// Otherwise a former owner, or whoever restores an old record, would have a key that works.
    #[tokio::test]
    async fn keys_of_another_owner_or_an_older_record_are_not_kept() {
        let bench = Bench::start().await;
        let mine = job(ENTRY, Task::ExpireKeys);
        ordered(&bench, &mine, &create("Aaaaaaaa")).await.unwrap();
        let (_, version) = held(&bench);
        let newer = GrantVersion { revision: version.revision + 3, ..version };
        let behind = Job { newest_known: Some(newer), ..mine.clone() };
        ordered(&bench, &behind, &create("Bbbbbbbb")).await.unwrap();
        let (ids, now) = held(&bench);
        assert_eq!(ids, ["Bbbbbbbb"]);
        assert!(now.id != version.id && newer.is_behind(now));
        let bobs = Job { owner: "bob".to_owned(), ..mine };
        ordered(&bench, &bobs, &create("Cccccccc")).await.unwrap();
        assert_eq!(held(&bench).0, ["Cccccccc"]);
    }

    #[tokio::test]
    async fn which_intake_was_read_last_stays_known() {
        let bench = Bench::start().await;
        let job = job(ENTRY, Task::ExpireKeys);
        carry_out(bench.engine(), &job, &create("Aaaaaaaa"), by("alice", Some("s1"))).await.unwrap();
        ordered(&bench, &job, &KeyOrder::RevokeAll).await.unwrap();
        let grant = bench.engine().records.in_use("u1").unwrap();
        assert_eq!(grant.source.unwrap().uid, "s1", "so it is not read again");
    }

    #[tokio::test]
    async fn an_entry_that_issues_no_keys_takes_no_order() {
        let bench = Bench::start().await;
        let job = job("generic-api-key", Task::ExpireKeys);
        let refused = ordered(&bench, &job, &create("Aaaaaaaa")).await;
        assert!(matches!(refused, Err(Outcome::IntakeRefused { .. })), "{refused:?}");
        assert!(!bench.api.has("record-u1"));
    }
}
