//! `bowline-testbed build`

use std::process::ExitCode;

use bowline_testbed::{
    assets::{Assets, Wanted},
    error::Error,
    release::Release,
};

/// Prints the directory with its programs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Another release than the usual one, such as 1.33: a directory in tests/testbed/controlplane. What is printed is good
    /// for `KUBEBUILDER_ASSETS`
    #[arg(long)]
    release: Option<String>,
    /// Build the previous release of Bowline instead, with which tests of upgrades begin
    #[arg(long, conflicts_with = "release")]
    previous: bool,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let Self { release, previous } = self;
        let directory = match release {
            _ if previous => Release::previous()?.sources,
            Some(release) => Assets::of_release(&release)?,
            None => Assets::locate(Wanted::ControlPlane)?.directory(),
        };
        println!("{}", directory.display());
        Ok(ExitCode::SUCCESS)
    }
}
