//! Judging a candidate: does the provider honour it, and is it of the account that is expected?

use std::time::Duration;

use bowline_api::connection::Method;
use bowline_oauth::answer::{Flaw, UNKNOWN_TYPE};
use bowline_oauth::app::App;
use bowline_oauth::catalog::calls::IdentitySource;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::catalog::protocol::Chain;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::{claims, key};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::actor::Grants;
use super::consent::ConsentError;
use super::intake::IntakeError;
use super::outcome::Outcome;
use super::schedule::later;
use super::target::Scopes;
use super::work::Job;
use crate::metrics::Operation;
use crate::vault::record::Candidate;
use crate::vault::{Account, Credential, Grant, SiblingKey};

/// How judging goes on.
pub(super) enum Judged {
    /// The provider honours it.
    Good,
    /// It cannot be used.
    Refused(IntakeError),
    /// Nobody can tell now.
    Later(String),
    /// It was sent and no answer was understood: its mark stands, and it may be spent.
    InDoubt,
    /// Nothing was sent, for a cause that has an outcome of its own.
    Instead(Outcome),
}

impl Grants {
    /// Asks the provider, as far as it can be asked. May complete the candidate: with the account, or with new tokens.
    pub(super) async fn verdict(&self, job: &Job, app: Option<&App>, candidate: &mut Candidate) -> Judged {
        match &candidate.grant.credential {
            Credential::ApiKey { .. } | Credential::Basic { .. } => self.try_key(job, candidate).await,
            Credential::OAuth { .. } if candidate.grant.consent.is_ours() => {
                self.try_consented(job, candidate).await
            }
            Credential::OAuth { .. } => self.try_tokens(job, app, candidate).await,
        }
    }

    async fn try_key(&self, job: &Job, candidate: &mut Candidate) -> Judged {
        let Ok(_permit) = self.admitted(job).await else {
            return Judged::Later("The provider asked everybody to wait.".to_owned());
        };
        let credential = match key_credential(job, &candidate.grant.credential) {
            Ok(Some(credential)) => credential,
            Ok(None) => return Judged::Good,
            Err(flaw) => return Judged::Refused(IntakeError::BadKey(flaw)),
        };
        let http = job.target.http();
        let verify = key::verify(http, job.target.description(), &credential, self.clock.now());
        match self.timed(Operation::Key, verify).await {
            Ok(key::Verdict::Good(account)) => {
                self.account_fits(job, &mut candidate.grant, account.map(from_catalog))
            }
            // Keys are rotated by whoever keeps them, and few providers say whose a key is: silence is no other account.
            Ok(key::Verdict::Alive | key::Verdict::Unverified) => Judged::Good,
            Ok(key::Verdict::Bad) => refused("it is not valid there."),
            Err(failure) => refused_or_later(&self.heard(job, failure, None)),
        }
    }

    /// The provider gave it to us a moment ago: what is left to learn is whose it is.
    async fn try_consented(&self, job: &Job, candidate: &mut Candidate) -> Judged {
        let grant = &mut candidate.grant;
        if matches!(&grant.credential, Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE) {
            return refused("it gives access tokens of a type that cannot be presented.");
        }
        let verdict = match grant.bound_to.account.clone() {
            Some(named) => self.account_fits(job, grant, Some(named)),
            None => self.identify(job, grant).await,
        };
        match verdict {
            Judged::Good => self.scopes_fit(job, grant),
            verdict => verdict,
        }
    }

    /// A grant that would be withheld for its scopes does not take the place of one that is published: that would be given
    /// back, and everything that uses the connection would stand still. A first grant is kept, and withheld.
    fn scopes_fit(&self, job: &Job, grant: &Grant) -> Judged {
        let served = self
            .in_use(&job.place.uid)
            .filter(|in_use| !in_use.consent.awaits_confirmation() && withheld_for(job, in_use).is_none());
        match withheld_for(job, grant).filter(|_| served.is_some()) {
            Some(why) => Judged::Refused(why.into()),
            None => Judged::Good,
        }
    }

    /// An access token that will last is tried as it is; otherwise the refresh token is used once, and its answer kept
    /// before anything else.
    async fn try_tokens(&self, job: &Job, app: Option<&App>, candidate: &mut Candidate) -> Judged {
        let told_by_call = job.target.description().identity_url().is_some();
        // A refresh token that came alone in kind is proved by using it once; otherwise the access token will do. Once it was
        // sent, only an answer to that proves anything.
        let sent = self.store.get(&job.place.uid).ok().flatten();
        let sent = sent.is_some_and(|loaded| loaded.record.candidate_intent().is_some());
        if !sent
            && job.method != Method::RefreshToken
            && told_by_call
            && lasts(&candidate.grant, self.clock.now())
        {
            match self.identify(job, &mut candidate.grant).await {
                Judged::Refused(IntakeError::Refused { .. }) if refresh_token(&candidate.grant).is_some() => {
                }
                verdict => return verdict,
            }
        }
        let (Some(app), Some(token)) = (app, refresh_token(&candidate.grant).cloned()) else {
            // Without an identity call there is nobody to ask; the first consumer will learn it.
            let claimed = claimed_account(job, &candidate.grant);
            return self.account_fits(job, &mut candidate.grant, claimed);
        };
        let answer = match self.prove(job, app, candidate, &token).await {
            Ok(answer) => answer,
            Err(verdict) => return verdict,
        };
        if answer.flaws.contains(&Flaw::TokenType) {
            return refused("it gives access tokens of a type that cannot be presented.");
        }
        match answer.account.map(from_catalog) {
            Some(account) => self.account_fits(job, &mut candidate.grant, Some(account)),
            None => self.identify(job, &mut candidate.grant).await,
        }
    }

    async fn identify(&self, job: &Job, grant: &mut Grant) -> Judged {
        let claimed = claimed_account(job, grant);
        if claimed.is_none() && access_token(grant).is_none() {
            return Judged::Good;
        }
        match self.whose(job, grant).await {
            Ok(account) => self.account_fits(job, grant, account),
            Err(failure) => refused_or_later(&self.heard(job, failure, None)),
        }
    }

    /// The account that a grant belongs to, as its id token or the provider says; `None` where neither does.
    pub(super) async fn whose(&self, job: &Job, grant: &Grant) -> Result<Option<Account>, Failure> {
        if let Some(account) = claimed_account(job, grant) {
            return Ok(Some(account));
        }
        let Some(token) = access_token(grant) else { return Ok(None) };
        let http = job.target.http();
        let account =
            bowline_oauth::identity::account(http, job.target.description(), token, self.clock.now());
        Ok(self.timed(Operation::Identity, account).await?.map(from_catalog))
    }

    /// The account of the grant in use: the first grant pins it, one that awaits its owner's agreement does not.
    pub(super) fn pinned_account(&self, uid: &str) -> Option<Account> {
        self.in_use(uid)?.pinned_account().cloned()
    }

    /// The grant in use, opened.
    pub(super) fn in_use(&self, uid: &str) -> Option<Grant> {
        let loaded = self.store.get(uid).ok().flatten()?;
        loaded.record.open_grant(&self.sealer).ok().flatten()
    }

    /// The account is pinned by the first grant; a chain of tokens that an account has only once is not taken twice.
    fn account_fits(&self, job: &Job, grant: &mut Grant, account: Option<Account>) -> Judged {
        let pinned = self.pinned_account(&job.place.uid).map(|account| account.id);
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
        let taken = || key.as_ref().is_some_and(|key| !self.store.siblings(key, &job.place.uid).is_empty());
        if job.target.description().grant.chain == Chain::Account && taken() {
            return Judged::Refused(IntakeError::AccountTaken);
        }
        Judged::Good
    }
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

pub(super) fn from_catalog(account: bowline_oauth::catalog::protocol::Account) -> Account {
    let bowline_oauth::catalog::protocol::Account { id, name, email } = account;
    Account { id, name, email }
}

pub(super) fn into_catalog(account: Account) -> bowline_oauth::catalog::protocol::Account {
    let Account { id, name, email } = account;
    bowline_oauth::catalog::protocol::Account { id, name, email }
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
) -> Result<Option<key::Credential>, key::KeyFlaw> {
    let pattern = job.target.description().key.as_ref().and_then(|key| key.pattern.as_ref());
    match credential {
        Credential::ApiKey { api_key } => key::Credential::key(api_key.expose_secret(), pattern).map(Some),
        Credential::Basic { username, password } => {
            key::Credential::password(username, password.expose_secret()).map(Some)
        }
        Credential::OAuth { .. } => Ok(None),
    }
}

pub(super) fn refused(summary: &str) -> Judged {
    Judged::Refused(IntakeError::Refused { summary: summary.to_owned() })
}

/// A new grant is refused by a definite answer only.
pub(super) fn refused_or_later(failure: &Failure) -> Judged {
    match failure.class {
        Class::Transient | Class::Config => Judged::Later(failure.summary.clone()),
        // A page of some proxy, or an answer without a token, says nothing of what was brought: it may be the only copy.
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

fn refresh_token(grant: &Grant) -> Option<&SecretString> {
    match &grant.credential {
        Credential::OAuth { refresh_token, .. } => refresh_token.as_ref(),
        Credential::ApiKey { .. } | Credential::Basic { .. } => None,
    }
}

/// Whether there is an access token that is known to last a little, or of which nothing is known.
fn lasts(grant: &Grant, now: Timestamp) -> bool {
    let Credential::OAuth { access_token: Some(_), .. } = &grant.credential else { return false };
    grant.expires_at.is_none_or(|ends| ends > later(now, Duration::from_secs(30)))
}
