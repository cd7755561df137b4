//! Every shipped example is one that the API server takes as it is, with nothing unknown in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask};
use crate::fixture::Team;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_api_server_takes_every_example() {
    let team = Team::new().await;
    let examples = examples(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    assert!(examples.len() > 15, "found only {}", examples.len());
    for (path, mut object) in examples {
        // A dry run needs the namespace to exist, and no object of that name in it.
        if object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = json!(team.namespace);
        } else {
            object["metadata"]["name"] = json!(crate::fixture::random_name("example"));
        }
        let ask = Ask::post(&collection(&object), &object).with("fieldValidation=Strict").dry();
        let answer = team.person(ADMIN).ask(&ask).await;
        assert!(answer.is_accepted(), "{}: {}", path.display(), answer.words());
        assert!(answer.warnings.is_empty(), "{}: {:?}", path.display(), answer.warnings);
    }
}

fn examples(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(examples(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let documents = serde_yaml::Deserializer::from_str(&text);
            found.extend(documents.map(|document| (path.clone(), Value::deserialize(document).unwrap())));
        }
    }
    found
}

/// Where objects of this kind are made.
fn collection(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let base = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{base}/namespaces/{namespace}/{plural}"),
        None => format!("{base}/{plural}"),
    }
}
