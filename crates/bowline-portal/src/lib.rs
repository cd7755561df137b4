//! `bowline portal`: what people see in a browser.
//!
//! The portal never holds tokens. It passes the authorization code to the operator in a short-lived Secret (an *attempt*,
//! [`bowline_api::attempt`]) in a separate namespace; only the operator has client secrets and keys. For each page and each change
//! the portal asks the API server whether the user may. It writes connections as itself, naming the user.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`settings`] | what the administrator chose |
//! | [`seal`], [`session`], [`key`] | who is signed in, kept by the browser |
//! | [`sign_in`] | how people prove who they are |
//! | [`serve`], [`sender`], [`limits`] | connections, who sends, how fast |
//! | [`visit`], [`headers`] | what requests must bring, what answers carry |
//! | [`cluster`], [`access`], [`write`] | what is known, who may, what is changed |
//! | [`subject`] | a connection, and what the visitor may do with it |
//! | [`view`], [`page`], [`failure`] | what is shown, and in which words |
//! | [`pages`] | the pages |
//! | [`connect`] | begin, leave, come back |
//! | [`live`], [`assets`] | what is not HTML |
//! | [`router`] | addresses |

#![cfg_attr(not(test), warn(unreachable_pub))]

mod access;
mod assets;
pub mod cli;
mod cluster;
mod connect;
mod failure;
mod headers;
mod key;
mod limits;
mod live;
mod page;
mod pages;
mod router;
mod seal;
mod sender;
mod serve;
mod session;
mod settings;
mod sign_in;
mod subject;
mod view;
mod visit;
mod write;

/// For the tests that forge what browsers keep. Not an interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::key::SECRET as KEY_SECRET;
    pub use crate::limits::{ACTIONS, REQUESTS};
    pub use crate::seal::{Purpose, SessionKey};
    pub use crate::session::{COOKIE as SESSION_COOKIE, Groups, Session};
    pub use crate::sign_in::OIDC_CALLBACK;
    pub use crate::sign_in::before::{Before, COOKIE as BEFORE_COOKIE, HOME};
    pub use crate::sign_in::proxy::SECRET_HEADER;
}

use std::net::SocketAddr;
use std::sync::Arc;

use bowline_oauth::http::{HttpClient, HttpClientError};
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::cluster::Cluster;
use crate::limits::Limits;
use crate::seal::SessionKey;
use crate::serve::Bounds;
pub use crate::settings::Settings;
use crate::sign_in::oidc::OpenId;
use crate::write::Writer;

type App = Arc<Portal>;

/// What handlers share.
struct Portal {
    settings: Settings,
    key: SessionKey,
    client: Client,
    cluster: Arc<Cluster>,
    access: Access,
    writer: Writer,
    attempts: Attempts,
    openid: Option<OpenId>,
    limits: Limits,
    clock: Clock,
    /// Ends streams.
    stop: CancellationToken,
}

/// Why the portal cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Without kube's error as source: it quotes the kubeconfig.
    #[error(
        "no API server is configured: set KUBECONFIG to a kubeconfig that can be read, or run in a cluster as deploy/portal does"
    )]
    Config,
    #[error("cannot build a client for the API server")]
    Client(#[source] kube::Error),
    #[error(transparent)]
    Key(#[from] key::KeyError),
    #[error(transparent)]
    Http(#[from] HttpClientError),
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), PortalError> {
    let stop = CancellationToken::new();
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [terminate, interrupt] = signals.map(|it| it.map_err(PortalError::Signals));
    tokio::spawn(on_signal(terminate?, interrupt?, stop.clone()));
    let address = settings.listen;
    let listen = |source| PortalError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let app = portal(settings, stop.clone()).await?;
    tracing::info!(url = app.settings.url.origin(), "serving");
    serve::serve(listener, router::router(app), Bounds::default(), stop).await;
    Ok(())
}

async fn portal(settings: Settings, stop: CancellationToken) -> Result<App, PortalError> {
    let mut config = Config::infer().await.map_err(|_| PortalError::Config)?;
    // A hidden retry could delay a page for minutes.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(PortalError::Client)?;
    let clock = Clock::default();
    let key = key::obtain(&client, &settings).await?;
    let redirect = settings.url.join(sign_in::OIDC_CALLBACK);
    let openid = match settings.sign_in.oidc.clone() {
        Some(oidc) => Some(OpenId::new(oidc.clone(), Box::new(HttpClient::new(oidc.network)?), redirect)),
        None => None,
    };
    Ok(Arc::new(Portal {
        key,
        cluster: Cluster::watch(&client, &stop),
        access: Access::new(client.clone(), clock.clone()),
        writer: Writer::new(client.clone()),
        attempts: Attempts::new(client.clone(), &settings.attempts_namespace),
        openid,
        limits: Limits::default(),
        clock,
        stop,
        client,
        settings,
    }))
}

async fn on_signal(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down");
    stop.cancel();
}
