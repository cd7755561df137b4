//! The committed definitions are the generated ones, and every shipped manifest is one that the API server would take.
//!
//! `UPDATE_GOLDEN=1 cargo test --test crds` writes crds/ anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn committed_definitions_are_the_generated_ones() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut expected = Vec::new();
    for definition in bowline::api::definitions() {
        let path = root().join("crds").join(file_name(&definition));
        let text = serde_yaml::to_string(&definition).unwrap();
        if update {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} is not what src/api says: run UPDATE_GOLDEN=1 cargo test --test crds",
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
