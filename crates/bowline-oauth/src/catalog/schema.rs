//! The JSON Schema of a catalogue file, for editors and docs.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, schema_for};
use serde_json::{Value, json};

use super::entry::{CatalogEntry, ThirdParty};
use super::load::merge;
use super::template::Template;

/// The JSON Schema (draft 2020-12) of one file in `providers/`.
///
/// A file may be laid over another, so nothing is required in it, and `null`, which removes what the parent says, may
/// stand for every value. What an entry needs as a whole is checked when it is loaded.
pub fn schema() -> Value {
    let mut schema = schema_for!(ThirdParty<Option<Template>>);
    if let Some(own) = schema_for!(CatalogEntry).as_object() {
        merge(schema.ensure_object(), own);
    }
    PartOfAnEntry.transform(&mut schema);
    schema.to_value()
}

struct PartOfAnEntry;

impl Transform for PartOfAnEntry {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        schema.remove("required");
        if let Some(kind) = schema.get_mut("type") {
            match kind {
                Value::String(name) if name != "null" => *kind = json!([name, "null"]),
                Value::Array(names) if !names.contains(&json!("null")) => names.push(json!("null")),
                _ => {}
            }
        }
        if let Some(Value::Array(variants)) = schema.get_mut("oneOf") {
            variants.push(json!({"type": "null"}));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::files::FILES;
    use super::*;

    #[test]
    fn every_file_is_valid_by_the_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for (name, text) in FILES {
            let document: Value = serde_yaml::from_str(text).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name}.yaml: {errors:#?}");
        }
    }

    #[test]
    fn the_schema_refuses_what_the_loader_refuses() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for text in [
            "colour: red",
            "grant: {rotatoin: none}",
            "grant: {rotation: often}",
            "grant: {grace: soon}",
            "errors: {code: error}",
            "errors: {token: {invalid_grant: dead}}",
            "parameters: {tenant: {kind: anything}}",
            "key: {validate: {metod: GET}}",
            "methods: [Guess]",
        ] {
            let document: Value = serde_yaml::from_str(text).unwrap();
            assert!(!validator.is_valid(&document), "{text}");
        }
    }

    /// Resolving fills the places of that list, and no others.
    #[test]
    fn every_address_of_the_schema_is_in_the_list() {
        fn places(at: &str, schema: &Value, definitions: &Value, found: &mut Vec<String>) {
            for variant in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
                places(at, variant, definitions, found);
            }
            match schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/")) {
                Some("Template") => found.push(at.to_owned()),
                Some(name) => places(at, &definitions[name], definitions, found),
                None => {}
            }
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                places(&format!("{at}/{name}"), field, definitions, found);
            }
        }
        let schema = schema();
        let mut found = Vec::new();
        places("", &schema, &schema["$defs"], &mut found);
        let entry = ThirdParty::<Option<Template>>::default();
        let mut listed = entry.named_addresses().map(|(place, ..)| place.to_owned()).to_vec();
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn every_field_is_documented() {
        fn check(at: &str, schema: &Value) {
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                assert!(field.get("description").is_some(), "{at}.{name} has no description");
            }
        }
        let schema = schema();
        check("Entry", &schema);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            check(name, definition);
        }
    }
}
