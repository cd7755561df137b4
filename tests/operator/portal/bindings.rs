//! The bindings on a connection's page: those that the reader may list, and three lines that make another one.

use std::time::Duration;

use bowline_api::ConnectionBinding;
use bowline_testbed::access::ADMIN;
use bowline_testbed::browser::attribute_of;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::browser::Page;
use super::house::Portal;
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

/// A provider, and a workspace of alice's with a namespace that she may look into and one that she may not.
async fn furnished(it: &Scene) -> (String, String) {
    let jobs = it.another_namespace("jobs").await;
    let hidden = format!("{}-hidden", it.name);
    let namespace: Namespace = parsed(json!({"metadata": {"name": hidden}}));
    Api::all(it.admin.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    it.workspace(&["alice"], &[&jobs, &hidden]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    (jobs, hidden)
}

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
    let (jobs, hidden) = furnished(&it).await;
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

/// What the open page follows: address and version of its stream.
fn followed(page: &Page) -> String {
    attribute_of(&page.text, "main", ("id", "main"), "data-live")
        .expect("a page that follows")
        .replace("&amp;", "&")
}

/// Changes a binding in a way that its connection does not show.
async fn touch(it: &Scene, namespace: &str, name: &str) {
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.admin.clone(), namespace);
    let change = json!({"metadata": {"labels": {"touched": "yes"}}});
    bindings.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.expect("touched");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_open_page_follows_the_bindings_that_its_reader_may_list_and_unsharing_names_those_it_hits() {
    let it = scene("portal-follows").await;
    let (jobs, hidden) = furnished(&it).await;
    it.connection("mail").apply().await;
    it.authorized("mail").await;
    // In the portal: what another tool shares is taken back there.
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let shared =
        alice.submit(&alice.get(&page).await, &format!("{page}/share"), &[("workspace", &it.name)]).await;
    assert_eq!(shared.status, 303, "{}", shared.text);
    it.until_reason("mail", "Shared", "Shared").await;
    bind(&it, &jobs, "post", &json!({})).await;
    bind(&it, &hidden, "theirs", &json!({})).await;
    bind(&it, &it.namespace, "own", &json!({})).await;
    it.until_status("mail", "all three count", |status| {
        status.dependents.as_ref().is_some_and(|told| told.count == 3)
    })
    .await;
    let seen = until("the page has them", async || {
        let seen = alice.get(&page).await;
        let has = seen.says(&format!("{jobs}/post")) && seen.says("Stop sharing") && seen.says("/own");
        let (now, then) = (followed(&alice.get(&page).await), followed(&seen));
        if has && now == then { Ok(seen) } else { Err(format!("{has} {now} {then}")) }
    })
    .await;

    // What changes where she may not look is not told, not even that it does.
    let cookies = alice.cookie_header();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n", followed(&seen));
    let (mut stream, status) = portal.stream(&request).await;
    assert_eq!(status, 200);
    touch(&it, &hidden, "theirs").await;
    let admin = portal.browser_of(&it, ADMIN).await;
    let of_admin = followed(&admin.get(&page).await);
    touch(&it, &hidden, "theirs").await;
    assert_eq!(followed(&alice.get(&page).await), followed(&seen));
    touch(&it, &jobs, "post").await;
    let mut told = String::new();
    until("the page is told", async || {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut part)).await;
        told += &String::from_utf8_lossy(&part[..read.map_or(0, Result::unwrap)]);
        told.contains("event: changed").then_some(())
    })
    .await;
    assert_ne!(followed(&alice.get(&page).await), followed(&seen));
    assert_ne!(followed(&admin.get(&page).await), of_admin);

    // R19: who is hit, before it is done.
    let sure = alice.get(&format!("{page}/unshare")).await;
    assert!(sure.says(&format!("<code>{jobs}/post</code>")), "{}", sure.text);
    assert!(
        sure.says("namespaces that you may not look into") && !sure.says(&format!("{}/own", it.namespace)),
        "{}",
        sure.text
    );
    let secret = format!("{}.mail", it.namespace);
    for place in [&jobs, &hidden] {
        assert!(
            sure.says(&format!("<code>{secret}</code> in namespace <strong>{place}</strong>")),
            "{}",
            sure.text
        );
    }
    assert_eq!(it.get("mail").await.spec.shared, Some(true), "to look is not to do");
    assert_eq!(alice.submit(&sure, &format!("{page}/unshare"), &[]).await.status, 303);
    it.until_no_secret(&jobs, "post").await;
    it.until_no_secret(&jobs, &secret).await;
    assert!(it.secret_now(&it.namespace, "own").await.is_some());
}
