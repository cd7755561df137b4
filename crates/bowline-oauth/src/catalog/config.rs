//! Settings of those who use a connection: which there are at a provider, and what their values may be.

use std::collections::BTreeMap;
use std::fmt;

use bowline_api::ConsumerConfig;
use bowline_api::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parameter::Pattern;

/// A setting such as a repository or a channel, which connections and bindings may have in `spec.config`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigField {
    /// What it means and how it is written, for the person who sets it.
    pub description: String,
    /// What kind of value it has.
    #[serde(default)]
    pub kind: ConfigKind,
    /// What each text in it looks like, matched as a whole. Absent means any text.
    #[serde(skip_serializing)]
    pub(crate) pattern: Option<Pattern>,
}

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ConfigKind {
    /// One text.
    #[default]
    Text,
    /// A list of texts.
    TextList,
    /// An object whose values are texts.
    TextMap,
}

impl fmt::Display for ConfigKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "a text",
            Self::TextList => "a list of texts",
            Self::TextMap => "an object whose values are texts",
        })
    }
}

/// What is wrong with a setting. Its value is never repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFlaw {
    #[error("{name} is no setting of this provider, which has {known}")]
    Unknown { name: String, known: String },
    #[error("{name} must be {kind}")]
    Kind { name: String, kind: ConfigKind },
    #[error("{name} is not written as it must be: {description}")]
    Pattern { name: String, description: String },
}

impl ConfigField {
    fn check(&self, name: &str, value: &Value) -> Result<(), ConfigFlaw> {
        let texts: Option<Vec<&str>> = match (self.kind, value) {
            (ConfigKind::Text, value) => value.as_str().map(|text| vec![text]),
            (ConfigKind::TextList, Value::Array(values)) => values.iter().map(Value::as_str).collect(),
            (ConfigKind::TextMap, Value::Object(values)) => values.values().map(Value::as_str).collect(),
            (ConfigKind::TextList | ConfigKind::TextMap, _) => None,
        };
        let Some(texts) = texts else {
            return Err(ConfigFlaw::Kind { name: name.to_owned(), kind: self.kind });
        };
        match &self.pattern {
            Some(pattern) if !texts.into_iter().all(|text| pattern.matches(text)) => {
                Err(ConfigFlaw::Pattern { name: name.to_owned(), description: self.description.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with settings, where these are the ones that there are. Without any, all are taken.
pub(super) fn flaws(fields: &BTreeMap<String, ConfigField>, config: &ConsumerConfig) -> Vec<ConfigFlaw> {
    if fields.is_empty() {
        return Vec::new();
    }
    let known = || fields.keys().cloned().collect::<Vec<_>>().join(", ");
    let checked = config.iter().map(|(name, value)| match fields.get(name) {
        Some(field) => field.check(name, value),
        None => Err(ConfigFlaw::Unknown { name: shown::one_line(name), known: known() }),
    });
    checked.filter_map(Result::err).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::{entries, get};
    use super::*;

    fn told(entry: &str, config: Value) -> Vec<String> {
        let config = serde_json::from_value(config).unwrap();
        flaws(&get(entry).unwrap().config, &config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_fit_the_provider_or_say_how_they_do_not() {
        let rows = [
            ("github", json!({}), vec![]),
            (
                "github",
                json!({"repository": "acme/app", "labels": ["bug", "a b"], "assignee": "octocat"}),
                vec![],
            ),
            (
                "github",
                json!({"repository": "app"}),
                vec!["repository is not written as it must be: The repository, as OWNER/NAME."],
            ),
            ("github", json!({"labels": "bug"}), vec!["labels must be a list of texts"]),
            ("github", json!({"labels": ["bug", 1]}), vec!["labels must be a list of texts"]),
            (
                "github",
                json!({"repo": "acme/app"}),
                vec!["repo is no setting of this provider, which has assignee, labels, repository"],
            ),
            ("slack", json!({"channel": "#launch", "username": "bot"}), vec![]),
            ("notion", json!({"propertyMappings": {"Title": "name"}}), vec![]),
            (
                "notion",
                json!({"propertyMappings": ["name"]}),
                vec!["propertyMappings must be an object whose values are texts"],
            ),
            ("linear", json!({"team": "ENG", "state": "Todo"}), vec![]),
            ("trello", json!({"board": "nC8QJJoZ", "list": "To do"}), vec![]),
            (
                "trello",
                json!({"board": ["nC8QJJoZ"], "card": "x"}),
                vec!["board must be a text", "card is no setting of this provider, which has board, list"],
            ),
            ("openai", json!({"module": "summaries", "model": "gpt-5"}), vec![]),
            (
                "openai",
                json!({"temperature": "1"}),
                vec!["temperature is no setting of this provider, which has model, module"],
            ),
            ("generic-oauth2", json!({"anything": {"at": ["all", 1]}}), vec![]),
        ];
        for (entry, config, expected) in rows {
            assert_eq!(told(entry, config.clone()), expected, "{entry} {config}");
        }
    }

    #[test]
    fn every_setting_says_in_a_sentence_what_it_is() {
        for (name, entry) in entries() {
            for (setting, field) in &entry.config {
                assert!(field.description.ends_with('.'), "{name}: {setting}");
            }
        }
    }
}
