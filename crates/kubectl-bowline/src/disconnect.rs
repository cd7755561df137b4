//! `disconnect`: end a connection for everybody, after listing what is affected (R16, R20).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::age::relative;
use crate::change::{carry_out, confirm};
use crate::impact::gather;
use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;
use bowline_api::connection::Phase;

const EXAMPLES: &str = "Examples:
  kubectl bowline disconnect github-work        list what is affected, confirm
  kubectl bowline disconnect github-work --yes  do not ask for confirmation
  kubectl bowline disconnect github-work --now  a token has leaked

Lists what is affected and asks for confirmation unless you pass --yes. Then
sets spec.disconnect: the Secrets are removed everywhere, and after a pause,
30 seconds as a rule, the grant is revoked at the provider. Until then
kubectl bowline undo restores it; --now leaves the pause out. The connection
itself stays, with its name and settings, and can be connected again. Only its
owner or an Admin may do this (or whoever has the verb assign-owner); --now is
the owner's. Workloads are found with your own rights, by the Secrets they name
in env, envFrom and volumes.";

/// End a connection everywhere and revoke it at the provider
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DisconnectArgs {
    /// The connection
    name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Revoke the grant at once: then nothing can be undone
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl DisconnectArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, yes, now, wait } = self;
        let before = session.connection(&name).await?;
        if is_over(&before) && !(now && before.revokes_at().is_some()) {
            screen.progress(&format!("{name} is disconnected already."));
            return Ok(());
        }
        let impact = gather(session, &before, true).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        if !yes {
            confirm("disconnect", &name, impact.reaches_others(), screen)?;
        }
        let change = if now { ConnectionChange::Revoke } else { ConnectionChange::Disconnect };
        carry_out(&change, session, &before, false).await?;
        if !wait.begin(&format!("Disconnecting {name}"), screen) {
            return Ok(());
        }
        let so_far = |_: &IntegrationConnection| {
            format!("{name} is to be disconnected, and the operator has not done it yet")
        };
        let is_done = |seen: &IntegrationConnection| is_over(seen) && !(now && seen.revokes_at().is_some());
        let after = wait.until(session, &name, is_done, so_far).await?;
        Ok(screen.result(&done(&after, session.clock.now()))?)
    }
}

fn done(connection: &IntegrationConnection, now: Timestamp) -> String {
    let name = connection.name_any();
    let undo = connection.revokes_at().map(|at| {
        let when = relative(&Time(at), now);
        format!("Its grant is revoked {when}; until then kubectl bowline undo {name} restores it.\n")
    });
    format!("{name} is disconnected.\n{}", undo.unwrap_or_default())
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
    use serde_json::json;

    use super::*;

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
