//! The API server accepts every shipped example as it is, without unknown fields.

use std::fs;
use std::path::{Path, PathBuf};

use bowline_testbed::definitions::Foreign;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask};
use crate::fixture::Team;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_api_server_takes_every_example() {
    let team = Team::new().await;
    team.define(&[Foreign::WorkflowTemplate]).await;
    restrict(&team).await;
    let examples = documents_under(&root().join("examples"));
    assert!(examples.len() > 15, "found only {}", examples.len());
    take(&team, examples).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_api_server_takes_every_object_on_the_pages() {
    let team = Team::new().await;
    restrict(&team).await;
    let objects = on_pages();
    assert!(objects.len() > 7, "found only {}", objects.len());
    take(&team, objects).await;
}

/// Pods run where `PodSecurity` is `restricted`, and templates of pods cause no warning there.
async fn restrict(team: &Team) {
    let level = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted"));
    let labels: serde_json::Map<String, Value> = ["enforce", "warn"].map(level).into_iter().collect();
    let path = format!("/api/v1/namespaces/{}", team.namespace);
    team.person(ADMIN).must(&Ask::merge(&path, &json!({"metadata": {"labels": labels}}))).await;
}

/// Creates each one in a dry run that refuses unknown fields.
async fn take(team: &Team, objects: Vec<(PathBuf, Value)>) {
    for (path, mut object) in objects {
        // A dry run needs the namespace to exist, and no object of that name in it.
        if object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = json!(team.namespace);
        } else {
            object["metadata"]["name"] = json!(crate::fixture::random_name("example"));
        }
        // An administrator applies it in place of its owner or a pipeline.
        if object["kind"] == "IntegrationConnection" {
            object["metadata"]["annotations"]["bowline.dev/terms-by"] = json!(ADMIN);
        }
        let ask = Ask::post(&collection(&object), &object).with("fieldValidation=Strict").dry();
        let answer = team.person(ADMIN).ask(&ask).await;
        assert!(answer.is_accepted(), "{}: {}", path.display(), answer.words());
        assert!(answer.warnings.is_empty(), "{}: {:?}", path.display(), answer.warnings);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whole objects in the fenced blocks of README.md and docs/, including those in commands that apply them.
fn on_pages() -> Vec<(PathBuf, Value)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut found = Vec::new();
    for path in docs.chain([root().join("README.md")]) {
        // A shell would put the reader's name there, and needs no quotes for the rest.
        let page =
            fs::read_to_string(&path).unwrap().replace("$me", "alice").replace("<<YAML\n", "<<'YAML'\n");
        for block in page.split("```").skip(1).step_by(2) {
            let heredocs = block.split("<<'YAML'\n").skip(1).filter_map(|rest| rest.split("\nYAML").next());
            let texts = block.strip_prefix("yaml\n").into_iter().chain(heredocs);
            for text in texts.filter(|text| text.starts_with("apiVersion:")) {
                let documents = serde_yaml::Deserializer::from_str(text);
                found.extend(documents.map(|document| (path.clone(), Value::deserialize(document).unwrap())));
            }
        }
    }
    // The API server reads its audit policy from a file.
    found.retain(|(_, object)| object["apiVersion"] != "audit.k8s.io/v1");
    found
}

/// The objects in the YAML files of a folder and of those in it.
pub fn documents_under(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(documents_under(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let documents = serde_yaml::Deserializer::from_str(&text);
            found.extend(documents.map(|document| (path.clone(), Value::deserialize(document).unwrap())));
        }
    }
    // What kustomize reads is no object.
    found.retain(|(_, object)| object.get("nameReference").is_none());
    found
}

/// The path under which objects of this kind are created.
fn collection(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let base = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{base}/namespaces/{namespace}/{plural}"),
        None => format!("{base}/{plural}"),
    }
}
