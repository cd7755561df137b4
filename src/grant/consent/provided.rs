//! A key, or a user name and password, that its owner typed in the portal.

use bowline_api::attempt::Step;
use bowline_api::connection::Method;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::ByteString;
use secrecy::ExposeSecret;

use super::arrival::ending;
use super::terms::{agreed, is_owners, may_consent, not_offered, offers, person_behind};
use crate::grant::Engine;
use crate::grant::intake::{ProvidedData, judge_candidate, put_on_record};
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::refusal::ConsentError;
use crate::grant::work::Job;
use crate::vault::Consent;

/// Puts what an attempt provides on record, erases it there, and judges it.
pub(super) async fn take(engine: &Engine, job: &Job, name: &str) -> WorkResult {
    let kept = engine.consents.attempt(name).await?;
    let Step::Provided { values } = &kept.attempt.step else { return Ok(Outcome::Stepped) };
    let values = values.iter().map(|(key, value)| (key.clone(), bytes(value.expose_secret()))).collect();
    let data = ProvidedData::of(kept.uid(), kept.version(), values);
    if let Err(outcome) = keep(engine, job, &kept, &data).await {
        return Err(engine.consents.failed(kept, outcome).await);
    }
    let kept = engine.consents.step(kept, Step::Exchanging).await.ok_or(Outcome::Stale)?;
    let judged = judge_candidate(engine, job).await;
    engine.consents.conclude(kept, ending(&judged)).await;
    judged
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

async fn keep(engine: &Engine, job: &Job, kept: &StoredAttempt, data: &ProvidedData) -> Result<(), Outcome> {
    if kept.attempt.is_expired_at(engine.records.clock.now()) {
        return Err(ConsentError::TooLate.into());
    }
    // A key decides which account everybody uses, and where no account is known nothing would show that it is another.
    if !is_owners(job, kept) {
        return Err(ConsentError::NotTheOwner { owner: job.owner.clone() }.into());
    }
    may_consent(engine, job, kept)?;
    if !matches!(job.method, Method::ApiKey | Method::BasicAuth) || !offers(job, job.method) {
        return Err(not_offered(job).into());
    }
    let (person, given_at) = (person_behind(engine, job, kept), Some(engine.records.clock.now()));
    let agreed = Some(agreed(job, kept)?.0);
    let consent = Consent { person, agreed, given_at, ..Consent::default() };
    put_on_record(engine, job, data, consent).await
}
