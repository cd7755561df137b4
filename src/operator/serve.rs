//! `/livez`, `/readyz` and `/metrics`, on a thread of their own: answers are in time however busy the workers are, and a real
//! stall can still be said.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bowline_runtime::metrics::MEDIA_TYPE;
use bowline_runtime::startup::StartError;
use bowline_runtime::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::liveness::Liveness;
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

/// What is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) readiness: Readiness,
    pub(super) liveness: Liveness,
    pub(super) metrics: Arc<Metrics>,
}

/// Opens the address now, and serves it until `servers` stop, on a thread of its own. Returns the address.
pub(super) fn start(address: SocketAddr, served: Served, servers: &Tasks) -> Result<SocketAddr, StartError> {
    let opened = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (open, stop) = (listener.local_addr()?, servers.stop().clone());
        servers.own_thread("the server of probes and metrics", || run(listener, served, stop))?;
        Ok(open)
    };
    opened().map_err(|source| StartError::Listen { address, source })
}

async fn run(listener: std::net::TcpListener, served: Served, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(encoded))
        .with_state(served);
    let result = match TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tracing::error!(%error, "probes and metrics are not served any more");
    }
}

async fn livez(State(served): State<Served>) -> Response {
    answer(served.liveness.stalled())
}

async fn readyz(State(served): State<Served>) -> Response {
    answer(served.readiness.reason())
}

/// 200, or 503 with what is wrong.
fn answer(problem: Option<String>) -> Response {
    match problem {
        None => "ok\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn encoded(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// Blocks its thread until the answer is complete.
    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The only thread of this runtime waits for the answer, so nothing else runs on it.
    #[tokio::test]
    async fn class_12_probes_answer_while_every_worker_is_busy() {
        let (readiness, liveness) = (Readiness::default(), Liveness::default());
        let metrics = Arc::new(Metrics::new(0).unwrap());
        let served = Served { readiness: readiness.clone(), liveness, metrics };
        let servers = Tasks::default();
        let address = start("127.0.0.1:0".parse().unwrap(), served, &servers).unwrap();
        assert!(get(address, "/livez").starts_with("HTTP/1.1 200"));
        let waiting = get(address, "/readyz");
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.ends_with("starting\n"), "{waiting}");
        readiness.ready();
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").contains("bowline_build_info"));
        servers.stop().cancel();
    }
}
