//! `kubectl bowline`: what people do with connections from a shell.
//!
//! It knows the kinds, and reaches the API server with the user's own kubeconfig and rights; nothing else. Results go to
//! stdout, progress and errors to stderr. A secret is read from a file or from stdin, never from an argument.

#![cfg_attr(not(test), warn(unreachable_pub))]
// Only `screen` writes, which cleans what it writes.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod adopt;
mod age;
mod approve;
mod attempt;
mod backup;
mod binding;
mod change;
mod completion;
mod connect;
mod describe;
mod disconnect;
mod doctor;
mod each;
mod exit;
mod impact;
mod import;
mod intake;
mod keyring;
mod keys;
mod list;
mod members;
mod memberships;
mod next;
mod offboard;
mod output;
mod portal;
mod providers;
mod reading;
mod refresh;
mod related;
mod replace;
mod screen;
mod session;
mod share;
#[cfg(test)]
mod skew_tests;
mod table;
mod token;
mod transfer;
mod undo;
mod wait;
mod wait_command;
mod why;

use clap::{Parser, Subcommand};

pub use exit::exit_code;
pub use screen::Screen;

use exit::EXITS;
use session::{ClusterArgs, UserSession};

/// Connections of third-party accounts, kept as Kubernetes objects
///
/// Talks to the API server only, as the user of your kubeconfig: what you may do here is what RBAC lets you do.
#[derive(Parser, Debug)]
#[command(name = "kubectl-bowline", bin_name = "kubectl bowline", version, after_help = EXITS, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Refresh(refresh::RefreshArgs),
    Import(import::ImportArgs),
    Issue(keys::IssueArgs),
    Revoke(keys::RevokeArgs),
    Connect(connect::ConnectArgs),
    Disconnect(disconnect::DisconnectArgs),
    Undo(undo::UndoArgs),
    Impact(impact::ImpactArgs),
    Replace(replace::ReplaceArgs),
    Members(members::MembersArgs),
    Transfer(transfer::TransferArgs),
    Offboard(offboard::OffboardArgs),
    Share(share::ShareArgs),
    Approve(approve::ApproveArgs),
    Adopt(adopt::AdoptArgs),
    Backup(backup::BackupArgs),
    Keys(keyring::KeysArgs),
    Unshare(share::UnshareArgs),
    Providers(providers::ProvidersArgs),
    Token(token::TokenArgs),
    Why(why::WhyArgs),
    Wait(wait_command::WaitForArgs),
    Doctor(doctor::DoctorArgs),
    Portal(portal::PortalArgs),
    Completion(completion::CompletionArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
}

/// Connects as the kubeconfig says and runs the command.
pub async fn run(cli: Cli, screen: &mut Screen) -> anyhow::Result<()> {
    match cli.command {
        // These work without a cluster.
        Command::Completion(args) => args.run(screen),
        Command::Complete(args) => args.run(screen).await,
        command => run_in(&cli.cluster.connect().await?, command, screen).await,
    }
}

/// Runs the command, and warns about what it could not read.
async fn run_in(session: &UserSession, command: Command, screen: &mut Screen) -> anyhow::Result<()> {
    let outcome = match command {
        Command::List(args) => args.run(session, screen).await,
        Command::Describe(args) => args.run(session, screen).await,
        Command::Refresh(args) => args.run(session, screen).await,
        Command::Import(args) => args.run(session, screen).await,
        Command::Issue(args) => args.run(session, screen).await,
        Command::Revoke(args) => args.run(session, screen).await,
        Command::Connect(args) => Box::pin(args.run(session, screen)).await,
        Command::Disconnect(args) => args.run(session, screen).await,
        Command::Undo(args) => args.run(session, screen).await,
        Command::Impact(args) => args.run(session, screen).await,
        Command::Replace(args) => args.run(session, screen).await,
        Command::Approve(args) => args.run(session, screen).await,
        Command::Adopt(args) => args.run(session, screen).await,
        Command::Backup(args) => args.run(session, screen).await,
        Command::Keys(args) => args.run(session, screen).await,
        Command::Members(args) => args.run(session, screen).await,
        Command::Transfer(args) => args.run(session, screen).await,
        Command::Offboard(args) => args.run(session, screen).await,
        Command::Share(args) => args.run(session, screen).await,
        Command::Unshare(args) => args.run(session, screen).await,
        Command::Providers(args) => args.run(session, screen).await,
        Command::Token(args) => args.run(session, screen).await,
        Command::Why(args) => args.run(session, screen).await,
        Command::Wait(args) => args.run(session, screen).await,
        Command::Doctor(args) => args.run(session, screen).await,
        Command::Portal(args) => args.run(session, screen).await,
        Command::Completion(args) => args.run(screen),
        Command::Complete(args) => args.run(screen).await,
    };
    session.warn(screen);
    outcome
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn refused(arguments: &[&str]) -> ErrorKind {
        Cli::try_parse_from([&["kubectl-bowline"], arguments].concat()).unwrap_err().kind()
    }

    #[test]
    fn the_commands_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("kubectl bowline {}", command.get_name());
            assert!(help.contains(&example), "{} has no example", command.get_name());
        }
    }

    /// Text after the options is printed as it stands: lines that a terminal wraps again look ragged.
    #[test]
    fn epilogues_fit_80_columns() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let long: Vec<_> = help.lines().filter(|line| line.chars().count() >= 80).collect();
            assert!(long.is_empty(), "{}: {long:#?}", command.get_name());
        }
    }

    #[test]
    fn cluster_options_may_come_before_or_after_the_command() {
        for arguments in [["-n", "team-a", "list"], ["list", "-n", "team-a"]] {
            let cli = Cli::try_parse_from([&["kubectl-bowline"][..], &arguments].concat()).unwrap();
            assert_eq!(cli.cluster.namespace.as_deref(), Some("team-a"));
        }
    }

    #[test]
    fn no_command_takes_a_secret_as_an_argument() {
        assert_eq!(refused(&["import", "github", "--token", "x"]), ErrorKind::UnknownArgument);
        assert_eq!(refused(&["import", "github", "api_key=x"]), ErrorKind::UnknownArgument);
    }

    #[test]
    fn contradicting_options_are_refused() {
        assert_eq!(refused(&["list", "--usable", "-A"]), ErrorKind::ArgumentConflict);
        assert_eq!(refused(&["list", "--usable", "--watch"]), ErrorKind::ArgumentConflict);
        assert_eq!(refused(&["list", "-o", "csv"]), ErrorKind::InvalidValue);
        assert_eq!(refused(&["refresh", "github", "--timeout", "soon"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["refresh"]), ErrorKind::MissingRequiredArgument);
    }
}
