//! The bindings on a connection's page: those that the reader may list, and three lines that make another one.

use bowline_api::ConnectionBinding;
use bowline_testbed::access::ADMIN;
use bowline_testbed::browser::attribute_of;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::house::Portal;
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

async fn bind(it: &Scene, namespace: &str, name: &str, spec: &Value) {
    let mut whole = json!({"connection": format!("{}.mail", it.namespace)});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let binding: ConnectionBinding = parsed(json!({"metadata": {"name": name}, "spec": whole}));
    it.create(namespace, &binding).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_reader_sees_the_bindings_that_they_may_list_and_makes_one_from_three_lines() {
    let it = scene("portal-bindings").await;
    let jobs = it.another_namespace("jobs").await;
    let hidden = format!("{}-hidden", it.name);
    let namespace: Namespace = parsed(json!({"metadata": {"name": hidden}}));
    Api::all(it.admin.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    it.workspace(&["alice"], &[&jobs, &hidden]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    it.authorized("mail").await;
    it.secret_in(&hidden, &format!("{}.mail", it.namespace)).await;
    let workload = json!({"workload": {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly"}});
    bind(&it, &jobs, "post", &workload).await;
    bind(&it, &jobs, "clashes", &json!({"secret": {"name": format!("{}.mail", it.namespace)}})).await;
    bind(&it, &hidden, "theirs", &json!({"workload": {"apiVersion": "v1", "kind": "Pod", "name": "unseen"}}))
        .await;
    it.secret_in(&jobs, "post").await;

    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let seen = until("both bindings on the page", async || {
        let seen = alice.get(&page).await;
        (seen.says(&format!("{jobs}/post")) && seen.says("whoever maintains the binding")).then_some(seen)
    })
    .await;
    assert!(seen.says("CronJob nightly") && seen.says(&format!("{jobs}/clashes")), "{}", seen.text);
    assert!(seen.says("There are more in namespaces that you may not look into"), "{}", seen.text);
    // The connection's status names it to whoever may read the connection; its state is not theirs to see.
    assert!(!seen.says("Pod unseen"), "{}", seen.text);
    let admin = portal.browser_of(&it, ADMIN).await;
    until("all of them for an administrator", async || {
        let seen = admin.get(&page).await;
        let all = seen.says("Pod unseen") && seen.says(&format!("{jobs}/post"));
        (all && !seen.says("you may not look into")).then_some(())
    })
    .await;

    // The first of the three lines, as alice's shell would run it.
    let lines =
        attribute_of(&seen.text, "button", ("class", "copy"), "data-copy").expect("something to copy");
    let (echo, rest) = lines.split_once("' | ").expect("a command");
    let manifest: ConnectionBinding =
        serde_yaml::from_str(echo.strip_prefix("echo '").expect("a manifest")).expect("YAML");
    assert!(rest.starts_with(&format!("kubectl apply -n {} -f -\n", it.namespace)), "{rest}");
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.alice.clone(), &it.namespace);
    bindings.create(&PostParams::default(), &manifest).await.expect("alice binds it");
    let bound = it.secret("my-workflow").await;
    assert_eq!(bound["access_token"], it.secret("mail").await["access_token"]);
    until("it is on the page", async || {
        alice.get(&page).await.says(&format!("{}/my-workflow", it.namespace)).then_some(())
    })
    .await;
}
