//! `bowline-testbed build`

use std::process::ExitCode;

use bowline_testbed::{
    assets::{Assets, Wanted},
    error::Error,
};

/// Prints the directory with its programs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Another release than the usual one, such as 1.33: a directory in tests/testbed/controlplane. What is printed is good
    /// for `KUBEBUILDER_ASSETS`
    #[arg(long)]
    release: Option<String>,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let Self { release } = self;
        let directory = match release {
            Some(release) => Assets::of_release(&release)?,
            None => Assets::locate(Wanted::ControlPlane)?.directory(),
        };
        println!("{}", directory.display());
        Ok(ExitCode::SUCCESS)
    }
}
