//! The code for tokens: sent once, whatever happens.

use bowline_api::attempt::{AuthorizationResponse, Step};
use bowline_oauth::app::App;
use bowline_oauth::callback;
use bowline_oauth::exchange::{self, Code};
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::ByteString;
use secrecy::SecretString;

use super::Consenting;
use super::allowed::{declined, may_consent};
use super::arrival::{Arrival, arrived};
use super::pledge::Pledge;
use crate::grant::intake::judge_candidate;
use crate::grant::outcome::Outcome;
use crate::grant::refusal::ConsentError;
use crate::metrics::Operation;
use crate::vault::{GrantType, Slot};

/// Takes what the browser returned with: the error is told, the code is exchanged.
pub(super) async fn exchange(at: Consenting<'_>, name: &str) -> Outcome {
    let kept = match at.consents.attempt(name).await {
        Ok(kept) => kept,
        Err(outcome) => return outcome,
    };
    let Step::Returned { answer, sealed } = &kept.attempt.step else { return Outcome::Stepped };
    let (pledge, code) = match code(at, &kept, answer, sealed) {
        Ok(code) => code,
        Err(why) => return at.consents.fail(kept, why).await,
    };
    let app = match at.engine.secrets.app(at.job).await {
        Ok(Some(app)) if pledge.holds_for(at.job, &app) => app,
        Ok(_) => return at.consents.fail(kept, ConsentError::TermsMoved).await,
        Err(none) => return none.into(),
    };
    spend(at, kept, &app, &pledge, &code).await
}

/// Sends the code, once.
async fn spend(
    at: Consenting<'_>,
    kept: StoredAttempt,
    app: &App,
    pledge: &Pledge,
    code: &SecretString,
) -> Outcome {
    let Consenting { engine, job, .. } = at;
    // Judge the older candidate first, or this answer overwrites it.
    if engine
        .records
        .get(&job.place.uid)
        .is_some_and(|loaded| loaded.record.sealed(Slot::Candidate).is_some())
    {
        judge_candidate(engine, at.replaced, job).await;
    }
    let permit = match engine.gate.admit(job).await {
        Ok(permit) => permit,
        Err(why) => return why.into(),
    };
    // From here on nobody else finds the code.
    let Some(kept) = at.consents.step(kept, Step::Exchanging).await else { return Outcome::Stale };
    let asked_at = engine.records.clock.now();
    let Pledge { secret: verifier, redirect_uri, scopes, .. } = pledge;
    let code = Code { code, verifier, redirect_uri, scopes };
    let sent = exchange::exchange(job.target.http(), job.target.description(), app, code, asked_at);
    let sent = engine.gate.timed(Operation::Exchange, sent).await;
    drop(permit);
    match sent {
        Ok(granted) => {
            let arrival = Arrival { kept, pledge, app, grant_type: GrantType::AuthorizationCode, asked_at };
            arrived(at, arrival, granted.answer).await
        }
        Err(failure) => at.consents.fail(kept, declined(at, failure)).await,
    }
}

/// The pledge and the code, if the answer is one to this attempt, from the provider that was asked.
fn code(
    at: Consenting<'_>,
    kept: &StoredAttempt,
    answer: &AuthorizationResponse,
    sealed: &ByteString,
) -> Result<(Pledge, SecretString), ConsentError> {
    let Consenting { engine, job, .. } = at;
    if kept.attempt.is_expired_at(engine.records.clock.now()) {
        return Err(ConsentError::TooLate);
    }
    may_consent(at, kept)?;
    let pledge = Pledge::open(&engine.records.sealer, &job.place, &kept.name, sealed)?;
    let (AuthorizationResponse::Code { issuer, .. } | AuthorizationResponse::Error { issuer, .. }) = answer;
    let description = job.target.description();
    callback::callback_issuer(description, issuer.as_deref()).map_err(|_| ConsentError::WrongIssuer)?;
    match answer {
        AuthorizationResponse::Code { code, .. } => Ok((pledge, code.clone())),
        AuthorizationResponse::Error { error, description: said, .. } => {
            let declined = callback::declined(description, error, said.as_deref());
            Err(ConsentError::declined(declined, job.target.whom_to_ask()))
        }
    }
}
