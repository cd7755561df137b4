//! What scopes allow, the risky ones first.

use std::collections::BTreeSet;

use bowline_api::IntegrationConnection;
use bowline_api::connection::ScopesStatus;
use bowline_oauth::catalog::look::ScopeKind;
use bowline_oauth::catalog::protocol::ScopeRules;

use super::foreign;
use super::status::{Chip, chip};

/// The groups of scopes with heading and caution, the most important first. Those of no kind are not in the catalogue.
const GROUPS: [(Option<ScopeKind>, &str, &str); 4] = [
    (Some(ScopeKind::Manage), "Manage", "Powerful: it reaches what others rely on."),
    (None, "Not described here", "The provider explains these before you agree."),
    (Some(ScopeKind::Write), "Change", ""),
    (Some(ScopeKind::Read), "Read", ""),
];

pub(crate) struct ScopeWords {
    pub(crate) name: String,
    /// Empty if the catalogue does not describe it.
    pub(crate) words: String,
    pub(crate) risk: Option<String>,
    pub(crate) required: bool,
}

pub(crate) struct ScopeGroup {
    pub(crate) heading: &'static str,
    /// Empty if there is nothing to warn about.
    pub(crate) caution: &'static str,
    /// Those with a risk first.
    pub(crate) scopes: Vec<ScopeWords>,
}

/// The scopes that a connection requests, each once, grouped.
pub(crate) fn asked(scopes: &ScopeRules, connection: &IntegrationConnection) -> Vec<ScopeGroup> {
    let chosen = if connection.spec.scopes.is_empty() { &scopes.default } else { &connection.spec.scopes };
    let mut seen = BTreeSet::new();
    let mut names: Vec<&String> =
        scopes.required.iter().chain(chosen).filter(|name| seen.insert(*name)).collect();
    names.sort_by_key(|name| scopes.meaning(name).is_none_or(|meaning| meaning.risk.is_none()));
    let kind = |name: &str| scopes.meaning(name).map(|meaning| meaning.kind);
    let group = |(of, heading, caution)| {
        let ours = names.iter().filter(|name| kind(name) == of);
        ScopeGroup { heading, caution, scopes: ours.map(|name| described(scopes, name)).collect() }
    };
    GROUPS.into_iter().map(group).filter(|group| !group.scopes.is_empty()).collect()
}

pub(crate) fn described(scopes: &ScopeRules, name: &str) -> ScopeWords {
    let meaning = scopes.meaning(name);
    ScopeWords {
        name: foreign(name),
        words: meaning.map(|meaning| meaning.says.clone()).unwrap_or_default(),
        risk: meaning.and_then(|meaning| meaning.risk.clone()),
        required: scopes.required.iter().any(|required| required == name),
    }
}

pub(crate) struct ScopeLine {
    pub(crate) name: String,
    /// Empty if the catalogue does not describe it.
    pub(crate) words: String,
    pub(crate) chip: Chip,
    /// What that means for the connection, or empty.
    pub(crate) note: &'static str,
}

/// The result for each scope, problems first. Only a missing scope that is required is a problem (R15). Without the provider
/// (`known`) every missing one is treated as such.
pub(crate) fn became(known: Option<&ScopeRules>, status: &ScopesStatus) -> Vec<ScopeLine> {
    let line = |name: &String, icon, word, tone, note| {
        let meaning = known.and_then(|known| known.meaning(name));
        let words = meaning.map(|meaning| meaning.says.clone()).unwrap_or_default();
        ScopeLine { name: foreign(name), words, chip: chip(tone, icon, word), note }
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
        status.missing.iter().map(missing).partition(|line| line.chip.tone == "bad");
    let extra = status.extra.iter().map(|name| line(name, "+", "Granted, not requested", "bad", ""));
    let granted = status.granted.iter().filter(|name| !status.extra.contains(name));
    let given = granted.map(|name| line(name, "✓", "Granted", "good", ""));
    faults.into_iter().chain(extra).chain(given).chain(notes).collect()
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
            lines.map(|line| (line.name, line.chip.tone, line.note)).collect::<Vec<_>>()
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
