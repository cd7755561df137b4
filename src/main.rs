//! `bowline`: the operator, the portal, and small commands.

use std::process::ExitCode;

use bowline::catalog_command;
use bowline::cli::{self, Command};
use bowline::{gate, operator, ready_command};
use bowline_runtime::clock::Clock;
use bowline_runtime::{telemetry, traces};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    // One provider for the whole process, before anybody builds a client: two of them would panic.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    match run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = telemetry::chain(error.as_ref());
            // Only once: as a log line if logs are set up, so that a collector understands it, otherwise as plain text.
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!("{error}");
            } else {
                eprintln!("bowline: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: cli::Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Operator(flags) => {
            let (settings, logs) = flags.into_settings();
            let _exporting = traces::init(&logs)?;
            Ok(operator::run(settings).await?)
        }
        Command::Portal(flags) => {
            let (settings, logs) = flags.into_settings()?;
            let _exporting = traces::init(&logs)?;
            Ok(bowline_portal::run(settings).await?)
        }
        Command::Gate(flags) => gate::run(flags, &Clock::System).await,
        Command::Crds => cli::print_definitions(&mut std::io::stdout()),
        Command::Ready(flags) => ready_command::run(&mut std::io::stdout(), &flags).await,
        Command::Catalog { command } => {
            catalog_command::run(&mut std::io::stdout(), &command, Clock::System.now()).await
        }
    }
}
