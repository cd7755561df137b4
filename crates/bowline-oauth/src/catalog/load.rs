//! From files to entries: `extends`, defaults, and the rules that one file must keep.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::entry::{ADDRESSES, Entry, PARAMETERS};
use super::files::{DEFAULTS, FILES};
use super::parameter::{ParameterKind, SettableBy};
use super::template::{Template, TemplateError};

/// A catalogue file that cannot be used. The message names the file and what is wrong in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It is not YAML, or not a map.
    #[error("{file}.yaml: {source}")]
    Syntax {
        /// Name without `.yaml`.
        file: String,
        /// What the parser says.
        source: serde_yaml::Error,
    },
    /// It has an unknown key or a value of the wrong shape.
    #[error("{file}.yaml: {source}")]
    Shape {
        /// Name without `.yaml`.
        file: String,
        /// What the reader says; names the key.
        source: serde_json::Error,
    },
    /// `extends` names no file.
    #[error("{file}.yaml: extends {parent}, which does not exist")]
    UnknownParent {
        /// Name without `.yaml`.
        file: String,
        /// The name that it extends.
        parent: String,
    },
    /// `extends` leads back to itself.
    #[error("{file}.yaml: extends itself, by way of its parents")]
    Cycle {
        /// Name without `.yaml`.
        file: String,
    },
    /// A rule that the schema cannot say is broken.
    #[error("{file}.yaml: {flaw}")]
    Flawed {
        /// Name without `.yaml`.
        file: String,
        /// The rule.
        flaw: Flaw,
    },
}

/// A rule that an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// There is no method.
    #[error("methods is empty")]
    NoMethod,
    /// A parameter of a request has braces that do not pair up.
    #[error("{TemplateError}")]
    BadTemplate,
    /// A placeholder has no parameter of its name, or that parameter is a setting.
    #[error("{{{placeholder}}} is no parameter that fills placeholders")]
    UnknownPlaceholder {
        /// Its name.
        placeholder: String,
    },
    /// A parameter neither fills a placeholder nor decides a setting.
    #[error("parameters.{parameter} is used nowhere")]
    UnusedParameter {
        /// Its name.
        parameter: String,
    },
    /// A parameter of a kind that only an administrator may set is left to connections.
    #[error("parameters.{parameter} may not be set by connections")]
    TooFree {
        /// Its name.
        parameter: String,
    },
    /// A text stands in an address.
    #[error("parameters.{parameter} is a text and stands in an address")]
    TextInAddress {
        /// Its name.
        parameter: String,
    },
    /// The default of a parameter is not a value that it allows.
    #[error("the default of parameters.{parameter} is not allowed by itself")]
    BadDefault {
        /// Its name.
        parameter: String,
    },
}

/// All entries by name.
///
/// # Panics
///
/// Never in a build that passed its tests: the files are compiled in, and a test loads them all.
#[allow(clippy::expect_used)]
pub fn entries() -> &'static BTreeMap<String, Entry> {
    static ENTRIES: LazyLock<BTreeMap<String, Entry>> =
        LazyLock::new(|| load(DEFAULTS, FILES).expect("the catalogue compiled in is sound"));
    &ENTRIES
}

/// The entry of that name.
pub fn get(name: &str) -> Option<&'static Entry> {
    entries().get(name)
}

/// Reads files, each laid over its parents and, in the end, over the defaults.
pub(super) fn load(defaults: &str, files: &[(&str, &str)]) -> Result<BTreeMap<String, Entry>, LoadError> {
    let defaults = parse("defaults", defaults)?;
    let parsed: BTreeMap<&str, Map<String, Value>> =
        files.iter().map(|(name, text)| Ok((*name, parse(name, text)?))).collect::<Result<_, LoadError>>()?;
    parsed
        .keys()
        .map(|name| {
            let merged = lay_over(name, &parsed, &defaults, &mut Vec::new())?;
            let shape = |source| LoadError::Shape { file: (*name).to_owned(), source };
            let mut entry = Entry::deserialize(Value::Object(merged.clone())).map_err(shape)?;
            entry.json = merged;
            match flaw(&entry) {
                Some(flaw) => Err(LoadError::Flawed { file: (*name).to_owned(), flaw }),
                None => Ok(((*name).to_owned(), entry)),
            }
        })
        .collect()
}

fn parse(file: &str, text: &str) -> Result<Map<String, Value>, LoadError> {
    serde_yaml::from_str(text).map_err(|source| LoadError::Syntax { file: file.to_owned(), source })
}

/// The file laid over its parents, the oldest of which lies over the defaults.
fn lay_over(
    name: &str,
    parsed: &BTreeMap<&str, Map<String, Value>>,
    defaults: &Map<String, Value>,
    seen: &mut Vec<String>,
) -> Result<Map<String, Value>, LoadError> {
    let file = || seen.first().map_or(name, String::as_str).to_owned();
    if seen.iter().any(|other| other == name) {
        return Err(LoadError::Cycle { file: file() });
    }
    let Some(own) = parsed.get(name) else {
        let file = seen.last().cloned().unwrap_or_default();
        return Err(LoadError::UnknownParent { file, parent: name.to_owned() });
    };
    seen.push(name.to_owned());
    let mut base = match own.get("extends").and_then(Value::as_str) {
        Some(parent) => lay_over(parent, parsed, defaults, seen)?,
        None => defaults.clone(),
    };
    merge(&mut base, own);
    Ok(base)
}

/// Maps merge, lists and scalars replace, `null` removes.
pub(super) fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.remove(key);
            }
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The first rule that the entry breaks.
fn flaw(entry: &Entry) -> Option<Flaw> {
    if entry.methods.is_empty() {
        return Some(Flaw::NoMethod);
    }
    let json = Value::Object(entry.json.clone());
    let addresses = ADDRESSES.iter().filter_map(|(place, _)| json.pointer(place));
    let texts = PARAMETERS.iter().filter_map(|place| json.pointer(place)?.as_object()).flat_map(Map::values);
    let (Some(in_addresses), Some(in_texts)) = (placeholders(addresses), placeholders(texts)) else {
        return Some(Flaw::BadTemplate);
    };
    if let Some(name) = in_addresses.iter().chain(&in_texts).find(|name| !entry.fills(name)) {
        return Some(Flaw::UnknownPlaceholder { placeholder: name.clone() });
    }
    entry.parameters.iter().find_map(|(name, parameter)| {
        let parameter_name = || name.clone();
        let administrators = parameter.sets.is_some()
            || matches!(parameter.kind, ParameterKind::Host | ParameterKind::Url | ParameterKind::Text);
        let in_address = in_addresses.contains(name);
        if administrators && parameter.settable_by == SettableBy::Connection {
            Some(Flaw::TooFree { parameter: parameter_name() })
        } else if in_address && parameter.kind == ParameterKind::Text {
            Some(Flaw::TextInAddress { parameter: parameter_name() })
        } else if parameter.default.as_deref().is_some_and(|value| parameter.check(value).is_err()) {
            Some(Flaw::BadDefault { parameter: parameter_name() })
        } else if parameter.sets.is_none() && !in_address && !in_texts.contains(name) {
            Some(Flaw::UnusedParameter { parameter: parameter_name() })
        } else {
            None
        }
    })
}

/// The placeholders in all of these; `None` where one is not written as it should be.
fn placeholders<'a>(texts: impl Iterator<Item = &'a Value>) -> Option<Vec<String>> {
    let templates = texts.filter_map(Value::as_str).map(|text| Template::parse(text).ok());
    let templates: Option<Vec<Template>> = templates.collect();
    Some(templates?.iter().flat_map(Template::placeholders).map(str::to_owned).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINIMAL: &str =
        "displayName: Base\nmethods: [RefreshToken]\nendpoints: {token: 'https://a.example/t'}\n";

    fn error(files: &[(&str, &str)]) -> String {
        load("{}", files).unwrap_err().to_string()
    }

    #[test]
    fn every_entry_loads() {
        let entries = load(DEFAULTS, FILES).unwrap();
        assert_eq!(entries.len(), FILES.len());
        for (name, entry) in &entries {
            assert!(!entry.sources.is_empty(), "{name} names no source");
        }
    }

    #[test]
    fn a_source_is_an_address_unless_it_has_none() {
        for (name, entry) in &load(DEFAULTS, FILES).unwrap() {
            for source in &entry.sources {
                let first = source.split(' ').next().unwrap();
                let address = url::Url::parse(first).is_ok_and(|url| url.scheme() == "https");
                // `owner/repository path` and `RFC n` can be followed, and so must be.
                let followed = source.contains('/') || source.starts_with("RFC ");
                assert!(address || !followed, "{name}: {source}");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_files_name() {
        let text = format!("{MINIMAL}colour: red\n");
        let message = error(&[("base", &text)]);
        assert!(message.starts_with("base.yaml: unknown field `colour`"), "{message}");
        let text = format!("{MINIMAL}grant: {{rotatoin: none}}\n");
        let message = error(&[("base", &text)]);
        assert!(message.starts_with("base.yaml: unknown field `rotatoin`"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_yaml_map_is_refused() {
        for text in ["- a", "a: [", "text", ""] {
            assert!(error(&[("base", text)]).starts_with("base.yaml: "), "{text:?}");
        }
    }

    #[test]
    fn extends_merges_maps_and_replaces_lists_and_scalars() {
        let base = format!(
            "{MINIMAL}scopes: {{default: [a, b], required: [a]}}\nerrors: {{token: {{x: reauth, y: config}}}}\n\
             grant: {{idleLifetime: 2160h}}\n"
        );
        let child = "extends: base\ndisplayName: Child\nscopes: {default: [c]}\nerrors: {token: {y: bug, z: alive}}\n\
                     grant: {idleLifetime: null}\n";
        let entries = load("{}", &[("child", child), ("base", &base)]).unwrap();
        let child = &entries["child"];
        assert_eq!((child.display_name.as_str(), child.methods.len()), ("Child", 1));
        assert_eq!(
            (&child.scopes.default[..], &child.scopes.required[..]),
            (&["c".to_owned()][..], &["a".to_owned()][..])
        );
        let codes: Vec<_> =
            child.errors.token.iter().map(|(code, class)| format!("{code} {class:?}")).collect();
        assert_eq!(codes, ["x Reauth", "y Bug", "z Alive"]);
        assert_eq!(child.grant.idle_lifetime, None);
    }

    #[test]
    fn defaults_lie_below_everything() {
        let entries = load("grant: {rotation: Sliding}", &[("base", MINIMAL)]).unwrap();
        assert_eq!(entries["base"].grant.rotation, bowline_api::provider::Rotation::Sliding);
    }

    #[test]
    fn cycles_and_unknown_parents_are_refused() {
        assert_eq!(
            error(&[("a", "extends: b"), ("b", "extends: a")]),
            "a.yaml: extends itself, by way of its parents"
        );
        assert_eq!(error(&[("a", "extends: a")]), "a.yaml: extends itself, by way of its parents");
        assert_eq!(error(&[("a", "extends: z")]), "a.yaml: extends z, which does not exist");
    }

    #[test]
    fn rules_between_keys_are_kept() {
        let tenant = |rest: &str| format!("parameters: {{tenant: {{description: d, {rest}}}}}\n");
        let rows = [
            ("methods: []\n".to_owned(), "base.yaml: methods is empty"),
            (
                "endpoints: {token: 'https://a.example/{tenant}'}\n".to_owned(),
                "base.yaml: {tenant} is no parameter that fills placeholders",
            ),
            (
                "authorize: {params: {audience: '{a b}'}}\n".to_owned(),
                "base.yaml: a placeholder is written {name}, with lower-case letters, digits and underscores",
            ),
            (tenant("kind: path_segment"), "base.yaml: parameters.tenant is used nowhere"),
            (
                tenant("kind: host, settableBy: connection"),
                "base.yaml: parameters.tenant may not be set by connections",
            ),
            (
                tenant("kind: path_segment, default: a/b"),
                "base.yaml: the default of parameters.tenant is not allowed by itself",
            ),
            (
                format!("{}endpoints: {{token: 'https://a.example/{{tenant}}'}}\n", tenant("kind: text")),
                "base.yaml: parameters.tenant is a text and stands in an address",
            ),
        ];
        for (over, expected) in rows {
            let child = format!("extends: parent\n{over}");
            assert_eq!(error(&[("base", &child), ("parent", MINIMAL)]), expected);
        }
    }
}
