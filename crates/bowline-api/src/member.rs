//! Who besides the owner may do what with a connection or a workspace.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open::Open;

/// What a member may do.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transform = crate::schema::undescribed)]
pub enum MemberRole {
    /// Change it, and who its members are.
    Admin,
    /// See it and use it.
    #[default]
    Member,
}

impl MemberRole {
    pub const ALL: [Self; 2] = [Self::Admin, Self::Member];

    /// As a part of the names of its objects.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

/// What the name of a connection's member refers to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(transform = crate::schema::undescribed)]
pub enum MemberKind {
    User,
    Group,
}

/// One member of a connection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("a member is a person, a pipeline or a group, not one of the cluster's own system: users and groups")
        .field_path(".name")
)]
pub struct ConnectionMember {
    /// What the name is: a User or a Group. Absent means User.
    #[serde(default = "user")]
    #[schemars(with = "MemberKind")]
    pub kind: Open<MemberKind>,
    /// Name of the user or group, as this API server spells it. Required.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Admin: see, change, delete, reauthorize and use the connection; not its owner, nor what decides whose account it is.
    /// Member: see and use it. Absent means Member.
    #[serde(default = "member")]
    #[schemars(with = "MemberRole")]
    pub role: Open<MemberRole>,
}

impl ConnectionMember {
    /// Whether it is this user, or one of their groups.
    pub fn is(&self, user: &str, groups: &[String]) -> bool {
        match self.kind.known() {
            Some(MemberKind::User) => self.name == user,
            Some(MemberKind::Group) => groups.contains(&self.name),
            None => false,
        }
    }
}

fn user() -> Open<MemberKind> {
    MemberKind::User.into()
}

fn member() -> Open<MemberRole> {
    MemberRole::Member.into()
}
