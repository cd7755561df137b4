//! What a scope lets the holder do, in words: read, write or manage, the risky ones first.

use crate::api::IntegrationConnection;
use crate::catalog::Description;

/// How much a scope gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Change settings, people or everything.
    Manage,
    /// Change or send things.
    Write,
    /// Look.
    Read,
}

impl Power {
    /// The heading of its group.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Manage => "Manage",
            Self::Write => "Read and change",
            Self::Read => "Read",
        }
    }

    /// Why it is worth a second look.
    pub fn caution(self) -> &'static str {
        match self {
            Self::Manage => "Powerful: it can change or remove things that others rely on.",
            Self::Write => "It can change or send things in your name.",
            Self::Read => "",
        }
    }
}

/// A scope on the page before the redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// As the provider calls it.
    pub name: String,
    /// In words, where they are known.
    pub words: String,
    /// Whether the connection does not work without it.
    pub required: bool,
}

/// Scopes of one power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How much they give.
    pub power: Power,
    /// The scopes.
    pub scopes: Vec<Asked>,
}

/// The scopes that a connection asks for, grouped, the risky groups first.
pub fn asked(description: &Description, connection: &IntegrationConnection) -> Vec<Group> {
    let scopes = &description.scopes;
    let chosen = if connection.spec.scopes.is_empty() { &scopes.default } else { &connection.spec.scopes };
    let mut names: Vec<&String> = scopes.required.iter().chain(chosen).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let mut groups: Vec<Group> =
        [Power::Manage, Power::Write, Power::Read].map(|power| Group { power, scopes: Vec::new() }).into();
    for name in names {
        let required = scopes.required.contains(name);
        let asked = Asked { name: name.clone(), words: words(name), required };
        if let Some(group) = groups.iter_mut().find(|group| group.power == power(name)) {
            group.scopes.push(asked);
        }
    }
    groups.retain(|group| !group.scopes.is_empty());
    groups
}

const MANAGE: &[&str] = &["admin", "manage", "delete", "full", "owner", "all", "fullcontrol"];
const WRITE: &[&str] = &[
    "write",
    "readwrite",
    "send",
    "compose",
    "modify",
    "edit",
    "create",
    "post",
    "repo",
    "upload",
    "insert",
    "update",
];
const STANDARD: &[(&str, &str)] = &[
    ("openid", "Confirm who you are"),
    ("email", "See your e-mail address"),
    ("profile", "See your name and picture"),
    ("offline_access", "Keep access while you are away, until you disconnect"),
];

/// The words that a scope's name is made of, its address left out.
fn parts(scope: &str) -> Vec<String> {
    let name = scope.rsplit('/').next().unwrap_or(scope);
    name.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|part| !part.is_empty())
        .collect()
}

fn power(scope: &str) -> Power {
    let parts = parts(scope);
    let has = |words: &[&str]| parts.iter().any(|part| words.contains(&part.as_str()));
    // The address of a whole service, without a part that narrows it, is all of it.
    let whole = scope.starts_with("https://") && scope.ends_with('/');
    if has(MANAGE) || whole {
        Power::Manage
    } else if has(WRITE) && !parts.iter().any(|part| part == "readonly") {
        Power::Write
    } else {
        Power::Read
    }
}

fn words(scope: &str) -> String {
    if let Some((_, words)) = STANDARD.iter().find(|(name, _)| *name == scope) {
        return (*words).to_owned();
    }
    let verbs = ["read", "readonly", "write", "readwrite", "admin", "manage"];
    let what: Vec<String> = parts(scope).into_iter().filter(|part| !verbs.contains(&part.as_str())).collect();
    let verb = match power(scope) {
        Power::Manage => "Manage",
        Power::Write => "Read and change",
        Power::Read => "Read",
    };
    if what.is_empty() {
        format!("{verb} what belongs to you there")
    } else {
        format!("{verb}: {}", what.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_a_scope_is_read_from_its_words() {
        for (scope, expected) in [
            ("read:user", Power::Read),
            ("user:email", Power::Read),
            ("repo", Power::Write),
            ("admin:org", Power::Manage),
            ("chat:write", Power::Write),
            ("https://mail.google.com/", Power::Manage),
            ("https://www.googleapis.com/auth/gmail.readonly", Power::Read),
            ("Mail.ReadWrite", Power::Write),
            ("delete_repo", Power::Manage),
        ] {
            assert_eq!(power(scope), expected, "{scope}");
        }
    }

    #[test]
    fn a_scope_is_told_in_words() {
        assert_eq!(words("offline_access"), "Keep access while you are away, until you disconnect");
        assert_eq!(words("read:user"), "Read: user");
        assert_eq!(words("write"), "Read and change what belongs to you there");
    }
}
