//! What a release contains besides programs: man pages, the krew manifest, release notes. Runs in the release workflow.

mod krew;
mod man;
mod notes;
#[cfg(test)]
mod workflow_tests;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Makes what a release contains besides programs
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the man pages of bowline and kubectl-bowline into a folder
    Man { folder: PathBuf },
    /// Prints the krew manifest of a version, whose archives are in this list of checksums (`sha256sum`)
    Krew { version: String, checksums: PathBuf },
    /// Prints what CHANGELOG.md says of a version
    Notes { version: String },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bowline-packaging: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
    match command {
        Command::Man { folder } => man::write(&folder),
        Command::Krew { version, checksums } => {
            print!("{}", krew::manifest(&version, &read(checksums)?)?);
            Ok(())
        }
        Command::Notes { version } => {
            let changelog = read(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../CHANGELOG.md")))?;
            print!("{}", notes::of(&version, &changelog)?);
            Ok(())
        }
    }
}
