//! How a server process starts: its client, and the signals that end it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use kube::client::ClientBuilder;
use kube::config::InferConfigError;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadlines;
use crate::kubeconfig;

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not a source: kube's own message quotes the kubeconfig.
    #[error(
        "no API server is configured: set KUBECONFIG to a kubeconfig, or run in a cluster as a pod with a ServiceAccount, as deploy/ does ({})",
        fault_of(.0)
    )]
    NoServer(InferConfigError),
    #[error("cannot build a client for the API server")]
    Client(#[source] kube::Error),
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// What is wrong with the kubeconfig. Outside a cluster it is obvious that there is no `ServiceAccount` either.
fn fault_of(error: &InferConfigError) -> String {
    error.source().and_then(<dyn Error>::downcast_ref).map(kubeconfig::fault).unwrap_or_default()
}

/// A client from `KUBECONFIG`, or otherwise from the pod's `ServiceAccount`. It never retries by itself, and every call of it
/// has a deadline: a hidden retry, or a server that never answers, could block a call for minutes.
pub async fn client() -> Result<Client, StartError> {
    let mut config = Config::infer().await.map_err(StartError::NoServer)?;
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(StartError::Client)?;
    Ok(builder.with_layer(&Deadlines).build())
}

/// Cancels `stop` at SIGTERM or SIGINT.
pub fn stop_on_signal(stop: CancellationToken) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        stop.cancel();
    });
    Ok(())
}
