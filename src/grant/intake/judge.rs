//! Judging a candidate: does the provider honour it, and is it of the account that is expected?

use std::time::Duration;

use bowline_api::connection::Method;
use bowline_oauth::answer::{AnswerFlaw, UNKNOWN_TYPE};
use bowline_oauth::app::App;
use bowline_oauth::catalog::calls::IdentitySource;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::catalog::protocol;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::{claims, identity, key};
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::grant::engine::Engine;
use crate::grant::outcome::Outcome;
use crate::grant::refusal::{ConsentError, IntakeError};
use crate::grant::slot::{NotSpent, spend};
use crate::grant::target::Scopes;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::{Account, Credential, Grant, Opened, SiblingKey, Slot};

/// How judging goes on.
pub(super) enum Judged {
    /// The provider honours it.
    Good,
    /// It cannot be used.
    Refused(IntakeError),
    /// Nobody can tell now.
    Later(String),
    /// It was sent and no answer was understood: its intent stands, and it may be spent.
    InDoubt,
    /// Nothing was sent, for a cause that has an outcome of its own.
    Instead(Outcome),
}

/// Asks the provider, as far as it can be asked. May complete the candidate: with the account, or with new tokens.
pub(super) async fn judge(engine: &Engine, job: &Job, app: Option<&App>, candidate: &mut Opened) -> Judged {
    if candidate.grant.bound_to.fits(&job.terms(app)).is_err() {
        // It would be sent where nobody agreed to.
        return Judged::Refused(ConsentError::TermsMoved.into());
    }
    match &candidate.grant.credential {
        Credential::ApiKey { .. } | Credential::Basic { .. } => try_key(engine, job, candidate).await,
        Credential::OAuth { .. } if candidate.grant.consent.is_ours() => {
            try_consented(engine, job, &mut candidate.grant).await
        }
        Credential::OAuth { .. } => try_tokens(engine, job, app, candidate).await,
    }
}

async fn try_key(engine: &Engine, job: &Job, candidate: &mut Opened) -> Judged {
    let Engine { records, gate, .. } = engine;
    let Ok(_permit) = gate.admit(job).await else { return not_admitted() };
    let credential = match key_credential(job, &candidate.grant.credential) {
        Ok(Some(credential)) => credential,
        Ok(None) => return Judged::Good,
        Err(flaw) => return Judged::Refused(IntakeError::BadKey(flaw)),
    };
    let verify = key::verify(job.target.http(), job.target.description(), &credential, records.clock.now());
    match gate.timed(Operation::Key, verify).await {
        Ok(key::KeyVerdict::Good(account)) => {
            account_fits(engine, job, &mut candidate.grant, account.map(from_catalog))
        }
        // Keys are rotated by whoever keeps them, and few providers say whose a key is: silence is no other account.
        Ok(key::KeyVerdict::Alive | key::KeyVerdict::Unverified) => Judged::Good,
        Ok(key::KeyVerdict::Bad) => refused("it is not valid there."),
        Err(failure) => refused_or_later(&gate.failed(job, failure, None)),
    }
}

/// The provider gave it to us a moment ago: what is left to learn is whose it is.
async fn try_consented(engine: &Engine, job: &Job, grant: &mut Grant) -> Judged {
    if matches!(&grant.credential, Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE) {
        return unusable_type();
    }
    let judged = match grant.bound_to.account.clone() {
        Some(named) => account_fits(engine, job, grant, Some(named)),
        None => identify(engine, job, grant).await,
    };
    match judged {
        Judged::Good => scopes_fit(engine, job, grant),
        judged => judged,
    }
}

/// A grant that would be withheld for its scopes does not replace one that is published: that would be withdrawn, and everything
/// that uses the connection would stand still. A first grant is kept, and withheld.
fn scopes_fit(engine: &Engine, job: &Job, grant: &Grant) -> Judged {
    let in_use = engine.records.in_use(&job.place.uid);
    let published = in_use
        .is_some_and(|grant| !grant.consent.awaits_confirmation() && withheld_for(job, &grant).is_none());
    match withheld_for(job, grant).filter(|_| published) {
        Some(why) => Judged::Refused(why.into()),
        None => Judged::Good,
    }
}

/// An access token that will last is tried as it is; otherwise the refresh token is used once, and its answer kept before anything
/// else.
async fn try_tokens(engine: &Engine, job: &Job, app: Option<&App>, candidate: &mut Opened) -> Judged {
    let told_by_call = job.target.description().identity_url().is_some();
    let loaded = engine.records.get(&job.place.uid);
    let was_sent = loaded.is_some_and(|loaded| loaded.record.intent(Slot::Candidate).is_some());
    let lasts = lasts(&candidate.grant, engine.records.clock.now());
    // With method RefreshToken the refresh token is proved by using it once; otherwise the access token will do. Once it was sent,
    // only an answer to that proves anything.
    if !was_sent && job.method != Method::RefreshToken && told_by_call && lasts {
        match identify(engine, job, &mut candidate.grant).await {
            Judged::Refused(IntakeError::Refused { .. }) if has_refresh_token(&candidate.grant) => {}
            judged => return judged,
        }
    }
    if let Some(app) = app.filter(|_| has_refresh_token(&candidate.grant)) {
        return prove(engine, job, app, candidate).await;
    }
    // Without an identity call there is nobody to ask; the first consumer will learn it.
    let claimed = claimed_account(job, &candidate.grant);
    account_fits(engine, job, &mut candidate.grant, claimed)
}

/// Uses the candidate's refresh token once. The candidate is then what the provider gave for it, and so it stands on record.
async fn prove(engine: &Engine, job: &Job, app: &App, candidate: &mut Opened) -> Judged {
    let spent = match spend(engine, job, app, Slot::Candidate).await {
        Ok(spent) => spent,
        Err(why) => return not_proved(why),
    };
    let Some(answered) = engine.records.opened(&spent.loaded.record, Slot::Candidate) else {
        return Judged::Later("The record cannot be read now.".to_owned());
    };
    *candidate = answered;
    if spent.answer.flaws.contains(&AnswerFlaw::TokenType) {
        return unusable_type();
    }
    match spent.answer.account.map(from_catalog) {
        Some(account) => account_fits(engine, job, &mut candidate.grant, Some(account)),
        None => identify(engine, job, &mut candidate.grant).await,
    }
}

fn not_proved(why: NotSpent) -> Judged {
    match why {
        NotSpent::NotAdmitted(_) => not_admitted(),
        NotSpent::Stale => Judged::Later("The record changed meanwhile.".to_owned()),
        NotSpent::Misfit => Judged::Refused(ConsentError::TermsMoved.into()),
        NotSpent::Respected { until } => Judged::Instead(Outcome::Foreign { until }),
        NotSpent::MaybeSpent => Judged::InDoubt,
        NotSpent::Failed { failure, .. } => refused_or_later(&failure),
        NotSpent::Unknown { failure, before, .. } => match refused_or_later(&failure) {
            // An earlier request may have worked, and its answer held the only token that does.
            Judged::Refused(_) if before => Judged::Refused(IntakeError::AnswerLost),
            _ => Judged::InDoubt,
        },
        NotSpent::AnswerLost => {
            refused("the refresh token was used, and its answer could not be put on record.")
        }
    }
}

async fn identify(engine: &Engine, job: &Job, grant: &mut Grant) -> Judged {
    if claimed_account(job, grant).is_none() && access_token(grant).is_none() {
        return Judged::Good;
    }
    match whose(engine, job, grant).await {
        Ok(account) => account_fits(engine, job, grant, account),
        Err(failure) => refused_or_later(&engine.gate.failed(job, failure, None)),
    }
}

/// The account that a grant belongs to, as its id token or the provider says; `None` where neither does.
pub(crate) async fn whose(engine: &Engine, job: &Job, grant: &Grant) -> Result<Option<Account>, Failure> {
    if let Some(account) = claimed_account(job, grant) {
        return Ok(Some(account));
    }
    let Some(token) = access_token(grant) else { return Ok(None) };
    let (gate, now) = (&engine.gate, engine.records.clock.now());
    let account = identity::account(job.target.http(), job.target.description(), token, now);
    Ok(gate.timed(Operation::Identity, account).await?.map(from_catalog))
}

/// The account of the grant in use: the first grant pins it, one that awaits its owner's agreement does not.
pub(crate) fn pinned_account(engine: &Engine, uid: &str) -> Option<Account> {
    engine.records.in_use(uid)?.pinned_account().cloned()
}

/// The account is pinned by the first grant; a chain of tokens that an account has only once is not taken twice.
fn account_fits(engine: &Engine, job: &Job, grant: &mut Grant, account: Option<Account>) -> Judged {
    let pinned = pinned_account(engine, &job.place.uid).map(|account| account.id);
    let (expected, accepted) = (job.expected_account.as_ref(), job.accepted_account.as_ref());
    let Some(Account { id, name, email }) = account else {
        // A pin that silence could lift would be none.
        if pinned.is_some() || expected.is_some() {
            return Judged::Refused(IntakeError::AccountUnknown);
        }
        return Judged::Good;
    };
    let is_named = |named: Option<&String>| named == Some(&id);
    let other_than = |named: Option<&String>| named.is_some_and(|named| *named != id);
    let other = other_than(expected) || other_than(pinned.as_ref()) && !is_named(accepted);
    grant.consent.confirmed |= is_named(expected) || is_named(pinned.as_ref()) || is_named(accepted);
    // Also of one that is refused: whether it may be revoked depends on whose it is.
    grant.bound_to.account = Some(Account { id: id.clone(), name: name.clone(), email });
    if other {
        return Judged::Refused(IntakeError::OtherAccount { id, name });
    }
    let key = SiblingKey::of(&grant.bound_to);
    let store = &engine.records.store;
    let taken = || key.as_ref().is_some_and(|key| store.has_siblings(key, &job.place.uid));
    if job.target.description().grant.chain == protocol::Chain::Account && taken() {
        return Judged::Refused(IntakeError::AccountTaken);
    }
    Judged::Good
}

/// Why a grant would not be published, as far as its scopes go.
fn withheld_for(job: &Job, grant: &Grant) -> Option<ConsentError> {
    let scopes = Scopes::compare(&job.target, &job.scopes, grant.scopes.as_deref());
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

/// The account that the id token names, where the catalogue reads it from there.
fn claimed_account(job: &Job, grant: &Grant) -> Option<Account> {
    let identity = job.target.description().identity.as_ref()?;
    let claimed = identity.from == IdentitySource::IdToken;
    claimed.then(|| identity.account.read(&claims::document(&grant.claims))).flatten().map(from_catalog)
}

/// A key or password as it is sent, checked for what can be told without asking. `None` for tokens.
pub(super) fn key_credential(
    job: &Job,
    credential: &Credential,
) -> Result<Option<key::KeyOrPassword>, key::KeyFlaw> {
    let pattern = job.target.description().key.as_ref().and_then(|key| key.pattern.as_ref());
    match credential {
        Credential::ApiKey { api_key } => key::KeyOrPassword::key(api_key.expose_secret(), pattern).map(Some),
        Credential::Basic { username, password } => {
            key::KeyOrPassword::password(username, password.expose_secret()).map(Some)
        }
        Credential::OAuth { .. } => Ok(None),
    }
}

fn refused(summary: &str) -> Judged {
    Judged::Refused(IntakeError::Refused { summary: summary.to_owned() })
}

fn unusable_type() -> Judged {
    refused("it gives access tokens of a type that cannot be presented.")
}

fn not_admitted() -> Judged {
    Judged::Later("The provider asked everybody to wait.".to_owned())
}

/// A new grant is refused by a definite answer only.
fn refused_or_later(failure: &Failure) -> Judged {
    match failure.class {
        Class::Transient | Class::Config => Judged::Later(failure.summary.clone()),
        // A page of some proxy, or an answer without a token, says nothing of what was provided: it may be the only copy.
        Class::Bug if failure.sent == Sent::MaybeSent => Judged::Later(failure.summary.clone()),
        Class::Alive => Judged::Good,
        Class::Reauth | Class::Consent | Class::Policy | Class::StepUp | Class::Cancelled | Class::Bug => {
            Judged::Refused(IntakeError::Refused { summary: failure.summary.clone() })
        }
    }
}

fn access_token(grant: &Grant) -> Option<&SecretString> {
    match &grant.credential {
        Credential::OAuth { access_token, .. } => access_token.as_ref(),
        Credential::ApiKey { .. } | Credential::Basic { .. } => None,
    }
}

fn has_refresh_token(grant: &Grant) -> bool {
    matches!(&grant.credential, Credential::OAuth { refresh_token: Some(_), .. })
}

/// Whether there is an access token that is known to last a little, or of which nothing is known.
fn lasts(grant: &Grant, now: Timestamp) -> bool {
    access_token(grant).is_some()
        && grant.expires_at.is_none_or(|expires| expires > later(now, Duration::from_secs(30)))
}
