//! Where a connection is shared: computed from the connection and the workspaces, never stored.
//!
//! `shared: true`, a workspace, and an owner who is a member of it: then one share in each namespace of the workspace
//! except the connection's own. A namespace belongs to one workspace, the older one.

pub(crate) mod limits;
pub(crate) mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use bowline_api::share::SharedConnection;
use bowline_api::{ConnectionShare, ConnectionShareSpec, IntegrationConnection, Workspace, names};

use self::terms::TermsInForce;
use crate::sharers::Sharer;

/// Where a connection is shared, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// Its spec does not request it, or ends it (disconnected, being deleted).
    NotAsked,
    WorkspaceNotFound,
    /// The workspace cannot be read: nothing more is shared, and nothing is withdrawn.
    Unknown,
    /// The owner is not, or no longer, a member of the workspace.
    OwnerNotMember,
    /// Somebody else shared another connection under this id before, and the workspace has not accepted this owner.
    Replaced {
        former_owner: String,
    },
    /// The workspace's limits do not allow it; the text is a sentence that says which.
    NotAllowed(String),
    /// Shared in these namespaces; possibly none.
    In {
        workspace: String,
        /// Those of the workspace that exist and that no older workspace has, except the connection's own.
        namespaces: BTreeSet<String>,
    },
}

/// How a connection stands to a workspace: whether its owner is a member and its namespace belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkspaceStanding {
    Within,
    NoWorkspace,
    NotMember,
    /// The workspace does not have the connection's namespace, or an older one has it.
    NamespaceOutside,
}

/// Computes how `connection` stands to the workspace of this name, whether it names it or not, given all workspaces.
pub(crate) fn standing(
    connection: &IntegrationConnection,
    workspace: &str,
    workspaces: &[Arc<Workspace>],
) -> WorkspaceStanding {
    let Some(found) = live(workspaces).find(|candidate| candidate.name_any() == workspace) else {
        return WorkspaceStanding::NoWorkspace;
    };
    let home = connection.namespace().unwrap_or_default();
    if !found.spec.has_member(&connection.spec.owner) {
        WorkspaceStanding::NotMember
    } else if holder(&home, workspaces).is_some_and(|holder| holder.name_any() == workspace) {
        WorkspaceStanding::Within
    } else {
        WorkspaceStanding::NamespaceOutside
    }
}

/// Computes where `connection` is shared, given the terms in force, all workspaces, who shared a connection under this id before,
/// and which namespaces exist and can be used.
pub(crate) fn computed(
    connection: &IntegrationConnection,
    terms: &TermsInForce,
    workspaces: &[Arc<Workspace>],
    former: Option<&Sharer>,
    namespace_exists: impl Fn(&str) -> bool,
) -> Shared {
    let spec = &connection.spec;
    let gone = connection.metadata.deletion_timestamp.is_some() || connection.is_disconnected();
    let Some(name) = terms.workspace(connection).filter(|_| terms.shared(connection) && !gone) else {
        return Shared::NotAsked;
    };
    let Some(found) = live(workspaces).find(|candidate| candidate.name_any() == name) else {
        return Shared::WorkspaceNotFound;
    };
    if !found.spec.has_member(&spec.owner) {
        return Shared::OwnerNotMember;
    }
    let replaced = former.filter(|former| former.was_replaced_by(&Sharer::of(connection)));
    if let Some(former) = replaced.filter(|former| !found.spec.accepts(&former.id, &spec.owner)) {
        return Shared::Replaced { former_owner: former.owner.clone() };
    }
    let home = connection.namespace().unwrap_or_default();
    let namespaces = found
        .spec
        .namespaces
        .iter()
        .filter(|namespace| **namespace != home && terms.reaches(namespace) && namespace_exists(namespace))
        .filter(|namespace| holder(namespace, workspaces).is_some_and(|holder| holder.name_any() == name))
        .cloned()
        .collect();
    Shared::In { workspace: name.to_owned(), namespaces }
}

/// The workspace that has `namespace`: the oldest that lists it; of equally old ones the first by name.
pub(crate) fn holder<'a>(namespace: &str, workspaces: &'a [Arc<Workspace>]) -> Option<&'a Arc<Workspace>> {
    live(workspaces)
        .filter(|workspace| workspace.spec.namespaces.iter().any(|listed| listed == namespace))
        .min_by_key(|workspace| (workspace.creation_timestamp(), workspace.name_any()))
}

/// The share of the connection in one namespace of its workspace.
pub(crate) fn share(connection: &IntegrationConnection, workspace: &str, namespace: &str) -> ConnectionShare {
    let home = connection.namespace().unwrap_or_default();
    let name = connection.name_any();
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_CONNECTION_NAMESPACE.to_owned(), home.clone()),
        (names::LABEL_CONNECTION_NAME.to_owned(), name.clone()),
        (names::LABEL_WORKSPACE.to_owned(), workspace.to_owned()),
    ]);
    let metadata = ObjectMeta {
        name: Some(names::connection_id(&home, &name)),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let spec = ConnectionShareSpec {
        connection: SharedConnection { namespace: home, name, uid: connection.uid().unwrap_or_default() },
        workspace: workspace.to_owned(),
    };
    ConnectionShare { metadata, spec, status: None }
}

fn live(workspaces: &[Arc<Workspace>]) -> impl Iterator<Item = &Arc<Workspace>> {
    workspaces.iter().filter(|workspace| workspace.metadata.deletion_timestamp.is_none())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn workspace(name: &str, age: i64, members: &[&str], namespaces: &[&str]) -> Arc<Workspace> {
        let members: Vec<_> = members.iter().map(|user| json!({ "name": user })).collect();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "creationTimestamp": Time(Timestamp::from_second(1_800_000_000 - age).unwrap())},
                "spec": {"members": members, "namespaces": namespaces},
            }))
            .unwrap(),
        )
    }

    fn connection(spec: serde_json::Value) -> IntegrationConnection {
        let mut spec = spec;
        spec["provider"] = json!("github");
        spec["owner"] = json!("alice");
        serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "team-a"}, "spec": spec}))
            .unwrap()
    }

    fn shared() -> IntegrationConnection {
        connection(json!({"workspace": "w", "shared": true}))
    }

    fn namespaces(shared: &Shared) -> Vec<&str> {
        match shared {
            Shared::In { namespaces, .. } => namespaces.iter().map(String::as_str).collect(),
            _ => panic!("{shared:?}"),
        }
    }

    #[test]
    fn a_member_shares_into_every_namespace_but_the_own() {
        let all = [workspace("w", 0, &["alice"], &["team-a", "x", "y"])];
        assert_eq!(
            namespaces(&computed(&shared(), &TermsInForce::AsSpecified, &all, None, |_| true)),
            ["x", "y"]
        );
        assert_eq!(
            namespaces(
                &computed(&shared(), &TermsInForce::AsSpecified, &all, None, |namespace| namespace == "y")
            ),
            ["y"]
        );
    }

    #[test]
    fn private_is_the_default_and_a_disconnected_or_dying_connection_is_private() {
        let all = [workspace("w", 0, &["alice"], &["x"])];
        let ask = |connection: &IntegrationConnection| {
            computed(connection, &TermsInForce::AsSpecified, &all, None, |_| true)
        };
        assert_eq!(ask(&connection(json!({"workspace": "w"}))), Shared::NotAsked);
        assert_eq!(ask(&connection(json!({"workspace": "w", "shared": false}))), Shared::NotAsked);
        assert_eq!(
            ask(&connection(json!({"workspace": "w", "shared": true, "disconnect": true}))),
            Shared::NotAsked
        );
        let mut dying = shared();
        dying.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(ask(&dying), Shared::NotAsked);
    }

    #[test]
    fn a_removed_owner_and_a_deleted_workspace_share_nothing() {
        let without = [workspace("w", 0, &["bob"], &["x"])];
        assert_eq!(
            computed(&shared(), &TermsInForce::AsSpecified, &without, None, |_| true),
            Shared::OwnerNotMember
        );
        assert_eq!(
            computed(&shared(), &TermsInForce::AsSpecified, &[], None, |_| true),
            Shared::WorkspaceNotFound
        );
    }

    #[test]
    fn another_owner_under_the_same_id_shares_only_where_the_workspace_accepts_them() {
        let mut all = [workspace("w", 0, &["alice"], &["x"])];
        let sharer =
            |uid: &str, owner: &str| Sharer { id: "team-a.c".into(), uid: uid.into(), owner: owner.into() };
        let ask = |all: &[Arc<Workspace>], former: &Sharer| {
            computed(&shared(), &TermsInForce::AsSpecified, all, Some(former), |_| true)
        };
        let refused = Shared::Replaced { former_owner: "bob".into() };
        assert_eq!(ask(&all, &sharer("before", "bob")), refused);
        assert_eq!(namespaces(&ask(&all, &sharer("before", "alice"))), ["x"], "she made it again");
        assert_eq!(namespaces(&ask(&all, &sharer("", "bob"))), ["x"], "it was transferred");
        for (owner, agreed) in [("mallory", false), ("alice", true)] {
            Arc::make_mut(&mut all[0]).spec.accepted_owners =
                BTreeMap::from([("team-a.c".into(), owner.into())]);
            assert_eq!(ask(&all, &sharer("before", "bob")) != refused, agreed);
        }
    }

    #[test]
    fn only_a_members_connection_in_a_namespace_of_the_workspace_is_within() {
        let stands = |all: &[Arc<Workspace>]| standing(&connection(json!({})), "w", all);
        let w = |members: &[&str], namespaces: &[&str]| workspace("w", 10, members, namespaces);
        assert_eq!(stands(&[w(&["alice"], &["team-a"])]), WorkspaceStanding::Within);
        assert_eq!(stands(&[w(&["bob"], &["team-a"])]), WorkspaceStanding::NotMember);
        assert_eq!(stands(&[w(&["alice"], &["x"])]), WorkspaceStanding::NamespaceOutside);
        assert_eq!(stands(&[]), WorkspaceStanding::NoWorkspace);
        let older = workspace("older", 20, &[], &["team-a"]);
        assert_eq!(stands(&[w(&["alice"], &["team-a"]), older]), WorkspaceStanding::NamespaceOutside);
        let mut dying = Workspace::clone(&w(&["alice"], &["team-a"]));
        dying.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(stands(&[Arc::new(dying)]), WorkspaceStanding::NoWorkspace);
    }

    #[test]
    fn a_namespace_of_two_workspaces_belongs_to_the_older() {
        let all = [workspace("w", 10, &["alice"], &["x", "y"]), workspace("older", 20, &["bob"], &["x"])];
        assert_eq!(namespaces(&computed(&shared(), &TermsInForce::AsSpecified, &all, None, |_| true)), ["y"]);
        assert_eq!(holder("x", &all).unwrap().name_any(), "older");
    }
}
