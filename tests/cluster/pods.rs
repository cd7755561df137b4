//! The pods of the shipped Deployments are admitted where `PodSecurity` is restricted.
//!
//! A Deployment is taken whatever its pods may do, and its `ReplicaSet` then fails in silence. Only the API server's own
//! admission says what it thinks of the pods.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Answer, Ask};
use crate::fixture::{Team, random_name};

/// The pod that this Deployment describes.
fn pod_of(deployment: &str) -> Value {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(deployment)).unwrap();
    let first = serde_yaml::Deserializer::from_str(&text).next().unwrap();
    let template = Value::deserialize(first).unwrap()["spec"]["template"].clone();
    let labels = &template["metadata"]["labels"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "shipped-", "labels": labels},
        "spec": template["spec"],
    })
}

/// A namespace where only restricted pods may run, with the `ServiceAccount` of this pod.
async fn restricted_namespace(team: &Team, pod: &Value) -> String {
    let admin = team.person(ADMIN);
    let name = random_name("restricted");
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"});
    admin
        .must(&Ask::post("/api/v1/namespaces", &json!({"metadata": {"name": name, "labels": labels}})))
        .await;
    let account = json!({"metadata": {"name": pod["spec"]["serviceAccountName"]}});
    admin.must(&Ask::post(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account)).await;
    name
}

async fn answer_for(team: &Team, namespace: &str, pod: &Value) -> Answer {
    team.person(ADMIN).ask(&Ask::post(&format!("/api/v1/namespaces/{namespace}/pods"), pod).dry()).await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn shipped_pods_run_where_only_restricted_ones_may() {
    let team = Team::new().await;
    for deployment in ["deploy/operator/deployment.yaml", "deploy/portal/deployment.yaml"] {
        let mut pod = pod_of(deployment);
        let namespace = restricted_namespace(&team, &pod).await;
        let answer = answer_for(&team, &namespace, &pod).await;
        assert!(answer.is_accepted(), "{deployment}: {}", answer.words());
        assert!(answer.warnings.is_empty(), "{deployment}: {:?}", answer.warnings);

        // The user and the root file system are what the image is made for.
        assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 65532, "{deployment}");
        let container = &pod["spec"]["containers"][0]["securityContext"];
        assert_eq!(container["readOnlyRootFilesystem"], true, "{deployment}");

        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let answer = answer_for(&team, &namespace, &pod).await;
        assert!(answer.words().contains("PodSecurity"), "{deployment}: {}", answer.words());
    }
}
