//! The terms of a connection: where its token goes and which scopes are requested. Its owner agrees to them. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::names::ANNOTATION_TERMS_BY;
use crate::opaque::Digest;
use crate::{IntegrationConnection, IntegrationConnectionSpec, Workspace};

/// Where the token of a connection goes, and which scopes are requested.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionTerms {
    /// The workspace that the connection names.
    pub workspace: Option<String>,
    /// Whether it is shared with that workspace.
    #[serde(default)]
    pub shared: bool,
    /// The namespaces of the workspace, as it lists them, where the connection is shared. Absent: those that it lists once it exists.
    #[schemars(with = "Option<Vec<String>>")]
    pub namespaces: Option<BTreeSet<String>>,
    /// The scopes that the connection names; none means the provider's default scopes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub scopes: BTreeSet<String>,
}

/// Where the token goes and which scopes are requested: what the owner agreed to is in force, and what is wider waits.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TermsStatus {
    /// What is in force.
    pub agreed: ConnectionTerms,
    /// What the spec and its workspace ask for, while that is more. Absent: nothing waits.
    pub proposed: Option<ConnectionTerms>,
    /// The digest of `proposed`, with which the owner approves it.
    pub digest: Option<String>,
    /// The user who changed the spec, if it was not the owner. Absent while only the workspace has changed, and where it is not
    /// known, because an admission policy was missing.
    pub by: Option<String>,
    /// The generation of the connection that `agreed` takes into account.
    pub observed_generation: Option<i64>,
}

/// Who asks for more than the owner agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposer<'a> {
    /// By name.
    User(&'a str),
    /// Somebody who changed the spec while an admission policy was missing, maybe the owner.
    Unknown,
    /// Nobody changed the spec: its workspace lists more namespaces.
    Workspace,
}

impl TermsStatus {
    /// Who asks for what waits; `None` if nothing does.
    pub fn proposer(&self) -> Option<Proposer<'_>> {
        let proposed = self.proposed.as_ref()?;
        if let Some(by) = &self.by {
            return Some(Proposer::User(by));
        }
        let by_spec = ConnectionTerms { namespaces: self.agreed.namespaces.clone(), ..proposed.clone() };
        Some(if by_spec.is_wider_than(&self.agreed) { Proposer::Unknown } else { Proposer::Workspace })
    }
}

impl ConnectionTerms {
    /// What a spec asks for; `workspace` is the one that it names, if it can be read.
    pub fn of(spec: &IntegrationConnectionSpec, workspace: Option<&Workspace>) -> Self {
        let shared = spec.shared.unwrap_or_default();
        let live = workspace.filter(|it| shared && it.metadata.deletion_timestamp.is_none());
        let listed = live.map(|it| it.spec.namespaces.iter().cloned().collect());
        let scopes = spec.scopes.iter().cloned().collect();
        Self { workspace: spec.workspace.clone(), shared, namespaces: listed, scopes }
    }

    /// Terms under which the token goes nowhere but to the connection's own namespace.
    #[must_use]
    pub fn kept_private(self) -> Self {
        Self { workspace: None, shared: false, namespaces: None, scopes: self.scopes }
    }

    /// As somebody agrees to them who was shown them: with no namespaces but those that are listed.
    #[must_use]
    pub fn as_shown(self) -> Self {
        let namespaces = self.shared.then(|| self.namespaces.unwrap_or_default());
        Self { namespaces, ..self }
    }

    /// Whether sharing under these terms lets the token go where `agreed` does not, or prepares that by another workspace.
    pub fn shares_more_than(&self, agreed: &Self) -> bool {
        let other_workspace = self.workspace.is_some() && self.workspace != agreed.workspace;
        other_workspace || self.shared && (!agreed.shared || !self.added_namespaces(agreed).is_empty())
    }

    /// The namespaces that `agreed` does not have. Where it names none yet, they are decided when the workspace is read.
    pub fn added_namespaces(&self, agreed: &Self) -> BTreeSet<&str> {
        let Some(asked) = self.namespaces.as_ref().filter(|_| self.shared) else { return BTreeSet::new() };
        let is_same = agreed.shared && agreed.workspace == self.workspace;
        let has = |namespace: &str| match &agreed.namespaces {
            Some(namespaces) => namespaces.contains(namespace),
            None => true,
        };
        asked.iter().map(String::as_str).filter(|namespace| !(is_same && has(namespace))).collect()
    }

    /// The scopes that `agreed` does not name. What a provider's default scopes are is not known here, so they contain no other,
    /// and no list contains them: then this is `None`.
    pub fn added_scopes(&self, agreed: &Self) -> Option<BTreeSet<&str>> {
        if self.scopes.is_empty() && !agreed.scopes.is_empty() {
            return None;
        }
        let added = self.scopes.iter().filter(|scope| !agreed.scopes.contains(*scope));
        Some(added.map(String::as_str).collect())
    }

    /// Whether more scopes are requested than under `agreed`.
    pub fn requests_more_than(&self, agreed: &Self) -> bool {
        self.added_scopes(agreed).is_none_or(|added| !added.is_empty())
    }

    /// Whether its owner has to agree to these terms, given what they agreed to.
    pub fn is_wider_than(&self, agreed: &Self) -> bool {
        self.shares_more_than(agreed) || self.requests_more_than(agreed)
    }

    /// These terms without what `asked` does not ask for. Namespaces stay agreed to: who removes one from a workspace and adds it
    /// again has not changed what the owner said.
    #[must_use]
    pub fn narrowed_to(&self, asked: &Self) -> Self {
        let shared = self.shared && asked.shared;
        let workspace = self.workspace.clone().filter(|_| asked.workspace.is_some());
        let namespaces = self.namespaces.clone().filter(|_| shared);
        let kept: BTreeSet<String> = self.scopes.intersection(&asked.scopes).cloned().collect();
        // Nothing in common would mean the default scopes, which may be more.
        let scopes = if asked.scopes.is_empty() || kept.is_empty() { self.scopes.clone() } else { kept };
        Self { workspace, shared, namespaces, scopes }
    }

    /// By which an owner approves these terms and no others: 40 hexadecimal digits.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        Digest::of(&format!("terms:{text}")).short().to_owned()
    }
}

impl IntegrationConnection {
    /// Who set the present terms, if it was somebody else than the owner. Admission holds this true.
    pub fn terms_by_another(&self) -> Option<&str> {
        let by = self.metadata.annotations.as_ref()?.get(ANNOTATION_TERMS_BY)?;
        (*by != self.spec.owner && !by.is_empty()).then_some(by)
    }

    /// Whether the owner may take over what somebody else has set: it is all agreed to.
    pub fn may_take_over_terms(&self) -> bool {
        let told = self.terms();
        told.is_some_and(|told| {
            told.proposed.is_none() && told.observed_generation == self.metadata.generation
        })
    }

    /// What the operator says of the terms; absent where nobody has to agree to any.
    pub fn terms(&self) -> Option<&TermsStatus> {
        self.status.as_ref()?.terms.as_ref()
    }

    /// What waits for the owner's approval: what is agreed, what is proposed, and its digest.
    pub fn waiting_terms(&self) -> Option<(&ConnectionTerms, &ConnectionTerms, &str)> {
        let terms = self.terms()?;
        Some((&terms.agreed, terms.proposed.as_ref()?, terms.digest.as_deref()?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn terms(value: Value) -> ConnectionTerms {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn wider_is_what_takes_the_token_elsewhere_or_requests_more() {
        let agreed =
            json!({"workspace": "w", "shared": true, "namespaces": ["x", "y"], "scopes": ["a", "b"]});
        let private = json!({"scopes": ["a"]});
        let open = json!({"workspace": "w", "shared": true, "scopes": ["a"]});
        let default = json!({});
        for (sentence, before, after, wider) in [
            ("the same", &agreed, agreed.clone(), false),
            ("not shared any more", &agreed, json!({"workspace": "w", "scopes": ["a", "b"]}), false),
            ("no workspace any more", &agreed, json!({"scopes": ["a", "b"]}), false),
            (
                "a namespace less, a scope less",
                &agreed,
                json!({"workspace": "w", "shared": true, "namespaces": ["x"], "scopes": ["a"]}),
                false,
            ),
            (
                "a namespace more",
                &agreed,
                json!({"workspace": "w", "shared": true, "namespaces": ["x", "y", "z"], "scopes": ["a", "b"]}),
                true,
            ),
            (
                "another workspace",
                &agreed,
                json!({"workspace": "v", "shared": true, "namespaces": ["x"], "scopes": ["a", "b"]}),
                true,
            ),
            ("another workspace, private", &agreed, json!({"workspace": "v", "scopes": ["a", "b"]}), true),
            ("a scope more", &agreed, json!({"workspace": "w", "scopes": ["a", "b", "c"]}), true),
            ("the default scopes", &agreed, json!({"workspace": "w"}), true),
            (
                "shared",
                &private,
                json!({"workspace": "w", "shared": true, "namespaces": [], "scopes": ["a"]}),
                true,
            ),
            ("a workspace", &private, json!({"workspace": "w", "scopes": ["a"]}), true),
            (
                "namespaces of a workspace that is there now",
                &open,
                json!({"workspace": "w", "shared": true, "namespaces": ["x"], "scopes": ["a"]}),
                false,
            ),
            ("a list beside the default scopes", &default, json!({"scopes": ["a"]}), true),
            ("default scopes as before", &default, json!({}), false),
        ] {
            let (before, after) = (terms(before.clone()), terms(after));
            assert_eq!(after.is_wider_than(&before), wider, "{sentence}");
            let narrowed = before.narrowed_to(&after);
            assert!(!narrowed.is_wider_than(&before), "{sentence}: what is narrowed is never wider");
            assert_eq!(before.narrowed_to(&before), before);
        }
    }

    #[test]
    fn what_is_narrowed_leaves_out_what_is_not_asked_for() {
        let agreed =
            terms(json!({"workspace": "w", "shared": true, "namespaces": ["x"], "scopes": ["a", "b"]}));
        for (asked, left) in [
            (json!({"workspace": "w", "scopes": ["a"]}), json!({"workspace": "w", "scopes": ["a"]})),
            (json!({"scopes": ["b", "c"]}), json!({"scopes": ["b"]})),
            (json!({}), json!({"scopes": ["a", "b"]})),
            (
                json!({"workspace": "v", "shared": true, "namespaces": ["z"], "scopes": ["c"]}),
                json!({"workspace": "w", "shared": true, "namespaces": ["x"], "scopes": ["a", "b"]}),
            ),
        ] {
            assert_eq!(agreed.narrowed_to(&terms(asked.clone())), terms(left), "{asked}");
        }
    }

    #[test]
    fn any_other_terms_have_another_digest() {
        let all = [
            json!({}),
            json!({"workspace": "w"}),
            json!({"workspace": "w", "shared": true}),
            json!({"workspace": "w", "shared": true, "namespaces": []}),
            json!({"workspace": "w", "shared": true, "namespaces": ["x"]}),
            json!({"scopes": ["w"]}),
        ];
        let digests: BTreeSet<_> = all.iter().map(|value| terms(value.clone()).digest()).collect();
        assert_eq!(digests.len(), all.len());
        let order = |list: [&str; 2]| terms(json!({"scopes": list})).digest();
        assert_eq!(order(["a", "b"]), order(["b", "a"]));
    }

    #[test]
    fn a_workspace_that_cannot_be_read_lists_nothing() {
        let spec: IntegrationConnectionSpec = serde_json::from_value(
            json!({"provider": "p", "owner": "alice", "workspace": "w", "shared": true, "scopes": ["b", "a"]}),
        )
        .unwrap();
        let workspace: Workspace = serde_json::from_value(
            json!({"metadata": {"name": "w"}, "spec": {"members": [], "namespaces": ["y", "x"]}}),
        )
        .unwrap();
        assert_eq!(ConnectionTerms::of(&spec, None).namespaces, None);
        assert_eq!(
            ConnectionTerms::of(&spec, Some(&workspace)),
            terms(json!({"workspace": "w", "shared": true, "namespaces": ["x", "y"], "scopes": ["a", "b"]})),
        );
        let private = IntegrationConnectionSpec { shared: None, ..spec };
        assert_eq!(ConnectionTerms::of(&private, Some(&workspace)).namespaces, None);
    }
}
