//! The operator as a process: caches, controllers, servers, and an orderly shutdown.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | builds the context of the controllers |
//! | [`registry`] | one watch per cache, one controller per kind |
//! | [`relations`] | which objects are woken when a Secret or namespace changes |
//! | [`keyring`] | loads and follows the keyring |
//! | [`chores`] | periodic work |
//! | [`serve`] | /livez, /readyz, /metrics |

mod chores;
mod keyring;
mod parts;
mod registry;
mod relations;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::startup::{self, StartError};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
pub use crate::context::OperatorSettings;
use crate::grant::endings::Endings;
use crate::metrics::{self, Metrics};
use crate::vault::Store;
use serve::Readiness;

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
}

/// Stops everything that was started, and waits for it.
#[derive(Default)]
struct Lifetime {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: OperatorSettings) -> Result<(), OperatorError> {
    let client = startup::client().await?;
    announce(&settings);
    let metrics = Arc::new(Metrics::new()?);
    let (readiness, life) = (Readiness::default(), Lifetime::default());
    let address = settings.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let server_stop = CancellationToken::new();
    tokio::spawn(serve::run(listener, readiness.clone(), Arc::clone(&metrics), server_stop.clone()));
    startup::stop_on_signal(life.stop.clone())?;

    if let Some(running) = start(settings, client, metrics, &readiness, &life).await? {
        life.stop.cancelled().await;
        end(&running, &readiness, &life.tasks).await;
    }
    server_stop.cancel();
    Ok(())
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
    life: &Lifetime,
) -> Result<Option<Arc<Context>>, OperatorError> {
    let (Lifetime { stop, tasks }, clock) = (life, Clock::default());
    let store = Arc::new(Store::new(client.clone(), &settings.namespace));
    tasks.spawn(Arc::clone(&store).run(stop.clone()));
    readiness.waiting("reading the keyring");
    let keyring = keyring::obtain(&client, &settings, &clock, readiness, life).await;
    let Some(keyring) = keyring else { return Ok(None) };
    readiness.waiting("reading the cluster");
    let Some(cluster) = cluster_id(&client, stop).await else { return Ok(None) };
    let (ctx, registry) = parts::make(settings, client, clock, metrics, store, keyring.clone(), cluster)?;
    let controllers = registry.start(&ctx, life);
    let policies = tokio::time::timeout(POLICIES_WITHIN, ctx.world.policies.wait_listed());
    let listed = async { tokio::join!(ctx.store.wait_ready(), ctx.world.wait_listed(), policies) };
    if stop.run_until_cancelled(listed).await.is_none() {
        return Ok(None);
    }
    relations::look_at_policies(&ctx);
    for start in controllers {
        start(&ctx, life);
    }
    let lookup = Arc::clone(&ctx);
    let endings = Endings {
        desk: Arc::clone(&ctx.grants),
        find_target: Arc::new(move |place, terms| {
            lookup.world.provider(&place.provider, &terms.parameters).ok()
        }),
        retention: ctx.settings.record_retention,
    };
    tasks.spawn(endings.run(stop.clone()));
    tasks.spawn(chores::run(Arc::clone(&ctx), keyring, stop.clone()));
    readiness.ready();
    tracing::info!(connections = ctx.world.kinds.connections.state().len(), "ready");
    Ok(Some(ctx))
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
async fn end(ctx: &Context, readiness: &Readiness, tasks: &TaskTracker) {
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
