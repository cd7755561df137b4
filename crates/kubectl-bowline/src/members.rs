//! `members`: who else may do what with a connection (R26).

use anyhow::bail;
use clap::ValueEnum;
use serde_json::json;

use crate::session::UserSession;
use crate::table::{Cell, Table, printable};
use crate::{Screen, exit::Usage};
use bowline_api::member::{ConnectionMember, MemberKind, MemberRole};

const EXAMPLES: &str = "Examples:
  kubectl bowline members github-work
  kubectl bowline members github-work --add bob --role admin
  kubectl bowline members github-work --add ops --group
  kubectl bowline members github-work --remove bob

A member sees the connection and may bind it; an Admin also changes, deletes
and reauthorizes it, but does not choose its owner. Members may do nothing
before the owner has allowed access. The owner and Admins change them.";

const HEADING: &[&str] = &["KIND", "NAME", "ROLE"];

/// List, add and remove who else may do what with a connection
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MembersArgs {
    /// The connection
    name: String,
    /// Add this user, or give them another role
    #[arg(long, value_name = "USER", conflicts_with = "remove")]
    add: Option<String>,
    /// Remove this user
    #[arg(long, value_name = "USER")]
    remove: Option<String>,
    /// The name is that of a group
    #[arg(long)]
    group: bool,
    /// What they may do; without it member
    #[arg(long, value_name = "ROLE", value_enum, requires = "add")]
    role: Option<RoleWord>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum RoleWord {
    /// See and use it, change it, delete it, reauthorize it
    Admin,
    /// See and use it
    Member,
}

impl MembersArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let before = session.connection(&self.name).await?;
        let mut members = before.spec.members.clone();
        let Some(name) = self.add.as_ref().or(self.remove.as_ref()) else {
            return Ok(screen.result(&Table::fit(HEADING, &rows(&members), screen.colours()).1)?);
        };
        if *name == before.spec.owner && self.add.is_some() {
            return Err(Usage("that user owns it, and may do everything").into());
        }
        let kind = if self.group { MemberKind::Group } else { MemberKind::User };
        let is_it = |member: &ConnectionMember| member.kind.is(kind) && member.name == *name;
        if self.remove.is_some() && !members.iter().any(is_it) {
            bail!("{} is no member of it", printable(name));
        }
        members.retain(|member| !is_it(member));
        if self.add.is_some() {
            let role = match self.role {
                Some(RoleWord::Admin) => MemberRole::Admin,
                Some(RoleWord::Member) | None => MemberRole::Member,
            };
            members.push(ConnectionMember { kind: kind.into(), name: name.clone(), role: role.into() });
        }
        // The list is replaced as a whole: only in the version that was read.
        let version = before.metadata.resource_version.clone();
        let change = json!({"metadata": {"resourceVersion": version}, "spec": {"members": members}});
        session.patch(&before, change).await?;
        Ok(screen.result(&Table::fit(HEADING, &rows(&members), screen.colours()).1)?)
    }
}

fn rows(members: &[ConnectionMember]) -> Vec<Vec<Cell>> {
    let row = |ConnectionMember { kind, name, role }: &ConnectionMember| {
        vec![Cell::new(kind.to_string()), Cell::new(name), Cell::new(role.to_string())]
    };
    members.iter().map(row).collect()
}

/// In one line.
pub(crate) fn told(members: &[ConnectionMember]) -> String {
    let word = |member: &ConnectionMember| {
        let group = if member.kind.is(MemberKind::Group) { "group " } else { "" };
        format!("{group}{} ({})", member.name, member.role)
    };
    members.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_with_kind_and_role() {
        let members: Vec<ConnectionMember> = serde_json::from_value(json!([
            {"name": "bob", "role": "Admin"}, {"kind": "Group", "name": "ops"}, {"name": "x", "role": "Later"},
        ]))
        .unwrap();
        assert_eq!(told(&members), "bob (Admin), group ops (Member), x (Later)");
        let text = Table::fit(HEADING, &rows(&members), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["Group", "ops", "Member"]);
    }
}
