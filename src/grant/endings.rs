//! The queue of grants that are being ended.
//!
//! It needs only the endings: neither a provider that is down nor a missing app Secret holds an object back.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::connection::Method;
use bowline_api::reason::MessageFacts;
use bowline_runtime::clock::later;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Submission};
use super::revoke::{ends_token_alone, is_given_up, pause, postpone, standing};
use super::target::Target;
use super::work::{AgreeingTerms, Job, Task};
use crate::vault::record::Kept;
use crate::vault::record::{Debt, EndTerms, Ending, Withdrawal};
use crate::vault::{Loaded, Place, Record, Slot};

/// How soon a grant that is being worked on is checked again.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long an ending waits for others. A revocation may end the next grant as well; one that never comes leaves this one alive.
const WAITED_FOR: Duration = Duration::from_hours(24);

/// Resolves a provider for a connection that may be gone.
pub(crate) type FindTarget = Arc<dyn Fn(&Place, &EndTerms) -> Option<Arc<Target>> + Send + Sync>;

/// Removes a published Secret; whether it is gone, or its namespace is about to be.
pub(crate) type Withdraw = Arc<dyn Fn(Debt) -> BoxFuture<'static, bool> + Send + Sync>;

/// Whether a connection is still there: then its own status says what became of its grant.
pub(crate) type IsThere = Arc<dyn Fn(&Place) -> bool + Send + Sync>;

/// Watches the endings and submits each one when it is due.
pub(crate) struct Endings {
    pub(crate) desk: Arc<Desk>,
    pub(crate) find_target: FindTarget,
    pub(crate) withdraw: Withdraw,
    pub(crate) is_there: IsThere,
    /// How long what could not be revoked is kept.
    pub(crate) retention: Duration,
}

impl Endings {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let store = &self.desk.engine.records.endings;
        let mut changes = store.changes();
        store.wait_ready().await;
        loop {
            // A pass makes many calls, and the API server may be away: it is given up, and its last write repeated after the start.
            let Some(next) = shutdown.run_until_cancelled(Box::pin(self.look())).await else { return };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(next) => {}
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
            }
        }
    }

    /// Submits what is due; returns when to check again.
    async fn look(&self) -> Duration {
        let records = &self.desk.engine.records;
        let mut next = LOOK_EVERY;
        for key in records.endings.in_order() {
            // Each is read when its turn comes: the others took time, in which it may have been worked on.
            let Some(loaded) = records.endings.get(&key).ok().flatten() else { continue };
            if records.is_unmoved(&loaded.record) || self.desk.view(&key).busy {
                next = next.min(BUSY_PAUSE);
                continue;
            }
            let now = records.clock.now();
            self.settle_debts(loaded, now).await;
            let Some(loaded) = records.endings.get(&key).ok().flatten() else { continue };
            let Some(loaded) = self.tell(loaded, now).await else { continue };
            next = next.min(self.take_up(loaded, now).await);
        }
        next
    }

    /// Does what is due about one ending; returns when to look at it again.
    async fn take_up(&self, loaded: Loaded<Ending>, now: Timestamp) -> Duration {
        let (ending, records) = (Arc::clone(&loaded.record), &self.desk.engine.records);
        let (progress, withdrawal) = (ending.progress(), ending.withdrawal());
        let debts_at = withdrawal.not_before.filter(|_| !withdrawal.debts.is_empty());
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        let is_kept = || later(progress.since, self.retention) > now;
        if is_given_up(&ending, now) {
            if !is_kept() {
                records.erase_ending(loaded.version).await;
            }
        } else if !ending.has_grant() {
            // A connection that is there reports it first.
            let is_reported = progress.result.is_none() || !(self.is_there)(ending.record().place());
            if withdrawal.is_settled() && (is_reported || !is_kept()) {
                records.erase_ending(loaded.version).await;
            }
        } else if let Some(waits) = &progress.waits {
            let holds = |other: &Record| {
                other.is_alive() && waits.key.as_ref().is_none_or(|key| other.sibling_key() == Some(key))
            };
            // What cannot be read is unknown, not over.
            let other = records.store.get(&waits.uid).map(|found| found.filter(|it| holds(&it.record)));
            if matches!(other, Ok(None)) {
                records.replace_ending(loaded, Ending::clone(&ending).resumed(now)).await;
            }
        } else if progress.not_before > now {
            return wait(progress.not_before).min(debts_at.map_or(LOOK_EVERY, wait)).max(BUSY_PAUSE);
        } else if !self.hand_in(loaded, now).await {
            // The end of that work changes no ending, so nothing else would start another check soon.
            return BUSY_PAUSE;
        }
        debts_at.map_or(LOOK_EVERY, wait).max(BUSY_PAUSE)
    }

    /// Tells in the name of a connection that is gone what became of its grant, once. Returns the ending as it is then.
    async fn tell(&self, loaded: Loaded<Ending>, now: Timestamp) -> Option<Loaded<Ending>> {
        let (ending, place) = (Arc::clone(&loaded.record), loaded.record.record().place());
        let news = standing(&ending, now).filter(|news| ending.progress().told != Some(news.reason));
        let Some(news) = news.filter(|_| !(self.is_there)(place)) else { return Some(loaded) };
        let mut connection = ObjectRef::<IntegrationConnection>::new(&place.name).within(&place.namespace);
        connection.extra.uid = Some(place.uid.clone());
        let facts = MessageFacts { detail: news.detail.into(), ..MessageFacts::default() };
        let note = news.reason.message(&facts);
        self.desk.events.publish(&connection.into(), news.reason, "Revoke", &note).await;
        let records = &self.desk.engine.records;
        let _ = records.replace_ending(loaded, Ending::clone(&ending).told(news.reason)).await?;
        records.endings.get(ending.key()).ok().flatten()
    }

    /// Submits what is due as it was read; `false` if other work has to finish first.
    async fn hand_in(&self, loaded: Loaded<Ending>, now: Timestamp) -> bool {
        let ending = Arc::clone(&loaded.record);
        let (place, terms) = (ending.record().place().clone(), &ending.progress().terms);
        let Some(target) = (self.find_target)(&place, terms) else {
            let why = format!("provider {} is not there or not ready", place.provider);
            postpone(&self.desk.engine, loaded, Ending::clone(&ending), &why, None).await;
            return true;
        };
        if self.must_wait(&ending, &target, now) {
            return false;
        }
        let job = Job {
            place,
            owner: String::new(),
            method: target.methods().first().copied().unwrap_or(Method::AuthorizationCode),
            target,
            parameters: terms.parameters.clone(),
            own_app: terms.own_app.clone(),
            app_version: None,
            scopes: Vec::new(),
            agreeing: AgreeingTerms::default(),
            expected_account: None,
            accepted_account: None,
            newest_known: None,
            urgency: now,
            task: Task::End { ending: ending.key().into(), read: loaded.version.read() },
            leaving: CancellationToken::new(),
            gives_way: CancellationToken::new(),
        };
        !matches!(self.desk.submit(job), Submission::Busy)
    }

    /// Whether a request that was in progress when the grant ended may still be answered, here or by another replica; and
    /// whether the connection's next grant is being judged, which this revocation could end as well. Not for ever.
    fn must_wait(&self, ending: &Ending, target: &Target, now: Timestamp) -> bool {
        let (engine, record) = (&self.desk.engine, ending.record());
        if later(ending.progress().since, WAITED_FOR) <= now {
            return false;
        }
        let are_others_at = |slot| engine.marks.are_others_at(ending.key(), record, slot);
        let next = engine.records.get(record.uid());
        let is_judged = next.is_some_and(|next| next.record.candidate().is_some());
        self.desk.view(record.uid()).busy
            || are_others_at(Slot::InUse)
            || are_others_at(Slot::Candidate)
            || is_judged && !ends_token_alone(target.description())
    }

    /// Tries again to remove what could not be removed when the connection went, if that is due.
    async fn settle_debts(&self, loaded: Loaded<Ending>, now: Timestamp) {
        let (ending, records) = (Arc::clone(&loaded.record), &self.desk.engine.records);
        let Withdrawal { debts, is_open, failures, not_before } = ending.withdrawal().clone();
        if debts.is_empty() || not_before.is_some_and(|at| at > now) {
            return;
        }
        let mut left = Vec::new();
        for debt in debts {
            if !(self.withdraw)(debt.clone()).await {
                left.push(debt);
            }
        }
        let not_before = Some(later(records.clock.now(), pause(failures)));
        let failures = failures.saturating_add(1);
        let withdrawal = Withdrawal { debts: left, is_open, failures, not_before };
        records.replace_ending(loaded, Ending::clone(&ending).with_withdrawal(withdrawal)).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::post;
    use bowline_api::reason::Reason;
    use k8s_openapi::jiff::SignedDuration;
    use tokio::net::TcpListener;

    use super::*;
    use crate::grant::fixtures::{Bench, at, grant, job, oauth_grant, target, target_at};
    use crate::vault::{Account, Credential, Grant, IntentId, Record};

    const ENTRY: &str = "generic-api-key";

    /// A grant for which a provider knows no revocation.
    fn api_key() -> Grant {
        grant(ENTRY, Credential::ApiKey { api_key: "k".into() })
    }

    /// A queue whose providers exist, or do not; what it has to withdraw it can withdraw, or not.
    fn endings(bench: &Bench, there: bool) -> Endings {
        Endings {
            desk: Arc::clone(&bench.desk),
            find_target: Arc::new(move |_, _| there.then(|| target(ENTRY))),
            withdraw: Arc::new(move |_| Box::pin(std::future::ready(there))),
            is_there: Arc::new(|_| false),
            retention: Duration::from_hours(720),
        }
    }

    /// Stores a grant that is to be ended from now on; returns the key of its ending.
    async fn ending(bench: &Bench, grant: &Grant) -> Arc<str> {
        let object = bench.keep(bench.holding("u1", grant)).await.version.read().uid;
        assert!(bench.engine().records.end("u1", &EndTerms::default(), &Withdrawal::open()).await);
        object
    }

    fn loaded(bench: &Bench, key: &str) -> Loaded<Ending> {
        bench.engine().records.endings.get(key).unwrap().unwrap()
    }

    /// A provider that counts the revocations it accepts, and a grant of it.
    async fn revoking(revocations: &Arc<AtomicUsize>) -> (Arc<Target>, Grant) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/revoke", listener.local_addr().unwrap());
        let counted = Arc::clone(revocations);
        let accept = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        };
        let router = Router::new().route("/revoke", post(accept));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let job = Job { target: target_at("sandbox", &address), ..job("sandbox", Task::Judge) };
        let app = job.target.app().map(Arc::as_ref);
        let grant = Grant { bound_to: job.binding(app), ..oauth_grant("sandbox", "r1") };
        (job.target, grant)
    }

    /// The key of an ending, and how it was read: while the queue was busy with others, its first revocation failed.
    async fn failed_since(bench: &Bench, grant: &Grant) -> (Arc<str>, Loaded<Ending>) {
        let key = ending(bench, grant).await;
        let stale = loaded(bench, &key);
        let failed = Ending::clone(&stale.record).postponed(at(10), "no answer", None);
        assert!(bench.engine().records.replace_ending(loaded(bench, &key), failed).await.is_some());
        (key, stale)
    }

    #[tokio::test]
    async fn class_18_an_ending_that_was_read_before_its_first_failure_starts_nothing() {
        let bench = Bench::start().await;
        let revocations = Arc::new(AtomicUsize::new(0));
        let (target, grant) = revoking(&revocations).await;
        let (key, stale) = failed_since(&bench, &grant).await;
        let find_target: FindTarget = Arc::new(move |_, _| Some(Arc::clone(&target)));
        let queue = Endings { find_target, ..endings(&bench, true) };
        queue.hand_in(stale, at(0)).await;
        bench.worked(&key).await;
        assert_eq!(revocations.load(Ordering::SeqCst), 0, "sent without its pause");
        assert!(loaded(&bench, &key).record.has_grant());

        bench.clock.advance(SignedDuration::from_secs(10));
        queue.look().await;
        bench.worked(&key).await;
        assert_eq!(revocations.load(Ordering::SeqCst), 1, "it is due");
    }

    #[tokio::test(start_paused = true)]
    async fn class_18_an_ending_that_was_read_before_its_first_failure_is_not_postponed_again() {
        let bench = Bench::start().await;
        let (key, stale) = failed_since(&bench, &api_key()).await;
        let known = loaded(&bench, &key).record.progress().clone();
        endings(&bench, false).hand_in(stale, at(0)).await;
        assert_eq!(*loaded(&bench, &key).record.progress(), known, "counted twice, or its pause is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_due_ending_is_revoked_and_erased() {
        let bench = Bench::start().await;
        let key = ending(&bench, &api_key()).await;
        assert!(!bench.api.has("record-u1"), "the connection may be connected again");
        endings(&bench, true).look().await;
        while bench.desk.view(&key).busy {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(bench.api.has(&format!("ending-{key}")), "its Secrets are still being removed");
        assert!(bench.engine().records.owe("u1", &[]).await);
        endings(&bench, true).look().await;
        assert!(!bench.api.has(&format!("ending-{key}")));
        let told = bench.api.events();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("nothing was sent to revoke it"), "a key cannot be revoked: {told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_the_first_time_and_followed_by_a_pause() {
        let bench = Bench::start().await;
        let key = ending(&bench, &api_key()).await;
        let endings = endings(&bench, false);
        endings.look().await;
        assert_eq!(endings.look().await, Duration::from_secs(10), "the pause is kept");
        bench.clock.advance(SignedDuration::from_secs(10));
        endings.look().await;
        let failed = loaded(&bench, &key).record.progress().clone();
        assert_eq!((failed.failures, failed.not_before), (2, at(30)));
        let told = bench.api.events();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("provider p is not there"), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn class_22_what_is_not_withdrawn_is_a_debt_that_holds_back_no_revocation() {
        let bench = Bench::start().await;
        let key = ending(&bench, &api_key()).await;
        let debt = Debt {
            namespace: "team-b".into(),
            secret: "team-a.mail".into(),
            owner: "share".into(),
            written: None,
        };
        assert!(bench.engine().records.owe("u1", std::slice::from_ref(&debt)).await);
        let stuck =
            Endings { withdraw: Arc::new(|_| Box::pin(std::future::ready(false))), ..endings(&bench, true) };
        stuck.look().await;
        while bench.desk.view(&key).busy {
            sleep(Duration::from_millis(1)).await;
        }
        let left = loaded(&bench, &key).record;
        assert!(!left.has_grant(), "the grant is revoked");
        assert_eq!(left.withdrawal().debts, [debt]);
        let next = left.withdrawal().not_before;
        assert_eq!(next, Some(at(10)), "and the Secret is tried again");

        bench.clock.advance(SignedDuration::from_secs(10));
        endings(&bench, true).look().await;
        assert!(!bench.api.has(&format!("ending-{key}")));
    }

    #[tokio::test(start_paused = true)]
    async fn class_22_a_debt_belongs_to_the_ending_of_the_deletion_and_not_to_an_earlier_one() {
        let bench = Bench::start().await;
        let records = &bench.engine().records;
        let grant = api_key();
        for withdrawal in [Withdrawal::default(), Withdrawal::open()] {
            bench.keep(bench.holding("u1", &grant)).await;
            assert!(records.end("u1", &EndTerms::default(), &withdrawal).await);
        }
        let debt = |secret: &str| Debt {
            namespace: "team-b".into(),
            secret: secret.into(),
            owner: "share".into(),
            written: None,
        };
        assert!(records.owe("u1", &[debt("mail")]).await);
        let mut owed: Vec<_> =
            records.endings.of("u1").iter().map(|it| it.record.withdrawal().clone()).collect();
        owed.sort_by_key(|withdrawal| withdrawal.debts.len());
        assert!(owed.iter().all(|withdrawal| !withdrawal.is_open));
        assert_eq!(owed[0].debts, []);
        assert_eq!(owed[1].debts, [debt("mail")]);
    }

    /// A former leader may have sent the token; its answer is what has to be revoked.
    #[tokio::test(start_paused = true)]
    async fn class_27_an_ending_waits_for_what_another_replica_may_still_be_answered() {
        let bench = Bench::start().await;
        let grant = api_key();
        let id = IntentId::generate().unwrap();
        let record = bench.holding("u1", &grant).with_intent(Slot::InUse, None, id, "them/1", at(0)).unwrap();
        let key = bench.keep(record).await.version.read().uid;
        let records = &bench.engine().records;
        assert!(records.end("u1", &EndTerms::default(), &Withdrawal::default()).await);
        assert_eq!(endings(&bench, true).look().await, BUSY_PAUSE);
        assert!(loaded(&bench, &key).record.has_grant());
        bench.clock.advance(SignedDuration::from_secs(60));
        endings(&bench, true).look().await;
        while bench.desk.view(&key).busy {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!loaded(&bench, &key).record.has_grant(), "it had its time");
        endings(&bench, true).look().await;
        assert!(!bench.api.has(&format!("ending-{key}")));
    }

    #[tokio::test]
    async fn an_ending_waits_for_the_connection_that_lives_on_the_same_grant_until_that_is_dead() {
        let bench = Bench::start().await;
        let revocations = Arc::new(AtomicUsize::new(0));
        let (target, mut grant) = revoking(&revocations).await;
        grant.bound_to.account = Some(Account { id: "7".into(), name: None, email: None });
        let other = bench.keep(bench.holding("u2", &grant)).await.record.grant_version().unwrap().id;
        let key = ending(&bench, &grant).await;
        let find_target: FindTarget = Arc::new(move |_, _| Some(Arc::clone(&target)));
        let queue = Endings { find_target, is_there: Arc::new(|_| true), ..endings(&bench, true) };
        queue.look().await;
        bench.worked(&key).await;
        // However long that takes.
        bench.clock.advance(SignedDuration::from_hours(24 * 365));
        queue.look().await;
        let waits = loaded(&bench, &key).record.progress().waits.clone().unwrap();
        assert_eq!((waits.uid.as_str(), waits.owner.as_deref()), ("u2", Some("alice")));
        assert_eq!(revocations.load(Ordering::SeqCst), 0);

        bench.engine().records.remember_death("u2", other).await;
        queue.look().await;
        queue.look().await;
        bench.worked(&key).await;
        assert_eq!(revocations.load(Ordering::SeqCst), 1);
        let result = loaded(&bench, &key).record.progress().result.clone().unwrap();
        assert_eq!(result.reason, Reason::Revoked, "kept until the connection has reported it");
        assert!(bench.engine().records.owe("u1", &[]).await);
        bench.engine().records.reported(&key).await;
        assert!(!bench.api.has(&format!("ending-{key}")));
    }

    #[tokio::test(start_paused = true)]
    async fn class_26_an_ending_counts_only_once_its_record_is_gone() {
        let bench = Bench::start().await;
        let grant = api_key();
        let kept = bench.keep(bench.holding("u1", &grant)).await;
        let (records, object) = (&bench.engine().records, kept.version.read().uid);
        let record = Record::clone(&kept.record);
        let begun = Ending::of(record, &object, at(0), EndTerms::default());
        let _ = records.endings.put(begun).await.unwrap();
        endings(&bench, true).look().await;
        assert!(
            bench.api.has(&format!("ending-{object}")) && bench.api.has("record-u1"),
            "a crash in between"
        );

        records.drop_unmoved("u1").await;
        assert!(
            !bench.api.has(&format!("ending-{object}")) && bench.api.has("record-u1"),
            "it is wanted again"
        );
    }
}
