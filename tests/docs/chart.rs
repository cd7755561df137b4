//! charts/bowline: values.schema.json and the table of values in README.md are generated from the comments of values.yaml,
//! and its versions are the project's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use bowline::cli;
use clap::{ArgAction, CommandFactory};
use serde_json::{Map, Value, json};

use crate::{none, read, root};

const CHART: &str = "charts/bowline";

/// Flags that follow from other values of the chart. One that is here and that the program does not have is an error.
const FOLLOWING: &[(&str, &[&str])] = &[
    (
        "operator",
        &[
            "namespace",
            "listen",
            "secret-namespaces",
            "portal-url",
            "attempts-namespace",
            "journal-dir",
            "instance",
        ],
    ),
    (
        "portal",
        &[
            "url",
            "listen",
            "namespace",
            "attempts-namespace",
            "webhook-secrets",
            "trusted-proxies",
            "oidc-issuer",
            "oidc-client-id",
            "oidc-client-secret-file",
            "oidc-ca-file",
            "oidc-username-claim",
            "oidc-username-prefix",
            "oidc-groups-claim",
            "oidc-groups-prefix",
            "sign-in-with-token",
            "token-audience",
            "proxy-secret-file",
        ],
    ),
];

/// What the comment above a value says.
#[derive(Default)]
struct ValueNote {
    text: String,
    /// From a line `@schema`.
    schema: Map<String, Value>,
}

impl ValueNote {
    fn of(comments: &[&str]) -> Self {
        let mut note = Self::default();
        let mut words = Vec::new();
        for line in comments {
            if let Some(schema) = line.strip_prefix("@schema ") {
                note.schema = serde_yaml::from_str(schema).unwrap_or_else(|error| panic!("{line}: {error}"));
            } else if let Some(program) = line.strip_prefix("@flags ") {
                note.schema.insert("properties".to_owned(), flags_of(program));
            } else {
                words.push(*line);
            }
        }
        note.text = words.join(" ");
        note
    }

    /// Whether the value's keys are not those of its default.
    fn is_free(&self) -> bool {
        self.schema.contains_key("additionalProperties") || self.schema.contains_key("properties")
    }
}

/// The notes of values.yaml with their paths, in its order.
fn notes(text: &str) -> Vec<(String, ValueNote)> {
    let mut found = Vec::new();
    let (mut place, mut comments): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(comment) = bare.strip_prefix('#') {
            comments.push(comment.trim_start());
        } else if let Some((key, _)) = bare.split_once(':') {
            place.truncate((line.len() - bare.len()) / 2);
            place.push(key);
            found.push((place.join("."), ValueNote::of(&std::mem::take(&mut comments))));
        } else {
            comments.clear();
        }
    }
    found
}

/// The flags of a program that a value may set, as the properties of a schema.
fn flags_of(program: &str) -> Value {
    let command = cli::Cli::command();
    let command = command.find_subcommand(program).unwrap_or_else(|| panic!("no bowline {program}"));
    let following = FOLLOWING.iter().find(|(name, _)| *name == program).unwrap().1;
    let mut properties = Map::new();
    let flags = command.get_arguments().filter_map(|flag| Some((flag.get_long()?, flag)));
    for (name, flag) in flags.filter(|(name, _)| *name != "help" && !following.contains(name)) {
        let choices: Vec<_> =
            flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let mut schema = match flag.get_action() {
            ArgAction::SetTrue => json!({"type": "boolean"}),
            _ if !choices.is_empty() => json!({"enum": choices}),
            _ if flag.get_value_delimiter().is_some() => {
                json!({"type": ["string", "array"], "items": {"type": "string"}})
            }
            _ => json!({"type": ["string", "integer"]}),
        };
        schema["description"] = flag.get_help().map(ToString::to_string).into();
        properties.insert(name.to_owned(), schema);
    }
    Value::Object(properties)
}

/// The schema of a value with this default.
fn schema(path: &str, default: &Value, notes: &[(String, ValueNote)]) -> BTreeMap<String, Value> {
    let note = notes.iter().find(|(noted, _)| noted == path).map(|(_, note)| note);
    let kind = match default {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => panic!("{path} has no default"),
    };
    let mut schema = BTreeMap::from([("type".to_owned(), json!(kind))]);
    if let Value::Object(fields) = default {
        schema.insert("additionalProperties".to_owned(), json!(false));
        if note.is_none_or(|note| !note.is_free()) {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let property = |(key, value): (&String, &Value)| {
                let path = format!("{path}.{key}");
                (key.clone(), self::schema(path.trim_start_matches('.'), value, notes))
            };
            let properties: BTreeMap<_, _> = fields.into_iter().map(property).collect();
            schema.insert("properties".to_owned(), json!(properties));
        }
    }
    if let Some(note) = note {
        schema.extend((!note.text.is_empty()).then(|| ("description".to_owned(), json!(note.text))));
        schema.extend(note.schema.clone());
    }
    schema
}

/// A row for each value that can be set.
fn rows(defaults: &Value, notes: &[(String, ValueNote)]) -> String {
    let mut rows = String::from("| value | default | what it does |\n|---|---|---|\n");
    let mut within_free = None;
    for (path, note) in notes {
        let default = defaults.pointer(&format!("/{}", path.replace('.', "/"))).expect("a value");
        if within_free.as_ref().is_some_and(|outer: &String| path.starts_with(outer)) {
            continue;
        }
        if note.is_free() {
            within_free = Some(format!("{path}."));
        } else if default.is_object() {
            continue;
        }
        assert!(
            note.text.trim_end_matches('*').ends_with('.'),
            "values.yaml: {path} needs a comment of whole sentences"
        );
        writeln!(rows, "| `{path}` | `{}` | {} |", sorted(default), note.text.replace('|', "\\|")).unwrap();
    }
    rows
}

/// The same with the keys of objects in alphabetical order, whatever the parser keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Compares with the committed file, or replaces it.
fn golden(path: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(path), text).unwrap();
    }
    assert!(read(path) == text, "{path} is not what values.yaml says: run make docs");
}

#[test]
fn schema_and_table_of_the_chart_are_up_to_date() {
    let text = read(&format!("{CHART}/values.yaml"));
    let defaults: Value = serde_yaml::from_str(&text).unwrap();
    let notes = notes(&text);

    let mut schema = json!(schema("", &defaults, &notes));
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Values of the Bowline chart");
    // Helm sets it where this chart is a part of another.
    schema["properties"]["global"] = json!({"type": "object"});
    let text = serde_json::to_string_pretty(&sorted(&schema)).unwrap();
    golden(&format!("{CHART}/values.schema.json"), &format!("{text}\n"));

    let page = format!("{CHART}/README.md");
    let before = read(&page);
    let (head, _) = before.split_once("| value | default |").expect("a table of values");
    golden(&page, &format!("{head}{}", rows(&defaults, &notes)));
}

#[test]
fn flags_that_follow_from_other_values_exist() {
    let command = cli::Cli::command();
    let mut problems = Vec::new();
    for (program, following) in FOLLOWING {
        let flags: Vec<_> = command
            .find_subcommand(program)
            .unwrap()
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        problems.extend(
            following.iter().filter(|flag| !flags.contains(flag)).map(|flag| format!("{program} {flag}")),
        );
    }
    none(&problems, "the programs have these flags");
}

#[test]
fn every_manifest_has_the_version_of_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        (format!("{CHART}/Chart.yaml"), format!("\nversion: {version}\nappVersion: {version}\n")),
        ("deploy/kustomization.yaml".to_owned(), format!("newTag: {version}\n")),
        ("deploy/portal/kustomization.yaml".to_owned(), format!("newTag: {version}\n")),
        (
            "deploy/components/labels/kustomization.yaml".to_owned(),
            format!("app.kubernetes.io/version: {version}\n"),
        ),
    ];
    let problems = expected.iter().filter(|(path, line)| !read(path).contains(line));
    let problems: Vec<_> = problems.map(|(path, line)| format!("{path}: {}", line.trim())).collect();
    none(&problems, "versions belong together");
}
