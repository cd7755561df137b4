//! Consent in a browser: the authorization request and the code for tokens (RFC 6749 §4.1), or a link session and what came of
//! it.
//!
//! The operator builds the request, because only it knows the client secret and keeps the verifier. The code is sent once,
//! whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::attempt::{AuthorizationResponse, Step, redirect_uri};
use bowline_api::connection::Method;
use bowline_oauth::app::App;
use bowline_oauth::authorize::{self, AuthorizationRequest};
use bowline_oauth::callback;
use bowline_oauth::catalog::protocol::ProviderAccount;
use bowline_oauth::classify::Failure;
use bowline_oauth::exchange::{self, Code};
use bowline_oauth::link_session::{self, LinkRequest};
use bowline_oauth::revoke::Tokens;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::ByteString;
use secrecy::SecretString;
use url::Url;

use super::arrival::{Arrival, arrived};
use super::terms::{Pledge, agreed, app, declined, may_consent, not_offered, offers, pledged_app};
use crate::grant::Engine;
use crate::grant::intake::{into_catalog, judge_candidate, pinned_account};
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::refusal::ConsentError;
use crate::grant::slot::{access_token, refresh_token};
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{GrantType, Slot};

/// Builds the authorization request of an attempt, and pushes it to the provider first if the provider offers that.
pub(super) async fn begin(engine: &Engine, job: &Job, name: &str) -> WorkResult {
    let consents = &engine.consents;
    let kept = consents.attempt(name).await?;
    let Step::Asked { session, state } = &kept.attempt.step else { return Ok(Outcome::Stepped) };
    match request(engine, job, &kept, state).await {
        Ok((address, sealed)) => {
            let next = Step::Prepared { session: session.clone(), address, sealed };
            consents.step(kept, next).await.map(|_| Outcome::Stepped).ok_or(Outcome::Stale)
        }
        Err(outcome) => Err(consents.failed(kept, outcome).await),
    }
}

/// The address to redirect the browser to, and the sealed terms.
async fn request(
    engine: &Engine,
    job: &Job,
    kept: &StoredAttempt,
    state: &SecretString,
) -> Result<(SecretString, ByteString), Outcome> {
    let now = engine.records.clock.now();
    if kept.attempt.is_expired_at(now) {
        return Err(ConsentError::TooLate.into());
    }
    may_consent(engine, job, kept)?;
    let (agreed, scopes) = agreed(job, kept)?;
    let links = job.method == Method::LinkSession;
    let offered = offers(job, if links { Method::LinkSession } else { Method::AuthorizationCode });
    let portal = engine.consents.portal.as_ref().filter(|_| offered).ok_or_else(|| not_offered(job))?;
    let app = app(engine, job).await?;
    let permit = engine.gate.admit(job).await?;
    let redirect_uri = redirect_uri(portal, job.target.provider());
    let scopes = requested(&job.target, scopes);
    let asked = BrowserRequest { app: &app, redirect_uri: &redirect_uri, state, scopes: &scopes };
    let begun = if links { asked.session(engine, job).await } else { asked.consent(engine, job).await };
    drop(permit);
    let BrowserStart { address, secret, sent_challenge } =
        begun.map_err(|failure| declined(engine, job, failure))?;
    let pledge = Pledge {
        attempt: kept.name.clone(),
        secret,
        sent_challenge,
        bound_to: job.binding(Some(&app)),
        redirect_uri,
        scopes,
        agreed: Some(agreed),
    };
    let sealed = pledge.seal(&engine.records.sealer, &job.place)?;
    Ok((SecretString::from(address.as_str()), sealed))
}

/// What a person is asked for.
struct BrowserRequest<'a> {
    app: &'a App,
    redirect_uri: &'a str,
    state: &'a SecretString,
    scopes: &'a [String],
}

/// Where the person is sent, and what the operator needs when they come back.
struct BrowserStart {
    address: Url,
    secret: SecretString,
    sent_challenge: bool,
}

impl BrowserRequest<'_> {
    /// An authorization request.
    async fn consent(&self, engine: &Engine, job: &Job) -> Result<BrowserStart, Failure> {
        let Self { app, redirect_uri, state, scopes } = *self;
        let expected = expected(engine, job);
        let request = AuthorizationRequest { redirect_uri, state, scopes, expected: expected.as_ref() };
        let now = engine.records.clock.now();
        let begun = authorize::begin(job.target.http(), job.target.description(), app, &request, now);
        let begun = engine.gate.timed(Operation::Authorize, begun).await?;
        Ok(BrowserStart {
            address: begun.address,
            secret: begun.verifier,
            sent_challenge: begun.sends_challenge,
        })
    }

    /// A link session. It repairs the grant in use, unless the owner wants another account now.
    async fn session(&self, engine: &Engine, job: &Job) -> Result<BrowserStart, Failure> {
        let Self { app, redirect_uri, state, scopes } = *self;
        let held = engine.records.in_use(&job.place.uid);
        let held = held.filter(|grant| {
            expected(engine, job).is_some() && grant.bound_to.fits(&job.terms(Some(app))).is_ok()
        });
        let held = held.as_ref().map(|grant| Tokens {
            refresh: refresh_token(grant),
            access: access_token(grant),
            account: grant.bound_to.account.as_ref().map(|account| account.id.as_str()),
        });
        let request = LinkRequest { redirect_uri, state, scopes, connection: &job.place.uid, held };
        let now = engine.records.clock.now();
        let opened = link_session::open(job.target.http(), job.target.description(), app, request, now);
        let opened = engine.gate.timed(Operation::Authorize, opened).await?;
        Ok(BrowserStart { address: opened.page, secret: opened.kept, sent_challenge: false })
    }
}

/// The account that a renewal must be of, unless the owner wants another one now.
fn expected(engine: &Engine, job: &Job) -> Option<ProviderAccount> {
    let account = pinned_account(engine, &job.place.uid).map(into_catalog)?;
    let mut named = [&job.expected_account, &job.accepted_account].into_iter().flatten();
    named.all(|named| *named == account.id).then_some(account)
}

/// Handles what the browser returned with: an error ends the attempt, a code is exchanged.
pub(super) async fn exchange(engine: &Engine, job: &Job, name: &str) -> WorkResult {
    let kept = engine.consents.attempt(name).await?;
    let Step::Returned { answer, sealed } = &kept.attempt.step else { return Ok(Outcome::Stepped) };
    match code(engine, job, &kept, answer, sealed).await {
        Ok((pledge, app, returned)) => Box::pin(spend(engine, job, kept, &app, &pledge, returned)).await,
        Err(outcome) => Err(engine.consents.failed(kept, outcome).await),
    }
}

/// What the browser returned with.
struct Returned {
    code: SecretString,
    parameters: BTreeMap<String, String>,
}

/// The code with its terms and app, if the answer belongs to this attempt and comes from the provider that was asked.
async fn code(
    engine: &Engine,
    job: &Job,
    kept: &StoredAttempt,
    answer: &AuthorizationResponse,
    sealed: &ByteString,
) -> Result<(Pledge, Arc<App>, Returned), Outcome> {
    let pledge = Pledge::open(engine, job, kept, sealed)?;
    may_consent(engine, job, kept)?;
    let (AuthorizationResponse::Code { issuer, .. } | AuthorizationResponse::Error { issuer, .. }) = answer;
    let description = job.target.description();
    callback::callback_issuer(description, issuer.as_deref()).map_err(|_| ConsentError::WrongIssuer)?;
    match answer {
        AuthorizationResponse::Code { code, parameters, .. } => {
            let app = pledged_app(engine, job, &pledge).await?;
            Ok((pledge, app, Returned { code: code.clone(), parameters: parameters.clone() }))
        }
        AuthorizationResponse::Error { error, description: said, .. } => {
            let declined = callback::declined(description, error, said.as_deref());
            Err(ConsentError::declined(declined, job.target.whom_to_ask()).into())
        }
    }
}

async fn spend(
    engine: &Engine,
    job: &Job,
    kept: StoredAttempt,
    app: &App,
    pledge: &Pledge,
    Returned { code, parameters }: Returned,
) -> WorkResult {
    let loaded = engine.records.get(&job.place.uid);
    if loaded.is_some_and(|loaded| loaded.record.sealed(Slot::Candidate).is_some()) {
        // The older candidate is judged first, because this answer overwrites it. Whatever the result, the code is sent.
        let _ = judge_candidate(engine, job).await;
    }
    let permit = engine.gate.admit_code(job).await?;
    // From here on no other process finds the code.
    let kept = engine.consents.step(kept, Step::Exchanging).await.ok_or(Outcome::Stale)?;
    let asked_at = engine.records.clock.now();
    let Pledge { secret, sent_challenge, redirect_uri, scopes, .. } = pledge;
    let (http, description) = (job.target.http(), job.target.description());
    let sent = if job.method == Method::LinkSession {
        let fetched = link_session::fetch(http, description, app, secret, &parameters, asked_at);
        engine.gate.timed(Operation::Exchange, fetched).await
    } else {
        let (verifier, sent_challenge) = (secret, *sent_challenge);
        let code = Code { code: &code, verifier, sent_challenge, redirect_uri, scopes };
        let exchanged = exchange::exchange(http, description, app, code, asked_at);
        engine.gate.timed(Operation::Exchange, exchanged).await
    };
    drop(permit);
    match sent {
        Ok(granted) => {
            let grant_type = GrantType::AuthorizationCode;
            let arrival = Arrival { kept, pledge, app, grant_type, asked_at, parameters };
            Box::pin(arrived(engine, job, arrival, granted.answer)).await
        }
        Err(failure) => Err(engine.consents.failed(kept, declined(engine, job, failure)).await),
    }
}
