//! Where somebody who leaves is still a member, and taking them out. One refusal stops nothing.

use std::fmt::Debug;

use anyhow::bail;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::session::plain;
use crate::table::printable;
use crate::{Screen, UserSession};
use bowline_api::membership::{Membership, in_connection, in_workspace, out_of_connection, out_of_workspace};
use bowline_api::{IntegrationConnection, Workspace};

/// How often a change is tried while others write.
const TRIES: usize = 5;

/// The objects that name a user, as they were read.
pub(crate) struct Memberships {
    workspaces: Vec<Workspace>,
    connections: Vec<IntegrationConnection>,
}

impl Memberships {
    /// Those that the caller may list; `remarks` gets what was left out.
    pub(crate) async fn of(
        session: &UserSession,
        user: &str,
        remarks: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut workspaces: Vec<Workspace> =
            session.all(&ListParams::default()).await?.unwrap_or_else(|_| {
                remarks.push("You may not list workspaces: the user may be a member of some.".to_owned());
                Vec::new()
            });
        workspaces.retain(|workspace| in_workspace(workspace, user).is_some());
        // That the caller may not list them everywhere is said already.
        let mut connections: Vec<IntegrationConnection> = match session.all(&ListParams::default()).await? {
            Ok(all) => all,
            Err(_) => session.within(&session.namespace).await?.unwrap_or_default(),
        };
        connections.retain(|connection| !in_connection(connection, user).is_empty());
        Ok(Self { workspaces, connections })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.workspaces.is_empty() && self.connections.is_empty()
    }

    /// A line each.
    pub(crate) fn render(&self, user: &str) -> String {
        let of_workspaces = self.workspaces.iter().filter_map(|workspace| in_workspace(workspace, user));
        let of_connections = self.connections.iter().flat_map(|connection| in_connection(connection, user));
        of_workspaces.chain(of_connections).map(|it| printable(it.to_string()) + "\n").collect()
    }

    /// Takes the user out of each, in the version that was read, and says what became of it; an error if one is as it was.
    pub(crate) async fn end(
        &self,
        session: &UserSession,
        screen: &mut Screen,
        user: &str,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        let mut results = Vec::new();
        for workspace in &self.workspaces {
            let workspaces: Api<Workspace> = Api::all(session.client.clone());
            let left = leave(&workspaces, workspace, |now| out_of_workspace(now, user), dry_run).await;
            results.push((in_workspace(workspace, user), left));
        }
        for connection in &self.connections {
            let mut named = in_connection(connection, user).into_iter();
            let Some(member) = named.find(|it| matches!(it, Membership::Connection { .. })) else { continue };
            let namespace = connection.namespace().unwrap_or_default();
            let connections = Api::namespaced(session.client.clone(), &namespace);
            let left = leave(&connections, connection, |now| out_of_connection(now, user), dry_run).await;
            results.push((Some(member), left));
        }
        told(screen, &results, dry_run)
    }
}

/// Changes an object in its present version, while it is the one that was read. The operator may write its status in between.
async fn leave<K>(api: &Api<K>, before: &K, change: impl Fn(&K) -> Value, dry_run: bool) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let (name, merge) = (before.name_any(), PatchParams { dry_run, ..PatchParams::default() });
    let mut now = before.clone();
    for _ in 0..TRIES {
        match api.patch(&name, &merge, &Patch::Merge(change(&now))).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            changed => return changed.map(drop).map_err(plain),
        }
        now = api.get(&name).await.map_err(plain)?;
        if now.meta().uid != before.meta().uid {
            break;
        }
    }
    bail!("others change it: try again")
}

fn told(
    screen: &mut Screen,
    results: &[(Option<Membership>, anyhow::Result<()>)],
    dry_run: bool,
) -> anyhow::Result<()> {
    let done = if dry_run { "would be removed" } else { "removed" };
    for (membership, result) in results {
        let place = membership.as_ref().map(ToString::to_string).unwrap_or_default();
        let became = result.as_ref().map_or_else(|error| format!("refused: {error}"), |()| done.to_owned());
        screen.result(&(printable(format!("{place}: {became}")) + "\n"))?;
    }
    match results.iter().filter(|(_, result)| result.is_err()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} memberships are as they were", results.len()),
    }
}
