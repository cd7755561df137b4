//! `bowline-testbed tool NAME`

use std::process::ExitCode;

use bowline_testbed::{
    error::Error,
    tools::{self, Tool},
};

/// Prints the path of a program that tests use.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which one
    tool: Tool,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        println!("{}", tools::path(self.tool)?.display());
        Ok(ExitCode::SUCCESS)
    }
}
