//! `kubectl bowline share`, `unshare`, `why`, `token` and `disconnect`, with an operator that answers.
//!
//! Unit tests render what was found. Only here do we see what users find with their own rights, and in which namespaces.

use bowline_api::ConnectionBinding;
use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::{Endpoint, Rotation};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::looking::until;
use crate::plugin::{bowline, bowline_as_is};
use crate::scene::{Scene, parsed, scene};

pub fn container(secret: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "env": [{"name": "TOKEN",
        "valueFrom": {"secretKeyRef": {"name": secret, "key": "access_token"}}}]}]})
}

/// A pod `mailer` with this spec. It never runs: there are no nodes.
pub async fn pod(it: &Scene, namespace: &str, spec: Value) {
    let pod: Pod = parsed(json!({"metadata": {"name": "mailer"}, "spec": spec}));
    let pods: Api<Pod> = Api::namespaced(it.admin.clone(), namespace);
    // A new namespace has no ServiceAccount for its pods yet.
    until("a pod", async || {
        pods.create(&PostParams::default(), &pod).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

async fn deployment(it: &Scene, namespace: &str, secret: &str) {
    let labels = json!({"app": "web"});
    let deployment: Deployment = parsed(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": container(secret)}}}));
    it.create(namespace, &deployment).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_is_shared_traced_taken_back_and_ended() {
    let it = scene("share").await;
    let jobs = it.another_namespace("jobs").await;
    let id = format!("{}.mail", it.namespace);
    it.workspace(&["alice", "bob"], &[&jobs]).apply().await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;

    let (code, _, errors) = bowline(&it, "alice", &["share", "mail"], "").await;
    assert!(code == 2 && errors.contains("--workspace"), "{errors}");
    let (code, _, errors) = bowline(&it, "bob", &["share", "mail", "--workspace", &it.name], "").await;
    assert!(code == 1 && errors.contains("belongs to 'alice'"), "{errors}");
    let (code, said, errors) = bowline(&it, "alice", &["share", "mail", "--workspace", &it.name], "").await;
    assert!(code == 0 && said.contains("mail is shared with"), "{said}{errors}");
    it.secret_in(&jobs, &id).await;

    pod(&it, &jobs, container(&id)).await;
    deployment(&it, &jobs, &id).await;
    let why = ["why", "pod/mailer", "-n", &jobs];
    let (code, said, errors) = bowline_as_is(&it, "bob", &why, "").await;
    assert_eq!(code, 0, "{errors}");
    for expected in [format!("from connection {id}, owner alice"), "works: it holds a valid token".to_owned()]
    {
        assert!(said.contains(&expected), "{expected}: {said}");
    }

    // alice may not list shares everywhere, and the output says so.
    let (code, said, errors) = bowline(&it, "alice", &["unshare", "mail"], "").await;
    assert!(code == 0 && said.contains("yours alone"), "{said}{errors}");
    assert!(errors.contains("whose shares you may not list"), "{errors}");
    it.until_no_secret(&jobs, &id).await;
    let (_, said, _) = bowline_as_is(&it, "bob", &why, "").await;
    assert!(said.contains("does not exist") && said.contains("kubectl bowline share mail"), "{said}");

    it.until_status("mail", "that she took it back is on record", |status| {
        status.terms.as_ref().is_some_and(|terms| terms.observed_generation == status.observed_generation)
    })
    .await;
    let (code, said, errors) = bowline(&it, ADMIN, &["share", "mail"], "").await;
    assert!(code == 1 && said.contains("OwnerApprovalNeeded"), "{said}{errors}");
    assert!(said.contains("kubectl bowline approve mail"), "{said}");
    let (code, said, errors) = bowline(&it, "alice", &["approve", "mail", "--yes"], "").await;
    assert_eq!(code, 0, "{said}{errors}");
    it.secret_in(&jobs, &id).await;
    let (code, said, errors) = bowline(&it, ADMIN, &["share", "mail"], "").await;
    assert!(code == 0 && said.contains(&format!("Secret {id} in {jobs}")), "{said}{errors}");
    it.secret_in(&jobs, &id).await;
    let (code, said, errors) = bowline(&it, ADMIN, &["impact", "mail"], "").await;
    assert!(code == 0 && said.starts_with("NAMESPACE") && errors.is_empty(), "{said}{errors}");
    for user in ["Deployment   web", "Pod          mailer"] {
        let found = said.lines().any(|line| line.starts_with(&jobs) && line.contains(user));
        assert!(found, "{user}: {said}");
    }
    let (_, said, _) = bowline(&it, ADMIN, &["impact", "mail", "-o", "json"], "").await;
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["connection"], &told["complete"]), (&json!(id), &json!(true)), "{said}");
    // alice sees what is her own, and that there is more.
    let (code, said, errors) = bowline(&it, "alice", &["impact", "mail"], "").await;
    assert!(code == 0 && said.contains(&it.namespace), "{said}{errors}");
    assert!(errors.contains("whose shares you may not list"), "{errors}");
    let (_, said, _) = bowline(&it, "alice", &["impact", "mail", "-o", "yaml"], "").await;
    assert!(said.contains("complete: false"), "{said}");

    let (code, _, errors) = bowline(&it, ADMIN, &["disconnect", "mail"], "y\n").await;
    assert!(code == 1 && errors.contains("nothing was changed"), "{errors}");
    for expected in
        [format!("{jobs}: Secret {id}"), "Deployment web, by env".into(), "Pod mailer, by env".into()]
    {
        assert!(errors.contains(&expected), "{expected}: {errors}");
    }
    let (code, said, errors) = bowline(&it, ADMIN, &["disconnect", "mail"], "mail\n").await;
    assert!(code == 0 && said == "mail is disconnected.\n", "{said}{errors}");
    it.until_no_secret(&jobs, &id).await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_ledger("a revocation", |ledger| ledger.requests_to(Endpoint::Revocation).next().map(drop)).await;
    let (code, _, errors) = bowline(&it, "alice", &["disconnect", "mail"], "").await;
    assert!(code == 0 && errors.contains("disconnected already"), "{errors}");
    assert!(!minted.grant_id.is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_pod_that_waits_for_consent_is_traced_to_its_owner() {
    let it = scene("why").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_phase("mail", "Pending").await;
    pod(&it, &it.namespace, container("mail")).await;
    let (code, said, errors) = bowline(&it, "bob", &["why", "pod/mailer"], "").await;
    assert_eq!(code, 0, "{errors}");
    for expected in ["AwaitingAuthorization", "the owner (alice)", "kubectl bowline connect mail"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let (code, _, errors) = bowline(&it, "bob", &["why", "deployment/mailer"], "").await;
    assert!(code == 2 && errors.contains("pod/NAME"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_is_shown_only_to_who_may_read_its_secret() {
    let it = scene("token").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let viewer: RoleBinding = parsed(json!({"metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"}]}));
    it.create(&it.namespace, &viewer).await;
    let (code, said, errors) = bowline(&it, "alice", &["token", "mail", "--show"], "").await;
    assert_eq!(
        (code, said.as_str(), errors.as_str()),
        (0, format!("{}\n", minted.access_token).as_str(), "")
    );

    until("carol may look", async || {
        let (code, said, _) = bowline(&it, "carol", &["token", "mail"], "").await;
        assert!(!said.contains(&minted.access_token));
        (code == 0 && said.contains(&format!("{}: Secret mail", it.namespace))).then_some(())
    })
    .await;
    let (code, said, errors) = bowline(&it, "carol", &["token", "mail", "--show"], "").await;
    assert!(
        code == 1 && said.is_empty() && errors.contains("secrets \"mail\" is forbidden"),
        "{said}{errors}"
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_binding_is_listed_described_and_traced_from_its_pod() {
    let it = scene("plugin-bindings").await;
    let jobs = it.another_namespace("jobs").await;
    let id = format!("{}.mail", it.namespace);
    it.workspace(&["alice", "bob"], &[&jobs]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    let binding: ConnectionBinding = parsed(json!({"metadata": {"name": "post"}, "spec": {"connection": id,
        "workload": {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly"}}}));
    it.create(&jobs, &binding).await;
    pod(&it, &jobs, container("post")).await;
    let why = ["why", "pod/mailer", "-n", &jobs];
    // Nobody has connected it yet.
    until("the owner has to act", async || {
        let (_, said, _) = bowline_as_is(&it, "bob", &why, "").await;
        let told = said.contains(&format!("from binding post of connection {id}, owner alice"))
            && said.contains("the connection: AwaitingAuthorization")
            && said.contains(&format!("kubectl bowline connect mail -n {}", it.namespace));
        if told { Ok(()) } else { Err(said) }
    })
    .await;

    it.authorized("mail").await;
    it.secret_in(&jobs, "post").await;
    until("it works", async || {
        let (_, said, _) = bowline_as_is(&it, "bob", &why, "").await;
        if said.contains("works: it holds a valid token") { Ok(()) } else { Err(said) }
    })
    .await;
    let (code, said, errors) = bowline_as_is(&it, "bob", &["list", "--bindings", "-n", &jobs], "").await;
    assert!(code == 0 && said.contains("nightly") && said.contains("Bound"), "{said}{errors}");
    let describe = ["describe", "binding/post", "-n", &jobs];
    let (code, said, errors) = bowline_as_is(&it, "bob", &describe, "").await;
    assert!(
        code == 0 && said.contains(&id) && said.contains("Nothing: all is as it should be"),
        "{said}{errors}"
    );
    let (code, _, errors) = bowline_as_is(&it, "bob", &["describe", "binding/none", "-n", &jobs], "").await;
    assert!(code == 1 && errors.contains("there is no binding none"), "{errors}");
    // alice lists the bindings of her namespace alone, and is told so.
    let (_, said, _) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert!(said.contains("You may not list bindings in all namespaces"), "{said}");
    let (_, said, _) = bowline(&it, ADMIN, &["describe", "mail"], "").await;
    assert!(said.contains(&format!("{jobs}/post (CronJob nightly): works")), "{said}");

    it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_no_secret(&jobs, "post").await;
    until("its author has to act", async || {
        let (_, said, _) = bowline_as_is(&it, "bob", &why, "").await;
        let told = said.contains("ShareWithdrawn") && said.contains(&format!("list --usable -n {jobs}"));
        if told { Ok(()) } else { Err(said) }
    })
    .await;
}
