//! `undo`: takes a disconnection back while its grant is not revoked yet.

use anyhow::bail;
use serde_json::json;

use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::connection::Phase;

const EXAMPLES: &str = "Examples:
  kubectl bowline undo github-work

Takes kubectl bowline disconnect back: sets spec.disconnect to false, and the
same grant is published again everywhere, without another consent. That is
possible until the grant is revoked, 30 seconds after the disconnection as a
rule; kubectl bowline describe shows when. Afterwards it has to be connected
again. Only the owner may do this (or whoever has the verb assign-owner).";

/// Take a disconnection back, while its grant is not revoked
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UndoArgs {
    /// The connection
    name: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl UndoArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, wait } = self;
        let before = session.connection(&name).await?;
        if !before.is_disconnected() {
            screen.progress(&format!("{name} is not disconnected."));
            return Ok(());
        }
        if is_current(&before) && before.revokes_at().is_none() {
            bail!(
                "the grant is revoked, or is being revoked: set spec.disconnect to false, then kubectl bowline connect {name}"
            );
        }
        session.patch(&before, json!({"spec": {"disconnect": false}})).await?;
        if !wait.begin(&format!("Undoing the disconnection of {name}"), screen) {
            return Ok(());
        }
        let so_far = |_: &IntegrationConnection| {
            format!("{name} is to be used again, and the operator has not done it yet")
        };
        let after = wait.until(session, &name, is_back, so_far).await?;
        if after.has_accepted_grant() {
            return Ok(screen.result(&format!("{name} is back, with the grant it had.\n"))?);
        }
        bail!("it was too late: the grant is revoked; kubectl bowline connect {name} connects it again")
    }
}

/// Whether the operator has taken it up again: its grant is published, or there is none.
fn is_back(connection: &IntegrationConnection) -> bool {
    let is_published = connection.status.as_ref().is_some_and(|status| status.secret.is_some());
    is_current(connection)
        && connection.phase() != Some(Phase::Disconnected)
        && (is_published || !connection.is_ready())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_back_once_the_operator_says_so_of_this_very_spec() {
        let connection =
            |phase: &str, observed: i64, secret: Option<&str>, ready: &str| -> IntegrationConnection {
                serde_json::from_value(json!({"metadata": {"name": "mail", "generation": 4},
                "spec": {"provider": "p", "owner": "alice", "disconnect": false},
                "status": {"phase": phase, "observedGeneration": observed,
                    "secret": secret.map(|name| json!({"name": name})),
                    "conditions": [{"type": "Ready", "status": ready, "reason": "Said", "message": "Said.",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
                .unwrap()
            };
        assert!(is_back(&connection("Active", 4, Some("mail"), "True")));
        assert!(is_back(&connection("Pending", 4, None, "False")), "there is no grant any more");
        assert!(!is_back(&connection("Active", 3, Some("mail"), "True")), "said of an older spec");
        assert!(!is_back(&connection("Disconnected", 4, None, "False")));
    }
}
