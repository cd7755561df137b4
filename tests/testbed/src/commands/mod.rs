//! The subcommands, one module each.

mod bench;
mod build;
mod demo;
mod run;
mod stop;
mod tool;
mod up;

use std::{ffi::OsString, process::ExitCode};

use bowline_testbed::error::Error;

/// A real Kubernetes control plane for Bowline's tests, without containers.
///
/// `BOWLINE_KUBECONFIG` names a cluster to use instead; `KUBEBUILDER_ASSETS` a directory with envtest's programs.
/// Otherwise the control plane is built with Go, once, and kept under target/.
#[derive(clap::Parser)]
#[command(name = "bowline-testbed")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run a command with KUBECONFIG set to a control plane that lives as long as the command
    Run {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Keep a control plane running until Ctrl-C
    Up(up::Arguments),
    /// Build the control plane, if it is not there yet
    Build(build::Arguments),
    /// Build a program that tests use, such as helm, if it is not there yet, and print its path
    Tool(tool::Arguments),
    /// Show the main job, live: from consent to a Secret that stays fresh, shared, taken back, revoked
    Demo,
    /// Measure refreshes, requests, memory and CPU of the operator as shipped
    Bench(bench::Arguments),
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Run { command } => run::run(command).await,
            // Boxed: these futures are large, and every caller would contain them.
            Command::Up(arguments) => Box::pin(arguments.run()).await,
            Command::Build(arguments) => arguments.run(),
            Command::Tool(arguments) => arguments.run(),
            Command::Demo => Box::pin(demo::demo()).await,
            Command::Bench(arguments) => arguments.run().await,
        }
    }
}
