//! `/livez`, `/readyz` and `/metrics`.

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

/// Whether the operator is ready, and if not, what it waits for.
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

type Served = State<(Readiness, Arc<Metrics>)>;

pub(super) async fn run(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(encoded))
        .with_state((readiness, metrics));
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "probes and metrics are not served any more");
    }
}

async fn readyz(State((readiness, _)): Served) -> Response {
    match readiness.reason() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn encoded(State((_, metrics)): Served) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
