//! The reader of the published Secrets, and what the operator says it plans.
//!
//! One watch on the published Secrets and one on the connections keep a cache here, and the cache is sampled every
//! second: reading 500 Secrets one by one would be many times the operator's own load. A watch that lags can only show
//! an older token, so it errs against the operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fleet::Fleet;
use crate::objects::secret_text;

const EVERY: Duration = Duration::from_secs(1);

type Key = (String, String);

/// What the samples showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Samples {
    /// Samples of a Secret.
    pub taken: u64,
    /// Samples of a Secret whose `expires_at` was in the past.
    pub expired: u64,
    /// Samples of a Secret that did not exist or could not be read.
    pub missing: u64,
    /// The shortest remaining lifetime of a token, in milliseconds.
    pub least_life_ms: Option<i64>,
}

/// What is known of a connection.
#[derive(Default)]
struct Standing {
    phase: String,
    settled: bool,
    planned: BTreeSet<Timestamp>,
}

#[derive(Default)]
struct State {
    ends: BTreeMap<Key, Timestamp>,
    standings: BTreeMap<Key, Standing>,
    samples: Samples,
    broken: u64,
}

/// The watches; they end when this is dropped.
pub struct Reader {
    state: Arc<Mutex<State>>,
    _stop: DropGuard,
}

impl Reader {
    /// Starts to watch, as the client's user.
    pub fn start(client: Client) -> Self {
        let (state, stop) = (Arc::<Mutex<State>>::default(), CancellationToken::new());
        let resource = |group, version, kind, plural: &str| {
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
        };
        let secrets = resource("", "v1", "Secret", "secrets");
        let connections =
            resource("bowline.dev", "v1alpha1", "IntegrationConnection", "integrationconnections");
        // Records have our label too, but another type.
        let published =
            watcher::Config::default().labels("app.kubernetes.io/managed-by=bowline").fields("type=Opaque");
        let secrets = watcher(Api::all_with(client.clone(), &secrets), published);
        let connections = watcher(Api::all_with(client, &connections), watcher::Config::default());
        follow(secrets, &state, &stop, State::see_secret);
        follow(connections, &state, &stop, State::see_connection);
        Self { state, _stop: stop.drop_guard() }
    }

    /// How many connections are in a phase that the operator has reported for their present spec.
    pub fn in_phase(&self, phase: &str) -> usize {
        let state = self.lock();
        state.standings.values().filter(|standing| standing.settled && standing.phase == phase).count()
    }

    /// How many connections are in which phase, for people.
    pub fn phases(&self) -> BTreeMap<String, usize> {
        let mut phases = BTreeMap::new();
        for standing in self.lock().standings.values() {
            *phases.entry(standing.phase.clone()).or_default() += 1;
        }
        phases
    }

    /// Samples every second until `stop`, then returns what it saw.
    pub async fn sample(&self, fleet: &Fleet, stop: CancellationToken) -> Samples {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.lock().samples,
                _ = ticks.tick() => self.lock().sample(fleet, Timestamp::now()),
            }
        }
    }

    /// When the operator planned the refresh that reached the provider at `at`: the last plan that was due by then.
    pub fn planned_before(&self, namespace: &str, name: &str, at: Timestamp) -> Option<Timestamp> {
        let state = self.lock();
        let standing = state.standings.get(&(namespace.to_owned(), name.to_owned()))?;
        standing.planned.range(..=at).next_back().copied()
    }

    /// How often a watch broke and was restarted.
    pub fn broken(&self) -> u64 {
        self.lock().broken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(
    events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Send + 'static,
    state: &Arc<Mutex<State>>,
    stop: &CancellationToken,
    see: fn(&mut State, Key, Option<&Value>),
) {
    let (state, stop) = (Arc::clone(state), stop.clone());
    tokio::spawn(async move {
        let mut events = std::pin::pin!(events.default_backoff());
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    let generation = object.metadata.generation;
                    let mut content = object.data;
                    content["generation"] = generation.into();
                    see(&mut state, key(object.metadata), Some(&content));
                }
                Ok(watcher::Event::Delete(object)) => see(&mut state, key(object.metadata), None),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => {
                    tracing::warn!(%error, "a watch broke");
                    state.broken += 1;
                }
            }
        }
    });
}

fn key(metadata: kube::api::ObjectMeta) -> Key {
    (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
}

impl State {
    fn see_secret(&mut self, key: Key, content: Option<&Value>) {
        let end = content.and_then(|content| secret_text(content, "expires_at")?.parse().ok());
        match end {
            Some(end) => self.ends.insert(key, end),
            None => self.ends.remove(&key),
        };
    }

    fn see_connection(&mut self, key: Key, content: Option<&Value>) {
        let Some(content) = content else {
            self.standings.remove(&key);
            return;
        };
        let status = &content["status"];
        let standing = self.standings.entry(key).or_default();
        status["phase"].as_str().unwrap_or("none").clone_into(&mut standing.phase);
        standing.settled = status["observedGeneration"] == content["generation"];
        let planned: Option<Timestamp> =
            status["token"]["nextRefreshAt"].as_str().and_then(|text| text.parse().ok());
        standing.planned.extend(planned);
    }

    fn sample(&mut self, fleet: &Fleet, now: Timestamp) {
        for member in &fleet.members {
            self.samples.taken += 1;
            let Some(end) = self.ends.get(&(member.namespace.clone(), member.name.clone())) else {
                self.samples.missing += 1;
                continue;
            };
            let left = end.as_millisecond() - now.as_millisecond();
            self.samples.expired += u64::from(left <= 0);
            let least = self.samples.least_life_ms.get_or_insert(left);
            *least = left.min(*least);
        }
    }
}
