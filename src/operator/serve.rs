//! `/livez`, `/readyz` and `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Whether the operator works, and if not, what it waits for.
#[derive(Clone)]
pub(super) struct Readiness(Arc<watch::Sender<Option<String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Some("starting".to_owned()))))
    }
}

impl Readiness {
    /// Ready: every cache is filled and controllers run.
    pub(super) fn ready(&self) {
        self.0.send_replace(None);
    }

    /// Not ready, and why.
    pub(super) fn waiting(&self, reason: impl Into<String>) {
        self.0.send_replace(Some(reason.into()));
    }

    fn reason(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

/// The server, bound to its address.
pub(super) struct Server {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Takes the address.
    pub(super) async fn bind(
        address: SocketAddr,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(encoded))
            .with_state(Shared { readiness, metrics });
        Ok(Self { listener, router })
    }

    /// Serves until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let serving = axum::serve(self.listener, self.router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "probes and metrics are not served any more");
        }
    }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match shared.readiness.reason() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn encoded(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
