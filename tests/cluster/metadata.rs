//! How much others may write into the metadata of our objects, which every reader of the kind receives.

use serde_json::{Map, Value, json};

use crate::asking::{ADMIN, Answer, Ask};
use crate::fixture::{Team, connection, random_name};

/// Kubernetes limits no label but its length, and annotations only to 256 KiB in total.
fn many(count: usize, value: &str) -> Value {
    Value::Object(
        (0..count).map(|number| (format!("team.example/x{number}"), json!(value))).collect::<Map<_, _>>(),
    )
}

fn owners(count: usize, name: &str) -> Value {
    let owner =
        |number| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": format!("u{number}")});
    Value::Array((0..count).map(owner).collect())
}

fn refused(sentence: &str, answer: &Answer, words: &str) {
    assert_eq!(answer.status, 422, "{sentence}: {}", answer.body);
    assert!(answer.words().contains(words), "{sentence}: {}", answer.words());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_13_nobody_fills_the_metadata_of_an_object_of_ours() {
    let team = Team::new().await;
    let alice = team.person("alice");
    let rows = [
        ("labels", many(2_000, &"x".repeat(63)), "at most 64 labels"),
        ("annotations", many(3, &"x".repeat(60_000)), "at most 64 annotations"),
        ("annotations", many(65, "x"), "at most 64 annotations"),
        ("ownerReferences", owners(1, &"x".repeat(200_000)), "at most 16 references"),
        ("ownerReferences", owners(17, "x"), "at most 16 references"),
        (
            "finalizers",
            (0..17).map(|number| format!("team.example/f{number}")).collect(),
            "at most 16 finalizers",
        ),
    ];
    for (field, value, words) in &rows {
        let mut object = connection(&random_name("fat"), "alice");
        object["metadata"][*field] = value.clone();
        refused(
            &format!("{field} of a new one"),
            &alice.ask(&Ask::post(&team.connections(), &object)).await,
            words,
        );
    }
    // Of the other kinds too, whoever writes them.
    let mut workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace",
        "metadata": {"name": random_name("fat")}, "spec": {"members": [{"name": "alice"}], "namespaces": []}});
    workspace["metadata"]["labels"] = many(65, "x");
    let answer =
        team.person(ADMIN).ask(&Ask::post("/apis/bowline.dev/v1alpha1/workspaces", &workspace)).await;
    refused("labels of a workspace", &answer, "at most 64 labels");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn metadata_of_an_ordinary_size_is_accepted_and_may_grow_to_its_bounds() {
    let team = Team::new().await;
    let alice = team.person("alice");
    let name = random_name("usual");
    let mut object = connection(&name, "alice");
    object["metadata"]["labels"] = many(64, "x");
    object["metadata"]["annotations"] = many(1, &"x".repeat(40_000));
    // They exist: the garbage collector deletes what has lost its owners.
    let maps = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let mut owners = Vec::new();
    for name in ["one", "two"] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let map = team.person(ADMIN).must(&Ask::post(&maps, &map)).await;
        let uid = &map["metadata"]["uid"];
        owners.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}));
    }
    object["metadata"]["ownerReferences"] = json!(owners);
    alice.must(&Ask::post(&team.connections(), &object)).await;
    let path = format!("{}/{name}", team.connections());
    let grown = json!({"metadata": {"annotations": {"team.example/more": "x".repeat(20_000)}}});
    alice.must(&Ask::merge(&path, &grown)).await;
    let label = json!({"metadata": {"labels": {"team.example/one-more": "x"}}});
    refused("one label more", &alice.ask(&Ask::merge(&path, &label)).await, "at most 64 labels");
}
