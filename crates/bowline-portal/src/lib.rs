//! `bowline portal`: what people see in a browser.
//!
//! It carries and never holds: no grant, no client secret, no key of the store is within its reach. It reads the kinds,
//! asks the API server for each page and each change whether this user may, and writes connections as itself, naming the
//! user. A try to connect goes through an attempt's Secret ([`bowline_api::attempt`]), in which the operator does all that needs
//! a secret.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`settings`], [`network`] | what the administrator chose |
//! | [`seal`], [`session`], [`key`] | who is signed in, kept by the browser |
//! | [`sign_in`] | how people prove who they are |
//! | [`form`], [`headers`], [`limits`] | what requests must bring, what answers carry, how fast |
//! | [`cluster`], [`access`], [`write`] | what is known, who may, what is changed |
//! | [`pages`], [`view`], [`failure`] | what is shown, and in which words |
//! | [`connect`] | begin, leave, come back |
//! | [`live`], [`assets`] | what is not HTML |
//! | [`router`] | addresses |

pub mod access;
pub mod assets;
pub mod cli;
pub mod cluster;
pub mod connect;
pub mod failure;
pub mod form;
pub mod headers;
pub mod key;
pub mod limits;
pub mod live;
pub mod network;
pub mod pages;
pub mod router;
pub mod seal;
pub mod session;
pub mod settings;
pub mod sign_in;
pub mod view;
pub mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::access::Access;
use self::cluster::Cluster;
use self::limits::Limits;
use self::seal::SessionKey;
use self::settings::Settings;
use self::sign_in::http::Http;
use self::sign_in::oidc::OpenId;
use self::write::Writer;

/// What every handler is given.
pub type App = Arc<Portal>;

/// One portal.
pub struct Portal {
    /// What the administrator chose.
    pub settings: Settings,
    /// Seals sessions.
    pub key: SessionKey,
    /// The portal's own client.
    pub client: Client,
    /// What is known of the cluster.
    pub cluster: Arc<Cluster>,
    /// Who may do what.
    pub access: Access,
    /// Changes connections.
    pub writer: Writer,
    /// Tries to connect.
    pub attempts: Attempts,
    /// The `OpenID` provider, if there is one.
    pub openid: Option<OpenId>,
    /// How fast people may go.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// Ends what would go on for long.
    pub stop: CancellationToken,
}

/// The portal cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the API server is configured. Not a source: kube's own words quote the kubeconfig.
    #[error(
        "no API server is configured: set KUBECONFIG to a kubeconfig that can be read, or run in a cluster as deploy/portal does"
    )]
    Config,
    /// The client cannot be built.
    #[error("cannot build a client for the API server")]
    Client(#[source] kube::Error),
    /// There is no session key.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// The client for the sign-in provider cannot be built.
    #[error(transparent)]
    Http(#[from] sign_in::http::HttpError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be heard.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// It ended by itself.
    #[error("the portal does not serve any more")]
    Serve(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [terminate, interrupt] = signals.map(|it| it.map_err(Error::Signals));
    tokio::spawn(on_signal(terminate?, interrupt?, stop.clone()));
    let address = settings.listen;
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let app = portal(settings, stop.clone()).await?;
    tracing::info!(url = app.settings.url.origin(), "serving");
    let service = router::router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(Error::Serve)
}

async fn portal(settings: Settings, stop: CancellationToken) -> Result<App, Error> {
    let mut config = Config::infer().await.map_err(|_| Error::Config)?;
    // Retries are ours: a hidden one could hold a person's request for minutes.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(Error::Client)?;
    let clock = Clock::default();
    let key = key::obtain(&client, &settings).await?;
    let redirect = settings.url.join(sign_in::OIDC_CALLBACK);
    let openid = match settings.sign_in.oidc.clone() {
        Some(oidc) => Some(OpenId::new(oidc, Http::new()?, redirect)),
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
