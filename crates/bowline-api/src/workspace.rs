//! `Workspace`: people, and the namespaces in which their shared connections are published.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::member::MemberRole;
use crate::open::Open;
use crate::owner::SubjectKind;

/// People, and the namespaces in which their shared connections are published.
///
/// Whoever may edit a Workspace decides who can share into its namespaces: restrict that by RBAC. The kind is cluster-wide for
/// good: a workspace spans namespaces.
#[skip_serializing_none]
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "Workspace",
    status = "WorkspaceStatus",
    category = "bowline",
    derive = "PartialEq",
    doc = "People, and the namespaces in which their shared connections are published.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSpec {
    /// Name shown to people, up to 128 characters. Absent means the object's name.
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,

    /// Who belongs to it, up to 1000. When you remove a member, their shares are withdrawn from this workspace. Absent means nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub members: Vec<WorkspaceMember>,

    /// Namespaces in which shared connections are published, up to 256. A namespace belongs to one Workspace: the older one wins.
    /// Absent means none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,

    /// Who may share which connection although somebody else shared one with the same id before: the connection's id,
    /// `<namespace>.<name>`, and its new owner. Up to 256. Absent means that an id is shared by its first owner only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256, "additionalProperties" = {"type": "string", "minLength": 1, "maxLength": 253}))]
    #[x_kube(
        validation = Rule::new("self.all(id, size(id) <= 127 && id.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?[.][a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
            .message("the id of a connection is <namespace>.<name>")
    )]
    pub accepted_owners: BTreeMap<String, String>,

    /// What may count towards this workspace, and whether connections may be shared with it. Absent means no limits.
    pub limits: Option<WorkspaceLimits>,

    /// Contact for questions about this workspace, up to 253 characters. Absent means none.
    #[schemars(length(max = 253))]
    pub contact: Option<String>,
}

impl WorkspaceSpec {
    /// Whether this user is a member.
    pub fn has_member(&self, user: &str) -> bool {
        // The kind follows from the name: the schema holds the two together.
        self.members.iter().any(|member| member.name == user)
    }

    /// Whether this user may share the connection with this id, whoever shared one under it before.
    pub fn accepts(&self, id: &str, owner: &str) -> bool {
        self.accepted_owners.get(id).is_some_and(|accepted| accepted == owner)
    }
}

/// Limits of a workspace. A connection counts towards the workspace that its namespace belongs to, and towards the one that it
/// names in `spec.workspace` if its owner is a member there.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceLimits {
    /// How many connections may count towards the workspace, 0 to 100000. The older ones count first. One for which no place is
    /// left gets no first grant (`LimitReached`) and is not newly shared with the workspace; one that is connected stays so, and
    /// may connect again. Absent means any number.
    #[schemars(range(min = 0, max = 100_000))]
    pub connections: Option<i32>,

    /// The `IntegrationProvider` objects whose connections may count towards the workspace, up to 256. One of another provider
    /// gets no first grant (`LimitReached`) and is not shared with the workspace; one that is connected stays so. Absent means
    /// all, and an empty list none.
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub providers: Option<Vec<String>>,

    /// Whether connections may be shared with the workspace. With false, what is shared is withdrawn, and the owners keep their
    /// own Secrets. Absent means true.
    pub sharing: Option<bool>,
}

/// One member.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind != 'User' || !self.name.startsWith('system:')")
        .message("a member of kind User is a person or a pipeline, not a system: user")
        .field_path(".name"),
    validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')")
        .message("a member of kind ServiceAccount is named system:serviceaccount:NAMESPACE:NAME")
        .field_path(".name")
)]
pub struct WorkspaceMember {
    /// What the name is: a User or a `ServiceAccount`. Absent means User.
    #[serde(default = "user")]
    #[schemars(with = "SubjectKind")]
    pub kind: Open<SubjectKind>,
    /// User name as this API server spells it, such as `alice@example.com`. For a `ServiceAccount`:
    /// `system:serviceaccount:NAMESPACE:NAME`. Required.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Admin: may also change the workspace. Once there is an Admin, one stays. Absent means Member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<MemberRole>")]
    pub role: Option<Open<MemberRole>>,
}

impl WorkspaceMember {
    pub fn is_admin(&self) -> bool {
        self.role.as_ref().is_some_and(|role| role.is(MemberRole::Admin))
    }
}

fn user() -> Open<SubjectKind> {
    SubjectKind::User.into()
}

/// What the operator knows of a workspace.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceStatus {
    /// The generation that this status is about.
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
