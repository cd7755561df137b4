//! Where work on grants is handed in: one piece of work per grant at a time, each in its own task that nothing cancels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::consent::{Concluded, Consenting, Consents, Dismissal, consent};
use super::engine::Engine;
use super::intake;
use super::mint::mint;
use super::orphans;
use super::outcome::{Finished, Outcome};
use super::records::remember_pause;
use super::refresh::refresh;
use super::registration::Registrations;
use super::revoke::{self, Replaced};
use super::work::{Job, Task};
use crate::kube_ext::events::Events;
use crate::metrics::Metrics;
use crate::vault::record::{EndReason, EndTerms, Pause};
use crate::vault::{Loaded, Record};

/// How long a grant rests whose work panicked.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// Where work on grants is handed in.
pub(crate) struct Desk {
    parts: Parts,
    actors: Mutex<HashMap<String, Actor>>,
    tasks: TaskTracker,
}

/// What a desk works with.
pub(crate) struct Parts {
    /// The way from a record to its provider and back.
    pub(crate) engine: Engine,
    /// The attempts of all connections.
    pub(crate) consents: Consents,
    /// Grants that others have replaced.
    pub(crate) replaced: Replaced,
    /// Tells people.
    pub(crate) events: Arc<Events>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Wakes a connection.
    pub(crate) wake: mpsc::UnboundedSender<ObjectRef<IntegrationConnection>>,
}

/// What became of a piece of work that was handed in.
pub(crate) enum Submission {
    /// It is under way. The receiver gets what comes of it; `None` where the record itself says it. Without an answer the work
    /// panicked.
    Started(oneshot::Receiver<Option<Outcome>>),
    /// Other work on the same grant is under way; the connection is woken when it ends.
    Busy,
    /// The process is ending.
    Draining,
}

/// What is remembered of one grant between pieces of work. Small; gone when the connection is.
#[derive(Default)]
struct Actor {
    /// Set while it is at work; cancelled when the connection goes meanwhile.
    at_work: Option<CancellationToken>,
    outcomes: u64,
    seen: View,
}

/// What a reconcile sees of a grant's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Whether it is being worked on.
    pub(crate) busy: bool,
    /// What was finished last, until acknowledged.
    pub(crate) finished: Option<Finished>,
    /// The credentials Secret that was refused last: UID and resourceVersion.
    pub(crate) refused_source: Option<(String, String)>,
    /// Nothing is worth a try before this: what kept the last work from being done cannot have passed.
    pub(crate) rest_until: Option<Timestamp>,
    /// The connection's own app is not the one the grant is bound to, as the last work found.
    pub(crate) app_differs: bool,
    /// The announcement that was carried out or refused last. The object may show it for a moment longer.
    pub(crate) taken: Option<String>,
    /// Attempts that were ended last.
    pub(crate) concluded: Vec<Concluded>,
    /// Device flow: the provider is not asked again before this. Other work need not wait for it.
    pub(crate) poll_at: Option<Timestamp>,
}

impl Desk {
    /// Nothing runs until the first [`Desk::submit`].
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, actors: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Starts the work unless work on the same grant is under way, or nothing is started any more. Never waits.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> Submission {
        if self.parts.engine.gate.is_closed() {
            return Submission::Draining;
        }
        let gone = CancellationToken::new();
        {
            let mut actors = self.lock();
            let actor = actors.entry(job.place.uid.clone()).or_default();
            if actor.at_work.is_some() {
                return Submission::Busy;
            }
            actor.at_work = Some(gone.clone());
        }
        let (tell, told) = oneshot::channel();
        let span = tracing::info_span!("grant", namespace = job.place.namespace, name = job.place.name);
        self.tasks.spawn(Arc::clone(self).run(job, gone, tell).instrument(span));
        Submission::Started(told)
    }

    async fn run(self: Arc<Self>, job: Job, gone: CancellationToken, tell: oneshot::Sender<Option<Outcome>>) {
        // A panic in the work must not leave the grant busy for ever.
        let done = Done { desk: &self, job: &job, outcome: None };
        let outcome = self.carry_out(&job, &gone).await;
        if let (Task::Refresh { .. } | Task::Mint { .. }, Some(outcome)) = (&job.task, &outcome) {
            self.parts.metrics.refresh_ended(&job.target.description().entry, outcome.into());
        }
        done.with(outcome.clone());
        // Nobody needs to wait for it.
        let _ = tell.send(outcome);
        // The new grant is told of first: nothing waits for this.
        revoke::revoke_all_replaced(&self.parts.engine, &self.parts.replaced, &job).await;
    }

    /// What came of it; `None` where the record itself says it.
    async fn carry_out(&self, job: &Job, gone: &CancellationToken) -> Option<Outcome> {
        let Parts { engine, consents, replaced, events, .. } = &self.parts;
        Some(match &job.task {
            Task::Take(announcement) => intake::take(engine, replaced, job, announcement).await,
            Task::Read { secret } => self.read(job, secret).await,
            Task::Judge => intake::judge_candidate(engine, replaced, job).await,
            Task::Refresh { .. } => refresh(engine, job).await,
            Task::Mint { .. } => mint(engine, job).await,
            Task::Consent(task) => consent(Consenting { engine, consents, replaced, job, gone }, task).await,
            Task::End { read } => {
                revoke::end(engine, events, job, read).await;
                return None;
            }
        })
    }

    async fn read(&self, job: &Job, secret: &str) -> Outcome {
        let read = intake::read(&self.parts.engine, &self.parts.replaced, job, secret).await;
        if let Some((version, refused)) = read.read {
            let mut actors = self.lock();
            let actor = actors.entry(job.place.uid.clone()).or_default();
            actor.seen.refused_source = Some(version).filter(|_| refused);
        }
        read.outcome
    }

    /// What a reconcile of this connection should know.
    pub(crate) fn view(&self, uid: &str) -> View {
        let concluded = self.parts.consents.concluded(uid);
        let actors = self.lock();
        let Some(actor) = actors.get(uid) else { return View { concluded, ..View::default() } };
        View { busy: actor.at_work.is_some(), concluded, ..actor.seen.clone() }
    }

    /// Forgets an outcome that status now tells of.
    pub(crate) fn acknowledge(&self, uid: &str, id: u64) {
        if let Some(actor) = self.lock().get_mut(uid)
            && actor.seen.finished.as_ref().is_some_and(|finished| finished.id == id)
        {
            actor.seen.finished = None;
        }
    }

    /// Forgets a connection that is gone. Work under way still finishes and commits.
    pub(crate) fn forget(&self, uid: &str) {
        let mut actors = self.lock();
        if let Some(gone) = actors.get(uid).and_then(|actor| actor.at_work.as_ref()) {
            return gone.cancel();
        }
        actors.remove(uid);
        self.forget_beside(uid);
    }

    /// Takes note of the intents that others left on this record.
    pub(crate) fn sees_marks(&self, record: &Record) {
        self.parts.engine.marks.sees(record);
    }

    /// What providers say of our registrations.
    pub(crate) fn registrations(&self) -> &Registrations {
        self.parts.engine.gate.registrations()
    }

    /// Ends an attempt that cannot go on. Says whether nothing is left to do.
    pub(crate) async fn dismiss(&self, dismissal: &Dismissal) -> bool {
        self.parts.consents.dismiss(dismissal).await
    }

    /// Marks a grant as ending; returns whether it is on record.
    pub(crate) async fn mark_ending(&self, uid: &str, reason: EndReason, terms: &EndTerms) -> bool {
        revoke::mark_ending(&self.parts.engine.records, uid, reason, terms).await
    }

    /// Notes that nobody knows the connection of this record, and erases it when that has been so for `retention`.
    pub(crate) async fn orphaned(&self, orphan: Loaded, retention: Duration) {
        orphans::orphaned(&self.parts.engine.records, orphan, retention).await;
    }

    /// Takes that note off a record whose connection is there.
    pub(crate) async fn claimed(&self, uid: &str) {
        orphans::claimed(&self.parts.engine.records, uid).await;
    }

    /// Puts the pause that a failure imposed on record.
    pub(crate) async fn remember_pause(&self, uid: &str, pause: Pause) {
        remember_pause(&self.parts.engine.records, uid, pause).await;
    }

    /// Starts nothing more, and returns when everything that was started has committed.
    pub(crate) async fn drain(&self) {
        self.parts.engine.gate.close();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Actor>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a connection elsewhere.
    fn forget_beside(&self, uid: &str) {
        self.parts.engine.marks.forget(uid);
        self.parts.consents.forget(uid);
    }

    fn finish(&self, job: &Job, outcome: Option<Outcome>) {
        let uid = &job.place.uid;
        let now = self.parts.engine.records.clock.now();
        let mut actors = self.lock();
        let actor = actors.entry(uid.clone()).or_default();
        let gone = actor.at_work.take().is_some_and(|gone| gone.is_cancelled());
        if gone || matches!(job.task, Task::End { .. }) {
            // The connection may be gone for good: nothing of it is kept here.
            actors.remove(uid);
            self.forget_beside(uid);
        } else {
            actor.finish(job, outcome, now);
        }
        drop(actors);
        // Nobody listens only while the process ends.
        let _ = self.parts.wake.send(ObjectRef::new(&job.place.name).within(&job.place.namespace));
    }
}

impl Actor {
    fn finish(&mut self, job: &Job, outcome: Option<Outcome>, now: Timestamp) {
        self.outcomes += 1;
        let seen = &mut self.seen;
        // Work that panicked would do so again at once.
        let panicked = || Some(later(now, AFTER_PANIC));
        seen.rest_until = outcome.as_ref().map_or_else(panicked, |outcome| outcome.rest_until(now));
        seen.app_differs = matches!(outcome, Some(Outcome::ConsentOutdated));
        if outcome.as_ref().is_some_and(|outcome| !outcome.is_undone()) {
            seen.taken = job.task.announcement().cloned().or(seen.taken.take());
        }
        if let (Task::Consent(_), Some(outcome)) = (&job.task, &outcome) {
            seen.poll_at = outcome.poll_at();
        }
        seen.finished = outcome.map(|outcome| Finished {
            id: self.outcomes,
            at: now,
            request: job.task.request().cloned(),
            authorization: job.task.authorization().cloned(),
            announcement: job.task.announcement().cloned(),
            app_version: job.app_version.clone(),
            outcome,
        });
    }
}

/// Sets the grant free when its work ends, however it ends.
struct Done<'a> {
    desk: &'a Desk,
    job: &'a Job,
    outcome: Option<Outcome>,
}

impl Done<'_> {
    fn with(mut self, outcome: Option<Outcome>) {
        self.outcome = outcome;
    }
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.desk.finish(self.job, self.outcome.take());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{Bench, at, grant, job};
    use crate::vault::Credential;

    const ENTRY: &str = "generic-api-key";

    #[tokio::test(start_paused = true)]
    async fn whoever_hands_work_in_can_wait_for_what_comes_of_it() {
        let bench = Bench::start().await;
        let candidate = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        let record = Record::new(crate::grant::fixtures::place("u1"));
        bench.keep(record.with_candidate(&bench.engine().records.sealer, &candidate).unwrap()).await;
        let Submission::Started(told) = bench.desk.submit(job(ENTRY, Task::Judge)) else { panic!() };
        assert!(matches!(bench.desk.submit(job(ENTRY, Task::Judge)), Submission::Busy));
        assert!(matches!(told.await.unwrap(), Some(Outcome::Committed { .. })));
        assert!(bench.engine().records.in_use("u1").is_some());
        let seen = bench.desk.view("u1");
        assert!(!seen.busy && seen.finished.unwrap().at == at(0));
        bench.desk.drain().await;
        assert!(matches!(bench.desk.submit(job(ENTRY, Task::Judge)), Submission::Draining));
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_is_not_sent_where_its_terms_have_moved() {
        let bench = Bench::start().await;
        let mut candidate = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        candidate.bound_to.authority = "https://elsewhere.example".to_owned();
        let record = Record::new(crate::grant::fixtures::place("u1"));
        bench.keep(record.with_candidate(&bench.engine().records.sealer, &candidate).unwrap()).await;
        let Submission::Started(told) = bench.desk.submit(job(ENTRY, Task::Judge)) else { panic!() };
        assert!(matches!(told.await.unwrap(), Some(Outcome::IntakeRefused { .. })));
        let record = bench.loaded("u1").record;
        assert!(record.candidate().is_none() && record.grant().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_remembered_of_a_connection_that_goes_while_its_grant_is_worked_on() {
        let bench = Bench::start().await;
        let Submission::Started(told) = bench.desk.submit(job(ENTRY, Task::Judge)) else { panic!() };
        bench.desk.forget("u1");
        assert!(bench.desk.view("u1").busy, "the work goes on");
        told.await.unwrap();
        assert!(bench.desk.view("u1").finished.is_none() && bench.desk.lock().is_empty());
    }
}
