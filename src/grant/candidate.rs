//! Taking a grant in: put on record as candidate first, judged with the provider, then promoted in one write.
//!
//! The intake Secret is deleted as soon as its content is on record, before the provider is asked: judging may spend the
//! refresh token, and then nobody may read the spent one again. The old grant is not touched until the promotion.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::actor::Grants;
use super::intake::{self, Announcement, Brought, IntakeError};
use super::outcome::{Origin, Outcome};
use super::schedule::{MOUNT_DELAY, Policy, after_outage, later};
use super::secrets::{Brief, Unread};
use super::work::Job;
use crate::api::names::TYPE_CREDENTIAL;
use crate::catalog::calls::IdentitySource;
use crate::catalog::errors::Class;
use crate::catalog::protocol::Chain;
use crate::metrics::Operation;
use crate::oauth::app::App;
use crate::oauth::classify::Failure;
use crate::oauth::{self, claims, key};
use crate::vault::record::Candidate;
use crate::vault::{Account, Binding, Credential, Grant, Record, SiblingKey, SourceVersion, TransitionError};

/// An ending grant that could not be revoked so often gives way to a new one.
const REVOCATIONS_BEFORE_GIVING_WAY: i32 = 3;

/// How judging goes on.
enum Judged {
    /// The provider honours it.
    Good,
    /// It cannot be used.
    Refused(IntakeError),
    /// Nobody can tell now.
    Later(String),
}

impl Grants {
    /// Takes the announced intake Secret.
    pub(super) async fn take(&self, job: &Job, announcement: &Announcement) -> Outcome {
        let brief = match self.announced(job, announcement).await {
            Ok(brief) => brief,
            Err(Unread::Unreachable) => return delayed("The intake Secret could not be read now."),
            Err(Unread::Refused(IntakeError::NotThere)) if self.has_taken(job, announcement) => {
                return self.judge(job).await;
            }
            Err(Unread::Refused(why)) => return Outcome::IntakeRefused { why },
        };
        match self.admit_candidate(job, &brief).await {
            Ok(()) => {
                self.consume(&job.place.namespace, &brief).await;
                self.judge(job).await
            }
            Err(outcome) => {
                // Good or bad, it is not left lying about; only what may become good later stays.
                if matches!(outcome, Outcome::IntakeRefused { .. }) {
                    self.consume(&job.place.namespace, &brief).await;
                }
                outcome
            }
        }
    }

    /// Reads the credentials Secret, which somebody else keeps: it is never changed or deleted.
    pub(super) async fn read(&self, job: &Job, secret: &str) -> Outcome {
        let uid = &job.place.uid;
        let brief = match self.fetch(&job.place.namespace, secret, TYPE_CREDENTIAL).await {
            Ok(brief) => brief,
            Err(Unread::Unreachable) => return delayed("The credentials Secret could not be read now."),
            Err(Unread::Refused(why)) => return Outcome::IntakeRefused { why },
        };
        let outcome = match self.admit_candidate(job, &brief).await {
            Ok(()) => self.judge(job).await,
            Err(outcome) => outcome,
        };
        let refused = matches!(outcome, Outcome::IntakeRefused { .. });
        self.remember_refused_source(uid, refused.then_some((brief.uid, brief.resource_version)));
        outcome
    }

    /// Whether an earlier run, perhaps of an earlier process, has this Secret's content on record.
    fn has_taken(&self, job: &Job, announcement: &Announcement) -> bool {
        let Some((_, announced)) = &announcement.secret else { return false };
        let Ok(Some(loaded)) = self.store.get(&job.place.uid) else { return false };
        let from = |grant: Option<Grant>| {
            grant.and_then(|grant| grant.source).is_some_and(|source| source.uid == *announced)
        };
        let candidate =
            loaded.record.open_candidate(&self.sealer).ok().flatten().map(|candidate| candidate.grant);
        from(candidate) || from(loaded.record.open_grant(&self.sealer).ok().flatten())
    }

    /// Puts what was brought on record as candidate.
    async fn admit_candidate(&self, job: &Job, brief: &Brief) -> Result<(), Outcome> {
        let now = self.clock.now();
        let brought =
            intake::read(&brief.data, job.method, now).map_err(|why| Outcome::IntakeRefused { why })?;
        let app = self.app(job).await.map_err(|message| Outcome::SecretMissing { message })?;
        let grant =
            grant(job, app.as_deref(), brought, brief, now).map_err(|why| Outcome::IntakeRefused { why })?;
        let created = match self.store.get(&job.place.uid) {
            Ok(None) => self.first_candidate(job, &grant).await,
            Ok(Some(_)) => Ok(()),
            Err(_) => Err(delayed("The record of the connection cannot be read now.")),
        };
        created?;
        let change = |record: Record| self.with_candidate(record, &grant);
        match self.settle(&job.place.uid, change).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(delayed(
                "What was brought could not be put on record now. If a former grant is being revoked, that goes first.",
            )),
        }
    }

    async fn first_candidate(&self, job: &Job, grant: &Grant) -> Result<(), Outcome> {
        let record = Record::new(job.place.clone()).with_candidate(&self.sealer, grant);
        let record = record.map_err(|_| delayed("What was brought could not be sealed now."))?;
        match self.store.create(record).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::chain(&error), "a first record could not be written");
                Err(delayed("What was brought could not be put on record now."))
            }
        }
    }

    fn with_candidate(&self, record: Record, grant: &Grant) -> Result<Record, TransitionError> {
        let standing = record.open_candidate(&self.sealer).ok().flatten();
        if standing.is_some_and(|standing| standing.grant.source == grant.source) {
            return Ok(record);
        }
        let record = match record.ending() {
            Some(ending) if ending.attempts >= REVOCATIONS_BEFORE_GIVING_WAY => record.restarted()?,
            _ => record,
        };
        let record = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        record.with_candidate(&self.sealer, grant)
    }

    /// Judges the candidate that stands, and promotes or erases it.
    pub(super) async fn judge(&self, job: &Job) -> Outcome {
        let uid = &job.place.uid;
        let app = match self.app(job).await {
            Ok(app) => app,
            Err(message) => return Outcome::SecretMissing { message },
        };
        let Ok(Some(loaded)) = self.store.get(uid) else { return Outcome::Stale };
        let Ok(Some(mut candidate)) = loaded.record.open_candidate(&self.sealer) else {
            let revision = loaded.record.revision();
            return Outcome::Committed { revision, origin: Origin::Accepted };
        };
        let verdict = self.verdict(job, app.as_deref(), &mut candidate).await;
        match verdict {
            Judged::Good => self.promote(job, &candidate).await,
            Judged::Refused(why) => {
                if let Err(error) = self.settle(uid, Record::candidate_refused).await {
                    tracing::warn!(error = %crate::telemetry::chain(&error), "a refused candidate could not be erased now");
                }
                self.judge_not_before(uid, None);
                Outcome::IntakeRefused { why }
            }
            Judged::Later(message) => {
                let policy = Policy::plain(MOUNT_DELAY);
                self.judge_not_before(uid, Some(after_outage(self.clock.now(), 1, None, 0.0, &policy)));
                Outcome::IntakeDelayed { message }
            }
        }
    }

    async fn verdict(&self, job: &Job, app: Option<&App>, candidate: &mut Candidate) -> Judged {
        match &candidate.grant.credential {
            Credential::ApiKey { .. } | Credential::Basic { .. } => self.try_key(job, candidate).await,
            Credential::OAuth { .. } => self.try_tokens(job, app, candidate).await,
        }
    }

    async fn try_key(&self, job: &Job, candidate: &mut Candidate) -> Judged {
        let _permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(_) => return Judged::Later("The provider asked everybody to wait.".to_owned()),
        };
        let credential = match key_credential(job, &candidate.grant.credential) {
            Ok(Some(credential)) => credential,
            Ok(None) => return Judged::Good,
            Err(flaw) => return Judged::Refused(IntakeError::BadKey(flaw)),
        };
        let http = self.clients.for_provider(job.target.insecure());
        let verify = key::verify(http, job.target.description(), &credential, self.clock.now());
        match self.timed(Operation::Key, verify).await {
            Ok(key::Verdict::Good(account)) => {
                self.account_fits(job, &mut candidate.grant, account.map(from_catalog))
            }
            Ok(key::Verdict::Alive | key::Verdict::Unverified) => Judged::Good,
            Ok(key::Verdict::Bad) => {
                Judged::Refused(IntakeError::Refused { summary: "it is not valid there.".to_owned() })
            }
            Err(failure) => refused_or_later(&self.heard(job, failure, None)),
        }
    }

    /// An access token that will last is tried as it is; otherwise the refresh token is used once, and its answer kept
    /// before anything else.
    async fn try_tokens(&self, job: &Job, app: Option<&App>, candidate: &mut Candidate) -> Judged {
        if lasts(&candidate.grant, self.clock.now()) && job.target.description().identity_url().is_some() {
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
        let _permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(_) => return Judged::Later("The provider asked everybody to wait.".to_owned()),
        };
        let asked_at = self.clock.now();
        let answer = match self.ask(job, app, &token).await {
            Ok(answer) => answer,
            Err(failure) => return refused_or_later(&self.heard(job, failure, None)),
        };
        self.accepted(job);
        let grant = super::refresh::renewed(&candidate.grant, answer, asked_at);
        let Some(replaced) = self.replace_candidate(job, &grant).await else {
            return Judged::Refused(IntakeError::Refused {
                summary: "The refresh token was used, and its answer could not be put on record.".to_owned(),
            });
        };
        *candidate = replaced;
        self.identify(job, &mut candidate.grant).await
    }

    async fn replace_candidate(&self, job: &Job, grant: &Grant) -> Option<Candidate> {
        let change = |record: Record| record.candidate_refused()?.with_candidate(&self.sealer, grant);
        let loaded = self.settle(&job.place.uid, change).await.ok()??;
        loaded.record.open_candidate(&self.sealer).ok().flatten()
    }

    async fn identify(&self, job: &Job, grant: &mut Grant) -> Judged {
        if let Some(account) = claimed_account(job, grant) {
            return self.account_fits(job, grant, Some(account));
        }
        let Credential::OAuth { access_token: Some(token), .. } = &grant.credential else {
            return Judged::Good;
        };
        let http = self.clients.for_provider(job.target.insecure());
        let account = oauth::identity::account(http, job.target.description(), token, self.clock.now());
        match self.timed(Operation::Identity, account).await {
            Ok(account) => self.account_fits(job, grant, account.map(from_catalog)),
            Err(failure) => refused_or_later(&self.heard(job, failure, None)),
        }
    }

    /// The account is pinned by the first grant; a chain of tokens that an account has only once is not taken twice.
    fn account_fits(&self, job: &Job, grant: &mut Grant, account: Option<Account>) -> Judged {
        let Some(account) = account else { return Judged::Good };
        let pinned = self.store.get(&job.place.uid).ok().flatten();
        let pinned = pinned.and_then(|loaded| loaded.record.open_grant(&self.sealer).ok().flatten());
        let pinned = pinned.and_then(|grant| grant.bound_to.account);
        if pinned.is_some_and(|pinned| pinned.id != account.id) {
            return Judged::Refused(IntakeError::OtherAccount);
        }
        grant.bound_to.account = Some(account);
        let key = SiblingKey::of(&grant.bound_to);
        let taken = || key.as_ref().is_some_and(|key| !self.store.siblings(key, &job.place.uid).is_empty());
        if job.target.description().grant.chain == Chain::Account && taken() {
            return Judged::Refused(IntakeError::AccountTaken);
        }
        Judged::Good
    }

    async fn promote(&self, job: &Job, candidate: &Candidate) -> Outcome {
        self.judge_not_before(&job.place.uid, None);
        match self.settle(&job.place.uid, |record| record.promoted(&self.sealer, candidate)).await {
            Ok(Some(loaded)) => {
                Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Accepted }
            }
            _ => delayed("The judged grant could not be put in place now."),
        }
    }

    /// Mints a token from the app registration (RFC 6749 §4.4). Nothing is spent, so no intent is needed.
    pub(super) async fn mint(&self, job: &Job) -> Outcome {
        let app = match self.app(job).await {
            Ok(Some(app)) => app,
            Ok(None) => return Outcome::Stale,
            Err(message) => return Outcome::SecretMissing { message },
        };
        let _permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        let asked_at = self.clock.now();
        let http = self.clients.for_provider(job.target.insecure());
        let scopes = super::target::requested(&job.target, &job.scopes);
        let description = job.target.description();
        let mint = oauth::client_credentials::client_credentials(http, description, &app, &scopes, asked_at);
        match self.timed(Operation::ClientCredentials, mint).await {
            Ok(granted) => {
                self.accepted(job);
                let grant = super::refresh::renewed(&unminted(job, &app, asked_at), granted.answer, asked_at);
                self.keep_minted(job, without_refresh_token(grant)).await
            }
            Err(failure) => {
                let revision = self
                    .store
                    .get(&job.place.uid)
                    .ok()
                    .flatten()
                    .map_or(0, |loaded| loaded.record.revision());
                Outcome::Failed { revision, failure: self.heard(job, failure, None) }
            }
        }
    }

    async fn keep_minted(&self, job: &Job, grant: Grant) -> Outcome {
        if let Ok(None) = self.store.get(&job.place.uid)
            && self.store.create(Record::new(job.place.clone())).await.is_err()
        {
            return Outcome::Stale;
        }
        let spent = crate::vault::Spent::Unmarked;
        match self.settle(&job.place.uid, |record| record.committed(&self.sealer, &grant, spent, None)).await
        {
            Ok(Some(loaded)) => {
                Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Minted }
            }
            _ => Outcome::Stale,
        }
    }
}

fn delayed(message: &str) -> Outcome {
    Outcome::IntakeDelayed { message: message.to_owned() }
}

fn from_catalog(account: crate::catalog::protocol::Account) -> Account {
    let crate::catalog::protocol::Account { id, name, email } = account;
    Account { id, name, email }
}

/// The account that the id token names, where the catalogue reads it from there.
fn claimed_account(job: &Job, grant: &Grant) -> Option<Account> {
    let identity = job.target.description().identity.as_ref()?;
    let claimed = identity.from == IdentitySource::IdToken;
    claimed.then(|| identity.account.read(&claims::document(&grant.claims))).flatten().map(from_catalog)
}

/// A key or password as it is sent, checked for what can be told without asking. `None` for tokens.
fn key_credential(job: &Job, credential: &Credential) -> Result<Option<key::Credential>, key::KeyFlaw> {
    let pattern = job.target.description().key.as_ref().and_then(|key| key.pattern.as_ref());
    match credential {
        Credential::ApiKey { api_key } => key::Credential::key(api_key.expose_secret(), pattern).map(Some),
        Credential::Basic { username, password } => {
            key::Credential::password(username, password.expose_secret()).map(Some)
        }
        Credential::OAuth { .. } => Ok(None),
    }
}

/// A new grant is refused by a definite answer only.
fn refused_or_later(failure: &Failure) -> Judged {
    match failure.class {
        Class::Transient | Class::Config => Judged::Later(failure.summary.clone()),
        Class::Alive => Judged::Good,
        Class::Reauth | Class::Consent | Class::Policy | Class::StepUp | Class::Cancelled | Class::Bug => {
            Judged::Refused(IntakeError::Refused { summary: failure.summary.clone() })
        }
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

fn binding(job: &Job, app: Option<&App>) -> Binding {
    Binding {
        owner: job.owner.clone(),
        authority: job.target.description().authority(),
        client_id: app.map(|app| app.client_id.clone()),
        account: None,
    }
}

/// The grant that a Secret brings, bound to who would be served by it.
fn grant(
    job: &Job,
    app: Option<&App>,
    brought: Brought,
    brief: &Brief,
    now: Timestamp,
) -> Result<Grant, IntakeError> {
    let Brought { credential, scopes, expires_at, id_token } = brought;
    key_credential(job, &credential)?;
    // An id token that is not for us says nothing; the grant may be good all the same.
    let claims = id_token.zip(app).and_then(|(token, app)| {
        claims::read(token.expose_secret(), job.target.description(), &app.client_id, now).ok()
    });
    let claims = claims.unwrap_or_default();
    let source = SourceVersion {
        uid: brief.uid.clone(),
        resource_version: brief.resource_version.clone(),
        digest: digest(&brief.data),
    };
    Ok(Grant {
        credential,
        claims,
        scopes,
        obtained_at: now,
        expires_at,
        refresh_expires_at: None,
        published_extras: BTreeMap::new(),
        bound_to: binding(job, app),
        source: Some(source),
    })
}

fn digest(data: &BTreeMap<String, ByteString>) -> String {
    let mut hash = Sha256::new();
    for (key, ByteString(value)) in data {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What a minted token is added to: a grant that holds nothing yet.
fn unminted(job: &Job, app: &App, now: Timestamp) -> Grant {
    Grant {
        credential: Credential::OAuth {
            refresh_token: None,
            access_token: None,
            token_type: "Bearer".to_owned(),
        },
        claims: BTreeMap::new(),
        scopes: None,
        obtained_at: now,
        expires_at: None,
        refresh_expires_at: None,
        published_extras: BTreeMap::new(),
        bound_to: binding(job, Some(app)),
        source: None,
    }
}

/// A refresh token, should one come with minted tokens, is ignored: the app registration is the grant.
fn without_refresh_token(mut grant: Grant) -> Grant {
    if let Credential::OAuth { refresh_token, .. } = &mut grant.credential {
        *refresh_token = None;
    }
    grant
}
