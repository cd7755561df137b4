//! One refresh, step by step: intent → request → commit. Publishing and status follow in the reconcile that is woken.

use std::sync::Arc;
use std::time::Duration;

use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::{App, WhichSecret};
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_oauth::refresh;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::actor::Grants;
use super::commit::{Answer, CommitError, Unsettled};
use super::outcome::{Origin, Outcome};
use super::pace::Permit;
use super::schedule::{self, later};
use super::work::Job;
use crate::metrics::Operation;
use crate::vault::{AttemptId, Binding, Credential, Grant, Intent, Loaded, Record, Spent, WriteError};

/// How a refresh begins, given what stands on the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Write an intent, then send.
    Mark,
    /// Send without one: the old token stays valid.
    Unmarked,
    /// Our own attempt, whose outcome is not known, stands: go on under it.
    Resume(AttemptId),
    /// Another process's mark was watched for long enough: replace it.
    TakeOver(AttemptId),
    /// Another process's mark is to be respected until then.
    Respect {
        /// When it will have been watched for long enough.
        until: Timestamp,
    },
}

/// Decides how spending a refresh token begins, given the mark that stands on it.
///
/// `watched_since`: since when, on our own clock, the mark has stood that is on record.
pub fn opening(
    standing: Option<&Intent>,
    needs_intent: bool,
    holder: &str,
    watched_since: Timestamp,
    ttl: Duration,
    now: Timestamp,
) -> Opening {
    match standing {
        None if needs_intent => Opening::Mark,
        None => Opening::Unmarked,
        Some(intent) if intent.holder == holder => Opening::Resume(intent.attempt),
        Some(intent) if later(watched_since, ttl) <= now => Opening::TakeOver(intent.attempt),
        Some(_) => Opening::Respect { until: later(watched_since, ttl) },
    }
}

/// The mark under which a request is sent.
#[derive(Clone, Copy, Debug)]
struct Mark {
    spent: Spent,
    /// Whether an earlier request under it may have had an effect.
    was_unknown: bool,
}

/// A grant that is about to be spent, and the right to write its record.
struct Opened {
    loaded: Loaded,
    grant: Grant,
    revision: i64,
}

impl Grants {
    /// Uses the refresh token once.
    pub(super) async fn refresh(&self, job: &Job) -> Outcome {
        let app = match self.app(job).await {
            Ok(Some(app)) => app,
            Ok(None) => return Outcome::Stale,
            Err(none) => return none.into(),
        };
        let permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        let opened = match self.opened(job, &app) {
            Ok(opened) => opened,
            Err(outcome) => return outcome,
        };
        let (opened, mark) = match self.marked(job, opened).await {
            Ok(marked) => marked,
            Err(outcome) => return outcome,
        };
        let Credential::OAuth { refresh_token: Some(token), .. } = &opened.grant.credential else {
            return Outcome::Stale;
        };
        let asked_at = self.clock.now();
        let mut result = self.ask(job, &app, token).await;
        if refused_for_good(&result) && !mark.was_unknown {
            result = self.with_predecessor(job, &app, &opened, result).await;
        }
        drop(permit);
        match result {
            Ok(answer) => self.keep(job, opened, mark, answer, asked_at).await,
            Err(failure) => self.failed(job, &opened, mark, failure).await,
        }
    }

    /// Waits for the provider's turn, unless nothing may be started any more.
    pub(super) async fn admitted(&self, job: &Job) -> Result<Permit, Outcome> {
        let (provider, now) = (job.target.provider(), self.clock.now());
        // A connection with an app of its own neither waits for the provider's registration nor uses up its probe.
        if job.own_app.is_none() && !self.registrations.take_probe(provider, now) {
            let until = self.registrations.next_probe(provider).unwrap_or(now);
            return Err(Outcome::Held { until });
        }
        let turn = self.pace.admit(provider, job.target.max_concurrent(), job.urgency, now);
        tokio::select! {
            biased;
            () = self.draining.cancelled() => Err(Outcome::Stale),
            turn = turn => turn.map_err(|held| Outcome::Held { until: held.until }),
        }
    }

    /// The grant as it is now, if it may be spent.
    fn opened(&self, job: &Job, app: &App) -> Result<Opened, Outcome> {
        let Ok(Some(loaded)) = self.store.get(&job.place.uid) else { return Err(Outcome::Stale) };
        let Ok(Some(grant)) = loaded.record.open_grant(&self.sealer) else { return Err(Outcome::Stale) };
        if !still_bound(&grant.bound_to, job, app) {
            return Err(Outcome::ConsentOutdated);
        }
        let revision = loaded
            .record
            .grant()
            .map_or(loaded.record.revision(), crate::vault::record::SealedField::revision);
        Ok(Opened { loaded, grant, revision })
    }

    /// Puts the intent on record where one is needed. This also proves that the API server takes writes now.
    async fn marked(&self, job: &Job, opened: Opened) -> Result<(Opened, Mark), Outcome> {
        let Opened { loaded: Loaded { record, version }, grant, revision } = opened;
        let now = self.clock.now();
        let watched = record.intent().map_or(now, |intent| self.watched_since(&record, intent));
        let opening =
            opening(record.intent(), job.target.needs_intent(), &self.holder, watched, self.intent_ttl, now);
        let (next, attempt, was_unknown) = match opening {
            Opening::Respect { until } => return Err(Outcome::Foreign { until }),
            Opening::Unmarked => {
                let mark = Mark { spent: Spent::Unmarked, was_unknown: false };
                return Ok((Opened { loaded: Loaded { record, version }, grant, revision }, mark));
            }
            Opening::Resume(attempt) => {
                let mark = Mark { spent: Spent::Marked(attempt), was_unknown: true };
                return Ok((Opened { loaded: Loaded { record, version }, grant, revision }, mark));
            }
            Opening::Mark => {
                let attempt = AttemptId::generate().map_err(|_| Outcome::Stale)?;
                (Record::clone(&record).with_intent(attempt, &self.holder, now), attempt, false)
            }
            Opening::TakeOver(stale) => {
                let attempt = AttemptId::generate().map_err(|_| Outcome::Stale)?;
                (Record::clone(&record).taking_over(stale, attempt, &self.holder, now), attempt, true)
            }
        };
        let next = next.map_err(|_| Outcome::Stale)?;
        let loaded = self.write_mark(version, next, attempt).await.ok_or(Outcome::Stale)?;
        Ok((Opened { loaded, grant, revision }, Mark { spent: Spent::Marked(attempt), was_unknown }))
    }

    /// Writes the intent. A write whose answer was lost counts if the record shows our attempt.
    pub(super) async fn write_mark(
        &self,
        version: crate::vault::Version,
        next: Record,
        attempt: AttemptId,
    ) -> Option<Loaded> {
        let uid = next.place().uid.clone();
        match self.store.replace(version, next.clone()).await {
            Ok(version) => Some(Loaded { record: Arc::new(next), version }),
            Err(WriteError::Conflict | WriteError::OutcomeUnknown(_)) => {
                let seen = self.store.reread(&uid).await.ok()??;
                let ours = seen.record.intents().any(|intent| intent.attempt == attempt);
                ours.then_some(seen)
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "nothing was sent: the intent could not be written");
                None
            }
        }
    }

    /// Sends the refresh token once. Whether this may be done is the caller's to know.
    pub(super) async fn ask(
        &self,
        job: &Job,
        app: &App,
        token: &SecretString,
    ) -> Result<TokenAnswer, Failure> {
        let http = job.target.http();
        let refresh = refresh::refresh(http, job.target.description(), app, token, &[], self.clock.now());
        let granted = self.timed(Operation::Refresh, refresh).await?;
        if granted.secret == WhichSecret::Previous {
            tracing::warn!(
                provider = job.target.provider(),
                "the provider still wants client_secret_previous"
            );
        }
        Ok(granted.answer)
    }

    /// The provider refuses the newest refresh token: within its grace window the predecessor may still work.
    async fn with_predecessor(
        &self,
        job: &Job,
        app: &App,
        opened: &Opened,
        refused: Result<TokenAnswer, Failure>,
    ) -> Result<TokenAnswer, Failure> {
        let window = job.target.description().grant.grace_window().unwrap_or_default();
        let previous = opened.loaded.record.open_previous(&self.sealer).ok().flatten();
        let in_window = later(opened.grant.obtained_at, window) > self.clock.now();
        match previous.map(|grant| grant.credential) {
            Some(Credential::OAuth { refresh_token: Some(token), .. }) if in_window => {
                self.ask(job, app, &token).await
            }
            _ => refused,
        }
    }

    /// Commits the answer before anything in it is judged.
    async fn keep(
        &self,
        job: &Job,
        opened: Opened,
        mark: Mark,
        answer: TokenAnswer,
        asked_at: Timestamp,
    ) -> Outcome {
        self.accepted(job);
        let grant = renewed(&opened.grant, answer, asked_at);
        let window = job.target.description().grant.grace_window();
        let answer = Answer {
            grant: &grant,
            spent: mark.spent,
            spent_revision: opened.revision,
            predecessor: window.is_some().then_some(&opened.grant),
        };
        match self.commit(opened.loaded, answer).await {
            Ok(revision) => Outcome::Committed { revision, origin: Origin::Refreshed },
            Err(CommitError::Superseded) => Outcome::Stale,
            Err(error) => {
                tracing::error!(error = %chain(&error), "a refreshed grant could not be put on record and is lost");
                Outcome::Stale
            }
        }
    }

    /// The registration works: if its connections had been paused, they go on.
    pub(super) fn accepted(&self, job: &Job) {
        let provider = job.target.provider();
        if job.own_app.is_none() && self.registrations.accepted(provider) {
            self.wake_provider(provider);
        }
    }

    async fn failed(&self, job: &Job, opened: &Opened, mark: Mark, failure: Failure) -> Outcome {
        let failure = self.heard(job, failure, Some(&opened.grant));
        let revision = opened.revision;
        let Spent::Marked(attempt) = mark.spent else { return Outcome::Failed { revision, failure } };
        let uid = &job.place.uid;
        if failure.sent == Sent::MaybeSent {
            self.note(uid, |record| record.intent_unknown(attempt)).await;
            return Outcome::Unknown { revision, failure };
        }
        if mark.was_unknown {
            // Refused now, and an earlier request under this mark may have worked: the mark stands.
            return match failure.class {
                Class::Reauth => Outcome::Lost { revision, failure },
                _ => Outcome::Unknown { revision, failure },
            };
        }
        self.note(uid, |record| record.without_intent(attempt)).await;
        Outcome::Failed { revision, failure }
    }

    /// A mark that cannot be changed now stays, and is taken for an unknown outcome later: the careful reading.
    pub(super) async fn note(
        &self,
        uid: &str,
        change: impl Fn(Record) -> Result<Record, crate::vault::TransitionError>,
    ) {
        if let Err(error) = self.settle(uid, change).await
            && !matches!(error, Unsettled::Transition(_))
        {
            tracing::warn!(error = %chain(&error), "the intent stays as it is");
        }
    }

    /// Takes in what a failure says about the provider rather than about this grant.
    pub(super) fn heard(&self, job: &Job, failure: Failure, grant: Option<&Grant>) -> Failure {
        let mut failure = doubted(failure);
        let (provider, now) = (job.target.provider(), self.clock.now());
        if let Some(wait) = failure.retry_after {
            self.pace.hold(provider, later(now, wait));
        }
        let suspect = job.own_app.is_none() && failure.refuses_client();
        if suspect && self.registrations.heard_invalid_client(provider, &job.place.uid, now) {
            self.wake_provider(provider);
        }
        let lifetime = job.target.description().grant.refresh_lifetime.map(Into::into);
        failure.proves_revoked |=
            failure.class == Class::Reauth && grant.is_some_and(|grant| ends_later(grant, lifetime, now));
        failure
    }
}

/// Whether the provider refused the refresh token itself.
fn refused_for_good(result: &Result<TokenAnswer, Failure>) -> bool {
    matches!(result, Err(failure) if failure.class == Class::Reauth && failure.sent == Sent::Refused)
}

/// A provider in trouble says nothing about a grant that can be relied on, whatever code it puts into its answer.
fn doubted(mut failure: Failure) -> Failure {
    let about_the_grant =
        matches!(failure.class, Class::Reauth | Class::Consent | Class::Policy | Class::StepUp);
    if about_the_grant && failure.sent == Sent::MaybeSent {
        failure.class = Class::Transient;
        failure.proves_revoked = false;
    }
    failure
}

/// Whether the grant is known to live on for long: then a refusal means that somebody withdrew it.
fn ends_later(grant: &Grant, lifetime: Option<Duration>, now: Timestamp) -> bool {
    // The catalogue says how long a refresh token lives from when it was given, not from each use of it.
    let by_catalogue = || Some(later(grant.refresh_issued_at?, lifetime?));
    let ends = grant.refresh_expires_at.or_else(by_catalogue);
    ends.is_some_and(|ends| ends > later(now, schedule::AFTER_STOPPING))
}

/// Whether the grant may be sent where the job would send it.
fn still_bound(bound: &Binding, job: &Job, app: &App) -> bool {
    bound.owner == job.owner
        && bound.authority == job.target.description().authority()
        && bound.client_id.as_ref().is_none_or(|client_id| *client_id == app.client_id)
}

/// The grant after a refresh. What the answer leaves out stays as it was (RFC 6749 §5.1, §6).
pub(super) fn renewed(old: &Grant, answer: TokenAnswer, asked_at: Timestamp) -> Grant {
    let old_refresh = match &old.credential {
        Credential::OAuth { refresh_token, .. } => refresh_token.clone(),
        Credential::ApiKey { .. } | Credential::Basic { .. } => None,
    };
    let ends = answer.refresh_expires_in.map(|lives| later(asked_at, lives));
    let replaced = answer
        .refresh_token
        .as_ref()
        .is_some_and(|new| old_refresh.as_ref().is_none_or(|old| old.expose_secret() != new.expose_secret()));
    let mut claims = old.claims.clone();
    claims.extend(answer.claims);
    let mut published_extras = old.published_extras.clone();
    published_extras.extend(answer.extras.into_iter().map(|(key, value)| (key, SecretString::from(value))));
    Grant {
        credential: Credential::OAuth {
            refresh_token: answer.refresh_token.or(old_refresh),
            access_token: Some(answer.access_token),
            token_type: answer.token_type,
        },
        claims,
        scopes: answer.scopes.or_else(|| old.scopes.clone()),
        obtained_at: asked_at,
        expires_at: answer.expires_in.map(|lives| later(asked_at, lives)),
        refresh_expires_at: ends.or(old.refresh_expires_at),
        refresh_end_moves: end_moves(old, ends, asked_at),
        refresh_issued_at: if replaced { Some(asked_at) } else { old.refresh_issued_at },
        published_extras,
        bound_to: old.bound_to.clone(),
        source: old.source.clone(),
        consent: old.consent.clone(),
    }
}

/// So long must lie between two answers before their ends tell anything.
const TELLING: SignedDuration = SignedDuration::from_secs(10);

/// Whether the end of the refresh token moves along with its use, as this answer shows beside the one before.
fn end_moves(old: &Grant, ends: Option<Timestamp>, asked_at: Timestamp) -> Option<bool> {
    let passed = asked_at.duration_since(old.obtained_at);
    match (old.refresh_expires_at, ends) {
        (Some(before), Some(ends)) if passed >= TELLING => Some(ends.duration_since(before) > passed / 2),
        _ => old.refresh_end_moves,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::keyring::{Keyring, SharedKeyring};
    use crate::vault::{Place, Sealer};
    use std::collections::BTreeMap;

    #[test]
    fn a_provider_in_trouble_is_not_believed_about_the_grant() {
        for class in [Class::Reauth, Class::Consent, Class::Policy, Class::StepUp, Class::Config, Class::Bug]
        {
            let said = |sent| Failure {
                class,
                code: None,
                status: Some(500),
                retry_after: None,
                sent,
                proves_revoked: class == Class::Reauth,
                summary: String::new(),
            };
            assert_eq!(doubted(said(Sent::Refused)), said(Sent::Refused));
            let kept = matches!(class, Class::Config | Class::Bug);
            let doubted = doubted(said(Sent::MaybeSent));
            assert_eq!(doubted.class, if kept { class } else { Class::Transient });
            assert!(!doubted.proves_revoked && !refused_for_good(&Err(said(Sent::MaybeSent))));
        }
    }

    const TTL: Duration = Duration::from_mins(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            credential: Credential::OAuth {
                refresh_token: Some("old".into()),
                access_token: Some("a".into()),
                token_type: "Bearer".to_owned(),
            },
            claims: BTreeMap::new(),
            scopes: Some(vec!["read".to_owned()]),
            obtained_at: at(0),
            expires_at: Some(at(60)),
            refresh_expires_at: Some(at(600)),
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: BTreeMap::new(),
            bound_to: Binding {
                owner: "alice".into(),
                authority: "x".into(),
                client_id: None,
                account: None,
            },
            source: None,
            consent: crate::vault::Consent::default(),
        }
    }

    fn record() -> Record {
        let sealer = Sealer::new(SharedKeyring::new(Keyring::generate(at(0)).unwrap()));
        let place = Place {
            cluster: "c".into(),
            namespace: "n".into(),
            name: "x".into(),
            uid: "u".into(),
            provider: "p".into(),
        };
        Record::new(place).committed(&sealer, &grant(), Spent::Unmarked, None).unwrap()
    }

    fn answer(refresh: Option<&str>) -> TokenAnswer {
        TokenAnswer {
            access_token: "new access".into(),
            refresh_token: refresh.map(SecretString::from),
            token_type: "Bearer".to_owned(),
            expires_in: Some(Duration::from_secs(90)),
            refresh_expires_in: None,
            scopes: None,
            claims: BTreeMap::new(),
            account: None,
            extras: BTreeMap::new(),
            flaws: Vec::new(),
        }
    }

    fn refresh_token(grant: &Grant) -> &str {
        use secrecy::ExposeSecret;
        match &grant.credential {
            Credential::OAuth { refresh_token: Some(token), .. } => token.expose_secret(),
            _ => "",
        }
    }

    #[test]
    fn a_refresh_begins_as_the_record_allows() {
        let attempt = AttemptId::generate().unwrap();
        let marked = |holder: &str| record().with_intent(attempt, holder, at(0)).unwrap();
        let rows = [
            ("a token that may die needs a mark", record(), true, 0, Opening::Mark),
            ("a token that lives on needs none", record(), false, 0, Opening::Unmarked),
            ("our own mark whose answer is missing goes on", marked("us"), true, 0, Opening::Resume(attempt)),
            (
                "another's mark is respected for a minute",
                marked("them"),
                true,
                59,
                Opening::Respect { until: at(60) },
            ),
            ("and then taken over", marked("them"), true, 60, Opening::TakeOver(attempt)),
        ];
        for (name, record, needs_intent, second, expected) in rows {
            assert_eq!(
                opening(record.intent(), needs_intent, "us", at(0), TTL, at(second)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn what_an_answer_leaves_out_stays_as_it_was() {
        let kept = renewed(&grant(), answer(None), at(30));
        assert_eq!(refresh_token(&kept), "old");
        assert_eq!(kept.scopes, Some(vec!["read".to_owned()]));
        assert_eq!((kept.obtained_at, kept.expires_at), (at(30), Some(at(120))));
        assert_eq!(kept.refresh_expires_at, Some(at(600)));
    }

    #[test]
    fn a_rotated_refresh_token_replaces_the_old_one() {
        assert_eq!(refresh_token(&renewed(&grant(), answer(Some("new")), at(30))), "new");
    }

    #[test]
    fn a_lifetime_from_the_catalogue_counts_from_when_the_token_was_given() {
        let day = |day: u64| at(0) + SignedDuration::from_hours(24 * i64::try_from(day).unwrap());
        let lifetime = Some(Duration::from_hours(24 * 90));
        let kept =
            renewed(&Grant { refresh_issued_at: Some(at(0)), ..unended() }, answer(Some("old")), day(80));
        assert!(ends_later(&kept, lifetime, day(80)) && !ends_later(&kept, lifetime, day(89)));
        let replaced = renewed(&kept, answer(Some("new")), day(80));
        assert!(ends_later(&replaced, lifetime, day(89)), "another token, another ninety days");
        assert!(!ends_later(&unended(), lifetime, at(0)), "nobody knows how old a token is that was brought");
        assert!(!ends_later(&replaced, None, at(0)));
    }

    /// A grant whose refresh token names no end.
    fn unended() -> Grant {
        Grant { refresh_expires_at: None, ..grant() }
    }

    #[test]
    fn two_answers_show_whether_the_end_moves() {
        let told = |lives: u64| TokenAnswer {
            refresh_expires_in: Some(Duration::from_secs(lives)),
            ..answer(Some("new"))
        };
        let after = |second: i64, lives| renewed(&grant(), told(lives), at(second)).refresh_end_moves;
        assert_eq!(after(100, 500), Some(false), "it counts down");
        assert_eq!(after(100, 502), Some(false), "and a second more or less is no news");
        assert_eq!(after(100, 600), Some(true), "it starts anew");
        assert_eq!(after(3, 600), None, "too soon to tell");
        assert_eq!(renewed(&grant(), answer(None), at(100)).refresh_end_moves, None);
    }
}
