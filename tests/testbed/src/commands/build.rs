//! `bowline-testbed build`

use std::process::ExitCode;

use bowline_testbed::{
    assets::{Assets, Wanted},
    error::Error,
};

pub fn build() -> Result<ExitCode, Error> {
    println!("{}", Assets::locate(Wanted::ControlPlane)?.directory().display());
    Ok(ExitCode::SUCCESS)
}
