//! Pods that mount a published Secret are annotated for a new token, where their namespace allows that.
//!
//! There is no kubelet here: the annotation on exactly the right pods is what is tested.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::binding::{id, shared};
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

const NUDGED: &str = bowline_api::names::ANNOTATION_NUDGED_AT;

/// Pods that do nothing, in alphabetical order: whether they are told, and their specs.
fn pods() -> Vec<(&'static str, bool, &'static str, Value)> {
    let container = |more: Value| {
        let mut container = json!({"name": "c", "image": "registry.invalid/x"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([container])
    };
    let mount = |part: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/v"});
        mount.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        container(json!({"volumeMounts": [mount]}))
    };
    let secret = |name: &str| json!([{"name": "v", "secret": {"secretName": name}}]);
    let projected = json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "post"}}]}}]);
    let variable = container(json!({"envFrom": [{"secretRef": {"name": "post"}}]}));
    let whole = || mount(json!({}));
    vec![
        ("a-variable", false, "Running", json!({"containers": variable})),
        (
            "b-part",
            false,
            "Running",
            json!({"volumes": secret("post"), "containers": mount(json!({"subPath": "x"}))}),
        ),
        ("c-other", false, "Running", json!({"volumes": secret("other"), "containers": whole()})),
        ("d-share", false, "Running", json!({"volumes": secret("share"), "containers": whole()})),
        ("e-over", false, "Succeeded", json!({"volumes": secret("post"), "containers": whole()})),
        ("y-projected", true, "Running", json!({"volumes": projected, "containers": whole()})),
        ("z-volume", true, "Running", json!({"volumes": secret("post"), "containers": whole()})),
    ]
}

async fn create_pods(it: &Scene, namespace: &str, connection: &str) {
    let api: Api<Pod> = Api::namespaced(it.admin.clone(), namespace);
    let accounts: Api<ServiceAccount> = Api::namespaced(it.admin.clone(), namespace);
    until("the namespace's ServiceAccount", async || {
        accounts.get_opt("default").await.ok().flatten().map(drop)
    })
    .await;
    for (name, _, phase, mut spec) in pods() {
        // On a node that does not exist: nothing takes it from there.
        spec["nodeName"] = json!("nowhere");
        let text = spec.to_string().replace("\"share\"", &format!("\"{}\"", id(it, connection)));
        let spec: Value = serde_json::from_str(&text).unwrap();
        let pod: Pod = parsed(json!({"metadata": {"name": name}, "spec": spec}));
        api.create(&PostParams::default(), &pod).await.expect("a pod");
        let status = json!({"status": {"phase": phase}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("a phase");
    }
}

/// The pods that were told, and of what time.
async fn told(it: &Scene, namespace: &str) -> Vec<(String, String)> {
    let api: Api<Pod> = Api::namespaced(it.admin.clone(), namespace);
    let pods = api.list(&kube::api::ListParams::default()).await.expect("pods");
    let told = pods.iter().filter_map(|pod| Some((pod.name_any(), pod.annotations().get(NUDGED)?.clone())));
    told.collect()
}

/// The rights that the example gives.
async fn allow(it: &Scene, namespace: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nudge/all.yaml");
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("namespace: marketing", &format!("namespace: {namespace}"));
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        match object["kind"].as_str() {
            Some("Role") => drop(it.create::<Role>(namespace, &parsed(object)).await),
            Some("RoleBinding") => drop(it.create::<RoleBinding>(namespace, &parsed(object)).await),
            _ => {}
        }
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_pods_that_mount_a_bindings_secret_are_told_where_their_namespace_allows_it() {
    let it = scene("nudge").await;
    let bound = shared(&it, 3600).await;
    create_pods(&it, &bound.namespace, "mail").await;
    bound.apply(json!({"connection": id(&it, "mail"), "secret": {"nudge": true}})).await;
    // Without the right it says so, and publishes.
    let note = it.until_event(&bound.namespace, "NudgeForbidden").await;
    assert!(note.contains(&bound.namespace) && note.contains("examples/nudge"), "{note}");
    bound.until("Bound").await;
    assert_eq!(told(&it, &bound.namespace).await, []);

    allow(&it, &bound.namespace).await;
    let expected: Vec<_> = pods().into_iter().filter(|pod| pod.1).map(|pod| pod.0.to_owned()).collect();
    let mut requests = 0;
    let first = until("the pods are told", async || {
        // The authorizer learns of the Role a moment later.
        requests += 1;
        it.ask_for_refresh("mail", &requests.to_string()).await;
        let told = told(&it, &bound.namespace).await;
        if told.iter().any(|(name, _)| name == "z-volume") { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await;
    // They are told in the order of their names, so the others have been passed over.
    assert_eq!(first.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_tells_pods_beside_it_and_a_share_none() {
    let it = scene("nudge-own").await;
    let elsewhere = it.another_namespace("work").await;
    it.workspace(&["alice"], &[&elsewhere]).apply().await;
    it.provider(bowline_testbed::sandbox::Rotation::SingleUse).lifetime(3600).apply().await;
    allow(&it, &it.namespace).await;
    allow(&it, &elsewhere).await;
    it.connection("post").shared().spec(json!({"secret": {"nudge": true}})).apply().await;
    create_pods(&it, &it.namespace, "post").await;
    create_pods(&it, &elsewhere, "post").await;
    it.authorized("post").await;
    let mut requests = 0;
    until("the pods beside it are told", async || {
        requests += 1;
        it.ask_for_refresh("post", &requests.to_string()).await;
        let told = told(&it, &it.namespace).await;
        let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
        if names == ["y-projected", "z-volume"] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    it.secret_in(&elsewhere, &id(&it, "post")).await;
    assert_eq!(told(&it, &elsewhere).await, [], "the namespace's own binding opts in");
}
