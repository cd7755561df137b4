//! The grant in use: one refresh, or one token that is minted without a person. The reconcile that is woken publishes it.

use bowline_api::connection::Method;
use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::App;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::identity;
use bowline_oauth::mint::{self, MintedWith};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::Engine;
use super::intake::{from_catalog, into_catalog};
use super::outcome::{Outcome, WorkResult};
use super::presence::write_wanted;
use super::records::Patience;
use super::slot::{NotSpent, renewed, spend};
use super::target::requested;
use super::work::Job;
use crate::metrics::Operation;
use crate::vault::record::GrantVersion;
use crate::vault::{Binding, Consent, Credential, Grant, Record, Slot};

pub(super) async fn refresh(engine: &Engine, job: &Job) -> WorkResult {
    let app = engine.secrets.client(job).await?;
    spend(engine, job, &app, Slot::InUse).await?;
    Ok(Outcome::Committed { accepted: false })
}

impl From<NotSpent> for Outcome {
    fn from(why: NotSpent) -> Self {
        match why {
            NotSpent::NotAdmitted(outcome) => outcome,
            NotSpent::Misfit => Self::ConsentOutdated,
            NotSpent::Respected { until } => Self::Foreign { until },
            NotSpent::Stale | NotSpent::MaybeSpent | NotSpent::AnswerLost => Self::Stale,
            NotSpent::NoRoom { used } => Self::Lost { used, failure: Failure::not_stored() },
            NotSpent::Failed { used, failure } => Self::Failed { used, failure },
            NotSpent::Unknown { used, failure, before: true } if failure.class == Class::Reauth => {
                Self::Lost { used, failure }
            }
            NotSpent::Unknown { used, failure, .. } => Self::Unknown { used, failure },
            NotSpent::Oversized { used, oversized } => Self::Oversized { used, failure: oversized.into() },
        }
    }
}

/// Mints a token, with the app registration alone (RFC 6749 §4.4), with an assertion that its key signs (RFC 7523 §2.1), or with a
/// token of the owner (RFC 8693). Nothing is spent, so no intent is needed.
pub(super) async fn mint(engine: &Engine, job: &Job) -> WorkResult {
    let records = &engine.records;
    let app = engine.secrets.client(job).await?;
    let _permit = engine.gate.admit(job).await?;
    let asked_at = records.clock.now();
    let answer = minted(engine, job, &app, asked_at).await?;
    let account = answer.account.clone().map(from_catalog);
    let bound_to = Binding { account, ..job.binding(Some(&app)) };
    let mut grant = renewed(&Grant::empty(bound_to, Consent::default(), asked_at), answer, asked_at);
    // A refresh token beside a minted token is ignored: what mints it is the grant.
    if let Credential::OAuth { refresh_token, .. } = &mut grant.credential {
        *refresh_token = None;
    }
    let change = |record: Record| record.minted(&records.sealer, &grant, job.newest_known);
    match write_wanted(engine, job, Patience::Brief, change).await {
        Ok(Some(_)) => Ok(Outcome::Committed { accepted: false }),
        _ => Err(Outcome::Stale),
    }
}

/// The answer to a request for a token, with its account as far as anybody tells it.
async fn minted(engine: &Engine, job: &Job, app: &App, now: Timestamp) -> Result<TokenAnswer, Outcome> {
    let gate = &engine.gate;
    let failed = |failure| Outcome::Failed { used: used(engine, job), failure };
    let refused = |failure| failed(gate.failed(job, failure, None));
    // Where there is none, that says nothing about the provider.
    let subject = engine.secrets.subject_token(job).await.map_err(failed)?;
    let (scopes, with) = (requested(&job.target, &job.scopes), minted_with(job.method, subject.as_ref()));
    let mint = mint::mint(job.target.http(), job.target.description(), app, with, &scopes, now);
    let mut answer = gate.timed(operation(job.method), mint).await.map_err(refused)?.answer;
    gate.accepted(job);
    if let Some(oversized) = answer.oversized_token().filter(|_| answer.access_token.is_none()) {
        return Err(refused(oversized.into()));
    }
    ask_for_account(engine, job, app, &mut answer).await.map_err(refused)?;
    let (expected, account) = (job.expected_account.as_ref(), answer.account.as_ref());
    if account.is_some_and(|account| expected.is_some_and(|expected| *expected != account.id)) {
        let summary = "the token is for another account than spec.account names";
        return Err(refused(Failure::new(Class::Config, Sent::Refused, summary)));
    }
    Ok(answer)
}

/// The grant in use. One that was rolled back is not.
fn used(engine: &Engine, job: &Job) -> Option<GrantVersion> {
    let used = engine.records.get(&job.place.uid).and_then(|loaded| loaded.record.grant_version());
    used.filter(|version| job.newest_known.is_none_or(|known| !version.is_behind(known)))
}

/// What a call says about a minted token: its account, if the answer does not, and values to publish. A call that fails costs no
/// token, unless the account must be known.
async fn ask_for_account(
    engine: &Engine,
    job: &Job,
    app: &App,
    answer: &mut TokenAnswer,
) -> Result<(), Failure> {
    let description = job.target.description();
    let is_unknown = answer.account.is_none() && description.identity_url().is_some();
    let asks = is_unknown || description.publishes_from_calls();
    let Some(token) = answer.access_token.clone().filter(|_| asks) else { return Ok(()) };
    let now = engine.records.clock.now();
    let info = identity::user_info(job.target.http(), description, Some(app), &token, now);
    match engine.gate.timed(Operation::Identity, info).await {
        Ok(info) => {
            answer.account = answer.account.take().or(info.account);
            answer.extras.extend(info.extras);
        }
        Err(failure) if is_unknown && job.expected_account.is_some() => return Err(failure),
        Err(failure) => {
            tracing::info!(%failure, "the account of a minted token is not told now");
            let before =
                engine.records.in_use(&job.place.uid).and_then(|grant| grant.bound_to.account.clone());
            answer.account = answer.account.take().or(before.map(into_catalog));
        }
    }
    Ok(())
}

fn minted_with(method: Method, subject: Option<&SecretString>) -> MintedWith<'_> {
    match subject {
        Some(subject) => MintedWith::Subject(subject),
        None if method == Method::JwtBearer => MintedWith::Assertion,
        None => MintedWith::App,
    }
}

fn operation(method: Method) -> Operation {
    match method {
        Method::JwtBearer => Operation::JwtBearer,
        Method::TokenExchange => Operation::TokenExchange,
        _ => Operation::ClientCredentials,
    }
}
