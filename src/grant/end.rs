//! Revoking a grant at the provider and erasing its record, long after its connection may be gone.
//!
//! The record alone drives it: neither a provider that is down nor a missing app Secret holds an object back. Revocation
//! is tried for seven days with growing pauses; then a Warning says where a person can do it by hand.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::connection::Method;
use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::revoke::{Revocation, Tokens};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::actor::Grants;
use super::schedule::later;
use super::target::Target;
use super::work::{Job, Task};
use crate::metrics::Operation;
use crate::vault::record::{Bookkeeping, EndReason, EndTerms, Ending, Pause};
use crate::vault::{Credential, Grant, Loaded, Place, ReadVersion, Record, Spent, Version};

/// How long revocation is tried.
const TRIED_FOR: Duration = Duration::from_hours(7 * 24);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// A grant that is being worked on is looked at again after this.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// The queue looks at all records at least this often.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Resolves a provider for a connection that may be gone.
pub type Lookup = Arc<dyn Fn(&Place, &EndTerms) -> Option<Arc<Target>> + Send + Sync>;

/// Watches for records that are to be ended and hands each to its actor when it is due.
pub struct Endings {
    /// The actors.
    pub grants: Arc<Grants>,
    /// Resolves a provider.
    pub lookup: Lookup,
    /// How long a record that could not be revoked, or that has no connection, is kept.
    pub retention: Duration,
}

impl Endings {
    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut changes = self.grants.store.changes();
        self.grants.store.wait_ready().await;
        loop {
            let next = self.look().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(next) => {}
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
            }
        }
    }

    /// Hands over what is due; returns how long nothing will be.
    async fn look(&self) -> Duration {
        let now = self.grants.clock.now();
        let mut next = LOOK_EVERY;
        for loaded in self.grants.store.ending() {
            let Some(ending) = loaded.record.ending() else { continue };
            if given_up(ending, now) {
                if later(ending.since, self.retention) <= now {
                    self.grants.erase(loaded.version).await;
                }
            } else if ending.next_attempt_at > now {
                let wait = Duration::try_from(ending.next_attempt_at.duration_since(now)).unwrap_or_default();
                next = next.min(wait);
            } else if self.grants.view(loaded.record.uid()).busy {
                // The end of that work changes no record, so nothing else would bring us back soon.
                next = next.min(BUSY_PAUSE);
            } else {
                self.hand_over(loaded, now).await;
            }
        }
        next
    }

    /// Hands over what is due as it was read. Between reading and this others were waited for, and an earlier try may have
    /// failed since: then the record has moved, and nothing is started.
    async fn hand_over(&self, loaded: Loaded, now: Timestamp) {
        let Some(ending) = loaded.record.ending() else { return };
        let place = loaded.record.place().clone();
        let Some(target) = (self.lookup)(&place, &ending.terms) else {
            let why = format!("provider {} is not there or not ready", place.provider);
            return self.grants.postpone(&loaded, now, &why, None).await;
        };
        self.grants.submit(Job {
            place,
            owner: String::new(),
            method: target.methods().first().copied().unwrap_or(Method::AuthorizationCode),
            target,
            own_app: ending.terms.own_app.clone(),
            app_version: None,
            scopes: Vec::new(),
            expected_account: None,
            accepted_account: None,
            urgency: now,
            task: Task::End { read: loaded.version.read() },
        });
    }
}

impl Grants {
    /// Revokes the grant and erases its record, if that is still what was `read`. What cannot be done now is postponed.
    pub(super) async fn end(&self, job: &Job, read: &ReadVersion) {
        let Ok(Some(loaded)) = self.store.get(&job.place.uid) else { return };
        if loaded.version.read() != *read {
            return;
        }
        match self.revoke_all(job, &loaded.record).await {
            // An access token that had to be fetched for the revocation is on record since.
            Ok(()) => {
                if let Ok(Some(revoked)) = self.store.get(&job.place.uid) {
                    self.erase(revoked.version).await;
                }
            }
            Err(why) => {
                let by_hand = job.target.description().revoke.by_hand.as_deref();
                self.postpone(&loaded, self.clock.now(), &why, by_hand).await;
            }
        }
    }

    async fn revoke_all(&self, job: &Job, record: &Record) -> Result<(), String> {
        let grant = record.open_grant(&self.sealer).map_err(|error| error.to_string())?;
        let candidate = record.open_candidate(&self.sealer).map_err(|error| error.to_string())?;
        if self.shared_with_siblings(job, record) {
            tracing::info!("not revoked at the provider: another connection lives on the same grant there");
            return Ok(());
        }
        let app = self.app(job).await.map_err(|none| none.to_string())?;
        for grant in grant.into_iter().chain(candidate.map(|candidate| candidate.grant)) {
            self.revoke(job, app.as_deref(), grant).await?;
        }
        Ok(())
    }

    /// Whether revoking would take the grant from another connection as well.
    fn shared_with_siblings(&self, job: &Job, record: &Record) -> bool {
        let alone = job.target.description().revoke.scope == RevokeScope::Token;
        let siblings =
            record.sibling_key().map(|key| self.store.siblings(key, record.uid())).unwrap_or_default();
        !alone && siblings.iter().any(|sibling| sibling.ending().is_none())
    }

    /// Ends one grant at the provider. A token that is gone already, and a provider that knows no revocation, are done.
    async fn revoke(&self, job: &Job, app: Option<&App>, grant: Grant) -> Result<(), String> {
        if !may_be_sent(&grant, job, app) {
            return Err("the provider's address or app is not the one that was consented to".to_owned());
        }
        let grant = self.with_live_access(job, app, grant).await?;
        self.withdraw(job, app, &grant).await
    }

    /// The same with the tokens at hand, whatever else is on record.
    pub(super) async fn withdraw(&self, job: &Job, app: Option<&App>, grant: &Grant) -> Result<(), String> {
        let (Credential::OAuth { refresh_token, access_token, .. }, Some(app)) = (&grant.credential, app)
        else {
            return Ok(());
        };
        let http = job.target.http();
        let tokens = Tokens { refresh: refresh_token.as_ref(), access: access_token.as_ref() };
        let revoke =
            bowline_oauth::revoke::revoke(http, job.target.description(), app, tokens, self.clock.now());
        match self.timed(Operation::Revoke, revoke).await {
            Ok(Revocation::Revoked | Revocation::AlreadyGone) => Ok(()),
            Ok(Revocation::Unsupported { .. }) => {
                tracing::info!(
                    provider = job.target.provider(),
                    "the provider knows no revocation; the local copy is erased"
                );
                Ok(())
            }
            Err(failure) => Err(self.heard(job, failure, None).summary),
        }
    }

    /// Some providers revoke only by a call with a live access token: then the refresh token is used first, and its answer kept.
    async fn with_live_access(&self, job: &Job, app: Option<&App>, grant: Grant) -> Result<Grant, String> {
        let by_access = bowline_oauth::revoke::needs_live_access_token(job.target.description());
        let now = self.clock.now();
        let ended = grant.expires_at.is_some_and(|ends| ends <= now);
        let (Credential::OAuth { refresh_token: Some(token), .. }, Some(app)) = (&grant.credential, app)
        else {
            return Ok(grant);
        };
        if !by_access || !ended {
            return Ok(grant);
        }
        match self.ask(job, app, token).await {
            Ok(answer) => {
                let grant = super::refresh::renewed(&grant, answer, now);
                let change = |record: Record| match record.intent() {
                    Some(intent) => {
                        let spent = Spent::Marked(intent.attempt);
                        record.committed(&self.sealer, &grant, spent, None)
                    }
                    None => record.committed(&self.sealer, &grant, Spent::Unmarked, None),
                };
                self.settle(&job.place.uid, change).await.map_err(|error| error.to_string())?;
                Ok(grant)
            }
            // Without a refresh token that works there is nothing left to revoke with, and nothing left to fear.
            Err(failure) if failure.class == bowline_oauth::catalog::errors::Class::Reauth => Ok(grant),
            Err(failure) => Err(failure.summary),
        }
    }

    /// Notes a try that failed. The first one is told, and so is the last: the grant still lives at the provider.
    async fn postpone(&self, tried: &Loaded, now: Timestamp, why: &str, by_hand: Option<&str>) {
        let Some(ending) = tried.record.ending() else { return };
        let next = later(now, pause(ending.attempts));
        tracing::warn!(why, attempts = ending.attempts + 1, "the grant is not revoked yet");
        if let Err(error) = self.settle(tried.record.uid(), |record| record.ending_postponed(next, why)).await
        {
            tracing::warn!(error = %chain(&error), "the pause before the next revocation could not be noted");
            // The queue would turn at once again; the API server needs that pause too.
            return sleep(Duration::from_secs(5)).await;
        }
        let last = given_up(ending, next);
        if ending.attempts == 0 || last {
            let what_next = if last { "It is not tried again." } else { "It is tried again for seven days." };
            let by_hand = by_hand.map_or_else(String::new, |by_hand| format!(" By hand: {by_hand}"));
            let note = format!("The grant could not be revoked at the provider: {why}. {what_next}{by_hand}");
            let object = connection(tried.record.place());
            self.events.publish(&object, Reason::RevocationFailed, "Revoke", &note).await;
        }
    }

    pub(super) async fn erase(&self, version: Version) {
        if let Err(error) = self.store.erase(version).await {
            tracing::warn!(error = %chain(&error), "a dead record could not be erased now");
        }
    }

    /// Keeps on record until when the grant is left alone; whether that is there.
    pub async fn keep_pause(&self, uid: &str, pause: Option<Pause>) -> bool {
        let change = |record: Record| {
            let bookkeeping = Bookkeeping { pause: pause.clone(), ..record.bookkeeping().clone() };
            Ok(record.with_bookkeeping(bookkeeping))
        };
        let kept = self.settle(uid, change).await;
        if let Err(error) = &kept {
            tracing::warn!(error = %chain(error), "a pause is not on record yet");
        }
        kept.is_ok()
    }

    /// Marks a grant as ending. Conflicts with the actor's own writes are tried again; returns whether it is on record.
    pub async fn mark_ending(&self, uid: &str, reason: EndReason, terms: &EndTerms) -> bool {
        let now = self.clock.now();
        let marked = self.settle(uid, |record| Ok(record.with_ending(reason, now, terms.clone()))).await;
        if let Err(error) = &marked {
            tracing::warn!(error = %chain(error), "the grant could not be marked as ending");
        }
        marked.is_ok()
    }
}

/// Revoking sends the tokens as well: only where they came from, and in the name they were given to.
pub(super) fn may_be_sent(grant: &Grant, job: &Job, app: Option<&App>) -> bool {
    let bound = &grant.bound_to;
    bound.authority == job.target.description().authority()
        && bound.client_id.as_ref().is_none_or(|client_id| app.is_none_or(|app| *client_id == app.client_id))
}

/// The connection as an Event names it; it may be gone.
fn connection(place: &Place) -> ObjectReference {
    ObjectReference {
        api_version: Some(IntegrationConnection::api_version(&()).into_owned()),
        kind: Some(IntegrationConnection::kind(&()).into_owned()),
        namespace: Some(place.namespace.clone()),
        name: Some(place.name.clone()),
        uid: Some(place.uid.clone()),
        ..ObjectReference::default()
    }
}

fn given_up(ending: &Ending, now: Timestamp) -> bool {
    later(ending.since, TRIED_FOR) <= now
}

/// Ten seconds, doubling to an hour.
fn pause(attempts: i32) -> Duration {
    Duration::from_secs(10).saturating_mul(1 << attempts.clamp(0, 9)).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::grant::fixtures::{Engine, at, grant, target};

    const ENTRY: &str = "generic-api-key";

    /// A queue whose providers are there, or are not.
    fn endings(engine: &Engine, there: bool) -> Endings {
        Endings {
            grants: Arc::clone(&engine.grants),
            lookup: Arc::new(move |_, _| there.then(|| target(ENTRY))),
            retention: Duration::from_hours(720),
        }
    }

    /// Keeps a record whose grant is to be ended from now on.
    async fn ending(engine: &Engine) -> Loaded {
        let grant = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        let record = engine.holding("u1", &grant);
        engine.keep(record.with_ending(EndReason::Deleted, at(0), EndTerms::default())).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_ending_that_was_read_before_its_first_try_failed_starts_nothing() {
        let engine = Engine::start().await;
        let read = ending(&engine).await;
        // While the queue is busy with others, the first try fails and is over.
        let failed = Record::clone(&read.record).ending_postponed(at(10), "no answer").unwrap();
        let _ = engine.store.replace(engine.loaded("u1").version, failed).await.unwrap();
        endings(&engine, true).hand_over(read, at(0)).await;
        engine.grants.drain().await;
        assert!(engine.api.has("record-u1"), "revoked and erased without its pause");
        assert_eq!(engine.loaded("u1").record.ending().unwrap().attempts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_due_ending_is_revoked_and_erased() {
        let engine = Engine::start().await;
        ending(&engine).await;
        endings(&engine, true).look().await;
        engine.grants.drain().await;
        assert!(!engine.api.has("record-u1"));
        assert!(engine.api.events().is_empty(), "nothing is told of what worked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_failed_is_told_the_first_time_and_followed_by_a_pause() {
        let engine = Engine::start().await;
        ending(&engine).await;
        let endings = endings(&engine, false);
        endings.look().await;
        assert_eq!(endings.look().await, Duration::from_secs(10), "the pause is kept");
        engine.clock.advance(SignedDuration::from_secs(10));
        endings.look().await;
        let failed = engine.loaded("u1").record.ending().unwrap().clone();
        assert_eq!((failed.attempts, failed.next_attempt_at), (2, at(30)));
        let told = engine.api.events();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("provider p is not there"), "{told:?}");
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<_> = (0..12).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
    }
}
