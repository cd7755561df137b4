//! What of an object's metadata is kept. Others may write a megabyte of it, and nobody reads that.

use std::collections::BTreeMap;

use bowline_api::names::{GROUP, LABEL_MANAGED_BY};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldsV1, ManagedFieldsEntry, ObjectMeta, OwnerReference,
};
use kube::Resource;
use serde_json::{Value, json};

/// Longer annotations are not kept, whoever set them: none of ours needs more.
const ANNOTATION_BYTES: usize = 512;
/// How many annotations or labels with our domain are kept; we define about twenty.
const OUR_ENTRIES: usize = 32;
/// How many labels of a namespace, and how many finalizers, are kept.
const OTHER_ENTRIES: usize = 64;
/// How many managers of a connection's spec are kept.
const FIELD_MANAGERS: usize = 8;
/// Names and UIDs that the API server does not limit itself, in references to owners.
const OWNER_BYTES: usize = 253;

/// Drops what nobody reads. What is left is not the object at the API server: never write it back.
pub(super) fn project<T: Resource<DynamicType = ()>>(object: &mut T) {
    // Administrators select namespaces, and nothing else, by labels of their own.
    let labels = if T::kind(&()) == "Namespace" { OTHER_ENTRIES } else { 0 };
    let fields = object.meta_mut().managed_fields.take();
    if T::kind(&()) == "IntegrationConnection" {
        object.meta_mut().managed_fields = fields.map(summary);
    }
    project_metadata(object.meta_mut(), labels);
}

/// Who set which fields of a spec, and when: the portal names whoever paused a connection, and what would revert an edit. Deeper
/// fields are left out.
fn summary(entries: Vec<ManagedFieldsEntry>) -> Vec<ManagedFieldsEntry> {
    let shallow = |value: Value| match value {
        Value::Object(fields) => {
            fields.into_iter().take(OUR_ENTRIES).map(|(field, _)| (field, json!({}))).collect()
        }
        _ => json!({}),
    };
    let fields = |fields: FieldsV1| match fields.0 {
        Value::Object(all) => {
            let kept =
                |(part, value)| if part == "f:spec" { (part, shallow(value)) } else { (part, json!({})) };
            FieldsV1(all.into_iter().take(OUR_ENTRIES).map(kept).collect())
        }
        _ => FieldsV1(json!({})),
    };
    let of_spec = |entry: &ManagedFieldsEntry| {
        let names = entry.manager.as_ref().is_some_and(|manager| manager.len() <= OWNER_BYTES);
        names && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some())
    };
    let entries = entries.into_iter().filter(of_spec).take(FIELD_MANAGERS);
    entries.map(|entry| ManagedFieldsEntry { fields_v1: entry.fields_v1.map(fields), ..entry }).collect()
}

fn project_metadata(metadata: &mut ObjectMeta, foreign_labels: usize) {
    metadata.self_link = None;
    metadata.generate_name = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, value| is_ours(name) && value.len() <= ANNOTATION_BYTES);
        cut(annotations, OUR_ENTRIES);
    }
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|name, _| is_ours(name) || foreign_labels > 0);
        cut(labels, OUR_ENTRIES + foreign_labels);
    }
    // Ours is removed by its place in the list, so the list is never rearranged.
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.truncate(OTHER_ENTRIES);
        finalizers.shrink_to_fit();
    }
    if let Some(owners) = &mut metadata.owner_references {
        owners.retain(is_controller_of_ours);
        owners.shrink_to_fit();
    }
}

/// Whether a label or annotation may be one that we read.
fn is_ours(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    name == LABEL_MANAGED_BY
        || domain == GROUP
        || domain.strip_suffix(GROUP).is_some_and(|rest| rest.ends_with('.'))
}

fn cut(entries: &mut BTreeMap<String, String>, most: usize) {
    while entries.len() > most {
        entries.pop_last();
    }
}

fn is_controller_of_ours(owner: &OwnerReference) -> bool {
    let version_of_ours = owner.api_version.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'));
    owner.controller == Some(true)
        && version_of_ours
        && [&owner.api_version, &owner.kind, &owner.name, &owner.uid].iter().all(|it| it.len() <= OWNER_BYTES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::{Namespace, Secret};
    use serde_json::json;

    use super::*;

    /// As large as anybody may make it.
    fn fat() -> ObjectMeta {
        let mut metadata: ObjectMeta = serde_json::from_value(json!({
            "name": "o", "uid": "u", "resourceVersion": "7", "generation": 3,
            "finalizers": ["theirs", "bowline.dev/grant"],
            "annotations": {"bowline.dev/intake": "a/b", "bowline.dev/large": "x".repeat(200_000)},
            "labels": {"bowline.dev/connection": "c", "attempts.bowline.dev/user-digest": "d"},
            "ownerReferences": [
                {"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionShare", "name": "s", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x".repeat(200_000), "uid": "u"},
            ],
            "managedFields": [{"manager": "x".repeat(1000)}],
        }))
        .unwrap();
        for number in 0..2000 {
            metadata.labels.get_or_insert_default().insert(format!("team/l{number}"), "x".repeat(63));
            let annotations = metadata.annotations.get_or_insert_default();
            annotations.insert(format!("bowline.dev/z{number}"), "x".repeat(500));
            annotations.insert(format!("example.com/{number}"), "x".repeat(60));
        }
        metadata
    }

    fn size(metadata: &ObjectMeta) -> usize {
        serde_json::to_vec(metadata).unwrap().len()
    }

    #[test]
    fn class_13_whatever_others_write_into_metadata_little_of_it_is_kept() {
        let mut secret = Secret { metadata: fat(), ..Secret::default() };
        assert!(size(&secret.metadata) > 1_000_000);
        project(&mut secret);
        assert!(size(&secret.metadata) < 20_000, "{} bytes are kept", size(&secret.metadata));
        let kept = secret.metadata;
        assert_eq!(kept.annotations.unwrap()["bowline.dev/intake"], "a/b");
        assert_eq!(kept.labels.unwrap().len(), 2);
        assert_eq!(kept.owner_references.unwrap().len(), 1);
        assert!(kept.managed_fields.is_none());
        assert_eq!(kept.finalizers.unwrap(), ["theirs", "bowline.dev/grant"], "in their places");
        assert_eq!((kept.resource_version.as_deref(), kept.generation), (Some("7"), Some(3)));
    }

    #[test]
    fn of_the_fields_of_a_connection_only_who_set_which_of_the_spec_is_kept() {
        let entry = |manager: &str, fields: Value| {
            serde_json::from_value(json!({"manager": manager, "operation": "Update", "fieldsV1": fields}))
                .unwrap()
        };
        let deep = json!({"f:spec": {"f:suspend": {}, "f:secret": {"f:template": {"f:data": {}}}}});
        let kept = summary(vec![
            entry("kubectl", deep),
            entry("noisy", json!({"f:metadata": {"f:labels": {"f:x": {}}}})),
            entry(&"x".repeat(1_000), json!({"f:spec": {}})),
            entry("argocd", json!({"f:spec": {"f:owner": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})),
        ]);
        let fields: Vec<_> = kept.into_iter().filter_map(|entry| Some(entry.fields_v1?.0)).collect();
        assert_eq!(fields[0], json!({"f:spec": {"f:suspend": {}, "f:secret": {}}}));
        assert_eq!(fields[1..], [json!({"f:spec": {"f:owner": {}}, "f:metadata": {}})]);
    }

    #[test]
    fn labels_of_namespaces_are_kept_up_to_a_number() {
        let mut namespace = Namespace { metadata: fat(), ..Namespace::default() };
        project(&mut namespace);
        assert_eq!(namespace.metadata.labels.unwrap().len(), OUR_ENTRIES + OTHER_ENTRIES);
    }
}
