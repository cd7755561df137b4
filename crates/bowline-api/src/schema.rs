//! What the derived schemas do not say by themselves.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::Schema;

/// Bounds for types of Kubernetes, and for the lists of status: nothing that is written comes near them. Texts of status have
/// none: a provider's words may be long, and a status that the API server refuses would say nothing at all.
const LONGEST_TEXT: i64 = 32_768;
const MOST_ENTRIES: i64 = 1_000;

/// Removes the description of an enum: for an optional field it would replace the field's own.
pub(crate) fn undescribed(schema: &mut Schema) {
    schema.remove("description");
}

/// Completes a definition: bounds, and no field is nullable but those of an overlay, where `null` removes.
///
/// The API server then drops a `null` before it validates, so `null` means absent for the rules in the schema as it does for us.
/// A nullable field would count as set for `has()`, and `workspace: null` would do.
pub(crate) fn complete(definition: &mut CustomResourceDefinition) {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(schema) = schema else { continue };
        let overlay =
            at(schema, &["spec"]).and_then(|spec| spec.properties.as_mut()?.remove_entry("overlay"));
        each(schema, &mut |schema| schema.nullable = None);
        for (path, texts) in [(&["spec", "allow", "namespaces"][..], true), (&["status"], false)] {
            if let Some(unbounded) = at(schema, path) {
                each(unbounded, &mut |schema| bound(schema, texts));
            }
        }
        let spec = at(schema, &["spec"]).and_then(|spec| spec.properties.as_mut());
        if let Some(spec) = spec {
            spec.extend(overlay);
        }
    }
}

fn bound(schema: &mut JSONSchemaProps, texts: bool) {
    match schema.type_.as_deref() {
        Some("string") if texts && schema.enum_.is_none() && schema.format.is_none() => {
            schema.max_length.get_or_insert(LONGEST_TEXT);
        }
        Some("array") => {
            schema.max_items.get_or_insert(MOST_ENTRIES);
            schema.x_kubernetes_list_type.get_or_insert_with(|| "atomic".to_owned());
        }
        Some("object") if schema.additional_properties.is_some() => {
            schema.max_properties.get_or_insert(MOST_ENTRIES);
        }
        _ => {}
    }
}

fn at<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(schema, |schema, name| schema.properties.as_mut()?.get_mut(*name))
}

fn each(schema: &mut JSONSchemaProps, act: &mut impl FnMut(&mut JSONSchemaProps)) {
    act(schema);
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(|field| each(field, act));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each(items, act);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each(values, act);
    }
}
