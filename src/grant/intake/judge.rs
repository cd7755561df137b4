//! Judging a candidate: does the provider honour it, and is it of the account that is expected? If so, it is promoted to the
//! grant in use, else erased.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_oauth::answer::{AnswerFlaw, UNKNOWN_TYPE};
use bowline_oauth::app::App;
use bowline_oauth::catalog::calls::{Identity, IdentitySource};
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::catalog::protocol;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::identity::UserInfo;
use bowline_oauth::limits::Oversized;
use bowline_oauth::{claims, identity, key};
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use crate::grant::Engine;
use crate::grant::outcome::{Outcome, WorkResult};
use crate::grant::refusal::{ConsentError, IntakeError};
use crate::grant::revoke::{discard, replace};
use crate::grant::slot::{NotSpent, access_token, refresh_token, spend, useless};
use crate::grant::target::ScopeComparison;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{Account, Credential, Grant, Opened, Record, SiblingKey, Slot};

/// Judges the present candidate, and promotes or erases it.
pub(crate) async fn judge_candidate(engine: &Engine, job: &Job) -> WorkResult {
    let app = engine.secrets.app(job).await?;
    let loaded = engine.records.get(&job.place.uid).ok_or(Outcome::Stale)?;
    let candidate = loaded.record.open(&engine.records.sealer, Slot::Candidate);
    let candidate =
        candidate.map_err(|_| Outcome::delayed("The candidate on record cannot be opened now."))?;
    let Some(mut candidate) = candidate else { return Ok(Outcome::Committed { accepted: true }) };
    match judge(engine, job, app.as_deref(), &mut candidate).await {
        Ok(()) => promote(engine, job, &candidate).await,
        Err(Outcome::IntakeRefused { why }) => Err(discard(engine, job, &candidate.grant, why).await.into()),
        Err(outcome) => Err(outcome),
    }
}

async fn promote(engine: &Engine, job: &Job, candidate: &Opened) -> WorkResult {
    let records = &engine.records;
    replace(engine, job, &candidate.grant).await;
    let known = job.newest_known;
    let change = |record: Record| record.promoted(&records.sealer, candidate, known);
    let promoted = records.settle(&job.place.uid, change).await;
    let Ok(Some(_)) = promoted else {
        return Err(Outcome::delayed("The judged grant could not be put in place now."));
    };
    Ok(Outcome::Committed { accepted: true })
}

/// Whether the provider accepts a candidate that fits, or the outcome that judging ended with.
type Judgement = Result<(), Outcome>;

/// Asks the provider, as far as possible. May complete the candidate: with the account, or with new tokens.
async fn judge(engine: &Engine, job: &Job, app: Option<&App>, candidate: &mut Opened) -> Judgement {
    if candidate.grant.bound_to.fits(&job.terms(app)).is_err() {
        // Otherwise it would be sent where nobody agreed to.
        return Err(ConsentError::TermsMoved.into());
    }
    match &candidate.grant.credential {
        Credential::ApiKey { .. } | Credential::Basic { .. } => try_key(engine, job, candidate).await,
        // We issued them ourselves; they are never a candidate.
        Credential::IssuedKeys { .. } => Ok(()),
        Credential::OAuth { .. } if candidate.grant.consent.is_ours() => {
            try_consented(engine, job, &mut candidate.grant).await
        }
        Credential::OAuth { .. } => try_tokens(engine, job, app, candidate).await,
    }
}

async fn try_key(engine: &Engine, job: &Job, candidate: &mut Opened) -> Judgement {
    let Engine { records, gate, .. } = engine;
    let _permit = gate.admit(job).await.map_err(|_| not_admitted())?;
    let Some(credential) = key_credential(job, &candidate.grant)? else { return Ok(()) };
    let verify = key::verify(job.target.http(), job.target.description(), &credential, records.clock.now());
    match gate.timed(Operation::Key, verify).await {
        Ok(key::KeyVerdict::Good(facts)) => {
            let account = learn(&mut candidate.grant, facts);
            account_fits(engine, job, &mut candidate.grant, account)
        }
        // Keys are rotated by their owners, and few providers say whose a key is: no account does not mean another account.
        Ok(key::KeyVerdict::Alive(facts)) => {
            learn(&mut candidate.grant, facts);
            Ok(())
        }
        Ok(key::KeyVerdict::Unverified) => Ok(()),
        Ok(key::KeyVerdict::Bad) => Err(refused("it is not valid there.")),
        Err(failure) => refused_or_later(&gate.failed(job, failure, None)),
    }
}

/// Keeps what the provider says of a key; returns its account. A time that the provider says counts more than one that was
/// imported with the key.
fn learn(grant: &mut Grant, facts: key::KeyFacts) -> Option<Account> {
    grant.expires_at = facts.expires_at.or(grant.expires_at);
    publish(grant, facts.extras);
    facts.account.map(from_catalog)
}

/// Refuses the present candidate: a part of the answer is too large to be kept.
pub(crate) async fn refuse_oversized(
    engine: &Engine,
    job: &Job,
    candidate: &Grant,
    oversized: Oversized,
) -> WorkResult {
    Err(discard(engine, job, candidate, oversized.into()).await.into())
}

/// The provider issued it to us a moment ago: only its account is still unknown.
async fn try_consented(engine: &Engine, job: &Job, grant: &mut Grant) -> Judgement {
    if matches!(&grant.credential, Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE) {
        return Err(unusable_type());
    }
    if let Some(why) = useless(grant, engine.records.clock.now()) {
        return Err(refused(why));
    }
    match grant.bound_to.account.clone() {
        Some(named) => {
            account_fits(engine, job, grant, Some(named))?;
            ask_for_extras(engine, job, grant).await?;
        }
        None => identify(engine, job, grant).await?,
    }
    scopes_fit(engine, job, grant)
}

/// A grant that would be withheld for its scopes does not replace a published one: all workloads that use it would stop.
fn scopes_fit(engine: &Engine, job: &Job, grant: &Grant) -> Judgement {
    let in_use = engine.records.in_use(&job.place.uid);
    let published = in_use
        .is_some_and(|grant| !grant.consent.awaits_confirmation() && withheld_for(job, &grant).is_none());
    withheld_for(job, grant).filter(|_| published).map_or(Ok(()), |why| Err(why.into()))
}

/// An access token that is valid long enough is tested as it is; otherwise the refresh token is used once.
async fn try_tokens(engine: &Engine, job: &Job, app: Option<&App>, candidate: &mut Opened) -> Judgement {
    let told_by_call = job.target.description().identity_url().is_some();
    let loaded = engine.records.get(&job.place.uid);
    let was_sent = loaded.is_some_and(|loaded| loaded.record.intent(Slot::Candidate).is_some());
    let lasts = lasts(&candidate.grant, engine.records.clock.now());
    // With method RefreshToken the refresh token is proved by using it once; otherwise the access token will do. Once it was
    // sent, only an answer to that proves anything.
    if !was_sent && job.method != Method::RefreshToken && told_by_call && lasts {
        match identify(engine, job, &mut candidate.grant).await {
            Err(Outcome::IntakeRefused { why: IntakeError::Refused { .. } })
                if refresh_token(&candidate.grant).is_some() => {}
            judged => return judged,
        }
    }
    if let Some(app) = app.filter(|_| refresh_token(&candidate.grant).is_some()) {
        return prove(engine, job, app, candidate).await;
    }
    // Without an identity call nobody can be asked; the first workload will find out.
    let claimed = claimed_account(job, &candidate.grant);
    account_fits(engine, job, &mut candidate.grant, claimed)
}

/// Uses the candidate's refresh token once. The candidate is then what the provider issued for it, and is on record as such.
async fn prove(engine: &Engine, job: &Job, app: &App, candidate: &mut Opened) -> Judgement {
    let spent = match spend(engine, job, app, Slot::Candidate).await {
        Ok(spent) => spent,
        Err(why) => return not_proved(why),
    };
    let answered = engine.records.opened(&spent.loaded.record, Slot::Candidate);
    *candidate = answered.ok_or_else(|| Outcome::delayed("The record cannot be read now."))?;
    if spent.answer.flaws.contains(&AnswerFlaw::TokenType) {
        return Err(unusable_type());
    }
    if let Some(oversized) = spent.answer.oversized_for_a_grant() {
        return Err(IntakeError::from(oversized).into());
    }
    match spent.answer.account.map(from_catalog) {
        Some(account) => {
            account_fits(engine, job, &mut candidate.grant, Some(account))?;
            ask_for_extras(engine, job, &mut candidate.grant).await
        }
        None => identify(engine, job, &mut candidate.grant).await,
    }
}

fn not_proved(why: NotSpent) -> Judgement {
    Err(match why {
        NotSpent::NotAdmitted(_) => not_admitted(),
        NotSpent::Stale => Outcome::delayed("The record changed meanwhile."),
        NotSpent::Misfit => ConsentError::TermsMoved.into(),
        NotSpent::Respected { until } => Outcome::Foreign { until },
        NotSpent::MaybeSpent => Outcome::IntakeInDoubt,
        NotSpent::Failed { failure, .. } => return refused_or_later(&failure),
        NotSpent::Unknown { failure, before, .. } => match refused_or_later(&failure) {
            // An earlier request may have worked, and its answer contained the only token that does.
            Err(Outcome::IntakeRefused { .. }) if before => IntakeError::AnswerLost.into(),
            _ => Outcome::IntakeInDoubt,
        },
        NotSpent::Oversized { oversized, .. } => IntakeError::from(oversized).into(),
        NotSpent::AnswerLost | NotSpent::NoRoom { .. } => {
            refused("the refresh token was used, and its answer could not be put on record.")
        }
    })
}

async fn identify(engine: &Engine, job: &Job, grant: &mut Grant) -> Judgement {
    if claimed_account(job, grant).is_none() && access_token(grant).is_none() {
        return Ok(());
    }
    match whose(engine, job, grant).await {
        Ok(info) => {
            publish(grant, info.extras);
            account_fits(engine, job, grant, info.account.map(from_catalog))
        }
        Err(failure) => match engine.gate.failed(job, failure, None) {
            // It works, but may not ask for its account.
            Failure { class: Class::Alive, .. } => account_fits(engine, job, grant, None),
            failure => refused_or_later(&failure),
        },
    }
}

/// The account that a grant belongs to, according to its id token or the provider, in the order of the description; `None` if
/// neither says. A call that is refused is no failure if the id token names the account.
pub(crate) async fn whose(engine: &Engine, job: &Job, grant: &Grant) -> Result<UserInfo, Failure> {
    let claimed = claimed_account(job, grant).map(into_catalog);
    let description = job.target.description();
    let claims_first = description.identity.as_ref().is_some_and(Identity::trusts_claims_first);
    if claimed.is_some() && claims_first && !description.publishes_from_calls() {
        return Ok(UserInfo { account: claimed, ..UserInfo::default() });
    }
    match asked(engine, job, grant).await {
        Ok(info) if claimed.is_some() && (claims_first || info.account.is_none()) => {
            Ok(UserInfo { account: claimed, ..info })
        }
        Err(failure) if claimed.is_some() && may_not_be_asked(&failure) => {
            Ok(UserInfo { account: claimed, ..UserInfo::default() })
        }
        asked => asked,
    }
}

async fn asked(engine: &Engine, job: &Job, grant: &Grant) -> Result<UserInfo, Failure> {
    let Some(token) = access_token(grant) else { return Ok(UserInfo::default()) };
    let (gate, now) = (&engine.gate, engine.records.clock.now());
    let description = job.target.description();
    // Without one, the call says that it needs one.
    let app = if description.calls_with_certificate() {
        engine.secrets.app(job).await.ok().flatten()
    } else {
        None
    };
    let info = identity::user_info(job.target.http(), description, app.as_deref(), token, now);
    gate.timed(Operation::Identity, info).await
}

/// Whether the token may not read the user info: then that says nothing about the grant.
fn may_not_be_asked(failure: &Failure) -> bool {
    matches!(failure.status, Some(401 | 403 | 431))
}

/// Values of calls to publish, where the account is known already. What they do not say is not published.
async fn ask_for_extras(engine: &Engine, job: &Job, grant: &mut Grant) -> Judgement {
    if !job.target.description().publishes_from_calls() {
        return Ok(());
    }
    match asked(engine, job, grant).await {
        Ok(info) => publish(grant, info.extras),
        Err(failure) if may_not_be_asked(&failure) => {}
        Err(failure) => return refused_or_later(&engine.gate.failed(job, failure, None)),
    }
    Ok(())
}

fn publish(grant: &mut Grant, extras: BTreeMap<String, String>) {
    grant.published_extras.extend(extras.into_iter().map(|(key, value)| (key, value.into())));
}

/// The account of the grant in use: the first grant pins it, unless it awaits its owner's confirmation.
pub(crate) fn pinned_account(engine: &Engine, uid: &str) -> Option<Account> {
    engine.records.in_use(uid)?.pinned_account().cloned()
}

/// The first grant pins the account; a chain of tokens that an account has only once is not accepted twice.
fn account_fits(engine: &Engine, job: &Job, grant: &mut Grant, account: Option<Account>) -> Judgement {
    let pinned = pinned_account(engine, &job.place.uid).map(|account| account.id);
    let (expected, accepted) = (job.expected_account.as_ref(), job.accepted_account.as_ref());
    let Some(account) = account else {
        // If a missing account could lift the pin, it would be useless.
        let pins = pinned.is_some() || expected.is_some();
        return if pins { Err(IntakeError::AccountUnknown.into()) } else { Ok(()) };
    };
    let Account { id, name, .. } = account.clone();
    let is_named = |named: Option<&String>| named == Some(&id);
    let other_than = |named: Option<&String>| named.is_some_and(|named| *named != id);
    let other = other_than(expected) || other_than(pinned.as_ref()) && !is_named(accepted);
    grant.consent.confirmed |= is_named(expected) || is_named(pinned.as_ref()) || is_named(accepted);
    // Also for a refused one: whether it may be revoked depends on its account.
    grant.bound_to.account = Some(account);
    if other {
        return Err(IntakeError::OtherAccount { id, name }.into());
    }
    let only_chain = job.target.description().grant.chain == protocol::Chain::Account;
    let key = SiblingKey::of(&grant.bound_to).filter(|_| only_chain);
    let is_another = |record: &Arc<Record>| record.uid() != job.place.uid;
    if key.is_some_and(|key| engine.records.store.siblings(&key).iter().any(is_another)) {
        return Err(IntakeError::AccountTaken.into());
    }
    Ok(())
}

/// Why a grant would not be published because of its scopes.
fn withheld_for(job: &Job, grant: &Grant) -> Option<ConsentError> {
    let scopes = ScopeComparison::of(&job.target, &job.scopes, grant.scopes.as_deref());
    let missing = scopes.missing_required.join(", ");
    if !missing.is_empty() {
        return Some(ConsentError::MissingScopes { missing });
    }
    let extra = scopes.beyond_review(&job.target, grant).join(", ");
    (!extra.is_empty()).then_some(ConsentError::ExtraScopes { extra })
}

pub(crate) fn from_catalog(account: protocol::ProviderAccount) -> Account {
    let protocol::ProviderAccount { id, name, email } = account;
    Account { id, name, email }
}

pub(crate) fn into_catalog(account: Account) -> protocol::ProviderAccount {
    let Account { id, name, email } = account;
    protocol::ProviderAccount { id, name, email }
}

/// The account that the id token names, if the catalogue reads it from there.
fn claimed_account(job: &Job, grant: &Grant) -> Option<Account> {
    let identity = job.target.description().identity.as_ref()?;
    let claimed = identity.from.contains(&IdentitySource::IdToken);
    let document = claimed.then(|| claims::document(&grant.claims))?;
    // An id that is too long was refused when the answer was read.
    identity.account.read(&document).ok().flatten().map(from_catalog)
}

/// A key or password as it is sent, checked as far as that needs no request. `None` for tokens.
pub(crate) fn key_credential(job: &Job, grant: &Grant) -> Result<Option<key::KeyOrPassword>, IntakeError> {
    let usage = job.target.description().key.as_ref();
    Ok(match &grant.credential {
        Credential::ApiKey { api_key } => {
            Some(key::KeyOrPassword::key(api_key.expose_secret(), &grant.published_extras, usage)?)
        }
        Credential::Basic { username, password } => {
            Some(key::KeyOrPassword::password(username, password.expose_secret())?)
        }
        Credential::OAuth { .. } | Credential::IssuedKeys { .. } => None,
    })
}

fn refused(summary: &str) -> Outcome {
    IntakeError::Refused { summary: summary.to_owned() }.into()
}

fn unusable_type() -> Outcome {
    refused("it gives access tokens of a type that cannot be presented.")
}

fn not_admitted() -> Outcome {
    Outcome::delayed("The provider asked everybody to wait.")
}

/// A new grant is refused only by a definite answer.
fn refused_or_later(failure: &Failure) -> Judgement {
    match failure.class {
        Class::Transient | Class::Config => Err(Outcome::delayed(&failure.summary)),
        // A proxy's page, or an answer without a token, says nothing about what was provided: it may be the only copy.
        Class::Bug if failure.sent == Sent::MaybeSent => Err(Outcome::delayed(&failure.summary)),
        Class::Alive => Ok(()),
        Class::Reauth
        | Class::Ambiguous
        | Class::Consent
        | Class::Policy
        | Class::StepUp
        | Class::Cancelled
        | Class::Bug => Err(refused(&failure.summary)),
    }
}

/// Whether there is an access token that is known to be valid for a while, or about which nothing is known.
fn lasts(grant: &Grant, now: Timestamp) -> bool {
    access_token(grant).is_some()
        && grant.expires_at.is_none_or(|expires| expires > later(now, Duration::from_secs(30)))
}
