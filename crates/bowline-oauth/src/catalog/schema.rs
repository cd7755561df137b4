//! The JSON Schema of a catalogue file, for editors and docs.

use std::collections::BTreeSet;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};

use super::entry::{CatalogEntry, ThirdParty};
use super::merge::merge;
use super::template::Template;

/// The JSON Schema (draft 2020-12) of one file in `providers/`.
///
/// A file may be laid over another, so nothing is required in it, and `null`, which removes what the parent says, may
/// stand for every value. What an entry needs as a whole is checked when it is loaded.
pub fn schema() -> Value {
    let mut schema = complete();
    PartOfAnEntry.transform(&mut schema);
    schema.to_value()
}

/// The schema of an entry as a whole.
fn complete() -> Schema {
    let mut schema = schema_for!(ThirdParty<Option<Template>>);
    if let Some(own) = schema_for!(CatalogEntry).as_object() {
        merge(schema.ensure_object(), own);
    }
    schema
}

/// The schema of `spec.overlay` as a structural schema of a `CustomResourceDefinition`: that of a file, without `extends`.
pub fn overlay_schema() -> Value {
    let schema = complete().to_value();
    let mut overlay = structural(&schema, &schema["$defs"], Absence::IsTheEntrys);
    if let Some(fields) = overlay.pointer_mut("/properties").and_then(Value::as_object_mut) {
        fields.remove("extends");
    }
    overlay
}

/// The longest text in an overlay.
const LONGEST_TEXT: u32 = 2048;
/// The most entries of a list or map in an overlay.
const MOST_ENTRIES: u32 = 256;

/// What it means that a field of an overlay is absent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// What the entry says counts.
    IsTheEntrys,
    /// It is part of a list, which is replaced as a whole.
    IsItsOwn,
}

/// One schema as Kubernetes takes it: without references, each field of one type, and without defaults. Outside lists a field
/// may be `null`, which removes what the entry says.
fn structural(schema: &Value, definitions: &Value, absence: Absence) -> Value {
    let schema = plain(schema, definitions);
    let nothing = Map::new();
    let fields = schema.as_object().unwrap_or(&nothing);
    let mut structural = match kind_of(fields) {
        Some("object") => object(fields, definitions, absence),
        Some(kind) => simple(kind, fields, definitions, absence),
        None => json!({"x-kubernetes-preserve-unknown-fields": true}),
    };
    let description = fields.get("description").and_then(Value::as_str).unwrap_or_default();
    let names = variants(fields);
    let one_of = if names.is_empty() { String::new() } else { format!(" One of {}.", names.join(", ")) };
    structural["description"] = overlay_words(&format!("{description}{one_of}"), absence).into();
    if absence == Absence::IsTheEntrys {
        structural["nullable"] = true.into();
    }
    structural
}

/// The one type of a field; `None` if it may be any JSON.
fn kind_of(fields: &Map<String, Value>) -> Option<&str> {
    let is_enum = || (!variants(fields).is_empty()).then_some("string");
    fields.get("type").and_then(Value::as_str).or_else(is_enum)
}

/// A field that is no object.
fn simple(kind: &str, fields: &Map<String, Value>, definitions: &Value, absence: Absence) -> Value {
    let mut simple = json!({"type": kind});
    let names = variants(fields);
    if kind == "array" {
        simple["items"] = undescribed(structural(&fields["items"], definitions, Absence::IsItsOwn));
        simple["maxItems"] = MOST_ENTRIES.into();
        simple["x-kubernetes-list-type"] = "atomic".into();
    } else if !names.is_empty() {
        // With an enum the API server refuses `null`, even where it is nullable and listed.
        match absence {
            Absence::IsTheEntrys => simple["pattern"] = format!("^({})$", names.join("|")).into(),
            Absence::IsItsOwn => simple["enum"] = names.into(),
        }
    }
    if kind == "string" && simple.get("enum").is_none() {
        simple["maxLength"] = LONGEST_TEXT.into();
    }
    for bound in ["pattern", "minimum", "maximum"] {
        if let Some(given) = fields.get(bound) {
            simple[bound] = given.clone();
        }
    }
    simple
}

/// What stands for itself in a list or map.
fn undescribed(mut schema: Value) -> Value {
    schema.as_object_mut().map(|fields| fields.remove("description"));
    schema
}

fn object(fields: &Map<String, Value>, definitions: &Value, absence: Absence) -> Value {
    let below = |field: &Value| structural(field, definitions, absence);
    if let Some(known) = fields.get("properties").and_then(Value::as_object) {
        let known: Map<_, _> = known.iter().map(|(name, field)| (name.clone(), below(field))).collect();
        let mut object = json!({"type": "object", "properties": known});
        // An overlay is a part of an entry, but what it has in a list is whole.
        let required = fields.get("required").and_then(Value::as_array);
        if let Some(required) = required.filter(|_| absence == Absence::IsItsOwn) {
            let required: BTreeSet<&str> = required.iter().filter_map(Value::as_str).collect();
            object["required"] = json!(required);
        }
        return object;
    }
    let values = undescribed(below(fields.get("additionalProperties").unwrap_or(&Value::Null)));
    json!({"type": "object", "additionalProperties": values, "maxProperties": MOST_ENTRIES})
}

/// The schema with references followed and without `null` as an alternative. What stands beside a reference counts before it.
fn plain(schema: &Value, definitions: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let variants = fields.get("anyOf").and_then(Value::as_array);
    let only = variants.and_then(|variants| variants.iter().find(|variant| variant["type"] != "null"));
    let reference = fields.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    let below = only.or_else(|| definitions.get(reference?));
    let mut plain = below.map_or_else(Map::new, |below| {
        let below = self::plain(below, definitions);
        below.as_object().cloned().unwrap_or_default()
    });
    let own = fields.iter().filter(|(name, _)| !["anyOf", "$ref"].contains(&name.as_str()));
    plain.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(Value::Array(kinds)) = plain.get("type") {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        plain.extend(kind.map(|kind| ("type".to_owned(), kind)));
    }
    Value::Object(plain)
}

/// The values of an enum.
fn variants(fields: &Map<String, Value>) -> Vec<String> {
    let listed = fields.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
    let described = fields.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let described = described.flat_map(|variant| {
        let several = variant.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        several.into_iter().chain(variant.get("const").cloned())
    });
    let names = listed.into_iter().chain(described);
    names.filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect()
}

/// A field's description, with what its absence means in an overlay.
fn overlay_words(description: &str, absence: Absence) -> String {
    let sentences = description.replace('\n', " ");
    let says_absence = |sentence: &&str| sentence.starts_with("Absent means");
    if absence == Absence::IsItsOwn {
        let says_it = sentences.split_inclusive(". ").any(|sentence| says_absence(&sentence));
        return if says_it { sentences } else { format!("{sentences} Required.") };
    }
    let kept: Vec<&str> =
        sentences.split_inclusive(". ").filter(|sentence| !says_absence(sentence)).collect();
    format!("{} Absent means the entry's.", kept.concat().trim_end())
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
    use std::collections::BTreeMap;

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
            "grant: {rotatoin: None}",
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

    /// With fields by name, whatever order other crates make `serde_json` keep.
    fn in_order(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let by_name: BTreeMap<_, _> = fields.iter().collect();
                by_name.into_iter().map(|(name, field)| (name.clone(), in_order(field))).collect()
            }
            Value::Array(items) => items.iter().map(in_order).collect(),
            other => other.clone(),
        }
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_definition_of_providers_has_the_schema_of_the_overlay() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../bowline-api/src/overlay.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&in_order(&overlay_schema())).unwrap());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == text,
            "run UPDATE_GOLDEN=1 cargo test -p bowline-oauth overlay"
        );
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
