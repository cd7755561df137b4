//! Where a person who leaves is still named: as a member of workspaces and of others' connections, and as who set terms. Pure.

use std::fmt;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::member::MemberKind;
use super::workspace::WorkspaceMember;
use super::{IntegrationConnection, Workspace};

/// One place that names a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    Workspace {
        name: String,
        role: String,
    },
    Connection {
        namespace: String,
        name: String,
        owner: String,
        role: String,
    },
    /// They set where somebody else's connection is shared, or what it asks for (`bowline.dev/terms-by`). It gives them nothing,
    /// and stays until somebody else sets the terms.
    Terms {
        namespace: String,
        name: String,
        owner: String,
    },
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace { name, role } => write!(f, "Workspace {name}: {role}"),
            Self::Connection { namespace, name, owner, role } => {
                write!(f, "Connection {namespace}/{name} of {owner}: {role}")
            }
            Self::Terms { namespace, name, owner } => {
                write!(f, "Connection {namespace}/{name} of {owner}: set its terms")
            }
        }
    }
}

/// The membership of this user in a workspace.
pub fn in_workspace(workspace: &Workspace, user: &str) -> Option<Membership> {
    let mut named = workspace.spec.members.iter().filter(|member| member.name == user).peekable();
    named.peek()?;
    let role = if named.any(WorkspaceMember::is_admin) { "Admin" } else { "Member" };
    Some(Membership::Workspace { name: workspace.name_any(), role: role.to_owned() })
}

/// Where somebody else's connection names this user.
pub fn in_connection(connection: &IntegrationConnection, user: &str) -> Vec<Membership> {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    let owner = connection.spec.owner.clone();
    let member = connection.spec.members.iter().find(|it| it.is(user, &[])).map(|member| {
        let role = member.role.to_string();
        Membership::Connection {
            namespace: namespace.clone(),
            name: name.clone(),
            owner: owner.clone(),
            role,
        }
    });
    let set = connection.terms_by_another() == Some(user);
    let terms = set.then_some(Membership::Terms { namespace, name, owner });
    member.into_iter().chain(terms).collect()
}

/// The merge patch that takes a user out of a workspace, in the version that was read. That an Admin stays, a policy says.
pub fn out_of_workspace(workspace: &Workspace, user: &str) -> Value {
    let mut members = workspace.spec.members.clone();
    members.retain(|member| member.name != user);
    json!({"metadata": {"uid": workspace.uid(), "resourceVersion": workspace.resource_version()},
        "spec": {"members": members}})
}

/// The merge patch that takes a user out of the members of a connection, in the version that was read. A group of that name stays.
pub fn out_of_connection(connection: &IntegrationConnection, user: &str) -> Value {
    let mut members = connection.spec.members.clone();
    members.retain(|member| !(member.kind.is(MemberKind::User) && member.name == user));
    json!({"metadata": {"uid": connection.uid(), "resourceVersion": connection.resource_version()},
        "spec": {"members": members}})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "mail", "namespace": "team-a", "uid": "u", "resourceVersion": "7",
                "annotations": {"bowline.dev/terms-by": "lena"}},
            "spec": {"provider": "p", "owner": "alice", "members": [
                {"name": "lena", "role": "Admin"}, {"kind": "Group", "name": "lena"}, {"name": "bob"}]}}))
        .unwrap()
    }

    #[test]
    fn a_person_is_found_by_name_and_a_group_of_that_name_is_not_them() {
        let told: Vec<String> =
            in_connection(&connection(), "lena").iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["Connection team-a/mail of alice: Admin", "Connection team-a/mail of alice: set its terms"]
        );
        assert!(in_connection(&connection(), "len").is_empty());
        let left = out_of_connection(&connection(), "lena");
        assert_eq!(
            left["spec"]["members"],
            json!([
            {"kind": "Group", "name": "lena", "role": "Member"}, {"kind": "User", "name": "bob", "role": "Member"}])
        );
        assert_eq!(left["metadata"], json!({"uid": "u", "resourceVersion": "7"}));
    }

    #[test]
    fn an_admin_of_a_workspace_is_told_as_one() {
        let workspace: Workspace = serde_json::from_value(json!({"metadata": {"name": "w"},
            "spec": {"members": [{"name": "lena", "role": "Admin"}, {"name": "bob"}]}}))
        .unwrap();
        let told = |user| in_workspace(&workspace, user).map(|it| it.to_string());
        assert_eq!(told("lena").as_deref(), Some("Workspace w: Admin"));
        assert_eq!(told("bob").as_deref(), Some("Workspace w: Member"));
        assert_eq!(told("carol"), None);
        assert_eq!(
            out_of_workspace(&workspace, "lena")["spec"]["members"],
            json!([{"kind": "User", "name": "bob"}])
        );
    }
}
