//! How long it takes until nothing of an owner's is left in a workspace that they were removed from: one connection, shared in many
//! namespaces and bound there many times.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    AT_ONCE,
    fleet::{Fleet, Member},
    run::{say, set_up},
    schedule::percentile,
};
use crate::{
    access::ADMIN,
    audit::Request,
    error::Error,
    objects::{Objects, path, verdict},
    stage::{Binaries, OPERATOR_USER, Profile, Stage},
    wait::wait_for,
};

const WORKSPACE: &str = "leave";
/// Nothing is refreshed by itself meanwhile.
const TOKEN_SECONDS: u64 = 36_000;
/// Long enough for a machine with other work.
const READY_WITHIN: Duration = Duration::from_mins(10);
/// What is promised of the last Secret.
const PROMISED: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Namespaces in which the connection is shared.
    pub shares: usize,
    /// Bindings in these namespaces, in total.
    pub bindings: usize,
    /// How often the owner is removed, and comes back.
    pub rounds: usize,
    /// How the operator was built.
    pub profile: Profile,
}

/// What was measured.
pub struct Departures {
    options: Options,
    /// Of every Secret in every round, from the removal to its deletion, in milliseconds.
    each: Vec<i64>,
    /// Of the last Secret of every round.
    last: Vec<i64>,
    /// Writes by which the operator published something in the workspace after the last one was gone.
    published_afterwards: usize,
}

impl Departures {
    /// The figures, in Markdown.
    pub fn page(&self) -> String {
        let Options { shares, bindings, rounds, profile } = self.options;
        let mut page = String::from("# An owner is removed from a workspace\n\n");
        let figures = |times: &[i64]| {
            let mut times = times.to_vec();
            let mut at = |percent| {
                percentile(&mut times, percent).map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"))
            };
            format!("p50 {}, p99 {}, max {}", at(50), at(99), at(100))
        };
        let _ = write!(
            page,
            "{shares} shares, {bindings} bindings, {rounds} rounds, build {profile:?}.\n\n\
             - until a Secret is gone: {}\n\
             - until the last one is gone: {} (promised: p99 within {} ms)\n\
             - published there afterwards, by the audit log: {}\n",
            figures(&self.each),
            figures(&self.last),
            PROMISED.as_millis(),
            self.published_afterwards,
        );
        page
    }

    /// Whether every guarantee held.
    pub fn is_good(&self) -> bool {
        let mut last = self.last.clone();
        let in_time = percentile(&mut last, 99)
            .is_some_and(|ms| u128::try_from(ms).is_ok_and(|ms| ms <= PROMISED.as_millis()));
        in_time && self.published_afterwards == 0
    }
}

/// Measures on a separate control plane.
///
/// # Errors
/// When something is not set up, or a Secret does not go.
pub async fn run(options: &Options, binaries: &Binaries) -> Result<Departures, Error> {
    let mut stage = set_up(binaries, TOKEN_SECONDS).await?;
    let fleet = Fleet::create(&stage, 4).await?;
    let Some(connection) = fleet.members.first() else { return Err(Error::NoAuditLog) };
    let admin = stage.objects_as(ADMIN).await?;
    say(&format!(
        "sharing a connection in {} namespaces, and binding it {} times",
        options.shares, options.bindings
    ));
    furnish(&stage, &admin, options, connection).await?;
    let seen = SecretWatch::start(stage.cluster().client_for(ADMIN).await?);
    let mut departures =
        Departures { options: *options, each: Vec::new(), last: Vec::new(), published_afterwards: 0 };
    for round in 1..=options.rounds {
        let all = options.shares + options.bindings;
        wait_for("everything is published", READY_WITHIN, async || {
            let there = seen.present();
            if there == all { Ok(()) } else { Err(format!("{there} of {all} Secrets")) }
        })
        .await?;
        say(&format!("round {round}: removing the owner"));
        depart(&stage, &admin, connection, &seen, &mut departures).await?;
        admin.merge(&path::workspace(WORKSPACE), &members("alice")).await?;
    }
    stage.end()?;
    Ok(departures)
}

fn namespace(index: usize) -> String {
    format!("{WORKSPACE}-{index:03}")
}

fn members(name: &str) -> Value {
    json!({"spec": {"members": [{"kind": "User", "name": name}]}})
}

async fn furnish(
    stage: &Stage,
    admin: &Objects,
    options: &Options,
    connection: &Member,
) -> Result<(), Error> {
    let names: Vec<_> = (0..options.shares).map(namespace).collect();
    let create = |name: &String| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        async move { admin.create("/api/v1/namespaces", &object).await.map(drop) }
    };
    stream::iter(&names).map(create).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let mut workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace",
        "metadata": {"name": WORKSPACE}, "spec": {"namespaces": names}});
    workspace["spec"]["members"] = members("alice")["spec"]["members"].clone();
    admin.create(path::workspace("").trim_end_matches('/'), &workspace).await?;
    let alice = stage.objects_as("alice").await?;
    let shared = json!({"spec": {"workspace": WORKSPACE, "shared": true}});
    alice.merge(&path::connection(&connection.namespace, &connection.name), &shared).await?;
    let id = format!("{}.{}", connection.namespace, connection.name);
    let bind = |index: usize| {
        let binding = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionBinding",
            "metadata": {"name": format!("bound-{index:05}")}, "spec": {"connection": id}});
        let place = path::bindings(&namespace(index % options.shares));
        async move { admin.create(&place, &binding).await.map(drop) }
    };
    Ok(stream::iter(0..options.bindings).map(bind).buffer_unordered(AT_ONCE).try_collect::<()>().await?)
}

/// One removal: how long each Secret stayed, and what was published afterwards although the token was refreshed.
async fn depart(
    stage: &Stage,
    admin: &Objects,
    connection: &Member,
    seen: &SecretWatch,
    departures: &mut Departures,
) -> Result<(), Error> {
    seen.forget_gone();
    let begun = Instant::now();
    admin.merge(&path::workspace(WORKSPACE), &members("bob")).await?;
    wait_for("everything is gone", READY_WITHIN, async || {
        let there = seen.present();
        if there == 0 { Ok(()) } else { Err(format!("{there} Secrets are there")) }
    })
    .await?;
    let since =
        |at: &Instant| i64::try_from(at.saturating_duration_since(begun).as_millis()).unwrap_or(i64::MAX);
    let times: Vec<_> = seen.gone().iter().map(since).collect();
    departures.last.extend(times.iter().max());
    departures.each.extend(times);
    let audit = stage.cluster().audit()?;
    let mark = audit.mark()?;
    let alice = stage.objects_as("alice").await?;
    let place = path::connection(&connection.namespace, &connection.name);
    let value = format!("{begun:?}");
    let requested = json!({"metadata": {"annotations": {"bowline.dev/refresh-requested-at": value}}});
    alice.merge(&place, &requested).await?;
    wait_for("the token is refreshed, and every binding says why it has none", READY_WITHIN, async || {
        let now = admin.get(&place).await.map_err(|error| error.to_string())?.unwrap_or_default();
        if now["status"]["lastHandledRefresh"] != value.as_str() {
            return Err("it is not refreshed".to_owned());
        }
        match waiting(admin).await.map_err(|error| error.to_string())? {
            0 => Ok(()),
            waiting => Err(format!("{waiting} bindings say nothing yet")),
        }
    })
    .await?;
    let ours = |request: &Request| request.namespace.starts_with(WORKSPACE) && request.verb != "delete";
    let writes = audit.requests_since(mark)?.by(OPERATOR_USER).writes().on("secrets").allowed().that(ours);
    departures.published_afterwards += writes.count();
    Ok(())
}

/// How many bindings do not say yet that the share was withdrawn.
async fn waiting(admin: &Objects) -> Result<usize, Error> {
    let list = admin.get("/apis/bowline.dev/v1alpha1/connectionbindings").await?.unwrap_or_default();
    let says = |binding: &&Value| verdict(binding, "Ready") != "False ShareWithdrawn";
    Ok(list["items"].as_array().into_iter().flatten().filter(says).count())
}

#[derive(Default)]
struct SecretsSeen {
    present: BTreeSet<(String, String)>,
    gone: Vec<Instant>,
}

/// Follows the Secrets that are published in the workspace; ends when it is dropped.
struct SecretWatch {
    state: Arc<Mutex<SecretsSeen>>,
    _stop: DropGuard,
}

impl SecretWatch {
    fn start(client: Client) -> Self {
        let (state, stop) = (Arc::<Mutex<SecretsSeen>>::default(), CancellationToken::new());
        let published = watcher::Config::default().labels("app.kubernetes.io/managed-by=bowline");
        let events = watcher(Api::<PartialObjectMeta<Secret>>::all(client), published).default_backoff();
        let follow = follow(events, Arc::clone(&state));
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        Self { state, _stop: stop.drop_guard() }
    }

    fn present(&self) -> usize {
        lock(&self.state).present.len()
    }

    fn forget_gone(&self) {
        lock(&self.state).gone.clear();
    }

    fn gone(&self) -> Vec<Instant> {
        lock(&self.state).gone.clone()
    }
}

async fn follow(
    events: impl Stream<Item = Result<watcher::Event<PartialObjectMeta<Secret>>, watcher::Error>>,
    state: Arc<Mutex<SecretsSeen>>,
) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let key =
            |secret: &PartialObjectMeta<Secret>| (secret.namespace().unwrap_or_default(), secret.name_any());
        match event {
            Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret))
                if key(&secret).0.starts_with(WORKSPACE) =>
            {
                lock(&state).present.insert(key(&secret));
            }
            Ok(watcher::Event::Delete(secret)) => {
                let mut state = lock(&state);
                if state.present.remove(&key(&secret)) {
                    state.gone.push(Instant::now());
                }
            }
            _ => {}
        }
    }
}

fn lock(state: &Mutex<SecretsSeen>) -> MutexGuard<'_, SecretsSeen> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
