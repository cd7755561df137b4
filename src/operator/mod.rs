//! The operator as a process: caches, controllers, servers, and an orderly shutdown.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | builds the context of the controllers |
//! | [`registry`] | one watch per cache, one controller per kind |
//! | [`controller`] | runs the reconciles of one kind |
//! | [`relations`] | which objects are woken when a Secret or namespace changes |
//! | [`keyring`] | loads and follows the keyring |
//! | [`lead`] | which replica acts |
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
mod lead;
mod liveness;
mod parts;
mod registry;
mod relations;
mod rounds;
mod serve;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use bowline_oauth::http::MaySend;
use bowline_runtime::clock::Clock;
use bowline_runtime::metrics::MetricsError;
use bowline_runtime::startup::{self, StartError};
use bowline_runtime::tasks::{TaskFailure, Tasks};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
pub use crate::context::OperatorSettings;
use crate::kube_ext::lease::Election;
use crate::metrics::Metrics;
use crate::notify::NotifyError;
use keyring::OpenKeyring;
use lead::Lead;
use liveness::Liveness;
use parts::{Foundation, Stores};
use serve::{Readiness, Served};

/// Started work may take this long to commit; Kubernetes kills the pod after 60 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(52);

/// How long the start waits for the admission policies to be listed. If they cannot be, no new grant is taken in, and everything
/// else goes on.
const POLICIES_WITHIN: Duration = Duration::from_secs(10);

/// How long the start waits for answers that an earlier process left on disk.
const REPLAY_WITHIN: Duration = Duration::from_secs(10);

/// The Lease is given up within this time, or left to run out.
const RELEASE_WITHIN: Duration = Duration::from_secs(4);

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
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
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
    let metrics = Arc::new(Metrics::new(settings.own_series)?);
    let (readiness, liveness, life) = (Readiness::default(), Liveness::default(), Tasks::default());
    let served =
        Served { readiness: readiness.clone(), liveness: liveness.clone(), metrics: Arc::clone(&metrics) };
    // What is needed until started work has committed: the servers and the Lease. Their failure is one of the whole process.
    let lasting = Tasks::default();
    serve::start(settings.listen, served, &lasting)?;
    end_together(&lasting, &life);
    startup::stop_on_signal(life.stop().clone())?;
    liveness.start(&life);

    let process = Process { readiness, liveness, life, lasting };
    if let Some(running) = process.start(settings, client, metrics).await? {
        process.life.stop().cancelled().await;
        process.end(&running).await;
    }
    process.lasting.failure()?;
    Ok(process.life.failure()?)
}

/// Ends everything else when a lasting task fails.
fn end_together(lasting: &Tasks, life: &Tasks) {
    let (failed, stop) = (lasting.stop().clone(), life.stop().clone());
    life.own("the watch over servers and Lease", async move {
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

/// What the parts of this process tell each other.
struct Process {
    readiness: Readiness,
    liveness: Liveness,
    life: Tasks,
    lasting: Tasks,
}

impl Process {
    /// `None` if it stops before it leads.
    async fn start(
        &self,
        settings: OperatorSettings,
        client: Client,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Arc<Context>>, OperatorError> {
        let Self { readiness, life, .. } = self;
        let (stop, clock) = (life.stop(), Clock::default());
        let stores = Stores::of(&client, &settings.namespace);
        life.own("the watch of records", Arc::clone(&stores.store).run(stop.clone()));
        life.own("the watch of endings", Arc::clone(&stores.endings).run(stop.clone()));
        readiness.waiting("reading the keyring");
        let keyring = keyring::obtain(&client, &settings, &clock, &metrics, readiness, life).await;
        let Some(keyring) = keyring else { return Ok(None) };
        readiness.waiting("reading the cluster");
        let Some(cluster) = cluster_id(&client, stop).await else { return Ok(None) };
        let holder = parts::holder(&settings)?;
        let election = Election::new(client.clone(), &settings.namespace, holder.clone());
        let claim = election.claim();
        let may_send = MaySend::when(move || claim.holds());
        let same_keyring = keyring.clone();
        let foundation =
            Foundation { settings, client, clock, metrics, stores, keyring, cluster, holder, may_send };
        let (ctx, registry, delivery) = parts::make(foundation)?;
        let lead = Lead { election, keyring: same_keyring, delivery };
        let controllers = registry.start(&ctx, life);
        if stop.run_until_cancelled(listed(&ctx)).await.is_none() {
            return Ok(None);
        }
        relations::look_at_policies(&ctx);
        for start in controllers {
            start(&ctx, &self.liveness, life);
        }
        self.watch_over(&ctx, &lead.keyring);
        Ok(self.led(ctx, lead).await)
    }

    /// What every replica does, also one that waits.
    fn watch_over(&self, ctx: &Arc<Context>, keyring: &OpenKeyring) {
        let (life, stop) = (&self.life, self.life.stop());
        let health = chores::report_health(Arc::clone(ctx), keyring.shared.clone(), stop.clone());
        life.own("the report on this process", health);
        if keyring.secret.is_protected() {
            let wrapped = keyring.clone().keep_wrapped(Arc::clone(ctx), stop.clone());
            life.own("the watch over the KMS", wrapped);
        }
    }

    /// Returns when this replica leads; `None` if it stops before that.
    async fn led(&self, ctx: Arc<Context>, mut lead: Lead) -> Option<Arc<Context>> {
        ctx.grants.replay_answers(REPLAY_WITHIN).await;
        self.readiness.ready();
        tracing::info!(connections = ctx.world.kinds.connections.state().len(), "ready");
        self.life.stop().run_until_cancelled(lead.election.win()).await?;
        tracing::info!("this replica leads");
        lead.begin(&ctx, &self.life, &self.lasting);
        Some(ctx)
    }

    /// Starts nothing more, lets started requests commit, and gives the Lease up.
    async fn end(&self, ctx: &Context) {
        self.readiness.waiting("shutting down");
        tracing::info!("shutting down: started refreshes are committed first");
        let orderly = async {
            ctx.grants.drain().await;
            self.life.ended().await;
        };
        if tokio::time::timeout(DRAIN_WITHIN, orderly).await.is_err() {
            tracing::error!("work was still under way at the end; its intents stay on record");
        }
        self.lasting.stop().cancel();
        // What is not released runs out by itself.
        let _ = tokio::time::timeout(RELEASE_WITHIN, self.lasting.ended()).await;
    }
}

/// Returns when every cache is filled.
async fn listed(ctx: &Context) {
    tokio::join!(ctx.store.wait_ready(), ctx.grants.records().endings.wait_ready(), ctx.world.wait_listed());
    let policies = ctx.world.policies.wait_listed();
    if tokio::time::timeout(POLICIES_WITHIN, policies).await.is_err() {
        tracing::warn!("the admission policies could not be listed: no new grant is taken in until they are");
    }
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
