//! From the provider's answer to the grant in use: on record first, then judged, then promoted.

use std::sync::{Mutex, PoisonError};

use bowline_api::attempt::{AttemptEnding, EndResult};
use bowline_api::reason::Reason;
use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::App;
use bowline_runtime::attempts::StoredAttempt;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;

use super::Consenting;
use super::allowed::person_behind;
use super::pledge::Pledge;
use crate::grant::intake::{from_catalog, judge_candidate, whose};
use crate::grant::outcome::Outcome;
use crate::grant::records::{NotWritten, Patience};
use crate::grant::refusal::ConsentError;
use crate::grant::revoke::{give_back, is_revoked_after, revoke_replaced};
use crate::grant::slot::{is_same, renewed};
use crate::vault::{Consent, Grant, GrantType, Record, Slot, TransitionError};

/// What an answer belongs to.
pub(super) struct Arrival<'a> {
    /// The attempt, which is told how it ended.
    pub(crate) kept: StoredAttempt,
    /// What the grant is bound to.
    pub(crate) pledge: &'a Pledge,
    /// The app it was given to.
    pub(crate) app: &'a App,
    /// How it came.
    pub(crate) grant_type: GrantType,
    /// When the request was sent.
    pub(crate) asked_at: Timestamp,
}

/// Puts the answer on record before anything in it is judged, judges it, and tells the attempt's page.
pub(super) async fn arrived(at: Consenting<'_>, arrival: Arrival<'_>, answer: TokenAnswer) -> Outcome {
    let Consenting { engine, job, .. } = at;
    engine.gate.accepted(job);
    let Arrival { kept, pledge, app, grant_type, asked_at } = arrival;
    let account = answer.account.clone().map(from_catalog);
    let person = person_behind(at, &kept);
    let consent = Consent { grant_type, asked: pledge.scopes.clone(), confirmed: false, person };
    let nothing = Grant::empty(pledge.bound_to.clone(), consent, asked_at);
    let mut grant = renewed(&nothing, answer, asked_at);
    grant.bound_to.account = account;
    let erased = match put_on_record(at, &grant).await {
        Ok(erased) => erased,
        Err(why) => {
            // Without its account nobody could tell whether another connection lives on it.
            if grant.bound_to.account.is_none() {
                grant.bound_to.account = whose(engine, job, &grant).await.ok().flatten();
            }
            give_back(engine, job, app, &grant).await;
            return at.consents.fail(kept, why).await;
        }
    };
    let outcome = judge_candidate(engine, at.replaced, job).await;
    at.consents.conclude(kept, ending(&outcome)).await;
    // It was published nowhere, so nobody is waited for.
    if let Some(erased) = erased.filter(|erased| is_revoked_after(job, &grant, erased)) {
        revoke_replaced(engine, job, &erased).await;
    }
    outcome
}

/// Keeps what may be the only copy of a grant: tried until it is written, or the connection is gone or being ended. Gives the
/// candidate that it has replaced, if there was one.
async fn put_on_record(at: Consenting<'_>, grant: &Grant) -> Result<Option<Grant>, ConsentError> {
    let (records, place) = (&at.engine.records, &at.job.place);
    let erased = Mutex::new(None);
    let change = |record: Record| {
        if at.gone.is_cancelled() {
            return Err(TransitionError::Ending);
        }
        let standing = records.opened(&record, Slot::Candidate).map(|standing| standing.grant);
        if standing.as_ref().is_some_and(|standing| is_same(standing, grant)) {
            return Ok(record);
        }
        *erased.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        let free = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        free.with_candidate(&records.sealer, grant)
    };
    match records.write(&place.uid, Some(place), Patience::Endless, change).await {
        Ok(_) => Ok(erased.into_inner().unwrap_or_else(PoisonError::into_inner)),
        Err(NotWritten::Refused(TransitionError::Ending)) => Err(ConsentError::NotWanted),
        Err(error) => {
            tracing::error!(error = %chain(&error), "a new grant cannot be put on record");
            Err(ConsentError::NotKept)
        }
    }
}

/// What the attempt's page says of it; the connection's status says the rest.
fn ending(outcome: &Outcome) -> AttemptEnding {
    match outcome {
        Outcome::Committed { .. } => in_use(),
        Outcome::IntakeRefused { why } => AttemptEnding::failed(why.reason(), why.to_string()),
        _ => being_checked(),
    }
}

/// The grant is in use.
pub(crate) fn in_use() -> AttemptEnding {
    AttemptEnding {
        result: EndResult::Connected,
        reason: Reason::Connected.into(),
        message: "Access was allowed.".to_owned(),
    }
}

/// The grant is on record, and nobody knows yet whether it will do.
pub(crate) fn being_checked() -> AttemptEnding {
    AttemptEnding {
        result: EndResult::Kept,
        reason: Reason::AuthorizationInProgress.into(),
        message: "Access was allowed, and the grant is being checked with the provider.".to_owned(),
    }
}
