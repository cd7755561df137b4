//! Taking a grant in: first on record as candidate, then judged with the provider, then promoted in one write.
//!
//! The intake Secret is deleted as soon as its content is on record, before the provider is asked: judging may spend the
//! refresh token, and then nobody may read the spent one again. The old grant is not touched until the promotion.

mod content;
mod judge;

use bowline_api::connection::Method;
use bowline_api::owner::SubjectKind;

pub(super) use judge::{
    from_catalog, into_catalog, judge_candidate, key_credential, pinned_account, refuse_oversized, whose,
};

use self::content::Provided;
use super::Engine;
use super::issue::{self, Orderer};
use super::outcome::{Outcome, WorkResult};
use super::presence::write_wanted;
use super::records::{NotWritten, Patience};
use super::refusal::ConsentError;
pub(crate) use super::refusal::IntakeError;
use super::revoke::make_way;
pub(super) use super::secrets::ProvidedData;
use super::secrets::UserSecret;
pub(crate) use super::work::Announcement;
use super::work::Job;
use crate::vault::{Consent, Grant, Record, Slot, SourceVersion};

/// Takes the announced intake Secret.
pub(super) async fn take(engine: &Engine, job: &Job, announcement: &Announcement) -> WorkResult {
    let secret = match engine.secrets.announced(job, announcement).await {
        Err(Outcome::IntakeRefused { why: IntakeError::NotThere })
            if has_taken(engine, job, announcement) =>
        {
            return judge_candidate(engine, job).await;
        }
        secret => secret?,
    };
    // One that could not be deleted before may have been spent since: what came of it is on record.
    let put = match job.method {
        _ if has_taken(engine, job, announcement) => Ok(()),
        Method::IssuedKey => carry_out(engine, job, &secret).await,
        _ => put_on_record(engine, job, &secret.provided, imported_by_owner(job)).await,
    };
    // Good or bad, it is not left there; only what may become good later stays.
    if matches!(put, Ok(()) | Err(Outcome::IntakeRefused { .. })) {
        engine.secrets.consume(&job.place.namespace, &secret).await;
    }
    put?;
    judge_candidate(engine, job).await
}

/// Whoever imports a grant for its owner agrees to no more than the owner has set.
fn imported_by_owner(job: &Job) -> Consent {
    let is_a_persons = SubjectKind::of(&job.owner) == Some(SubjectKind::User);
    Consent { agreed: is_a_persons.then(|| job.agreeing.unseen.clone()), ..Consent::default() }
}

/// Carries the order of an intake Secret out. Admission lets only the owner announce one, or who acts in the owner's name.
async fn carry_out(engine: &Engine, job: &Job, secret: &UserSecret) -> Result<(), Outcome> {
    let order = content::order(&secret.provided.values)?;
    let by = Orderer { user: job.owner.clone(), person: None, source: Some(secret.provided.source.clone()) };
    issue::carry_out(engine, job, &order, by).await
}

/// What became of a credentials Secret.
pub(super) struct CredentialsRead {
    /// The version that was read, if one was.
    pub(super) source: Option<SourceVersion>,
    /// It is not read again: it cannot be used, or must not be sent once more.
    pub(super) is_settled: bool,
    pub(super) result: WorkResult,
}

/// Reads the credentials Secret of this name.
pub(super) async fn read(engine: &Engine, job: &Job, name: &str) -> CredentialsRead {
    let secret = match engine.secrets.credential(&job.place.namespace, name).await {
        Ok(secret) => secret,
        Err(outcome) => return CredentialsRead { source: None, is_settled: false, result: Err(outcome) },
    };
    let is_in_use = is_in_use(engine, job, &secret);
    let result = match secret.must_be_for(job) {
        Err(why) => Err(why.into()),
        // The refresh token in it may have been spent long ago: sending it again could end the live grant.
        Ok(()) if is_in_use => Err(Outcome::Stale),
        Ok(()) => take_in(engine, job, &secret).await,
    };
    CredentialsRead {
        source: Some(secret.provided.source),
        is_settled: is_in_use || is_refused(&result),
        result,
    }
}

/// Whether sending the same once more makes no sense.
fn is_refused(result: &WorkResult) -> bool {
    matches!(result, Err(Outcome::IntakeRefused { .. } | Outcome::IntakeInDoubt))
}

async fn take_in(engine: &Engine, job: &Job, secret: &UserSecret) -> WorkResult {
    put_on_record(engine, job, &secret.provided, Consent::default()).await?;
    judge_candidate(engine, job).await
}

/// Whether the grant in use was read from the same bytes, under the same terms: then only the Secret's metadata changed.
fn is_in_use(engine: &Engine, job: &Job, secret: &UserSecret) -> bool {
    let grant = engine.records.open(&job.place.uid, Slot::InUse);
    grant.is_some_and(|opened| {
        opened.grant.source.is_some_and(|source| source.digest == secret.provided.source.digest)
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

/// Puts what somebody provides on record as candidate.
pub(super) async fn put_on_record(
    engine: &Engine,
    job: &Job,
    data: &ProvidedData,
    consent: Consent,
) -> Result<(), Outcome> {
    let records = &engine.records;
    let now = records.clock.now();
    let provided = content::read(&data.values, job.method, job.target.description(), now)?;
    let app = engine.secrets.app(job).await?;
    let Provided { credential, scopes, expires_at, extras } = provided;
    // Only what the provider answers counts as claims: whoever imports a grant could name any account.
    let nothing = Grant::empty(job.binding(app.as_deref()), consent, now);
    let (source, published_extras) = (Some(data.source.clone()), extras);
    let grant = Grant { credential, scopes, expires_at, published_extras, source, ..nothing };
    key_credential(job, &grant)?;
    let change = |record: Record| {
        let standing = records.opened(&record, Slot::Candidate);
        if standing.is_some_and(|standing| standing.grant.source == grant.source) {
            return Ok(record);
        }
        let record = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        Ok(record.with_candidate(&records.sealer, &grant)?.with_candidate_after(job.newest_known))
    };
    make_way(engine, job, &grant).await;
    match write_wanted(engine, job, Patience::Brief, change).await {
        Ok(_) => Ok(()),
        Err(NotWritten::TooLarge) => Err(ConsentError::NotKept.into()),
        Err(_) => Err(Outcome::delayed("What was provided could not be put on record now.")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;
    use kube::api::PostParams;
    use serde_json::json;

    use super::*;
    use crate::grant::fixtures::{Bench, job, oauth_grant, target_at};
    use crate::grant::work::Task;

    const ENTRY: &str = "sandbox";

    #[tokio::test]
    async fn class_27_a_secret_that_could_not_be_deleted_is_not_taken_twice() {
        let bench = Bench::start().await;
        let secret: Secret = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "intake-1", "namespace": "team-a", "labels": {"bowline.dev/connection": "mail"}},
            "type": "bowline.dev/intake", "data": {"refresh_token": "cjE="}}))
        .unwrap();
        let secrets: Api<Secret> = Api::namespaced(bench.api.client(), "team-a");
        let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
        let uid = made.metadata.uid.unwrap();
        let announcement = Announcement::parse(&format!("intake-1/{uid}"));
        let task = Task::Take(announcement.clone());
        let job = Job { target: target_at(ENTRY, "http://127.0.0.1:1/token"), ..job(ENTRY, task) };
        // Its token has been spent since, and the process ended before it could delete the Secret.
        let source = SourceVersion { uid, resource_version: "1".into(), digest: "d".into() };
        let app = job.target.app().unwrap();
        let bound_to = job.binding(Some(app));
        let grant = Grant { source: Some(source), bound_to, ..oauth_grant(ENTRY, "r2") };
        bench.keep(bench.holding("u1", &grant)).await;
        let _ = take(bench.engine(), &job, &announcement).await;
        assert!(bench.loaded("u1").record.candidate().is_none(), "the spent token would be sent");
    }
}
