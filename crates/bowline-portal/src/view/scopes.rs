//! What scopes allow, the risky ones first.

use std::collections::BTreeSet;

use bowline_api::IntegrationConnection;
use bowline_api::connection::ScopesStatus;
use bowline_oauth::catalog::look::ScopeKind;
use bowline_oauth::catalog::protocol::ScopeRules;

use super::foreign;

/// How much a scope allows, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    /// Permissions or settings of others.
    Manage,
    /// Not in the catalogue.
    Unknown,
    /// Change things, or act in the user's name.
    Write,
    Read,
}

impl Power {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Manage => "Manage",
            Self::Unknown => "Not described here",
            Self::Write => "Change",
            Self::Read => "Read",
        }
    }

    /// A warning about the whole group, or empty.
    pub(crate) fn caution(self) -> &'static str {
        match self {
            Self::Manage => "Powerful: it reaches what others rely on.",
            Self::Unknown => "The provider explains these before you agree.",
            Self::Write | Self::Read => "",
        }
    }
}

/// A scope with its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScopeWords {
    pub(crate) name: String,
    /// Empty if the catalogue does not describe it.
    pub(crate) words: String,
    pub(crate) risk: Option<String>,
    pub(crate) required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScopeGroup {
    pub(crate) power: Power,
    /// Those with a risk first.
    pub(crate) scopes: Vec<ScopeWords>,
}

/// The scopes that a connection requests, each once, grouped.
pub(crate) fn asked(scopes: &ScopeRules, connection: &IntegrationConnection) -> Vec<ScopeGroup> {
    let chosen = if connection.spec.scopes.is_empty() { &scopes.default } else { &connection.spec.scopes };
    let mut seen = BTreeSet::new();
    let names = scopes.required.iter().chain(chosen).filter(|name| seen.insert(*name));
    let mut all: Vec<(Power, ScopeWords)> = names.map(|name| one(scopes, name)).collect();
    all.sort_by_key(|(power, asked)| (*power, asked.risk.is_none()));
    let mut groups: Vec<ScopeGroup> = Vec::new();
    for (power, asked) in all {
        match groups.last_mut() {
            Some(group) if group.power == power => group.scopes.push(asked),
            _ => groups.push(ScopeGroup { power, scopes: vec![asked] }),
        }
    }
    groups
}

/// Describes scopes, in the same order.
pub(crate) fn described(scopes: &ScopeRules, names: &[String]) -> Vec<ScopeWords> {
    names.iter().map(|name| one(scopes, name).1).collect()
}

/// A scope and whether it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScopeLine {
    pub(crate) name: String,
    /// Empty if the catalogue does not describe it.
    pub(crate) words: String,
    /// Hidden from screen readers.
    pub(crate) icon: &'static str,
    pub(crate) word: &'static str,
    /// CSS class of the chip.
    pub(crate) tone: &'static str,
    /// What that means for the connection, or empty.
    pub(crate) note: &'static str,
}

/// The result for each scope, problems first. Only a missing scope that is required is a problem (R15). Without the provider
/// (`known`) every missing one is treated as such.
pub(crate) fn became(known: Option<&ScopeRules>, status: &ScopesStatus) -> Vec<ScopeLine> {
    let line = |name: &String, icon, word, tone, note| {
        let meaning = known.and_then(|known| known.meaning(name));
        let words = meaning.map(|meaning| meaning.says.clone()).unwrap_or_default();
        ScopeLine { name: foreign(name), words, icon, word, tone, note }
    };
    let is_needed = |known: &ScopeRules, name: &str| {
        known.required.iter().any(|required| known.comparable(required) == known.comparable(name))
    };
    let missing = |name: &String| match known.map(|known| is_needed(known, name)) {
        Some(true) => line(name, "–", "Not granted", "bad", "Required: reconnect and allow it."),
        Some(false) => line(name, "–", "Not granted", "plain", "Optional: the connection works without it."),
        None => line(name, "–", "Not granted", "bad", ""),
    };
    let (faults, notes): (Vec<_>, Vec<_>) =
        status.missing.iter().map(missing).partition(|line| line.tone == "bad");
    let extra = status.extra.iter().map(|name| line(name, "+", "Granted, not requested", "bad", ""));
    let granted = status.granted.iter().filter(|name| !status.extra.contains(name));
    let given = granted.map(|name| line(name, "✓", "Granted", "good", ""));
    faults.into_iter().chain(extra).chain(given).chain(notes).collect()
}

fn one(scopes: &ScopeRules, name: &str) -> (Power, ScopeWords) {
    let meaning = scopes.meaning(name);
    let power = meaning.map_or(Power::Unknown, |meaning| match meaning.kind {
        ScopeKind::Read => Power::Read,
        ScopeKind::Write => Power::Write,
        ScopeKind::Manage => Power::Manage,
    });
    let asked = ScopeWords {
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
    use bowline_oauth::catalog;

    use super::*;
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

    #[test]
    fn a_missing_scope_is_a_fault_only_where_it_is_required() {
        let mut known = catalog::get("github").unwrap().scopes.clone();
        known.required = vec!["repo".to_owned()];
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let status = ScopesStatus {
            granted: list(&["read:user", "gist"]),
            missing: list(&["public_repo", "repo"]),
            extra: list(&["gist"]),
            ..ScopesStatus::default()
        };
        let told = |known| {
            let lines = became(known, &status).into_iter();
            lines.map(|line| (line.name, line.tone, line.note)).collect::<Vec<_>>()
        };
        let expected = [
            ("repo", "bad", "Required: reconnect and allow it."),
            ("gist", "bad", ""),
            ("read:user", "good", ""),
            ("public_repo", "plain", "Optional: the connection works without it."),
        ];
        assert_eq!(told(Some(&known)), expected.map(|(name, tone, note)| (name.to_owned(), tone, note)));
        assert!(told(None)[..2].iter().all(|(_, tone, note)| *tone == "bad" && note.is_empty()));
    }
}
