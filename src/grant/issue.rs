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
