//! `kubectl bowline`: everything is in [`kubectl_bowline`].

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use kubectl_bowline::{Cli, Screen, exit_code, run};

fn main() -> ExitCode {
    // kube would look for a provider itself and panics if it finds none, so this comes first.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: TLS cannot be set up");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let mut screen = Screen::standard();
    let outcome = tokio::runtime::Runtime::new()
        .context("the runtime cannot be started")
        .and_then(|runtime| runtime.block_on(run(cli, &mut screen)));
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let code = exit_code(&error);
    if code != 0 {
        screen.error(&error);
    }
    code.into()
}
