//! The authorization request: built by the operator, because only it knows the client secret and keeps the verifier.

use bowline_api::attempt::{Step, redirect_uri};
use bowline_api::connection::Method;
use bowline_oauth::authorize::{self, AuthorizationRequest};
use bowline_oauth::catalog::protocol::ProviderAccount;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::ByteString;
use secrecy::SecretString;

use super::Consenting;
use super::allowed::{NotAsked, app, declined, may_consent, not_offered};
use super::pledge::Pledge;
use crate::grant::intake::{into_catalog, pinned_account};
use crate::grant::outcome::Outcome;
use crate::grant::refusal::ConsentError;
use crate::grant::target::requested;
use crate::metrics::Operation;

/// Builds the authorization request of an attempt, pushed to the provider first where it offers that.
pub(super) async fn begin(at: Consenting<'_>, name: &str) -> Outcome {
    let kept = match at.consents.attempt(name).await {
        Ok(kept) => kept,
        Err(outcome) => return outcome,
    };
    let Step::Asked { session, state } = &kept.attempt.step else { return Outcome::Stepped };
    match request(at, &kept, state).await {
        Ok((address, sealed)) => {
            let next = Step::Prepared { session: session.clone(), address, sealed };
            at.consents.step(kept, next).await.map_or(Outcome::Stale, |_| Outcome::Stepped)
        }
        Err(NotAsked::Refused(why)) => at.consents.fail(kept, why).await,
        Err(NotAsked::Later(outcome)) => outcome,
    }
}

/// The address to send the browser to, and the pledge.
async fn request(
    at: Consenting<'_>,
    kept: &StoredAttempt,
    state: &SecretString,
) -> Result<(SecretString, ByteString), NotAsked> {
    let Consenting { engine, job, .. } = at;
    let now = engine.records.clock.now();
    if kept.attempt.is_expired_at(now) {
        return Err(ConsentError::TooLate.into());
    }
    may_consent(at, kept)?;
    let offered = job.target.methods().contains(&Method::AuthorizationCode);
    let portal = at.consents.portal.as_ref().filter(|_| offered).ok_or_else(|| not_offered(job))?;
    let app = app(at).await?;
    let permit = engine.gate.admit(job).await?;
    let redirect_uri = redirect_uri(portal, job.target.provider());
    let scopes = requested(&job.target, &job.scopes);
    let expected = expected(at);
    let request = AuthorizationRequest {
        redirect_uri: &redirect_uri,
        state,
        scopes: &scopes,
        expected: expected.as_ref(),
    };
    let begun = authorize::begin(job.target.http(), job.target.description(), &app, &request, now);
    let begun = engine.gate.timed(Operation::Authorize, begun).await;
    drop(permit);
    let begun = begun.map_err(|failure| declined(at, failure))?;
    let pledge = Pledge {
        attempt: kept.name.clone(),
        secret: begun.verifier,
        bound_to: job.binding(Some(&app)),
        redirect_uri,
        scopes,
    };
    let sealed = pledge.seal(&engine.records.sealer, &job.place)?;
    Ok((SecretString::from(begun.address.as_str()), sealed))
}

/// The account that a renewal must be of, unless the owner means another one now.
fn expected(at: Consenting<'_>) -> Option<ProviderAccount> {
    let account = pinned_account(at.engine, &at.job.place.uid).map(into_catalog)?;
    let another = |named: Option<&String>| named.is_some_and(|named| *named != account.id);
    let means_it = !another(at.job.expected_account.as_ref()) && !another(at.job.accepted_account.as_ref());
    means_it.then_some(account)
}
