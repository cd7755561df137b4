//! `bowline-sandbox`: the sandbox provider as a process. It prints its issuer on one line and runs until it is told to stop.

use std::net::SocketAddr;

use bowline_testbed::sandbox::{
    AuthMethod, ClientConfig, Clock, Options, RealmConfig, Rotation, Sandbox, StartError,
};
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

/// An OAuth 2.0 provider made for faults. The flags set the default realm, and what other realms start from.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 is a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Lifetime of access tokens, in seconds
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    token_lifetime: u64,
    /// What happens to a refresh token when it is used
    #[arg(long, value_enum, default_value_t = RotationFlag::SingleUse)]
    rotation: RotationFlag,
    /// How long a replaced refresh token still works, in seconds
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    grace: u64,
    /// Id of the one client
    #[arg(long, default_value = "bowline")]
    client_id: String,
    /// Secret of the one client; without it the client is public
    #[arg(long, env = "SANDBOX_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// A redirect address of the one client; may be repeated
    #[arg(long = "redirect-uri", default_value = "http://127.0.0.1:8080/callback")]
    redirect_uris: Vec<String>,
    /// The account that consents without a page being shown
    #[arg(long)]
    auto_consent: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum RotationFlag {
    None,
    Optional,
    Sliding,
    SingleUse,
}

impl From<RotationFlag> for Rotation {
    fn from(flag: RotationFlag) -> Self {
        match flag {
            RotationFlag::None => Self::None,
            RotationFlag::Optional => Self::Optional,
            RotationFlag::Sliding => Self::Sliding,
            RotationFlag::SingleUse => Self::SingleUse,
        }
    }
}

impl Arguments {
    fn into_options(self) -> Options {
        let Self {
            listen,
            token_lifetime,
            rotation,
            grace,
            client_id,
            client_secret,
            redirect_uris,
            auto_consent,
        } = self;
        let client_auth = match client_secret {
            Some(_) => vec![AuthMethod::Basic, AuthMethod::Post],
            None => vec![AuthMethod::None],
        };
        let defaults = RealmConfig {
            access_lifetime_seconds: token_lifetime,
            rotation: rotation.into(),
            grace_seconds: grace,
            client_auth,
            clients: vec![ClientConfig { id: client_id, secret: client_secret, redirect_uris }],
            auto_consent,
            ..RealmConfig::default()
        };
        Options { listen, defaults, clock: Clock::system() }
    }
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let sandbox = Sandbox::start(Arguments::parse().into_options()).await?;
    println!("http://{}", sandbox.address());
    stopped().await;
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
async fn stopped() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut terminate) = terminate else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
