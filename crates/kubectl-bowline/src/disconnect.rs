//! `disconnect`: end a connection for everybody, after listing what is affected (R16, R20).

use anyhow::bail;
use serde_json::json;

use crate::exit::Usage;
use crate::impact::{Impact, gather};
use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::connection::Phase;

const EXAMPLES: &str = "Examples:
  kubectl bowline disconnect github-work        list what is affected, confirm
  kubectl bowline disconnect github-work --yes  do not ask for confirmation

Lists what is affected and asks for confirmation unless you pass --yes. Then
sets spec.disconnect: the Secrets are removed everywhere, and the grant is
revoked at the provider. The connection itself stays, with its name and
settings; to use it again, set disconnect to false and connect. Only its owner
may do this (or whoever has the verb assign-owner). Workloads are found with
your own rights, by the Secrets they name in env, envFrom and volumes.";

/// End a connection everywhere and revoke it at the provider
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DisconnectArgs {
    /// The connection
    name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl DisconnectArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, yes, wait } = self;
        let before = session.connection(&name).await?;
        if is_over(&before) {
            screen.progress(&format!("{name} is disconnected already."));
            return Ok(());
        }
        let impact = gather(session, &before, true).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        if !yes {
            confirm(&name, &impact, screen)?;
        }
        // A disconnected connection cannot be suspended as well.
        session.patch(&before, json!({"spec": {"disconnect": true, "suspend": null}})).await?;
        if !wait.begin(&format!("Disconnecting {name}"), screen) {
            return Ok(());
        }
        let so_far = |_: &IntegrationConnection| {
            format!("{name} is to be disconnected, and the operator has not done it yet")
        };
        wait.until(session, &name, is_over, so_far).await?;
        Ok(screen.result(&format!("{name} is disconnected.\n"))?)
    }
}

fn confirm(name: &str, impact: &Impact, screen: &mut Screen) -> anyhow::Result<()> {
    let others = impact.reaches_others();
    let question = if others {
        format!("Others lose it too. Type the name {name} to disconnect it: ")
    } else {
        format!("Disconnect {name}? [y/N] ")
    };
    match screen.ask(&question)? {
        None => Err(Usage("no answer: pass --yes").into()),
        Some(answer) if agrees(&answer, name, others) => Ok(()),
        Some(_) => bail!("nothing was changed"),
    }
}

/// Whether this answer is a yes; if others are affected, one letter is not enough.
fn agrees(answer: &str, name: &str, others: bool) -> bool {
    if others { answer == name } else { ["y", "Y", "yes"].contains(&answer) || answer == name }
}

/// Whether the operator has withdrawn everything.
fn is_over(connection: &IntegrationConnection) -> bool {
    connection.is_disconnected()
        && connection.phase() == Some(Phase::Disconnected)
        && is_current(connection)
        && connection.status.as_ref().is_some_and(|status| status.secret.is_none())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_others_are_affected_only_the_name_is_a_yes() {
        for (answer, alone, others) in [
            ("y", true, false),
            ("yes", true, false),
            ("github", true, true),
            ("", false, false),
            ("n", false, false),
        ] {
            assert_eq!(agrees(answer, "github", false), alone, "{answer:?}");
            assert_eq!(agrees(answer, "github", true), others, "{answer:?}");
        }
    }

    #[test]
    fn it_is_done_when_the_operator_says_so_of_this_very_spec() {
        let connection = |disconnect: bool, observed: i64, phase: &str| -> IntegrationConnection {
            serde_json::from_value(json!({"metadata": {"name": "github", "generation": 4},
                "spec": {"provider": "github", "owner": "alice", "disconnect": disconnect},
                "status": {"phase": phase, "observedGeneration": observed}}))
            .unwrap()
        };
        assert!(is_over(&connection(true, 4, "Disconnected")));
        assert!(!is_over(&connection(true, 3, "Disconnected")), "said of an older spec");
        assert!(!is_over(&connection(true, 4, "Active")));
        assert!(!is_over(&connection(false, 4, "Disconnected")), "to be connected again");
    }
}
