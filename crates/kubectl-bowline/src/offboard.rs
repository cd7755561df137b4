//! `offboard`: what a person owns and who depends on it, and what is to become of it.

use std::fmt::Write as _;

use clap::ArgGroup;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::binding::{BindingsSeen, bindings_of};
use crate::change::confirm;
use crate::each::carry_out_each;
use crate::exit::Usage;
use crate::impact::{Impact, gather};
use crate::memberships::Memberships;
use crate::table::{account_in_full, printable};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;

const EXAMPLES: &str = "Examples:
  kubectl bowline offboard alice                     list what alice owns
  kubectl bowline offboard alice --transfer-to bob --dry-run
  kubectl bowline offboard alice --disconnect --yes

Lists the connections of a user in all namespaces, or in those that you may
list, with their Secrets, who uses them, and the workspaces of the user. With
an option it then changes each connection, one after the other, and lists what
became of each. One that fails does not stop the others; the exit code is 1
then. You need the verb assign-owner on connections that are not yours.
Workspaces and others' connections of which the user is a member are listed;
with --remove-memberships the user is taken out of them. The last Admin of a
workspace stays: name another one first.";

/// List what a user owns; then transfer, unshare, disconnect or delete it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("change").multiple(false), group = ArgGroup::new("act").multiple(true))]
#[allow(clippy::struct_excessive_bools, reason = "each is one option")]
pub(crate) struct OffboardArgs {
    /// The user, as this cluster spells the name
    user: String,
    /// Transfer each connection to this user, who has to connect it again
    #[arg(long, value_name = "USER", groups = ["change", "act"])]
    transfer_to: Option<String>,
    /// Withdraw each connection from its workspace
    #[arg(long, groups = ["change", "act"])]
    unshare: bool,
    /// Withdraw each connection everywhere and revoke its grant; the object stays
    #[arg(long, groups = ["change", "act"])]
    disconnect: bool,
    /// Delete each connection, which revokes its grant
    #[arg(long, groups = ["change", "act"])]
    delete: bool,
    /// Take the user out of the members of workspaces and of others' connections
    #[arg(long, group = "act")]
    remove_memberships: bool,
    /// Do not ask for confirmation
    #[arg(short, long, requires = "act")]
    yes: bool,
    /// Change nothing; have the API server judge each change
    #[arg(long, requires = "act")]
    dry_run: bool,
}

/// A connection of the user, and who depends on it.
struct Owned {
    connection: IntegrationConnection,
    impact: Impact,
    bindings: BindingsSeen,
}

impl OffboardArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let change = self.change();
        if matches!(&change, Some(ConnectionChange::Transfer(to)) if *to == self.user) {
            return Err(Usage("that user owns them already").into());
        }
        let (owned, mut remarks) = owned(session, &self.user).await?;
        let memberships = Memberships::of(session, &self.user, &mut remarks).await?;
        screen.result(&(inventory(&self.user, &owned, session) + &memberships.render(&self.user)))?;
        for remark in remarks {
            screen.progress(&printable(remark));
        }
        let change = change.filter(|_| !owned.is_empty());
        let removes = self.remove_memberships && !memberships.is_empty();
        if change.is_none() && !removes {
            return Ok(());
        }
        if !self.dry_run && !self.yes {
            let others = removes || owned.iter().any(|it| it.impact.reaches_others());
            confirm(change.as_ref().map_or("end the memberships of", verb), &self.user, others, screen)?;
        }
        let changed = match &change {
            Some(change) => {
                let connections = owned.iter().map(|it| &it.connection);
                carry_out_each(session, screen, change, connections, self.dry_run).await
            }
            None => Ok(()),
        };
        // What is refused of the one stops nothing of the other.
        let left =
            if removes { memberships.end(session, screen, &self.user, self.dry_run).await } else { Ok(()) };
        changed.and(left)
    }

    fn change(&self) -> Option<ConnectionChange> {
        let Self { transfer_to, unshare, disconnect, delete, .. } = self;
        match (transfer_to, unshare, disconnect, delete) {
            (Some(to), ..) => Some(ConnectionChange::Transfer(to.clone())),
            (_, true, ..) => Some(ConnectionChange::Unshare),
            (_, _, true, _) => Some(ConnectionChange::Disconnect),
            (.., true) => Some(ConnectionChange::Delete),
            _ => None,
        }
    }
}

const fn verb(change: &ConnectionChange) -> &'static str {
    match change {
        ConnectionChange::Transfer(_) => "transfer everything of",
        ConnectionChange::Unshare => "unshare everything of",
        ConnectionChange::Disconnect | ConnectionChange::Revoke => "disconnect everything of",
        ConnectionChange::Delete => "delete everything of",
        ConnectionChange::Adopt { .. } => "adopt everything of",
    }
}

/// The connections of a user in all namespaces, or in the session's if the caller may not list more; and what was left out.
async fn owned(session: &UserSession, user: &str) -> anyhow::Result<(Vec<Owned>, Vec<String>)> {
    let of_user = ListParams::default().fields(&format!("spec.owner={}", escaped(user)));
    let mut remarks = Vec::new();
    let connections: Vec<IntegrationConnection> = if let Ok(all) = session.all(&of_user).await? {
        all
    } else {
        let here = &session.namespace;
        remarks.push(format!("You may not list connections in all namespaces: only {here} was looked at."));
        let mut there: Vec<IntegrationConnection> = session.within(here).await??;
        there.retain(|connection| connection.spec.owner == user);
        there
    };
    let mut owned = Vec::new();
    for connection in connections {
        let impact = gather(session, &connection, true).await?;
        let bindings = bindings_of(session, &connection).await?;
        owned.push(Owned { connection, impact, bindings });
    }
    Ok((owned, remarks))
}

/// A value of a field selector.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn inventory(user: &str, owned: &[Owned], session: &UserSession) -> String {
    let mut text = String::new();
    if owned.is_empty() {
        text += &(printable(format!("{user} owns no connection that you may see.")) + "\n");
    }
    for Owned { connection, impact, bindings } in owned {
        let account = connection.account().map_or_else(|| "no account".to_owned(), account_in_full);
        let head = format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any());
        let about = format!("{} ({}, {})", connection.spec.provider, account, connection.phase_text());
        let _ = writeln!(text, "{}", printable(format!("{head}: {about}")));
        for line in impact.render(connection, session.clock.now()).lines() {
            let _ = writeln!(text, "  {line}");
        }
        let bound = bindings.render(session.clock.now());
        if !bound.is_empty() {
            let _ = write!(
                text,
                "  Bindings:\n{}",
                bound.lines().fold(String::new(), |all, line| all + "  " + line + "\n")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_comma_selects_nobody_else() {
        assert_eq!(escaped("a,b=c\\d"), "a\\,b\\=c\\\\d");
    }
}
