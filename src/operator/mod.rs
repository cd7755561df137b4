//! The operator as a process: caches, controllers, servers, and an orderly end.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | puts together what controllers are given |
//! | [`registry`] | one watch per cache, one controller per kind |
//! | [`relations`] | who is woken when something changes that is no kind of ours |
//! | [`keyring`] | the keys, or the reason why there are none |
//! | [`chores`] | what is done from time to time |
//! | [`serve`] | /livez, /readyz, /metrics |

mod chores;
mod keyring;
mod parts;
mod registry;
mod relations;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::startup::{self, StartError};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context;
use crate::grant::endings::Endings;
use crate::metrics::{self, Metrics};
use crate::vault::Store;
use crate::vault::keyring::SharedKeyring;
use serve::Readiness;

/// Started work may take this long to commit; Kubernetes kills after 60 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(55);

/// How soon an API server that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What the administrator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What controllers care about.
    pub controllers: context::Settings,
    /// Address for probes and metrics.
    pub listen: SocketAddr,
    /// How long another process's intent is respected.
    pub intent_ttl: Duration,
    /// How long a grant that another took the place of is left alone before it is revoked.
    pub revoke_former_after: Duration,
    /// Where the keyring is, if not in its Secret.
    pub keyring_dir: Option<PathBuf>,
    /// Older primary keys are warned about.
    pub key_max_age: Duration,
    /// How long dead records are kept.
    pub record_retention: Duration,
    /// Name of this process.
    pub instance: String,
}

/// The operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client, address or signals.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The HTTP client for providers cannot be built.
    #[error(transparent)]
    Http(#[from] bowline_oauth::http::BuildError),
    /// Metrics cannot be kept.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] crate::vault::NoRandomBytes),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let client = startup::client().await?;
    announce(&settings);
    let metrics = Arc::new(Metrics::new()?);
    let readiness = Readiness::default();
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let address = settings.listen;
    let server = serve::Server::bind(address, readiness.clone(), Arc::clone(&metrics))
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let server_stop = CancellationToken::new();
    tokio::spawn(server.run(server_stop.clone()));
    startup::stop_on_signal(stop.clone())?;

    if let Some(running) = start(settings, client, metrics, &readiness, &stop, &tasks).await? {
        stop.cancelled().await;
        end(&running, &readiness, &tasks).await;
    }
    server_stop.cancel();
    Ok(())
}

/// What whoever reads the log of an incident asks first.
fn announce(settings: &Settings) {
    let context::Settings { namespace, secret_namespaces, provider_bounds, .. } = &settings.controllers;
    let secrets = match secret_namespaces.iter().map(String::as_str).collect::<Vec<_>>() {
        all if all.is_empty() => "all namespaces".to_owned(),
        some => some.join(","),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, secrets, listen = %settings.listen, "starting");
    if provider_bounds.allow_http {
        tracing::warn!("providers may use http://: --allow-http-providers is for tests and demos");
    }
}

/// Starts everything; `None` if the end came before that.
async fn start(
    settings: Settings,
    client: Client,
    metrics: Arc<Metrics>,
    readiness: &Readiness,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<Arc<context::Context>>, Error> {
    let clock = Clock::default();
    let store = Arc::new(Store::new(client.clone(), &settings.controllers.namespace));
    tasks.spawn(Arc::clone(&store).run(stop.clone()));
    readiness.waiting("reading the keyring");
    let Some(keyring) = keyring::obtain(&client, &settings, &clock, readiness, stop, tasks).await else {
        return Ok(None);
    };
    readiness.waiting("reading the cluster");
    let Some(cluster) = cluster_id(&client, stop).await else { return Ok(None) };
    let (ctx, registry) = parts::make(parts::Given {
        settings: &settings,
        client,
        metrics,
        clock,
        store,
        keyring: keyring.clone(),
        cluster,
    })?;
    let controllers = registry.start(&ctx, stop, tasks);
    let listed = async { tokio::join!(ctx.store.wait_ready(), ctx.world.wait_listed()) };
    if stop.run_until_cancelled(listed).await.is_none() {
        return Ok(None);
    }
    controllers(&ctx, stop, tasks);
    start_the_rest(&ctx, keyring, settings, stop, tasks);
    readiness.ready();
    tracing::info!(connections = ctx.world.kinds.connections.state().len(), "ready");
    Ok(Some(ctx))
}

/// The UID of `kube-system`, which names the cluster in every seal. `None` if the end came before it was known.
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

/// Starts what no object wakes: endings, and what is done from time to time.
fn start_the_rest(
    ctx: &Arc<context::Context>,
    keyring: SharedKeyring,
    settings: Settings,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let endings = Endings {
        desk: Arc::clone(&ctx.grants),
        lookup: relations::lookup(ctx),
        retention: settings.record_retention,
    };
    tasks.spawn(endings.run(stop.clone()));
    tasks.spawn(chores::run(Arc::clone(ctx), keyring, settings, stop.clone()));
}

/// Starts nothing more, lets started requests commit, and ends.
async fn end(ctx: &context::Context, readiness: &Readiness, tasks: &TaskTracker) {
    readiness.waiting("shutting down");
    tracing::info!("shutting down: started refreshes are committed first");
    let orderly = async {
        ctx.grants.drain().await;
        tasks.close();
        tasks.wait().await;
    };
    if tokio::time::timeout(DRAIN_WITHIN, orderly).await.is_err() {
        tracing::error!("work was still under way at the end; its intents stay on record");
    }
}
