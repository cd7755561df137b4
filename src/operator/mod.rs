//! The operator as a process: caches, controllers, servers, and an orderly shutdown.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | builds the context of the controllers |
//! | [`registry`] | one watch per cache, one controller per kind |
//! | [`controller`] | runs the reconciles of one kind |
//! | [`relations`] | which objects are woken when a Secret or namespace changes |
//! | [`keyring`] | loads and follows the keyring |
//! | [`endings`] | the queue of grants that end; what others do to records |
//! | [`chores`] | periodic work |
//! | [`rounds`] | looks at every object again from time to time |
//! | [`watchdog`] | notices sleep and a clock that is set |
//! | [`liveness`] | whether the process makes progress |
//! | [`serve`] | /livez, /readyz, /metrics |

mod chores;
mod controller;
mod endings;
mod keyring;
mod liveness;
mod parts;
mod registry;
mod relations;
mod rounds;
mod serve;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::startup::{self, StartError};
use bowline_runtime::tasks::{TaskFailure, Tasks};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
pub use crate::context::OperatorSettings;
use crate::metrics::{self, Metrics};
use crate::vault::keyring::SharedKeyring;
use liveness::Liveness;
use parts::Stores;
use serve::{Readiness, Served};

/// Started work may take this long to commit; Kubernetes kills the pod after 60 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(55);

/// How long the start waits for the admission policies to be listed. If they cannot be, no new grant is taken in, and everything
/// else goes on.
const POLICIES_WITHIN: Duration = Duration::from_secs(10);

/// How soon a request is repeated if the API server does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No client, address or signals.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The HTTP client for providers cannot be built.
    #[error(transparent)]
    Http(#[from] bowline_oauth::http::HttpClientError),
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    #[error(transparent)]
    Policies(#[from] crate::policies::ShippedPolicyError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] crate::vault::NoRandomBytes),
    /// A part of the operator failed: it ends, and is started again as a whole.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

/// Runs until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(settings: OperatorSettings) -> Result<(), OperatorError> {
    let client = startup::client().await?;
    announce(&settings);
    let metrics = Arc::new(Metrics::new()?);
    let (readiness, liveness, life) = (Readiness::default(), Liveness::default(), Tasks::default());
    let served =
        Served { readiness: readiness.clone(), liveness: liveness.clone(), metrics: Arc::clone(&metrics) };
    // They are needed until the end, and their failure is one of the whole process.
    let servers = Tasks::default();
    serve::start(settings.listen, served, &servers)?;
    end_together(&servers, &life);
    startup::stop_on_signal(life.stop().clone())?;
    liveness.start(&life);

    if let Some(running) = start(settings, client, metrics, &readiness, &liveness, &life).await? {
        life.stop().cancelled().await;
        end(&running, &readiness, &life).await;
    }
    servers.stop().cancel();
    servers.failure()?;
    Ok(life.failure()?)
}

/// Ends everything else when a server ends.
fn end_together(servers: &Tasks, life: &Tasks) {
    let (failed, stop) = (servers.stop().clone(), life.stop().clone());
    life.own("the end of the servers", async move {
        tokio::select! {
            () = failed.cancelled() => stop.cancel(),
            () = stop.cancelled() => {}
        }
    });
}

/// Logs what you need to know first when you read the log of an incident.
fn announce(settings: &OperatorSettings) {
    let OperatorSettings { namespace, secret_namespaces, provider_bounds, listen, .. } = settings;
    let secrets = match secret_namespaces.iter().map(String::as_str).collect::<Vec<_>>() {
        all if all.is_empty() => "all namespaces".to_owned(),
        some => some.join(","),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, secrets, %listen, "starting");
    if provider_bounds.allow_http {
        tracing::warn!("providers may use http://: --allow-http-providers is for tests and demos");
    }
}

/// `None` if the process stops before everything is started.
async fn start(
    settings: OperatorSettings,
    client: Client,
    metrics: Arc<Metrics>,
    readiness: &Readiness,
    liveness: &Liveness,
    life: &Tasks,
) -> Result<Option<Arc<Context>>, OperatorError> {
    let (stop, clock) = (life.stop(), Clock::default());
    let stores = Stores::of(&client, &settings.namespace);
    life.own("the watch of records", Arc::clone(&stores.store).run(stop.clone()));
    life.own("the watch of endings", Arc::clone(&stores.endings).run(stop.clone()));
    readiness.waiting("reading the keyring");
    let keyring = keyring::obtain(&client, &settings, &clock, readiness, life).await;
    let Some(keyring) = keyring else { return Ok(None) };
    readiness.waiting("reading the cluster");
    let Some(cluster) = cluster_id(&client, stop).await else { return Ok(None) };
    let (ctx, registry) =
        parts::make(settings, client, clock, metrics, stores.clone(), keyring.clone(), cluster)?;
    let controllers = registry.start(&ctx, life);
    let policies = tokio::time::timeout(POLICIES_WITHIN, ctx.world.policies.wait_listed());
    let Stores { store, endings } = stores;
    let kept = async { tokio::join!(store.wait_ready(), endings.wait_ready()) };
    let listed = async { tokio::join!(kept, ctx.world.wait_listed(), policies) };
    if stop.run_until_cancelled(listed).await.is_none() {
        return Ok(None);
    }
    relations::look_at_policies(&ctx);
    for start in controllers {
        start(&ctx, liveness, life);
    }
    life.own("the queue of endings", endings::queue(&ctx).run(stop.clone()));
    life.own("the news of records", endings::follow_records(Arc::clone(&ctx), stop.clone()));
    start_periodic(&ctx, keyring, life);
    readiness.ready();
    tracing::info!(connections = ctx.world.kinds.connections.state().len(), "ready");
    Ok(Some(ctx))
}

/// Starts what happens from time to time, and not because something changed.
fn start_periodic(ctx: &Arc<Context>, keyring: SharedKeyring, life: &Tasks) {
    let stop = life.stop();
    life.own("the periodic work", chores::run(Arc::clone(ctx), keyring, stop.clone()));
    life.own("the watchdog of the clocks", watchdog::run(Arc::clone(ctx), stop.clone()));
    life.own("the rounds", rounds::run(Arc::clone(ctx), stop.clone()));
}

/// The UID of `kube-system`, which names the cluster in every seal. `None` if the process stops first.
async fn cluster_id(client: &Client, stop: &CancellationToken) -> Option<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match namespaces.get_metadata("kube-system").await {
            Ok(namespace) => return namespace.uid(),
            Err(error) => tracing::warn!(error = %chain(&error), "the API server does not answer yet"),
        }
        stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN)).await?;
    }
}

/// Starts nothing more, and lets started requests commit.
async fn end(ctx: &Context, readiness: &Readiness, life: &Tasks) {
    readiness.waiting("shutting down");
    tracing::info!("shutting down: started refreshes are committed first");
    let orderly = async {
        ctx.grants.drain().await;
        life.ended().await;
    };
    if tokio::time::timeout(DRAIN_WITHIN, orderly).await.is_err() {
        tracing::error!("work was still under way at the end; its intents stay on record");
    }
}
