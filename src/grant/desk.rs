//! Where work on grants is submitted: one job per grant at a time, each in its own task that nothing cancels.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_runtime::clock::later;
use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::budget::RequestBudget;
use super::consent::{Concluded, Dismissal, consent};
use super::incident::Incidents;
use super::outcome::{FinishedWork, Outcome, SLOW};
use super::probe::{Probes, probe};
use super::refresh::{mint, refresh};
use super::work::{ConsentTask, Job, Lane, Task};
use super::{Engine, Records, intake, issue, lock, revoke, slot};
use crate::kube_ext::events::Events;
use crate::metrics::{GRANT_WORK, Metrics};
use crate::vault::{Intent, Record, Slot};

/// How long a grant rests after its work panicked.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// Where work on grants is submitted.
pub(crate) struct Desk {
    pub(super) engine: Engine,
    pub(super) events: Arc<Events>,
    metrics: Arc<Metrics>,
    wake: UnboundedSender<ObjectRef<IntegrationConnection>>,
    actors: Mutex<HashMap<String, Actor>>,
    tasks: TaskTracker,
}

/// What happened to a submitted job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    Started,
    /// Other work on the same grant is in progress; the connection is woken when it ends.
    Busy,
    /// Nothing is started: the process is ending, or another one leads.
    Closed,
}

/// What is remembered about one grant between jobs. Small; removed when the connection is gone.
#[derive(Default)]
struct Actor {
    at_work: Option<PresentWork>,
    outcomes: u64,
    seen: WorkView,
}

/// The job at work.
struct PresentWork {
    leaving: CancellationToken,
    gives_way: Option<CancellationToken>,
    /// Its connection is gone for good: nothing about it is kept here.
    is_forgotten: bool,
}

/// What a reconcile sees of a grant's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkView {
    pub(crate) busy: bool,
    /// It is busy with a refresh that stops if it still waits for its turn, once a step of an attempt is submitted.
    pub(crate) gives_way: bool,
    /// What was finished last, until it is acknowledged.
    pub(crate) finished: Option<FinishedWork>,
    /// The credentials or intake Secret whose content was judged, until it is finished: UID and resourceVersion.
    source: Option<(String, String)>,
    /// The credentials Secret that was refused last: UID and resourceVersion.
    pub(crate) refused_source: Option<(String, String)>,
    /// A refresh before this time makes no sense: the cause that prevented the last one cannot be over.
    pub(crate) rest_until: Option<Timestamp>,
    /// The same for steps of attempts, and for grants that are taken in.
    pub(crate) consent_rest_until: Option<Timestamp>,
    /// The connection's own app is not the one that the grant is bound to, as the last work found.
    pub(crate) app_differs: bool,
    /// The announcement that was carried out or refused last. The object may show it for a moment longer.
    pub(crate) taken: Option<String>,
    /// Attempts that were ended last.
    pub(crate) concluded: Vec<Concluded>,
    /// Since when an answer of the provider waits to be stored, if it has waited for long.
    pub(crate) unstored_since: Option<Timestamp>,
    /// Device flow: the provider is not polled again before this. Other work need not wait for it.
    pub(crate) poll_at: Option<Timestamp>,
}

impl Desk {
    /// Nothing runs until the first [`Desk::submit`]. `wake` wakes a connection.
    pub(crate) fn new(
        engine: Engine,
        events: Arc<Events>,
        metrics: Arc<Metrics>,
        wake: UnboundedSender<ObjectRef<IntegrationConnection>>,
    ) -> Self {
        Self { engine, events, metrics, wake, actors: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// What the records of grants are told besides the work on them.
    pub(crate) fn records(&self) -> &Records {
        &self.engine.records
    }

    /// Puts the answers on record that an earlier process of this pod left on disk. Returns when that is done; what takes
    /// longer than `within` goes on.
    pub(crate) async fn replay_answers(self: &Arc<Self>, within: Duration) {
        let desk = Arc::clone(self);
        let replayed = self.tasks.spawn(async move { slot::replay(&desk.engine).await });
        if timeout(within, replayed).await.is_err() {
            tracing::warn!("answers that an earlier process left on disk are not on record yet");
        }
    }

    /// What providers refuse to everybody.
    pub(crate) fn incidents(&self) -> &Incidents {
        &self.engine.gate.incidents
    }

    /// What probes have shown.
    pub(crate) fn probes(&self) -> &Probes {
        &self.engine.probes
    }

    /// How many refreshes people may request.
    pub(crate) fn requests(&self) -> &RequestBudget {
        &self.engine.gate.requests
    }

    /// Takes note of the intents of other processes on this record.
    pub(crate) fn sees(&self, record: &Record) {
        self.engine.marks.sees(record.uid(), record);
    }

    /// Whether this intent on a record leaves open what became of a request.
    pub(crate) fn is_open(&self, uid: &str, intent: &Intent) -> bool {
        self.engine.marks.is_open(uid, intent)
    }

    /// Whether another process may be at work on this slot.
    pub(crate) fn are_others_at(&self, record: &Record, slot: Slot) -> bool {
        self.engine.marks.are_others_at(record.uid(), record, slot)
    }

    /// Whether this process may act: of several replicas one does.
    pub(crate) fn leads(&self) -> bool {
        self.engine.gate.leads()
    }

    /// Ends an attempt that cannot go on. Returns whether nothing is left to do.
    pub(crate) async fn dismiss(&self, dismissal: &Dismissal) -> bool {
        self.engine.consents.dismiss(dismissal).await
    }

    /// Starts the work unless work on the same grant is under way, or nothing is started any more. Never waits.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> Submission {
        if self.engine.gate.draining.is_cancelled() || !self.leads() {
            return Submission::Closed;
        }
        {
            let mut actors = lock(&self.actors);
            let actor = actors.entry(job.key().to_owned()).or_default();
            if let Some(work) = &actor.at_work {
                // A person does not wait for a queue of refreshes.
                if !job.task.gives_way() {
                    work.gives_way.iter().for_each(CancellationToken::cancel);
                }
                return Submission::Busy;
            }
            let gives_way = job.task.gives_way().then(|| job.gives_way.clone());
            actor.at_work =
                Some(PresentWork { leaving: job.leaving.clone(), gives_way, is_forgotten: false });
        }
        let span = tracing::info_span!(
            "grant",
            task = job.task.name(),
            namespace = job.place.namespace,
            name = job.place.name
        );
        self.tasks.spawn(Arc::clone(self).run(job).instrument(span));
        Submission::Started
    }

    async fn run(self: Arc<Self>, job: Job) {
        // A panic in the work must not leave the grant busy forever.
        let outcome = AssertUnwindSafe(self.carry_out(&job)).catch_unwind().await;
        // Its intent stays on record: whether the token was spent is not known.
        let outcome = outcome.unwrap_or_else(|_| self.panicked());
        if let (Task::Refresh { .. } | Task::Mint { .. }, Some(outcome)) = (&job.task, &outcome) {
            self.metrics.refresh_ended(&job.target.description().entry, outcome.into());
        }
        self.finish(&job, outcome);
    }

    fn panicked(&self) -> Option<Outcome> {
        self.metrics.panicked(GRANT_WORK);
        tracing::error!("work on a grant panicked: the lines before this one say where");
        None
    }

    /// The result; `None` if the record itself shows it.
    async fn carry_out(&self, job: &Job) -> Option<Outcome> {
        let engine = &self.engine;
        let ended = match &job.task {
            Task::Take(announcement) => intake::take(engine, job, announcement).await,
            Task::Read { secret } => {
                let reading = intake::read(engine, job, secret).await;
                if let Some(source) = reading.source {
                    self.note(job, |seen| {
                        seen.source = Some((source.uid, source.resource_version));
                        seen.refused_source = seen.source.clone().filter(|_| reading.is_settled);
                    });
                }
                reading.result
            }
            Task::Judge => {
                let candidate = engine.records.open(&job.place.uid, Slot::Candidate);
                let judged = intake::judge_candidate(engine, job).await;
                if let Some(source) = candidate.and_then(|opened| opened.grant.source) {
                    self.note(job, |seen| seen.source = Some((source.uid, source.resource_version)));
                }
                judged
            }
            Task::Refresh { .. } => refresh(engine, job).await,
            Task::Mint { .. } => mint(engine, job).await,
            Task::ExpireKeys => issue::expire(engine, job).await,
            Task::Probe => {
                probe(engine, job).await;
                return None;
            }
            Task::Consent(task) => consent(engine, job, task).await,
            Task::End { ending, read } => {
                revoke::end(engine, job, ending, read).await;
                return None;
            }
        };
        Some(ended.unwrap_or_else(|outcome| outcome))
    }

    fn note(&self, job: &Job, change: impl FnOnce(&mut WorkView)) {
        change(&mut lock(&self.actors).entry(job.place.uid.clone()).or_default().seen);
    }

    /// What a reconcile of this connection needs.
    pub(crate) fn view(&self, uid: &str) -> WorkView {
        let concluded = self.engine.consents.concluded(uid);
        let unstored_since = self.engine.records.delays.since(uid);
        let actors = lock(&self.actors);
        let Some(actor) = actors.get(uid) else {
            return WorkView { concluded, unstored_since, ..WorkView::default() };
        };
        let gives_way = actor.at_work.as_ref().is_some_and(|work| work.gives_way.is_some());
        let seen = actor.seen.clone();
        WorkView { busy: actor.at_work.is_some(), gives_way, concluded, unstored_since, ..seen }
    }

    /// Forgets an outcome that status now shows.
    pub(crate) fn acknowledge(&self, uid: &str, id: u64) {
        if let Some(actor) = lock(&self.actors).get_mut(uid) {
            actor.seen.finished.take_if(|finished| finished.id == id);
        }
    }

    /// A connection is deleted or disconnected: work in progress puts no first grant of it on record any more, or ends it
    /// itself. Call this before you look whether there is a record: then one of the two sees what the other did.
    pub(crate) fn leaves(&self, uid: &str) {
        if let Some(work) = lock(&self.actors).get(uid).and_then(|actor| actor.at_work.as_ref()) {
            work.leaving.cancel();
        }
    }

    /// Forgets a connection that is gone. Work in progress still finishes and commits.
    pub(crate) fn forget(&self, uid: &str) {
        let mut actors = lock(&self.actors);
        if let Some(work) = actors.get_mut(uid).and_then(|actor| actor.at_work.as_mut()) {
            work.leaving.cancel();
            work.is_forgotten = true;
            return;
        }
        actors.remove(uid);
        drop(actors);
        self.forget_beside(uid);
    }

    /// Forgets what is stored about a connection elsewhere.
    fn forget_beside(&self, uid: &str) {
        self.engine.marks.forget(uid);
        self.engine.consents.forget(uid);
        self.engine.probes.forget(uid);
    }

    /// Starts nothing more, and returns when everything that was started has committed.
    pub(crate) async fn drain(&self) {
        self.engine.gate.draining.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn finish(&self, job: &Job, outcome: Option<Outcome>) {
        let key = job.key();
        let now = self.engine.records.clock.now();
        let mut actors = lock(&self.actors);
        let actor = actors.entry(key.to_owned()).or_default();
        let is_forgotten = actor.at_work.take().is_some_and(|work| work.is_forgotten);
        if matches!(job.task, Task::End { .. }) {
            actors.remove(key);
            self.engine.marks.forget(key);
        } else if is_forgotten {
            actors.remove(key);
            self.forget_beside(key);
        } else if job.task != Task::Probe {
            // What a probe found is remembered apart: the result of other work may not be reported yet.
            actor.finish(job, outcome, now);
        }
        drop(actors);
        // There is no listener only while the process ends.
        let _ = self.wake.send(ObjectRef::new(&job.place.name).within(&job.place.namespace));
    }
}

impl WorkView {
    /// Notes until when more work in this lane makes no sense.
    fn rest(&mut self, lane: Lane, outcome: Option<&Outcome>, now: Timestamp) {
        // Work that panicked would do so again at once.
        let panicked = || Some(later(now, AFTER_PANIC));
        let rest_until = outcome.map_or_else(panicked, |outcome| outcome.rest_until(now));
        match (lane, outcome) {
            (Lane::Refresh, _) => self.rest_until = rest_until,
            // A code that comes meanwhile must not expire.
            (Lane::Consent, Some(Outcome::Held { until })) => {
                self.consent_rest_until = Some(later(now, SLOW).min(*until));
            }
            (Lane::Consent, Some(Outcome::Committed { .. })) => {
                (self.rest_until, self.consent_rest_until) = (None, None);
            }
            (Lane::Consent, _) => self.consent_rest_until = rest_until,
            (Lane::Probe, _) => {}
        }
    }
}

impl Actor {
    fn finish(&mut self, job: &Job, outcome: Option<Outcome>, now: Timestamp) {
        let (request, authorization, announcement) = match &job.task {
            Task::Refresh { request } | Task::Mint { request } => (request.clone(), None, None),
            Task::Consent(ConsentTask::AskDevice { request }) => (None, Some(request.clone()), None),
            Task::Take(announcement) => (None, None, Some(announcement.value.clone())),
            _ => (None, None, None),
        };
        self.outcomes += 1;
        self.seen.rest(job.task.lane(), outcome.as_ref(), now);
        let seen = &mut self.seen;
        seen.app_differs = matches!(outcome, Some(Outcome::ConsentOutdated));
        if outcome.as_ref().is_some_and(|outcome| !outcome.is_undone()) {
            seen.taken = announcement.clone().or(seen.taken.take());
        }
        if let (Task::Consent(_), Some(outcome)) = (&job.task, &outcome) {
            seen.poll_at = if let Outcome::Polled { until } = outcome { Some(*until) } else { None };
        }
        seen.finished = outcome.map(|outcome| FinishedWork {
            id: self.outcomes,
            at: now,
            request,
            authorization,
            announcement,
            source: seen.source.take(),
            app_version: job.app_version.clone(),
            outcome,
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{Bench, at, grant, job, place};
    use crate::vault::Credential;

    const ENTRY: &str = "generic-api-key";

    #[tokio::test(start_paused = true)]
    async fn one_piece_of_work_on_a_grant_is_under_way_at_a_time() {
        let bench = Bench::start().await;
        let candidate = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        let record = Record::new(place("u1"));
        bench.keep(record.with_candidate(&bench.engine().records.sealer, &candidate).unwrap()).await;
        assert_eq!(bench.desk.submit(job(ENTRY, Task::Judge)), Submission::Started);
        assert_eq!(bench.desk.submit(job(ENTRY, Task::Judge)), Submission::Busy);
        let finished = bench.worked("u1").await.finished.unwrap();
        assert!(matches!(finished.outcome, Outcome::Committed { accepted: true }));
        assert_eq!(finished.at, at(0));
        assert!(bench.engine().records.in_use("u1").is_some());
        bench.desk.drain().await;
        assert_eq!(bench.desk.submit(job(ENTRY, Task::Judge)), Submission::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_is_not_sent_where_its_terms_have_moved() {
        let bench = Bench::start().await;
        let mut candidate = grant(ENTRY, Credential::ApiKey { api_key: "k".into() });
        candidate.bound_to.authority = "https://elsewhere.example".to_owned();
        let record = Record::new(place("u1"));
        bench.keep(record.with_candidate(&bench.engine().records.sealer, &candidate).unwrap()).await;
        bench.desk.submit(job(ENTRY, Task::Judge));
        let finished = bench.worked("u1").await.finished.unwrap();
        assert!(matches!(finished.outcome, Outcome::IntakeRefused { .. }));
        let record = bench.loaded("u1").record;
        assert!(record.candidate().is_none() && record.grant().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_remembered_of_a_connection_that_goes_while_its_grant_is_worked_on() {
        let bench = Bench::start().await;
        bench.desk.submit(job(ENTRY, Task::Judge));
        bench.desk.forget("u1");
        assert!(bench.desk.view("u1").busy, "the work goes on");
        assert!(bench.worked("u1").await.finished.is_none() && lock(&bench.desk.actors).is_empty());
    }
}
