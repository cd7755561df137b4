//! `transfer`: give a connection to another owner, after listing who loses the token.

use crate::change::{carry_out, confirm};
use crate::exit::Usage;
use crate::impact::gather;
use crate::table::printable;
use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;
use bowline_api::condition::{ConditionType::Authorized, Conditioned};
use bowline_api::reason::Reason;

const EXAMPLES: &str = "Examples:
  kubectl bowline transfer github-work --to bob --dry-run
  kubectl bowline transfer github-work --to bob

Lists who loses the token and asks for confirmation unless you pass --yes.
Then sets spec.owner: the Secrets are removed everywhere, the former owner's
grant is revoked at the provider, and the new owner has to connect. Name, id,
settings and bindings stay; each binding waits until its author accepts the
new owner. You need the verb assign-owner on the connection, and share if it
is shared.";

/// Give a connection to another owner
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TransferArgs {
    /// The connection
    name: String,
    /// The new owner, as this cluster spells the user name
    #[arg(long, value_name = "USER")]
    to: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Change nothing; have the API server judge the change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl TransferArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, to, yes, dry_run, wait } = self;
        let before = session.connection(&name).await?;
        let change = ConnectionChange::Transfer(to.clone());
        if !change.applies_to(&before) {
            return Err(Usage("that user is the owner already").into());
        }
        let impact = gather(session, &before, true).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        screen.progress(&printable(change.consequences(&before)));
        if dry_run {
            carry_out(&change, session, &before, true).await?;
            screen.progress("Nothing was changed.");
            return Ok(());
        }
        if !yes {
            confirm("transfer", &name, impact.reaches_others(), screen)?;
        }
        carry_out(&change, session, &before, false).await?;
        if !wait.begin(&printable(format!("Transferring {name} to {to}")), screen) {
            return Ok(());
        }
        let so_far = |_: &IntegrationConnection| {
            format!("{name} has its new owner, and not everything of the former one is withdrawn yet")
        };
        wait.until(session, &name, is_over, so_far).await?;
        Ok(screen.result(&printable(format!("{name} belongs to {to} now, who has to connect it.")))?)
    }
}

/// Whether nothing of the former owner is left.
fn is_over(connection: &IntegrationConnection) -> bool {
    let status = connection.status.as_ref();
    is_current(connection)
        && connection.reason_of(Authorized) != Some(Reason::OwnerChanged)
        && status
            .is_some_and(|status| status.connected_by.as_ref().is_none_or(|by| *by == connection.spec.owner))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(connected_by: Option<&str>, reason: &str, observed: i64) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "generation": 4},
            "spec": {"provider": "github", "owner": "bob", "shared": true, "workspace": "marketing"},
            "status": {"observedGeneration": observed, "connectedBy": connected_by,
                "dependents": {"count": 2, "names": []},
                "conditions": [{"type": "Authorized", "status": "False", "reason": reason, "message": "Said.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    #[test]
    fn it_is_done_once_nothing_of_the_former_owner_is_left() {
        assert!(is_over(&connection(None, "AwaitingAuthorization", 4)));
        assert!(is_over(&connection(Some("bob"), "Authorized", 4)), "the new owner was quick");
        assert!(!is_over(&connection(None, "AwaitingAuthorization", 3)), "said of the old spec");
        assert!(!is_over(&connection(None, "OwnerChanged", 4)));
        assert!(!is_over(&connection(Some("alice"), "Authorized", 4)));
    }
}
