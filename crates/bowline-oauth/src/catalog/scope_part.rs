//! Scopes that a request and an answer have elsewhere than in `scope`: a GitHub App's permissions and repositories.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pointer::Pointer;

/// One kind of scopes, with a place of its own in requests, which are JSON, and in answers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopePart {
    /// What such a scope begins with, and what is not sent. Absent means the scopes that no other part has.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The member of the request that has them.
    pub(crate) field: String,
    /// How they are written there.
    pub(crate) form: ScopeForm,
    /// Where an answer has those that were granted.
    pub(crate) granted: Pointer,
    /// Where each item of a list in the answer has its name. Absent means that the items are the names.
    pub(crate) name: Option<Pointer>,
}

/// How scopes of one kind are written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum ScopeForm {
    /// A list of names.
    List,
    /// A member for each: `contents:read` is `{"contents": "read"}`.
    Levels,
}

impl ScopePart {
    /// What a scope is called in this part; `None` if it is of another.
    fn of<'a>(&self, scope: &'a str, others: &[Self]) -> Option<&'a str> {
        let elsewhere = |part: &Self| !part.prefix.is_empty() && scope.starts_with(&part.prefix);
        if self.prefix.is_empty() && others.iter().any(elsewhere) {
            return None;
        }
        scope.strip_prefix(&self.prefix)
    }

    /// Whether a scope is of this part.
    pub(crate) fn has(&self, scope: &str, all: &[Self]) -> bool {
        self.of(scope, all).is_some()
    }

    fn written<'a>(&self, names: impl Iterator<Item = &'a str>) -> Value {
        match self.form {
            ScopeForm::List => names.collect(),
            ScopeForm::Levels => {
                let levels = names.map(|name| name.split_once(':').unwrap_or((name, "read")));
                Value::Object(levels.map(|(name, level)| (name.to_owned(), level.into())).collect())
            }
        }
    }

    fn read(&self, document: &Value) -> Vec<String> {
        let text = |item: &Value| {
            self.name.as_ref().map_or_else(|| Pointer::default().text(item), |name| name.text(item))
        };
        match self.granted.get(document) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(text).map(|name| format!("{}{name}", self.prefix)).collect()
            }
            Some(Value::Object(levels)) => {
                let level = |level: &Value| level.as_str().map(ToOwned::to_owned);
                let levels = levels.iter().filter_map(|(name, value)| Some((name, level(value)?)));
                levels.map(|(name, level)| format!("{}{name}:{level}", self.prefix)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The members of a request that ask for these scopes. A part of which none is asked for is left out.
pub(crate) fn requested(parts: &[ScopePart], scopes: &[String]) -> Map<String, Value> {
    let asked = |part: &ScopePart| {
        let mut names = scopes.iter().filter_map(|scope| part.of(scope, parts)).peekable();
        names.peek().is_some().then(|| (part.field.clone(), part.written(names)))
    };
    parts.iter().filter_map(asked).collect()
}

/// The scopes that an answer names; `None` if it has none of the parts.
pub(crate) fn granted(parts: &[ScopePart], document: &Value) -> Option<Vec<String>> {
    let is_there = parts.iter().any(|part| part.granted.get(document).is_some());
    is_there.then(|| parts.iter().flat_map(|part| part.read(document)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts() -> Vec<ScopePart> {
        serde_json::from_value(json!([
            {"field": "permissions", "form": "Levels", "granted": "/permissions"},
            {"prefix": "repository:", "field": "repositories", "form": "List", "granted": "/repositories",
                "name": "/name"},
        ]))
        .unwrap()
    }

    #[test]
    fn each_kind_of_scope_has_its_member() {
        let asked = |scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            Value::Object(requested(&parts(), &scopes))
        };
        assert_eq!(
            asked(&["contents:read", "repository:app", "issues:write", "repository:web"]),
            json!({"permissions": {"contents": "read", "issues": "write"}, "repositories": ["app", "web"]})
        );
        assert_eq!(asked(&["metadata"]), json!({"permissions": {"metadata": "read"}}));
        assert_eq!(asked(&[]), json!({}));
    }

    #[test]
    fn an_answer_names_what_was_granted() {
        let document = json!({"permissions": {"contents": "read", "odd": 7},
            "repositories": [{"id": 1, "name": "app"}, {"id": 2}]});
        let granted = |document| granted(&parts(), &document);
        assert_eq!(granted(document).unwrap(), ["contents:read", "repository:app"]);
        assert_eq!(granted(json!({"token": "x"})), None);
    }
}
