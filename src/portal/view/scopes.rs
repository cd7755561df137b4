//! What the scopes that will be asked for let their holder do, the risky ones first.

use std::collections::BTreeSet;

use crate::api::IntegrationConnection;
use crate::catalog::look::ScopeKind;
use crate::catalog::protocol::Scopes;

/// How much a scope gives, the most worth a look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Change who may do what, or settings for others.
    Manage,
    /// Nobody has put it into words.
    Unknown,
    /// Change things, or act in somebody's name.
    Write,
    /// Look.
    Read,
}

impl Power {
    /// The heading of its group.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Manage => "Manage",
            Self::Unknown => "Not described here",
            Self::Write => "Change",
            Self::Read => "Read",
        }
    }

    /// Why the whole group is worth a second look; empty where it is not.
    pub fn caution(self) -> &'static str {
        match self {
            Self::Manage => "Powerful: it reaches what others rely on.",
            Self::Unknown => "The provider explains these before you agree.",
            Self::Write | Self::Read => "",
        }
    }
}

/// A scope on the page before the redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// As the provider calls it.
    pub name: String,
    /// In words; empty where nobody has found any.
    pub words: String,
    /// Why to think twice.
    pub risk: Option<String>,
    /// Whether the connection does not work without it.
    pub required: bool,
}

/// Scopes of one power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How much they give.
    pub power: Power,
    /// The scopes, those with a risk first.
    pub scopes: Vec<Asked>,
}

/// The scopes that a connection asks for, each once, grouped.
pub fn asked(scopes: &Scopes, connection: &IntegrationConnection) -> Vec<Group> {
    let chosen = if connection.spec.scopes.is_empty() { &scopes.default } else { &connection.spec.scopes };
    let mut seen = BTreeSet::new();
    let names = scopes.required.iter().chain(chosen).filter(|name| seen.insert(*name));
    let mut all: Vec<(Power, Asked)> = names.map(|name| one(scopes, name)).collect();
    all.sort_by_key(|(power, asked)| (*power, asked.risk.is_none()));
    let mut groups: Vec<Group> = Vec::new();
    for (power, asked) in all {
        match groups.last_mut() {
            Some(group) if group.power == power => group.scopes.push(asked),
            _ => groups.push(Group { power, scopes: vec![asked] }),
        }
    }
    groups
}

/// These scopes in words, in their order.
pub fn described(scopes: &Scopes, names: &[String]) -> Vec<Asked> {
    names.iter().map(|name| one(scopes, name).1).collect()
}

fn one(scopes: &Scopes, name: &str) -> (Power, Asked) {
    let meaning = scopes.meaning(name);
    let power = meaning.map_or(Power::Unknown, |meaning| match meaning.kind {
        ScopeKind::Read => Power::Read,
        ScopeKind::Write => Power::Write,
        ScopeKind::Manage => Power::Manage,
    });
    let asked = Asked {
        name: name.to_owned(),
        words: meaning.map(|meaning| meaning.says.clone()).unwrap_or_default(),
        risk: meaning.and_then(|meaning| meaning.risk.clone()),
        required: scopes.required.iter().any(|required| required == name),
    };
    (power, asked)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::catalog;
    use serde_json::json;

    #[test]
    fn the_risky_ones_come_first_and_each_once() {
        let mut scopes = catalog::get("github").unwrap().scopes.clone();
        scopes.required = vec!["read:user".to_owned()];
        let connection: IntegrationConnection = serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "metadata": {"name": "c"},
            "spec": {"provider": "p", "owner": "alice", "scopes": ["read:user", "public_repo", "repo", "made:up"]},
        }))
        .unwrap();
        let groups = asked(&scopes, &connection);
        let names: Vec<Vec<&str>> = groups
            .iter()
            .map(|group| group.scopes.iter().map(|scope| scope.name.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["made:up"], vec!["repo", "public_repo"], vec!["read:user"]]);
        assert!(groups[1].scopes[0].risk.is_some() && groups[2].scopes[0].required);
        assert_eq!(groups[0].scopes[0].words, "");
    }
}
