//! `disconnect`: end a connection for everybody, after showing whom it hits (R16, R20).

use anyhow::bail;
use bowline_api::IntegrationConnection;
use bowline_api::connection::Phase;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::exit::{NotInTime, Usage};
use super::impact::{Impact, gather};
use super::screen::Screen;
use super::session::{Session, plain};
use super::wait::{WaitArgs, until, words};

const EXAMPLES: &str = "Examples:
  kubectl bowline disconnect github-work        show whom it hits, ask, do it
  kubectl bowline disconnect github-work --yes  without asking

Sets spec.disconnect: the Secrets go everywhere, and the grant is revoked at
the provider. The connection itself stays, with its name and settings; to use
it again, set disconnect to false and connect. Only its owner may do this (or
who has the verb assign-owner). Workloads are found with your own rights, by
the Secrets they name in env, envFrom and volumes.";

/// End a connection everywhere and revoke it at the provider
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, yes, wait } = self;
        let connections: Api<IntegrationConnection> =
            Api::namespaced(session.client.clone(), &session.namespace);
        let before = session.connection(&name).await?;
        if is_disconnected(&before) {
            screen.progress(&format!("{name} is disconnected already."));
            return Ok(());
        }
        let impact = gather(session, &before, true).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        if !yes {
            confirm(&name, &impact, screen)?;
        }
        let patch = json!({"metadata": {"uid": before.metadata.uid}, "spec": {"disconnect": true}});
        connections.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(plain)?;
        if !wait.wait {
            screen.progress(&format!("{name} is being disconnected."));
            return Ok(());
        }
        screen.progress(&format!("Disconnecting {name}; waiting up to {} ...", words(wait.timeout)));
        if until(&connections, &name, wait.timeout.into(), is_disconnected).await?.is_none() {
            let what = format!("{name} is asked to be disconnected, and the operator has not done it yet");
            return Err(NotInTime { limit: wait.timeout, what }.into());
        }
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
        None => Err(Usage("nobody answers here: say --yes").into()),
        Some(answer) if agrees(&answer, name, others) => Ok(()),
        Some(_) => bail!("nothing was changed"),
    }
}

/// Whether this answer is a yes; where others are hit, a slip of the finger is none.
fn agrees(answer: &str, name: &str, others: bool) -> bool {
    if others { answer == name } else { ["y", "Y", "yes"].contains(&answer) || answer == name }
}

/// Whether the operator has withdrawn everything.
fn is_disconnected(connection: &IntegrationConnection) -> bool {
    connection.spec.disconnect == Some(true)
        && connection.status.as_ref().is_some_and(|status| {
            status.phase == Some(Phase::Disconnected)
                && status.observed_generation == connection.metadata.generation
                && status.secret.is_none()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_others_are_hit_only_the_name_is_a_yes() {
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
        assert!(is_disconnected(&connection(true, 4, "Disconnected")));
        assert!(!is_disconnected(&connection(true, 3, "Disconnected")), "said of an older spec");
        assert!(!is_disconnected(&connection(true, 4, "Active")));
        assert!(!is_disconnected(&connection(false, 4, "Disconnected")), "to be connected again");
    }
}
