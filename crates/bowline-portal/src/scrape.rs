//! The listener for metrics: one of its own, which no browser reaches.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bowline_runtime::metrics::MEDIA_TYPE;
use bowline_runtime::startup::StartError;
use bowline_runtime::tasks::Tasks;
use tokio::net::TcpListener;

use crate::metrics::PortalMetrics;
use crate::serve::{Bounds, serve};

/// Opens the address now, and serves `/metrics` there, and nothing else, until `tasks` stop.
pub(crate) async fn start(
    metrics: PortalMetrics,
    address: SocketAddr,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    tracing::info!(address = %listener.local_addr().map_err(listen)?, "serving metrics");
    let router = Router::new().route("/metrics", get(async move || scraped(&metrics)));
    let bounds = Bounds { connections: 16, connections_of_peer: 8, ..Bounds::default() };
    tasks.own("the server of metrics", serve(listener, router, bounds, tasks.stop().clone()));
    Ok(())
}

fn scraped(metrics: &PortalMetrics) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
