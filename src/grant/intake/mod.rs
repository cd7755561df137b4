//! Taking a grant in: on record as candidate first, judged with the provider, then promoted in one write.
//!
//! The intake Secret is deleted as soon as its content is on record, before the provider is asked: judging may spend the
//! refresh token, and then nobody may read the spent one again. The old grant is not touched until the promotion.
//!
//! | module | holds |
//! |---|---|
//! | [`content`] | what a Secret provides; pure |
//! | [`judge`] | what the provider says of a candidate, and whose it is |
//! | [`promote`] | a candidate is judged and promoted, or erased |

mod content;
mod judge;
mod promote;

use std::collections::BTreeMap;

use bowline_oauth::app::App;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(super) use judge::{from_catalog, into_catalog, pinned_account, whose};
pub(super) use promote::judge_candidate;

use self::content::Provided;
use self::judge::key_credential;
use super::engine::Engine;
use super::outcome::Outcome;
use super::records::{NotWritten, Patience};
pub(crate) use super::refusal::IntakeError;
use super::revoke::Replaced;
use super::secrets::{NotRead, UserSecret};
pub(crate) use super::work::Announcement;
use super::work::Job;
use crate::vault::{Consent, Grant, Record, Slot, SourceVersion, TransitionError};

/// An ending grant that could not be revoked so often gives way to a new one.
const REVOCATIONS_BEFORE_GIVING_WAY: i32 = 3;

/// UID and resourceVersion of a Secret.
pub(super) type Read = (String, String);

/// Takes the announced intake Secret.
pub(super) async fn take(
    engine: &Engine,
    replaced: &Replaced,
    job: &Job,
    announcement: &Announcement,
) -> Outcome {
    let secret = match engine.secrets.announced(job, announcement).await {
        Ok(secret) => secret,
        Err(NotRead::Refused(IntakeError::NotThere)) if has_taken(engine, job, announcement) => {
            return judge_candidate(engine, replaced, job).await;
        }
        Err(why) => return why.outcome("The intake Secret", &job.place.namespace),
    };
    match put_on_record(engine, job, &secret).await {
        Ok(()) => {
            engine.secrets.consume(&job.place.namespace, &secret).await;
            judge_candidate(engine, replaced, job).await
        }
        Err(outcome) => {
            // Good or bad, it is not left lying about; only what may become good later stays.
            if matches!(outcome, Outcome::IntakeRefused { .. }) {
                engine.secrets.consume(&job.place.namespace, &secret).await;
            }
            outcome
        }
    }
}

/// What came of reading a credentials Secret.
pub(super) struct ReadOutcome {
    pub(crate) outcome: Outcome,
    /// The version that was read, and whether it is not read again: it cannot be used, or must not be sent once more. `None` if it
    /// could not be read.
    pub(crate) read: Option<(Read, bool)>,
}

/// Reads the credentials Secret of this name.
pub(super) async fn read(engine: &Engine, replaced: &Replaced, job: &Job, name: &str) -> ReadOutcome {
    let secret = match engine.secrets.credential(&job.place.namespace, name).await {
        Ok(secret) => secret,
        Err(why) => {
            let outcome = why.outcome("The credentials Secret", &job.place.namespace);
            return ReadOutcome { outcome, read: None };
        }
    };
    let read = (secret.uid.clone(), secret.resource_version.clone());
    if is_in_use(engine, job, &secret) {
        // The refresh token in it may be spent long since: sending it again could end the live grant.
        return ReadOutcome { outcome: Outcome::Stale, read: Some((read, true)) };
    }
    let outcome = match put_on_record(engine, job, &secret).await {
        Ok(()) => judge_candidate(engine, replaced, job).await,
        Err(outcome) => outcome,
    };
    let refused = matches!(outcome, Outcome::IntakeRefused { .. } | Outcome::IntakeInDoubt);
    ReadOutcome { outcome, read: Some((read, refused)) }
}

/// Whether the grant in use was read from the same bytes, under the same terms: the Secret was only touched.
fn is_in_use(engine: &Engine, job: &Job, secret: &UserSecret) -> bool {
    let loaded = engine.records.get(&job.place.uid).filter(|loaded| loaded.record.ending().is_none());
    let grant = loaded.and_then(|loaded| engine.records.opened(&loaded.record, Slot::InUse));
    grant.is_some_and(|opened| {
        opened.grant.source.is_some_and(|source| source.digest == digest(&secret.data))
            && job.target.differs_from(&opened.grant.bound_to, &job.owner).is_none()
    })
}

/// Whether an earlier run, perhaps of an earlier process, has this Secret's content on record.
fn has_taken(engine: &Engine, job: &Job, announcement: &Announcement) -> bool {
    let Some((_, announced)) = &announcement.secret else { return false };
    [Slot::Candidate, Slot::InUse].into_iter().any(|slot| {
        let opened = engine.records.open(&job.place.uid, slot);
        opened.and_then(|opened| opened.grant.source).is_some_and(|source| source.uid == *announced)
    })
}

/// Puts what a Secret provides on record as candidate.
async fn put_on_record(engine: &Engine, job: &Job, secret: &UserSecret) -> Result<(), Outcome> {
    let records = &engine.records;
    let refused = |why| Outcome::IntakeRefused { why };
    let now = records.clock.now();
    let provided = content::read(&secret.data, job.method, now).map_err(refused)?;
    let app = engine.secrets.app(job).await?;
    let grant = grant(job, app.as_deref(), provided, secret, now).map_err(refused)?;
    let change = |record: Record| {
        let standing = records.opened(&record, Slot::Candidate);
        if standing.is_some_and(|standing| standing.grant.source == grant.source) {
            return Ok(record);
        }
        let record = match record.ending() {
            Some(ending) if ending.failures >= REVOCATIONS_BEFORE_GIVING_WAY => record.restarted()?,
            _ => record,
        };
        let record = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        record.with_candidate(&records.sealer, &grant)
    };
    match records.write(&job.place.uid, Some(&job.place), Patience::Brief, change).await {
        Ok(_) => Ok(()),
        Err(NotWritten::Refused(TransitionError::Ending)) => {
            Err(delayed("A former grant is being revoked. What was provided is taken after that."))
        }
        Err(_) => Err(delayed("What was provided could not be put on record now.")),
    }
}

fn delayed(message: &str) -> Outcome {
    Outcome::IntakeDelayed { message: message.to_owned() }
}

/// The grant that a Secret provides, bound to who would be served by it.
fn grant(
    job: &Job,
    app: Option<&App>,
    provided: Provided,
    secret: &UserSecret,
    now: Timestamp,
) -> Result<Grant, IntakeError> {
    let Provided { credential, scopes, expires_at } = provided;
    key_credential(job, &credential)?;
    let source = SourceVersion {
        uid: secret.uid.clone(),
        resource_version: secret.resource_version.clone(),
        digest: digest(&secret.data),
    };
    // Claims are only what the provider says when it is asked: whoever imports a grant could name anybody's account.
    let nothing = Grant::empty(job.binding(app), Consent::default(), now);
    Ok(Grant { credential, scopes, expires_at, source: Some(source), ..nothing })
}

fn digest(data: &BTreeMap<String, ByteString>) -> String {
    let mut hash = Sha256::new();
    for (key, ByteString(value)) in data {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    hex::encode(hash.finalize())
}
