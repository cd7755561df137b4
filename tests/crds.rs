//! The committed definitions are the generated ones, and the API server would accept every shipped manifest.
//!
//! `UPDATE_GOLDEN=1 cargo test --test crds` regenerates crds/.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bowline_api::duration::Duration;
use bowline_api::{
    ConnectionBinding, ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn committed_definitions_are_the_generated_ones() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut expected = Vec::new();
    for definition in bowline_api::definitions() {
        let path = root().join("crds").join(file_name(&definition));
        let text = serde_yaml::to_string(&definition).unwrap();
        if update {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} differs from crates/bowline-api: run UPDATE_GOLDEN=1 cargo test --test crds",
            path.display()
        );
        expected.push(path);
    }
    let strangers: Vec<_> = files_under("crds").into_iter().filter(|f| !expected.contains(f)).collect();
    let strangers: Vec<_> =
        strangers.iter().filter(|f| f.file_name().unwrap() != "kustomization.yaml").collect();
    assert!(strangers.is_empty(), "no kind for {strangers:?}");
}

fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}

fn files_under(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_example_is_one_that_the_api_server_takes() {
    let schemas = Schemas::generated();
    let mut seen = BTreeMap::new();
    for (path, object) in manifests("examples").into_iter().chain(manifests("deploy")) {
        let kind =
            object["kind"].as_str().unwrap_or_else(|| panic!("{}: no kind", path.display())).to_owned();
        assert!(object["apiVersion"].is_string(), "{}: {kind} has no apiVersion", path.display());
        if object["apiVersion"] == "bowline.dev/v1alpha1" {
            let problems = schemas.problems(&kind, &object);
            assert!(problems.is_empty(), "{}: {problems:?}", path.display());
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(
        seen["IntegrationConnection"] >= 8 && seen["IntegrationProvider"] >= 7 && seen["Workspace"] >= 1,
        "{seen:?}"
    );
}

#[test]
fn objects_on_the_pages_are_ones_that_the_api_server_takes() {
    let schemas = Schemas::generated();
    let blocks = blocks_on_pages();
    let ours: Vec<_> =
        blocks.iter().filter(|(_, object)| object["apiVersion"] == "bowline.dev/v1alpha1").collect();
    assert!(ours.len() >= 8, "only {} objects were found", ours.len());
    for (path, object) in ours {
        let problems = schemas.problems(object["kind"].as_str().unwrap(), object);
        assert!(problems.is_empty(), "{}: {problems:?}\n{object:#}", path.display());
    }
}

#[test]
fn what_the_api_server_refuses_is_found_without_one() {
    let schemas = Schemas::generated();
    let good = serde_json::json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "c"}, "spec": {"provider": "sandbox", "owner": "alice"}});
    assert_eq!(schemas.problems("IntegrationConnection", &good), Vec::<String>::new());
    for (pointer, value, words) in [
        ("/spec/shared", serde_json::json!(true), "shared needs a workspace"),
        ("/spec/owner", serde_json::json!("system:admin"), "no system: user owns a connection"),
        ("/spec/method", serde_json::json!("Magic"), "\"Magic\""),
        ("/spec/scope", serde_json::json!("repo"), "'scope' was unexpected"),
        ("/spec/secret", serde_json::json!({"nam": "x"}), "'nam' was unexpected"),
        ("/metadata/name", serde_json::json!("a.b"), "may not contain a dot"),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        let problems = schemas.problems("IntegrationConnection", &bad);
        assert!(
            problems.iter().any(|problem| problem.contains(words)),
            "{pointer} should say '{words}': {problems:?}"
        );
    }
}

/// What in a schema breaks the rules for every field: see [`every_field_is_bounded_and_named_alike`].
fn flaws(schema: &Value, path: &str, flaws: &mut Vec<String>) {
    let has = |key: &str| schema.get(key).is_some();
    let mut must = |fits: bool, what: &str| {
        if !fits {
            flaws.push(format!("{path} {what}"));
        }
    };
    let is_time = schema["format"] == "date-time";
    match schema["type"].as_str() {
        // The operator alone writes status, and it must be able to say whatever happened.
        Some("string") if path.contains(".status.") => {}
        Some("string") => must(has("maxLength") || has("enum") || is_time, "has no maxLength"),
        Some("array") => {
            must(has("maxItems"), "has no maxItems");
            must(has("x-kubernetes-list-type"), "has no list type");
        }
        Some("object") if has("additionalProperties") => must(has("maxProperties"), "has no maxProperties"),
        _ => {}
    }
    let name = path.rsplit('.').next().unwrap();
    let mixed = ["Url", "Uri", "Http", "Cidr"].iter().any(|acronym| name.contains(acronym));
    must(!mixed, "has an acronym in mixed case");
    if ["before", "after", "interval", "timeout", "lifetime", "ttl"].contains(&name) {
        must(schema["pattern"] == Duration::PATTERN, "is a duration without its pattern");
    }
    for value in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // A name with a slash is a type of Kubernetes, spelled as there.
        let pascal =
            value.starts_with(|c: char| c.is_ascii_uppercase()) && value.chars().all(char::is_alphanumeric);
        must(pascal || value.contains('/'), &format!("has the value {value}"));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        self::flaws(field, &format!("{path}.{name}"), flaws);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            self::flaws(&schema[inner], &format!("{path}[]"), flaws);
        }
    }
}

#[test]
fn every_field_is_bounded_and_named_alike() {
    for definition in bowline_api::definitions() {
        let mut found = Vec::new();
        flaws(&schema_of(&definition), &definition.spec.names.kind, &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn a_field_without_bounds_or_with_another_spelling_is_seen() {
    let rows = [
        (serde_json::json!({"type": "string"}), "k.f", "maxLength"),
        (serde_json::json!({"type": "array", "maxItems": 1}), "k.f", "list type"),
        (serde_json::json!({"type": "array", "x-kubernetes-list-type": "set"}), "k.f", "maxItems"),
        (
            serde_json::json!({"type": "object", "additionalProperties": {"type": "boolean"}}),
            "k.f",
            "maxProperties",
        ),
        (serde_json::json!({"type": "string", "maxLength": 1}), "k.callbackUrl", "mixed case"),
        (serde_json::json!({"type": "string", "maxLength": 9}), "k.before", "pattern"),
        (serde_json::json!({"type": "string", "enum": ["single_use"]}), "k.f", "single_use"),
        (
            serde_json::json!({"type": "object", "properties": {"f": {"type": "string"}}}),
            "k",
            "k.f has no maxLength",
        ),
    ];
    for (schema, path, words) in rows {
        let mut found = Vec::new();
        flaws(&schema, path, &mut found);
        assert!(found.iter().any(|flaw| flaw.contains(words)), "{schema}: {found:?}");
    }
}

/// Fields of a spec whose description does not say what the field, or its absence, means.
fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let words = field["description"].as_str().unwrap_or_default();
        let absence = if required.contains(&name.as_str()) { "equired" } else { "Absent means" };
        // The members of a label selector are described by Kubernetes.
        if path.ends_with(".allow.namespaces.matchLabels")
            || path.ends_with(".allow.namespaces.matchExpressions")
        {
            continue;
        }
        if !words.ends_with('.') || !words.contains(absence) {
            found.push(format!("{path}: {words}"));
        }
        undescribed(field, &path, found);
        undescribed(&field["items"], &path, found);
    }
}

#[test]
fn every_field_of_a_spec_says_what_its_absence_means() {
    for definition in bowline_api::definitions() {
        let mut found = Vec::new();
        let kind = &definition.spec.names.kind;
        // Only the operator writes shares.
        if kind != "ConnectionShare" {
            undescribed(&schema_of(&definition)["properties"]["spec"], kind, &mut found);
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}

fn schema_of(definition: &CustomResourceDefinition) -> Value {
    let schema = definition.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// The kinds' schemas as JSON Schema, and their CEL rules.
struct Schemas(BTreeMap<String, (jsonschema::Validator, CustomResourceDefinition)>);

impl Schemas {
    fn generated() -> Self {
        let kinds = bowline_api::definitions().into_iter().map(|definition| {
            let mut json = schema_of(&definition);
            refuse_unknown_fields(&mut json);
            // The root is an object of Kubernetes: its other fields are not in our schema.
            json.as_object_mut().unwrap().remove("additionalProperties");
            let validator = jsonschema::validator_for(&json).unwrap();
            (definition.spec.names.kind.clone(), (validator, definition))
        });
        Self(kinds.collect())
    }

    fn problems(&self, kind: &str, object: &Value) -> Vec<String> {
        let (validator, _) = self.0.get(kind).unwrap_or_else(|| panic!("unknown kind {kind}"));
        let mut problems: Vec<_> = validator.iter_errors(object).map(|error| error.to_string()).collect();
        problems.extend(rule_problems(kind, object));
        problems
    }
}

/// The API server warns about unknown fields and drops them; in an example they are mistakes.
fn refuse_unknown_fields(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.values_mut().for_each(refuse_unknown_fields);
        }
        Value::Array(entries) => entries.iter_mut().for_each(refuse_unknown_fields),
        _ => {}
    }
}

fn manifests(folder: &str) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for path in
        files_under(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml"))
    {
        found.extend(documents(&path, &fs::read_to_string(&path).unwrap()));
    }
    // What kustomize reads is no object.
    found.retain(|(_, object)| object.get("nameReference").is_none());
    found
}

fn documents(path: &Path, text: &str) -> Vec<(PathBuf, Value)> {
    let read = |document| {
        Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()))
    };
    serde_yaml::Deserializer::from_str(text).map(|document| (path.to_owned(), read(document))).collect()
}

/// The content of the fenced YAML blocks of the pages, also of those in commands.
fn blocks_on_pages() -> Vec<(PathBuf, Value)> {
    let pages = files_under("docs").into_iter().chain([root().join("README.md")]);
    let mut found = Vec::new();
    for path in pages.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let page = fs::read_to_string(&path).unwrap();
        for block in page.split("```").skip(1).step_by(2) {
            let applied = block.split("<<'YAML'\n").skip(1).filter_map(|rest| rest.split("\nYAML").next());
            let texts = block.strip_prefix("yaml\n").into_iter().chain(applied);
            found.extend(texts.flat_map(|text| documents(&path, text)));
        }
    }
    found
}

fn rule_problems(kind: &str, object: &Value) -> Vec<String> {
    match kind {
        "IntegrationConnection" => rule_problems_of::<IntegrationConnection>(object),
        "IntegrationProvider" => rule_problems_of::<IntegrationProvider>(object),
        "Workspace" => rule_problems_of::<Workspace>(object),
        "ConnectionShare" => rule_problems_of::<ConnectionShare>(object),
        "ConnectionBinding" => rule_problems_of::<ConnectionBinding>(object),
        kind => panic!("unknown kind {kind}"),
    }
}

fn rule_problems_of<K: kube::CustomResourceExt + Serialize + for<'de> Deserialize<'de>>(
    object: &Value,
) -> Vec<String> {
    match serde_json::from_value::<K>(object.clone()) {
        Ok(object) => kube::core::cel::validate_cel(&object)
            .err()
            .map(|errors| errors.to_string())
            .into_iter()
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}
