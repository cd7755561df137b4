//! `kubectl bowline`: everything is in [`kubectl_bowline`].

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use kubectl_bowline::{Cli, Exit, Screen, run};

fn main() -> ExitCode {
    // kube would look for a provider itself and panics when it finds none, so this comes before everything else.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: TLS cannot be set up");
        return Exit::Failed.into();
    }
    let cli = Cli::parse();
    let mut screen = Screen::standard();
    let outcome = tokio::runtime::Runtime::new()
        .context("the runtime cannot be started")
        .and_then(|runtime| runtime.block_on(run(cli, &mut screen)));
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            let exit = Exit::of(&error);
            if exit != Exit::Ok {
                eprintln!("error: {error:#}");
            }
            exit.into()
        }
    }
}
