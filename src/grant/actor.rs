//! One piece of work per grant at a time, each in its own task that nothing cancels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_api::{IntegrationConnection, IntegrationProvider};
use bowline_oauth::classify::Failure;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use url::Url;

use super::consent::Concluded;
use super::former::Formers;
use super::outcome::{Finished, Outcome};
use super::pace::Pace;
use super::registration::Registrations;
use super::schedule::later;
use super::work::{Job, Task};
use crate::kube_ext::events::Events;
use crate::metrics::{Metrics, Operation};
use crate::vault::{AttemptId, Intent, Record, Sealer, Store};

/// How long a grant rests whose work panicked.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// So many ended tries to connect are remembered: more than one user may have open.
const CONCLUDED: usize = 8;

/// What every actor needs. Shared by all grants.
pub struct Grants {
    pub(super) store: Arc<Store>,
    pub(super) sealer: Sealer,
    pub(super) kube: Client,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    pub(super) registrations: Registrations,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Arc<Events>,
    pub(super) holder: String,
    pub(super) intent_ttl: Duration,
    pub(super) attempts: Attempts,
    pub(super) formers: Formers,
    pub(super) portal: Option<Url>,
    /// Cancelled when no new request may be started.
    pub(super) draining: CancellationToken,
    actors: Mutex<HashMap<String, Actor>>,
    tasks: TaskTracker,
    wake: mpsc::UnboundedSender<ObjectRef<IntegrationConnection>>,
    wake_provider: mpsc::UnboundedSender<ObjectRef<IntegrationProvider>>,
}

/// What is remembered of one grant between pieces of work. Small; gone when the connection is.
#[derive(Default)]
struct Actor {
    busy: bool,
    /// The connection went while this was at work.
    gone: bool,
    /// Tries to connect that were ended last: the watch may show them as open for a moment longer.
    concluded: Vec<Concluded>,
    outcomes: u64,
    finished: Option<Finished>,
    /// Marks that another process left, and since when we have watched each on our own clock.
    foreign: Vec<(AttemptId, Timestamp)>,
    /// The credentials Secret that was refused last: UID and resourceVersion.
    refused_source: Option<(String, String)>,
    /// Nothing is worth a try before this: what kept the last work from being done cannot have passed.
    rest_until: Option<Timestamp>,
    /// The connection's own app is not the one the grant is bound to, as the last work found.
    app_differs: bool,
    /// The announcement that was carried out or refused last. The object may show it for a moment longer.
    taken: Option<String>,
    /// Device flow: not before this. Other work need not wait for it.
    poll_at: Option<Timestamp>,
}

/// What [`Grants::new`] needs.
pub struct Parts {
    /// Where grants are kept.
    pub store: Arc<Store>,
    /// What opens and seals them.
    pub sealer: Sealer,
    /// What reads intake and credentials Secrets.
    pub kube: Client,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells people.
    pub events: Arc<Events>,
    /// This process, unlike every other and every earlier one.
    pub holder: String,
    /// How long another process's mark is respected.
    pub intent_ttl: Duration,
    /// The Secrets through which portal and operator speak.
    pub attempts: Attempts,
    /// Grants that others took the place of.
    pub formers: Formers,
    /// The portal's address, where there is one.
    pub portal: Option<Url>,
    /// Wakes a connection.
    pub wake: mpsc::UnboundedSender<ObjectRef<IntegrationConnection>>,
    /// Wakes a provider when its registration begins or ceases to be rejected.
    pub wake_provider: mpsc::UnboundedSender<ObjectRef<IntegrationProvider>>,
}

/// What a reconcile sees of an actor.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether it is at work.
    pub busy: bool,
    /// What it finished last, until acknowledged.
    pub finished: Option<Finished>,
    /// The credentials Secret that was refused last: UID and resourceVersion.
    pub refused_source: Option<(String, String)>,
    /// No work before this.
    pub rest_until: Option<Timestamp>,
    /// The connection's own app is not the one the grant is bound to, as the last work found.
    pub app_differs: bool,
    /// The announcement that was carried out or refused last.
    pub taken: Option<String>,
    /// Tries to connect that were ended last.
    pub concluded: Vec<Concluded>,
    /// Device flow: the provider is not asked again before this.
    pub poll_at: Option<Timestamp>,
}

impl Grants {
    /// Puts the parts together. Nothing runs until the first [`Grants::submit`].
    pub fn new(parts: Parts) -> Self {
        let Parts {
            store,
            sealer,
            kube,
            clock,
            metrics,
            events,
            holder,
            intent_ttl,
            attempts,
            formers,
            portal,
            wake,
            wake_provider,
        } = parts;
        Self {
            store,
            sealer,
            kube,
            clock,
            metrics,
            events,
            holder,
            intent_ttl,
            attempts,
            formers,
            portal,
            wake,
            wake_provider,
            pace: Pace::default(),
            registrations: Registrations::default(),
            draining: CancellationToken::new(),
            actors: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// What providers say of our registrations.
    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// Has the provider looked at again. Nobody listens only while the process ends.
    pub(super) fn wake_provider(&self, provider: &str) {
        let _ = self.wake_provider.send(ObjectRef::new(provider));
    }

    /// This process's name in intents.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Starts the work unless the grant's actor is at work already, or nothing is started any more. Never waits.
    pub fn submit(self: &Arc<Self>, job: Job) {
        if self.draining.is_cancelled() {
            return;
        }
        {
            let mut actors = self.lock();
            let actor = actors.entry(job.place.uid.clone()).or_default();
            if std::mem::replace(&mut actor.busy, true) {
                return;
            }
        }
        let span = tracing::info_span!("grant", namespace = job.place.namespace, name = job.place.name);
        self.tasks.spawn(Arc::clone(self).run(job).instrument(span));
    }

    async fn run(self: Arc<Self>, job: Job) {
        // A panic in the work must not leave the grant busy for ever.
        let done = Done { grants: &self, job: &job, outcome: None };
        let outcome = self.carry_out(&job).await;
        if let (Task::Refresh { .. } | Task::Mint { .. }, Some(outcome)) = (&job.task, &outcome) {
            self.metrics.refresh_ended(&job.target.description().entry, outcome.into());
        }
        done.with(outcome);
        // The new grant is told of first: nothing waits for this.
        self.revoke_formers(&job).await;
    }

    /// What came of it; `None` where the record itself says it.
    async fn carry_out(&self, job: &Job) -> Option<Outcome> {
        Some(match &job.task {
            Task::Take(announcement) => self.take(job, announcement).await,
            Task::Read { secret } => self.read(job, secret).await,
            Task::Judge => self.judge(job).await,
            Task::Refresh { .. } => self.refresh(job).await,
            Task::Mint { .. } => self.mint(job).await,
            Task::Consent(task) => self.consent(job, task).await,
            Task::End { read } => {
                self.end(job, read).await;
                return None;
            }
        })
    }

    /// What a reconcile of this connection should know.
    pub fn view(&self, uid: &str) -> View {
        self.lock().get(uid).map_or_else(View::default, |actor| View {
            busy: actor.busy,
            finished: actor.finished.clone(),
            refused_source: actor.refused_source.clone(),
            rest_until: actor.rest_until,
            app_differs: actor.app_differs,
            taken: actor.taken.clone(),
            concluded: actor.concluded.clone(),
            poll_at: actor.poll_at,
        })
    }

    /// Forgets an outcome that status now tells of.
    pub fn acknowledge(&self, uid: &str, id: u64) {
        if let Some(actor) = self.lock().get_mut(uid)
            && actor.finished.as_ref().is_some_and(|finished| finished.id == id)
        {
            actor.finished = None;
        }
    }

    /// Forgets a connection that is gone. Work under way still finishes and commits.
    pub fn forget(&self, uid: &str) {
        let mut actors = self.lock();
        match actors.get_mut(uid) {
            Some(actor) if actor.busy => actor.gone = true,
            _ => drop(actors.remove(uid)),
        }
    }

    /// Remembers that a try to connect was ended, as long as a watch may be behind.
    pub(super) fn remember_concluded(&self, uid: &str, ended: Concluded) {
        let mut actors = self.lock();
        let concluded = &mut actors.entry(uid.to_owned()).or_default().concluded;
        concluded.retain(|other| other.dismissal.attempt != ended.dismissal.attempt);
        concluded.push(ended);
        // What is not written yet is not forgotten: how many there are, the limits on tries bound.
        while concluded.len() > CONCLUDED
            && let Some(oldest) = concluded.iter().position(|ended| ended.written)
        {
            concluded.remove(oldest);
        }
    }

    /// Whether the connection went while its grant was being worked on.
    pub(super) fn is_gone(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|actor| actor.gone)
    }

    /// Takes note of the marks that other processes left, or earlier work of this one that did not see its end.
    ///
    /// Their age is counted on our own clock from when we first saw them, because the wall times of two machines differ.
    pub fn sees_marks(&self, uid: &str, record: &Record) {
        let now = self.clock.now();
        let foreign: Vec<_> = record.intents().filter(|intent| intent.holder != self.holder).collect();
        let mut actors = self.lock();
        if foreign.is_empty() {
            if let Some(actor) = actors.get_mut(uid) {
                actor.foreign.clear();
            }
            return;
        }
        let watched = &mut actors.entry(uid.to_owned()).or_default().foreign;
        watched.retain(|(attempt, _)| foreign.iter().any(|intent| intent.attempt == *attempt));
        for intent in foreign {
            if watched.iter().all(|(attempt, _)| *attempt != intent.attempt) {
                watched.push((intent.attempt, now));
            }
        }
    }

    /// Since when another process's mark on this record has been watched.
    pub(super) fn watched_since(&self, record: &Record, intent: &Intent) -> Timestamp {
        self.sees_marks(record.uid(), record);
        let actors = self.lock();
        let watched = actors.get(record.uid()).map(|actor| actor.foreign.as_slice()).unwrap_or_default();
        let since = watched.iter().find(|(attempt, _)| *attempt == intent.attempt).map(|(_, since)| *since);
        since.unwrap_or_else(|| self.clock.now())
    }

    pub(super) fn remember_refused_source(&self, uid: &str, source: Option<(String, String)>) {
        self.lock().entry(uid.to_owned()).or_default().refused_source = source;
    }

    /// Runs a request to a provider and counts how it went and how long it took.
    pub(super) async fn timed<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let call = self.metrics.provider_call(operation);
        let result = request.await;
        call.finish(result.as_ref().err());
        result
    }

    /// Starts nothing more, and returns when everything that was started has committed.
    pub async fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Actor>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, job: &Job, outcome: Option<Outcome>) {
        if matches!(job.task, Task::End { .. }) || self.is_gone(&job.place.uid) {
            // The connection may be gone for good: nothing of it is kept here.
            self.lock().remove(&job.place.uid);
        } else {
            let now = self.clock.now();
            let mut actors = self.lock();
            let actor = actors.entry(job.place.uid.clone()).or_default();
            actor.busy = false;
            actor.outcomes += 1;
            // Work that panicked would do so again at once.
            let panicked = || Some(later(now, AFTER_PANIC));
            actor.rest_until = outcome.as_ref().map_or_else(panicked, |outcome| outcome.rest_until(now));
            actor.app_differs = matches!(outcome, Some(Outcome::ConsentOutdated));
            if outcome.as_ref().is_some_and(|outcome| !outcome.is_undone()) {
                actor.taken = job.task.announcement().cloned().or(actor.taken.take());
            }
            if let (Task::Consent(_), Some(outcome)) = (&job.task, &outcome) {
                actor.poll_at = outcome.poll_at();
            }
            actor.finished = outcome.map(|outcome| Finished {
                id: actor.outcomes,
                at: now,
                request: job.task.request().cloned(),
                authorization: job.task.authorization().cloned(),
                announcement: job.task.announcement().cloned(),
                app_version: job.app_version.clone(),
                outcome,
            });
        }
        // Nobody listens only while the process ends.
        let _ = self.wake.send(ObjectRef::new(&job.place.name).within(&job.place.namespace));
    }
}

/// Sets the grant free when its work ends, however it ends.
struct Done<'a> {
    grants: &'a Grants,
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
        self.grants.finish(self.job, self.outcome.take());
    }
}
