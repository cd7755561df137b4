//! Taking a grant in: put on record as candidate first, judged with the provider, then promoted in one write.
//!
//! The intake Secret is deleted as soon as its content is on record, before the provider is asked: judging may spend the
//! refresh token, and then nobody may read the spent one again. The old grant is not touched until the promotion.

use std::collections::BTreeMap;

use bowline_api::names::TYPE_CREDENTIAL;
use bowline_oauth::app::App;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::actor::Grants;
use super::intake::{self, Announcement, Brought, IntakeError};
use super::judge::{Judged, key_credential};
use super::outcome::{Origin, Outcome};
use super::secrets::{Brief, Unread};
use super::work::Job;
use crate::vault::record::Candidate;
use crate::vault::{Binding, Consent, Grant, Record, SourceVersion, TransitionError};

/// An ending grant that could not be revoked so often gives way to a new one.
const REVOCATIONS_BEFORE_GIVING_WAY: i32 = 3;

impl Grants {
    /// Takes the announced intake Secret.
    pub(super) async fn take(&self, job: &Job, announcement: &Announcement) -> Outcome {
        let brief = match self.announced(job, announcement).await {
            Ok(brief) => brief,
            Err(Unread::Refused(IntakeError::NotThere)) if self.has_taken(job, announcement) => {
                return self.judge(job).await;
            }
            Err(unread) => return unread.outcome("The intake Secret", &job.place.namespace),
        };
        match self.admit_candidate(job, &brief).await {
            Ok(()) => {
                self.consume(&job.place.namespace, &brief).await;
                self.judge(job).await
            }
            Err(outcome) => {
                // Good or bad, it is not left lying about; only what may become good later stays.
                if matches!(outcome, Outcome::IntakeRefused { .. }) {
                    self.consume(&job.place.namespace, &brief).await;
                }
                outcome
            }
        }
    }

    /// Reads the credentials Secret, which somebody else keeps: it is never changed or deleted.
    pub(super) async fn read(&self, job: &Job, secret: &str) -> Outcome {
        let uid = &job.place.uid;
        let brief = match self.fetch(&job.place.namespace, secret, TYPE_CREDENTIAL).await {
            Ok(brief) => brief,
            Err(unread) => return unread.outcome("The credentials Secret", &job.place.namespace),
        };
        if self.is_no_news(job, &brief) {
            // The refresh token in it may be spent long since: sending it again could end the live grant.
            self.remember_refused_source(uid, Some((brief.uid, brief.resource_version)));
            return Outcome::Stale;
        }
        let outcome = match self.admit_candidate(job, &brief).await {
            Ok(()) => self.judge(job).await,
            Err(outcome) => outcome,
        };
        // The same bytes are not read again: they cannot be used, or must not be sent once more.
        let refused = matches!(outcome, Outcome::IntakeRefused { .. } | Outcome::IntakeInDoubt);
        self.remember_refused_source(uid, refused.then_some((brief.uid, brief.resource_version)));
        outcome
    }

    /// Whether the grant in use was read from the same bytes, under the same terms: the Secret was only touched.
    fn is_no_news(&self, job: &Job, brief: &Brief) -> bool {
        let Ok(Some(loaded)) = self.store.get(&job.place.uid) else { return false };
        if loaded.record.ending().is_some() {
            return false;
        }
        let grant = loaded.record.open_grant(&self.sealer).ok().flatten();
        grant.is_some_and(|grant| {
            grant.source.is_some_and(|source| source.digest == digest(&brief.data))
                && job.target.differs_from(&grant.bound_to, &job.owner).is_none()
        })
    }

    /// Whether an earlier run, perhaps of an earlier process, has this Secret's content on record.
    fn has_taken(&self, job: &Job, announcement: &Announcement) -> bool {
        let Some((_, announced)) = &announcement.secret else { return false };
        let Ok(Some(loaded)) = self.store.get(&job.place.uid) else { return false };
        let from = |grant: Option<Grant>| {
            grant.and_then(|grant| grant.source).is_some_and(|source| source.uid == *announced)
        };
        let candidate =
            loaded.record.open_candidate(&self.sealer).ok().flatten().map(|candidate| candidate.grant);
        from(candidate) || from(loaded.record.open_grant(&self.sealer).ok().flatten())
    }

    /// Puts what was brought on record as candidate.
    async fn admit_candidate(&self, job: &Job, brief: &Brief) -> Result<(), Outcome> {
        let now = self.clock.now();
        let brought =
            intake::read(&brief.data, job.method, now).map_err(|why| Outcome::IntakeRefused { why })?;
        let app = self.app(job).await?;
        let grant =
            grant(job, app.as_deref(), brought, brief, now).map_err(|why| Outcome::IntakeRefused { why })?;
        let created = match self.store.get(&job.place.uid) {
            Ok(None) => self.first_candidate(job, &grant).await,
            Ok(Some(_)) => Ok(()),
            Err(_) => Err(delayed("The record of the connection cannot be read now.")),
        };
        created?;
        let change = |record: Record| self.with_candidate(record, &grant);
        match self.settle(&job.place.uid, change).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(delayed(
                "What was brought could not be put on record now. If a former grant is being revoked, that goes first.",
            )),
        }
    }

    async fn first_candidate(&self, job: &Job, grant: &Grant) -> Result<(), Outcome> {
        let record = Record::new(job.place.clone()).with_candidate(&self.sealer, grant);
        let record = record.map_err(|_| delayed("What was brought could not be sealed now."))?;
        match self.store.create(record).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(error = %bowline_runtime::telemetry::chain(&error), "a first record could not be written");
                Err(delayed("What was brought could not be put on record now."))
            }
        }
    }

    fn with_candidate(&self, record: Record, grant: &Grant) -> Result<Record, TransitionError> {
        let standing = record.open_candidate(&self.sealer).ok().flatten();
        if standing.is_some_and(|standing| standing.grant.source == grant.source) {
            return Ok(record);
        }
        let record = match record.ending() {
            Some(ending) if ending.attempts >= REVOCATIONS_BEFORE_GIVING_WAY => record.restarted()?,
            _ => record,
        };
        let record = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        record.with_candidate(&self.sealer, grant)
    }

    /// Judges the candidate that stands, and promotes or erases it.
    pub(super) async fn judge(&self, job: &Job) -> Outcome {
        let uid = &job.place.uid;
        let app = match self.app(job).await {
            Ok(app) => app,
            Err(none) => return none.into(),
        };
        let Ok(Some(loaded)) = self.store.get(uid) else { return Outcome::Stale };
        let Ok(Some(mut candidate)) = loaded.record.open_candidate(&self.sealer) else {
            let revision = loaded.record.revision();
            return Outcome::Committed { revision, origin: Origin::Accepted };
        };
        let verdict = self.verdict(job, app.as_deref(), &mut candidate).await;
        match verdict {
            Judged::Good => self.promote(job, &candidate).await,
            Judged::Refused(why) => {
                Outcome::IntakeRefused { why: self.discard(job, app.as_deref(), candidate, why).await }
            }
            Judged::Later(message) => Outcome::IntakeDelayed { message },
            Judged::InDoubt => Outcome::IntakeInDoubt,
            Judged::Instead(outcome) => outcome,
        }
    }

    async fn promote(&self, job: &Job, candidate: &Candidate) -> Outcome {
        let former = self.store.get(&job.place.uid).ok().flatten();
        let former = former.and_then(|loaded| loaded.record.open_grant(&self.sealer).ok().flatten());
        let promoted = self.settle(&job.place.uid, |record| record.promoted(&self.sealer, candidate)).await;
        if let (Ok(Some(_)), Some(former)) = (&promoted, former) {
            self.remember_former(job, &candidate.grant, former);
        }
        match promoted {
            Ok(Some(loaded)) => {
                Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Accepted }
            }
            _ => delayed("The judged grant could not be put in place now."),
        }
    }
}

fn delayed(message: &str) -> Outcome {
    Outcome::IntakeDelayed { message: message.to_owned() }
}

/// What a grant of this job is bound to, before its account is known.
pub(super) fn binding(job: &Job, app: Option<&App>) -> Binding {
    Binding {
        owner: job.owner.clone(),
        authority: job.target.description().authority(),
        client_id: app.map(|app| app.client_id.clone()),
        account: None,
    }
}

/// The grant that a Secret brings, bound to who would be served by it.
fn grant(
    job: &Job,
    app: Option<&App>,
    brought: Brought,
    brief: &Brief,
    now: Timestamp,
) -> Result<Grant, IntakeError> {
    let Brought { credential, scopes, expires_at } = brought;
    key_credential(job, &credential)?;
    let source = SourceVersion {
        uid: brief.uid.clone(),
        resource_version: brief.resource_version.clone(),
        digest: digest(&brief.data),
    };
    Ok(Grant {
        credential,
        // Only what the provider says when it is asked: whoever brings a grant could name anybody's account.
        claims: BTreeMap::new(),
        scopes,
        obtained_at: now,
        expires_at,
        refresh_expires_at: None,
        refresh_end_moves: None,
        refresh_issued_at: None,
        published_extras: BTreeMap::new(),
        bound_to: binding(job, app),
        source: Some(source),
        consent: Consent::default(),
    })
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
