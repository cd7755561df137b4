//! The roles of the members as they should be. Pure.

use std::collections::BTreeMap;

use bowline_api::member::{MemberKind, MemberRole};
use bowline_api::names::{GROUP, LABEL_CONNECTION_UID, LABEL_MANAGED_BY, LABEL_WORKSPACE, MANAGED_BY};
use bowline_api::{IntegrationConnection, Workspace};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A role, and the binding that gives it to the members who have it.
pub(super) struct RolePair<R, B> {
    pub(super) role: R,
    pub(super) binding: B,
}

/// What a member with this role may do with a connection. Never `share` or `assign-owner`.
const fn verbs(role: MemberRole) -> &'static [&'static str] {
    match role {
        MemberRole::Admin => &["get", "update", "patch", "delete", "connect", "use"],
        MemberRole::Member => &["get", "use"],
    }
}

/// The name of a role of a connection in its namespace, and of its binding.
pub(super) fn name_in_namespace(connection: &str, role: MemberRole) -> String {
    format!("bowline:{connection}:{}", role.word())
}

/// The name of the role of a workspace's Admins, and of its binding.
pub(super) fn name_in_cluster(workspace: &str) -> String {
    format!("bowline:workspace:{workspace}:{}", MemberRole::Admin.word())
}

/// Each role of a connection that a member has; none while the members may do nothing.
pub(super) fn of_connection(
    connection: &IntegrationConnection,
) -> BTreeMap<MemberRole, RolePair<Role, RoleBinding>> {
    let mut subjects: BTreeMap<MemberRole, Vec<Subject>> = BTreeMap::new();
    let in_force = connection.spec.members.iter().filter(|_| connection.has_members_in_force());
    for member in in_force {
        let kind = match member.kind.known() {
            Some(MemberKind::User) => "User",
            Some(MemberKind::Group) => "Group",
            None => continue,
        };
        let Some(role) = member.role.known() else { continue };
        subjects.entry(role).or_default().push(subject(kind, &member.name));
    }
    let name = connection.name_any();
    let pair = |(role, subjects)| {
        let metadata = ObjectMeta {
            namespace: connection.namespace(),
            ..metadata(
                connection,
                name_in_namespace(&name, role),
                LABEL_CONNECTION_UID,
                &connection.uid().unwrap_or_default(),
            )
        };
        let binding = RoleBinding {
            role_ref: reference("Role", &metadata),
            metadata: metadata.clone(),
            subjects: Some(subjects),
        };
        let rules = Some(vec![rule("integrationconnections", verbs(role), &name)]);
        (role, RolePair { role: Role { metadata, rules }, binding })
    };
    subjects.into_iter().map(pair).collect()
}

/// The role of a workspace's Admins, if there are any.
pub(super) fn of_workspace(workspace: &Workspace) -> Option<RolePair<ClusterRole, ClusterRoleBinding>> {
    let admins = workspace.spec.members.iter().filter(|member| member.is_admin());
    // RBAC knows a ServiceAccount by its user name as well.
    let subjects: Vec<_> = admins.map(|member| subject("User", &member.name)).collect();
    let name = workspace.name_any();
    let metadata = metadata(workspace, name_in_cluster(&name), LABEL_WORKSPACE, &name);
    let binding = ClusterRoleBinding {
        role_ref: reference("ClusterRole", &metadata),
        metadata: metadata.clone(),
        subjects: Some(subjects).filter(|subjects| !subjects.is_empty()),
    };
    binding.subjects.as_ref()?;
    let rules = Some(vec![rule("workspaces", &["get", "update", "patch"], &name)]);
    Some(RolePair { role: ClusterRole { metadata, rules, aggregation_rule: None }, binding })
}

fn metadata<K: Resource<DynamicType = ()>>(owner: &K, name: String, label: &str, value: &str) -> ObjectMeta {
    let labels = [(LABEL_MANAGED_BY, MANAGED_BY), (label, value)];
    ObjectMeta {
        name: Some(name),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        owner_references: Some(owner.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    }
}

fn rule(resource: &str, verbs: &[&str], name: &str) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![GROUP.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(vec![name.to_owned()]),
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    }
}

fn reference(kind: &str, metadata: &ObjectMeta) -> RoleRef {
    let name = metadata.name.clone().unwrap_or_default();
    RoleRef { api_group: RBAC.to_owned(), kind: kind.to_owned(), name }
}

fn subject(kind: &str, name: &str) -> Subject {
    Subject {
        api_group: Some(RBAC.to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(connected_by: Option<&str>) -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "mail", "namespace": "team-a", "uid": "u"},
            "spec": {"provider": "p", "owner": "alice", "members": [
                {"name": "bob", "role": "Admin"}, {"kind": "Group", "name": "ops"},
                {"kind": "Robot", "name": "later", "role": "Admin"}, {"name": "later", "role": "Keeper"},
            ]},
            "status": {"connectedBy": connected_by},
        }))
        .unwrap()
    }

    #[test]
    fn each_role_in_use_is_for_one_connection_by_name_and_never_shares() {
        let roles = of_connection(&connection(Some("alice")));
        let told: Vec<_> = roles
            .values()
            .map(|RolePair { role, binding }| {
                let rule = &role.rules.as_ref().unwrap()[0];
                let subjects = binding.subjects.as_ref().unwrap();
                assert_eq!(rule.resource_names.as_deref(), Some(&["mail".to_owned()][..]));
                assert_eq!(role.metadata.owner_references.as_ref().unwrap()[0].uid, "u");
                assert_eq!(binding.role_ref.name, role.name_any());
                let who = subjects.iter().map(|it| format!("{} {}", it.kind, it.name)).collect::<Vec<_>>();
                (role.name_any(), rule.verbs.join(" "), who.join(", "))
            })
            .collect();
        let expected = [
            ("bowline:mail:admin", "get update patch delete connect use", "User bob"),
            ("bowline:mail:member", "get use", "Group ops"),
        ];
        assert_eq!(told, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }

    #[test]
    fn members_have_nothing_before_their_owner_has_allowed_access() {
        assert!(of_connection(&connection(None)).is_empty());
        assert!(of_connection(&connection(Some("the former owner"))).is_empty());
    }

    #[test]
    fn only_admins_of_a_workspace_have_a_role() {
        let workspace = |role: &str| -> Workspace {
            let members = json!([{"name": "alice", "role": role}, {"name": "bob"}]);
            serde_json::from_value(
                json!({"metadata": {"name": "w", "uid": "u"}, "spec": {"members": members}}),
            )
            .unwrap()
        };
        assert!(of_workspace(&workspace("Member")).is_none());
        let pair = of_workspace(&workspace("Admin")).unwrap();
        assert_eq!(pair.binding.subjects.unwrap().len(), 1);
        assert_eq!(pair.role.rules.unwrap()[0].verbs, ["get", "update", "patch"]);
    }
}
