//! Which connections count towards a workspace, and which of them it has a place for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::Reason;
use bowline_api::{IntegrationConnection, Workspace};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::World;
use crate::kinds::keys;
use crate::sharing;
use crate::sharing::limits::{self, ReachedLimit};

impl World {
    /// The limit that leaves no place for a connection without a grant.
    pub(crate) fn reached_limit(&self, connection: &IntegrationConnection) -> Option<ReachedLimit> {
        self.limiting(connection).iter().find_map(|workspace| {
            let limits = workspace.spec.limits.as_ref()?;
            let detail = limits::reached(limits, connection, || self.counted_in(workspace))?;
            let contact = workspace.spec.contact.clone();
            Some(ReachedLimit { workspace: workspace.name_any(), contact, detail })
        })
    }

    /// Why the workspace's limits refuse a share of the connection, as a sentence.
    pub(super) fn refused_share(
        &self,
        connection: &IntegrationConnection,
        workspace: &str,
    ) -> Option<String> {
        let workspace = self.kinds.workspaces.get(&ObjectRef::new(workspace))?;
        let limits = workspace.spec.limits.as_ref()?;
        let shares = self.kinds.shares.having(&keys::connection(connection.metadata.uid.as_deref()?));
        let is_there = shares.iter().any(|share| share.spec.workspace == workspace.name_any());
        limits::refuses_share(limits, connection, is_there, || self.counted_in(&workspace))
    }

    /// Who is responsible for the workspace of this name.
    pub(crate) fn contact(&self, workspace: Option<&str>) -> Option<String> {
        self.kinds.workspaces.get(&ObjectRef::new(workspace?))?.spec.contact.clone()
    }

    /// The connections that count towards a workspace, each once.
    pub(crate) fn counted_in(&self, workspace: &Workspace) -> Vec<Arc<IntegrationConnection>> {
        let name = workspace.name_any();
        let held = limits::held(workspace, &self.competing_with(&name));
        let connections = &self.kinds.connections;
        let there = held.iter().flat_map(|namespace| connections.having(&keys::namespace(namespace)));
        let all = there.chain(connections.having(&keys::workspace(&name)));
        let counted = all.filter(|connection| limits::counts(connection, workspace, &held));
        let each: BTreeMap<_, _> = counted.map(|connection| (connection.id(), connection)).collect();
        each.into_values().collect()
    }

    /// A connection is new, gone or another: wakes the workspaces that limit it, and what waits for a place there.
    pub(crate) fn wake_limiting(&self, connection: &IntegrationConnection) {
        for workspace in self.limiting(connection) {
            self.kinds.workspaces.wake(ObjectRef::from_obj(&*workspace));
            let counted = self.counted_in(&workspace);
            for waiting in counted.iter().filter(|other| is_limited(other)) {
                self.kinds.connections.wake(ObjectRef::from_obj(&**waiting));
            }
        }
    }

    /// The limits of a workspace, or its namespaces, have changed: wakes the connections in these.
    pub(crate) fn wake_limited_by(&self, workspace: &Workspace) {
        for namespace in workspace.spec.limits.iter().flat_map(|_| &workspace.spec.namespaces) {
            self.kinds.connections.wake_having(&keys::namespace(namespace));
        }
    }

    /// The workspaces with limits towards which the connection counts: that of its namespace, and the one that it names.
    fn limiting(&self, connection: &IntegrationConnection) -> Vec<Arc<Workspace>> {
        let home = connection.namespace().unwrap_or_default();
        let listing = self.kinds.workspaces.having(&keys::namespace(&home));
        let named = connection.spec.workspace.as_deref();
        let named = named.and_then(|name| self.kinds.workspaces.get(&ObjectRef::new(name)));
        let is_members = |workspace: &Arc<Workspace>| {
            workspace.metadata.deletion_timestamp.is_none()
                && workspace.spec.has_member(&connection.spec.owner)
        };
        let mut all: Vec<_> = sharing::holder(&home, &listing).cloned().into_iter().collect();
        all.extend(named.filter(is_members));
        all.dedup_by_key(|workspace| workspace.name_any());
        all.retain(|workspace| workspace.spec.limits.is_some());
        all
    }
}

fn is_limited(connection: &IntegrationConnection) -> bool {
    let is = |of, reason| connection.reason_of(of) == Some(reason);
    is(ConditionType::Authorized, Reason::LimitReached)
        || is(ConditionType::Shared, Reason::SharingNotAllowed)
}
