//! From the provider's answer to the grant in use: on record first, then judged, then promoted.

use std::collections::BTreeMap;

use bowline_api::attempt::{AttemptEnding, EndResult};
use bowline_api::reason::Reason;
use bowline_oauth::answer::{TokenAnswer, extras_of_callback};
use bowline_oauth::app::App;
use bowline_runtime::attempts::StoredAttempt;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;

use super::terms::{Pledge, person_behind};
use crate::grant::Engine;
use crate::grant::intake::{from_catalog, judge_candidate, refuse_oversized, whose};
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::presence::write_wanted;
use crate::grant::records::{NotWritten, Patience};
use crate::grant::refusal::ConsentError;
use crate::grant::revoke::{give_back, make_way};
use crate::grant::slot::{is_same, renewed};
use crate::grant::work::Job;
use crate::vault::{Consent, Grant, GrantType, Record, Slot, TransitionError};

/// The origin of an answer.
pub(super) struct Arrival<'a> {
    pub(crate) kept: StoredAttempt,
    pub(crate) pledge: &'a Pledge,
    pub(crate) app: &'a App,
    pub(crate) grant_type: GrantType,
    pub(crate) asked_at: Timestamp,
    /// What the callback said besides the standard's parameters.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Puts the answer on record before anything in it is judged, judges it, and ends the attempt.
pub(super) async fn arrived(
    engine: &Engine,
    job: &Job,
    arrival: Arrival<'_>,
    answer: TokenAnswer,
) -> WorkResult {
    engine.gate.accepted(job);
    let Arrival { kept, pledge, app, grant_type, asked_at, parameters } = arrival;
    let description = job.target.description();
    let (account, oversized) = (answer.account.clone().map(from_catalog), answer.oversized_for_a_grant());
    let (person, asked) = (person_behind(engine, job, &kept), pledge.scopes.clone());
    let agreed = pledge.agreed.as_ref().unwrap_or(&job.agreeing.unseen);
    // What was narrowed meanwhile stays so.
    let agreed = Some(agreed.narrowed_to(&job.agreeing.proposed));
    let consent =
        Consent { grant_type, asked, person, agreed, given_at: Some(asked_at), ..Consent::default() };
    let nothing = Grant::empty(pledge.bound_to.clone(), consent, asked_at);
    let mut grant = renewed(&nothing, answer, asked_at);
    let extras = extras_of_callback(description, &parameters);
    grant.published_extras.extend(extras.into_iter().map(|(key, value)| (key, value.into())));
    grant.bound_to.account = account;
    make_way(engine, job, &grant).await;
    if let Err(error) = put_on_record(engine, job, &grant).await {
        // What is being ended is revoked as an ending.
        if !matches!(error, NotWritten::Ended) {
            give_back_unkept(engine, job, app, grant).await;
        }
        return Err(engine.consents.failed(kept, why_not_kept(&error)).await);
    }
    let judged = match oversized {
        Some(oversized) => refuse_oversized(engine, job, &grant, oversized).await,
        None => judge_candidate(engine, job).await,
    };
    engine.consents.conclude(kept, ending(&judged)).await;
    judged
}

/// Revokes what no record holds. Without its account nobody knows whether another connection uses it.
async fn give_back_unkept(engine: &Engine, job: &Job, app: &App, mut grant: Grant) {
    if grant.bound_to.account.is_none() {
        let info = whose(engine, job, &grant).await.unwrap_or_default();
        grant.bound_to.account = info.account.map(from_catalog);
    }
    give_back(engine, job, app, &grant).await;
}

fn why_not_kept(error: &NotWritten) -> ConsentError {
    if matches!(error, NotWritten::Ended | NotWritten::Refused(TransitionError::Unwanted)) {
        return ConsentError::NotWanted;
    }
    tracing::error!(error = %chain(error), "a new grant cannot be put on record");
    ConsentError::NotKept
}

/// Stores what may be the only copy of a grant, unless the connection is gone.
async fn put_on_record(engine: &Engine, job: &Job, grant: &Grant) -> Result<(), NotWritten> {
    let records = &engine.records;
    let change = |record: Record| {
        let standing = records.opened(&record, Slot::Candidate).map(|standing| standing.grant);
        if standing.as_ref().is_some_and(|standing| is_same(standing, grant)) {
            return Ok(record);
        }
        let free = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        Ok(free.with_candidate(&records.sealer, grant)?.with_candidate_after(job.newest_known))
    };
    write_wanted(engine, job, Patience::Endless(&job.place), change).await.map(drop)
}

/// What the attempt's page says about it; the connection's status says the rest.
pub(super) fn ending(judged: &WorkResult) -> AttemptEnding {
    match judged {
        Ok(_) => in_use(),
        Err(Outcome::IntakeRefused { why }) => AttemptEnding::failed(why.reason(), why.to_string()),
        Err(_) => being_checked(),
    }
}

/// The grant is in use.
pub(crate) fn in_use() -> AttemptEnding {
    let message = "Access was allowed.".to_owned();
    AttemptEnding { result: EndResult::Connected, reason: Reason::Connected.into(), message }
}

/// The grant is on record, and not judged yet.
pub(crate) fn being_checked() -> AttemptEnding {
    let message = "Access was allowed, and the grant is being checked with the provider.".to_owned();
    AttemptEnding { result: EndResult::Kept, reason: Reason::AuthorizationInProgress.into(), message }
}
