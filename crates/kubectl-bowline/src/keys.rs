//! `issue` and `revoke`: keys that Bowline issues. A key is generated here and passed on as its digest.

use anyhow::{anyhow, bail};
use k8s_openapi::ByteString;
use kube::ResourceExt;

use crate::exit::Usage;
use crate::intake::{AnnouncedIntake, announce, check};
use crate::next::describe_command;
use crate::screen::Screen;
use crate::session::UserSession;
use crate::table::printable;
use crate::wait::{WaitArgs, follow};
use bowline_api::IntegrationConnection;
use bowline_api::connection::LastAttempt;
use bowline_api::duration::Duration;
use bowline_api::issued_key::{KeyOrder, NewKey, ORDER, is_key_id};

const ISSUE_EXAMPLES: &str = "Examples:
  kubectl bowline issue zapier               a new key, on stdout
  kubectl bowline issue zapier --overlap 0s  and the others end at once
  kubectl bowline issue zapier | pbcopy

The key is generated here and printed once. The operator gets its digest, and
publishes it for the application that checks keys. Earlier keys stay valid for
a while (--overlap; otherwise as long as the provider object says), so that you
can change the key where it is used.

Only the connection's owner may do this (or whoever has the verb assign-owner).
You need the right to create Secrets and to patch the connection.";

const REVOKE_EXAMPLES: &str = "Examples:
  kubectl bowline revoke zapier Ab3dEf9K    this key ends at once
  kubectl bowline revoke zapier --all

The id of a key is the first part of it, after the prefix; describe lists the
ids. Pods that have the Secret mounted see the change within about a minute.

Only the connection's owner may do this (or whoever has the verb assign-owner).
You need the right to create Secrets and to patch the connection.";

/// Create a key that others use to reach an application of yours
#[derive(clap::Args, Debug)]
#[command(after_help = ISSUE_EXAMPLES)]
pub(crate) struct IssueArgs {
    /// The connection
    name: String,
    /// How long earlier keys stay valid, up to 720h
    #[arg(long, value_name = "DURATION")]
    overlap: Option<Duration>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// End a key that was issued, at once
#[derive(clap::Args, Debug)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(crate) struct RevokeArgs {
    /// The connection
    name: String,
    /// The id of the key
    #[arg(required_unless_present = "all")]
    id: Option<String>,
    /// End all its keys
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl IssueArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, overlap, wait } = self;
        let connection = session.connection(&name).await?;
        let key = NewKey::generate(prefix(&connection)?)?;
        let order = key.order(overlap).checked().map_err(|_| Usage("--overlap is at most 720h"))?;
        let announced = give(session, &connection, &order).await?;
        let mut done = Ok(());
        if wait.begin(&format!("Creating the key {} for {name}", key.id()), screen) {
            done = carried_out(session, &connection, &announced, wait).await;
        }
        // One that was refused is no key; one that is not taken yet may become one.
        if done.as_ref().is_err_and(|error| error.downcast_ref::<Refused>().is_some()) {
            return done;
        }
        screen.progress("This is the only time that the key is shown.");
        screen.secret(key.text())?;
        done
    }
}

impl RevokeArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, id, all: _, wait } = self;
        let connection = session.connection(&name).await?;
        let order = match &id {
            None => KeyOrder::RevokeAll,
            Some(id) if is_key_id(id) => KeyOrder::Revoke { id: id.clone() },
            Some(_) => {
                return Err(Usage("the id of a key has 8 letters and digits; describe lists them").into());
            }
        };
        let known = connection.issued_keys();
        if id.as_ref().is_some_and(|id| known.iter().all(|key| key.id != *id)) {
            let describe = describe_command(&connection);
            bail!("{name} has no valid key with this id; {describe} lists them")
        }
        prefix(&connection)?;
        let announced = give(session, &connection, &order).await?;
        let what =
            id.as_ref().map_or_else(|| format!("all keys of {name}"), |id| format!("the key {id} of {name}"));
        if !wait.begin(&format!("Revoking {what}"), screen) {
            return Ok(());
        }
        carried_out(session, &connection, &announced, wait).await?;
        Ok(screen.result("Revoked.\n")?)
    }
}

/// The operator refused an order.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// What the keys of the connection begin with. Refuses what cannot succeed, before anything is written.
fn prefix(connection: &IntegrationConnection) -> anyhow::Result<&str> {
    check(connection)?;
    let name = connection.name_any();
    connection
        .key_prefix()
        .ok_or_else(|| anyhow!("no keys are issued for {name}, or the operator has not looked at it yet"))
}

async fn give(
    session: &UserSession,
    connection: &IntegrationConnection,
    order: &KeyOrder,
) -> anyhow::Result<AnnouncedIntake> {
    let json = ByteString(serde_json::to_vec(order)?);
    announce(session, connection, [(ORDER.to_owned(), json)].into()).await
}

/// Waits until the operator has carried the announced order out. An error if it refuses.
async fn carried_out(
    session: &UserSession,
    connection: &IntegrationConnection,
    announced: &AnnouncedIntake,
    wait: WaitArgs,
) -> anyhow::Result<()> {
    let look = |now: &IntegrationConnection| Ok(ended(now, &announced.value).cloned());
    match follow(session, &connection.name_any(), wait.deadline(), look).await? {
        None => Err(wait.late(announced.untaken(session))),
        Some(last) if last.failed() => Err(Refused(printable(last.message)).into()),
        Some(_) => Ok(()),
    }
}

/// The attempt with this id, once it has ended.
fn ended<'a>(now: &'a IntegrationConnection, id: &str) -> Option<&'a LastAttempt> {
    now.last_attempt().filter(|last| last.id == id && !last.is_running())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_has_ended_when_status_says_so_of_this_one() {
        let now = |id: &str, result: &str| -> IntegrationConnection {
            serde_json::from_value(json!({"metadata": {"name": "zapier"},
                "spec": {"provider": "zapier", "owner": "alice"},
                "status": {"lastAttempt": {"id": id, "method": "Import", "result": result,
                    "startedAt": "2026-01-01T00:00:00Z"}}}))
            .unwrap()
        };
        assert!(ended(&now("s/1", "Running"), "s/1").is_none());
        assert!(ended(&now("s/2", "Succeeded"), "s/1").is_none());
        assert!(ended(&now("s/1", "Succeeded"), "s/1").is_some_and(|last| !last.failed()));
        assert!(ended(&now("s/1", "Failed"), "s/1").is_some_and(LastAttempt::failed));
    }
}
