//! `bowline portal`: what people see in a browser.
//!
//! The portal never holds tokens. It passes the authorization code to the operator in a short-lived Secret (an *attempt*,
//! [`bowline_api::attempt`]) in a separate namespace; only the operator has client secrets and keys. For each page and each
//! change the portal asks the API server whether the user may. It writes connections as itself, naming the user.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the administrator chose: flags, and settings made from them |
//! | [`session`], [`session_key`], [`stored_keys`] | who is signed in, stored by the browser |
//! | [`sign_in`] | how people prove who they are |
//! | [`serve`], [`arrival`], [`limits`] | connections, who sends, how fast |
//! | [`scrape`] | the listener for metrics |
//! | [`router`], [`visit`], [`log`], [`metrics`] | addresses and headers, what a request must contain, what is logged and counted of it |
//! | [`cluster`], [`access`], [`write`] | what is known, who may, what is changed |
//! | [`subject`] | a connection, and what the visitor may do with it |
//! | [`view`], [`page`], [`error`] | what is shown, and in which words |
//! | [`pages`] | the pages |
//! | [`connect`] | go to the provider, and come back |
//! | [`webhook`] | what a provider says by itself |
//! | [`live`], [`assets`] | what is not HTML |

#![cfg_attr(not(test), warn(unreachable_pub))]

mod access;
mod arrival;
mod assets;
mod cluster;
mod connect;
mod error;
mod limits;
mod live;
mod log;
mod metrics;
mod offboarding;
mod page;
mod pages;
mod router;
mod scrape;
mod serve;
mod session;
mod session_key;
mod settings;
mod sign_in;
mod stored_keys;
mod subject;
mod view;
mod visit;
mod webhook;
mod write;

/// For the tests that forge what browsers keep. Not an interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::limits::{ACTIONS, REQUESTS};
    pub use crate::session::{COOKIE as SESSION_COOKIE, Groups, Session};
    pub use crate::session_key::{Purpose, SessionKeys};
    pub use crate::sign_in::OIDC_CALLBACK;
    pub use crate::sign_in::before::{Before, COOKIE as BEFORE_COOKIE, HOME};
    pub use crate::sign_in::proxy::SECRET_HEADER;
    pub use crate::stored_keys::SECRET as KEY_SECRET;
}

use std::sync::Arc;

use bowline_oauth::http::{HttpClient, HttpClientError};
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use bowline_runtime::metrics::{Family, MetricsError};
use bowline_runtime::startup::{self, StartError};
use bowline_runtime::tasks::{TaskFailure, Tasks};
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::cluster::Cluster;
use crate::limits::RateLimits;
use crate::metrics::PortalMetrics;
use crate::serve::Bounds;
use crate::session_key::SessionKeys;
pub use crate::settings::{PortalFlags, PortalSettings};
use crate::sign_in::oidc::OpenId;
use crate::sign_in::recheck::Rechecks;

/// What the portal counts.
pub const METRICS: &[Family] = metrics::ALL;

type Portal = Arc<PortalState>;

struct PortalState {
    settings: PortalSettings,
    keys: Arc<SessionKeys>,
    rechecks: Rechecks,
    client: Client,
    cluster: Arc<Cluster>,
    access: Access,
    attempts: Attempts,
    openid: Option<OpenId>,
    limits: RateLimits,
    metrics: PortalMetrics,
    clock: Clock,
    /// Ends streams.
    stop: CancellationToken,
}

/// Why the portal cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Key(#[from] stored_keys::KeyError),
    #[error(transparent)]
    Http(#[from] HttpClientError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A part of the portal failed: it ends, and is started again as a whole.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

/// Runs until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(settings: PortalSettings) -> Result<(), PortalError> {
    let tasks = Tasks::default();
    let stop = tasks.stop().clone();
    startup::stop_on_signal(stop.clone())?;
    let address = settings.server.listen;
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let client = startup::client().await?;
    let clock = Clock::default();
    let keys = stored_keys::obtain(&client, &settings.server, &clock, &stop).await?;
    let metrics_listen = settings.server.metrics_listen;
    let app = portal(settings, client, keys, clock, &tasks)?;
    if let Some(address) = metrics_listen {
        scrape::start(app.metrics.clone(), address, &tasks).await?;
    }
    tracing::info!(url = app.settings.url.origin(), "serving");
    serve::serve(listener, router::router(app), Bounds::default(), stop).await;
    Ok(tasks.failure()?)
}

fn portal(
    settings: PortalSettings,
    client: Client,
    keys: Arc<SessionKeys>,
    clock: Clock,
    tasks: &Tasks,
) -> Result<Portal, PortalError> {
    let redirect = settings.url.join(sign_in::OIDC_CALLBACK);
    let openid = match settings.sign_in.oidc.clone() {
        Some(oidc) => Some(OpenId::new(oidc.clone(), Box::new(HttpClient::new(oidc.network)?), redirect)),
        None => None,
    };
    Ok(Arc::new(PortalState {
        keys,
        rechecks: Rechecks::default(),
        cluster: Cluster::watch(&client, tasks),
        access: Access::new(client.clone(), clock.clone()),
        attempts: Attempts::new(client.clone(), &settings.server.attempts_namespace),
        openid,
        limits: RateLimits::default(),
        metrics: PortalMetrics::new(log::actions())?,
        clock,
        stop: tasks.stop().clone(),
        client,
        settings,
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
