//! `--secret-namespaces`: the operator publishes in the namespaces it was given, and can read Secrets in no other.
//!
//! The manifests are rendered, applied and bound as their comments tell you to. The operator runs with the arguments of the
//! Deployment and the rights of its own `ServiceAccount`. Only this test shows whether those fit together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bowline_api::ConnectionShare;
use bowline_testbed::access;
use bowline_testbed::random;
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::scratch::Scratch;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::looking::{condition, holds, is, until, until_within, words};
use crate::scene::{Scene, parsed};
use crate::stage::{HOME, Stage};

const COMPONENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/components/secrets-namespaced");

/// The repository's manifests with the narrow component for these namespaces, as its comments say.
fn narrow_manifests(namespaces: &[&str]) -> Scratch {
    let scratch = Scratch::create().expect("a directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["deploy", "crds"] {
        copy(&root.join(part), &scratch.path().join(part));
    }
    edit(&scratch.path().join("deploy/kustomization.yaml"), |text| {
        let chosen = text.replace("  - components/secrets-cluster-wide\n", "");
        chosen.replace("  # - components/secrets-namespaced", "  - components/secrets-namespaced")
    });
    edit(&scratch.path().join("deploy/components/secrets-namespaced/kustomization.yaml"), |text| {
        text.replace("team-a,team-b", &namespaces.join(","))
    });
    scratch
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn edit(path: &Path, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "{} no longer contains what users are told to change", path.display());
    fs::write(path, changed).unwrap();
}

/// What a user applies in each namespace.
async fn bind(stage: &Stage, namespace: &str) {
    let example = fs::read_to_string(Path::new(COMPONENTS).join("example-binding.yaml")).unwrap();
    let bound = example.replace("namespace: team-a", &format!("namespace: {namespace}"));
    assert_ne!(bound, example);
    stage.access.apply_yaml(&bound).await.expect("a RoleBinding");
}

/// The operator itself, from the API server's point of view.
async fn as_operator(stage: &Stage) -> Client {
    let kubeconfig = stage.access.service_account_kubeconfig(HOME, "bowline").await.expect("a token");
    access::client(&kubeconfig).await.expect("a client")
}

async fn may(client: &Client, verb: &str, namespace: &str) -> bool {
    let question: SelfSubjectAccessReview = parsed(json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "verb": verb, "resource": "secrets"}}}));
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    reviews.create(&PostParams::default(), &question).await.unwrap().status.unwrap().allowed
}

/// A scene with a namespace where the operator may publish, a second one, and one where it may not.
struct Narrow {
    it: Scene,
    jobs: String,
    elsewhere: String,
}

impl Narrow {
    async fn new() -> Self {
        let name = format!("narrow-{}", random::hex(3).unwrap());
        let jobs = format!("{name}-jobs");
        let manifests = narrow_manifests(&[&name, &jobs]);
        let stage = Stage::of_deployment(&manifests.path().join("deploy")).await;
        let it = stage.scene_named(&name).await;
        let (jobs, elsewhere) = (it.another_namespace("jobs").await, it.another_namespace("elsewhere").await);
        for namespace in [&name, &jobs] {
            bind(&stage, namespace).await;
        }
        stage.start_operator().await;
        Self { it, jobs, elsewhere }
    }

    /// A connection of alice's in the namespace that was not given.
    async fn apply_elsewhere(&self, name: &str) {
        let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": name}, "spec": {"provider": self.it.name, "owner": "alice"}});
        let applied = PatchParams::apply("files").force();
        let api: Api<bowline_api::IntegrationConnection> =
            Api::namespaced(self.it.alice.clone(), &self.elsewhere);
        api.patch(name, &applied, &Patch::Apply(&object)).await.expect("a connection");
    }

    async fn share(&self, namespace: &str) -> Result<Value, String> {
        let shares: Api<ConnectionShare> = Api::namespaced(self.it.admin.clone(), namespace);
        let share =
            shares.get(&format!("{}.mail", self.it.namespace)).await.map_err(|error| error.to_string())?;
        let conditions = share.status.unwrap_or_default().conditions;
        let ready =
            conditions.into_iter().find(|condition| condition.type_ == "Ready").ok_or("no condition yet")?;
        Ok(json!({"status": ready.status, "reason": ready.reason, "message": ready.message}))
    }
}

async fn what_is_not_given_cannot_be_read(narrow: &Narrow) {
    let operator = as_operator(&narrow.it.stage).await;
    for verb in ["get", "list", "watch", "create", "patch", "delete"] {
        assert!(may(&operator, verb, &narrow.it.namespace).await, "{verb} where it was given");
        assert!(!may(&operator, verb, &narrow.elsewhere).await, "{verb} elsewhere");
        assert!(!may(&operator, verb, "").await, "{verb} everywhere");
    }
    narrow.it.create(&narrow.elsewhere, &parsed::<Secret>(json!({"metadata": {"name": "theirs"}}))).await;
    let elsewhere: Api<Secret> = Api::namespaced(operator.clone(), &narrow.elsewhere);
    let everywhere: Api<Secret> = Api::all(operator);
    let refused = [
        elsewhere.get("theirs").await.map(drop).unwrap_err(),
        everywhere.list(&ListParams::default()).await.map(drop).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(&error, kube::Error::Api(status) if status.code == 403), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn only_the_given_namespaces_are_published_in_and_read() {
    let narrow = Narrow::new().await;
    let it = &narrow.it;
    it.workspace(&["alice"], &[&narrow.jobs]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(6).apply().await;
    it.connection("mail").shared().apply().await;
    let minted = it.authorized("mail").await;
    it.until_refreshed(&minted.grant_id, 1).await;
    let id = format!("{}.mail", it.namespace);
    until("the share has the owner's token", async || {
        let (own, theirs) = (it.secret("mail").await, it.secret_in(&narrow.jobs, &id).await);
        (own["access_token"] == theirs["access_token"]).then_some(())
    })
    .await;
    it.until_reason("mail", "Shared", "Shared").await;

    it.workspace(&["alice"], &[&narrow.jobs, &narrow.elsewhere]).apply().await;
    it.until_reason("mail", "Shared", "OwnerApprovalNeeded").await;
    let waiting = it.get("mail").await.waiting_terms().unwrap().2.to_owned();
    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/approve-terms": waiting}}})).await;
    let partly = it.until_reason("mail", "Shared", "PartiallyPublished").await;
    assert!(holds(&partly, "Ready") && words(&partly, "Shared").contains(&narrow.elsewhere), "{partly:?}");
    let said = until("the share says why", async || {
        let ready = narrow.share(&narrow.elsewhere).await?;
        if ready["reason"] == "Forbidden" { Ok(ready["message"].to_string()) } else { Err(ready.to_string()) }
    })
    .await;
    assert!(said.contains("platform team") && said.contains(&narrow.elsewhere), "{said}");
    assert_eq!(narrow.share(&narrow.jobs).await.unwrap()["status"], "True");
    what_is_not_given_cannot_be_read(&narrow).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_where_the_operator_may_not_publish_says_who_can_fix_it() {
    let narrow = Narrow::new().await;
    let it = &narrow.it;
    it.minting_provider().apply().await;
    narrow.apply_elsewhere("billing").await;
    let api: Api<bowline_api::IntegrationConnection> = Api::namespaced(it.admin.clone(), &narrow.elsewhere);
    let told = until("SecretPublished Forbidden", async || {
        let status = api.get("billing").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if is(&status, "SecretPublished", "Forbidden") { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert_eq!(condition(&told, "SecretPublished").unwrap().status, "False");
    assert!(!holds(&told, "Ready"), "{told:?}");
    let said = words(&told, "SecretPublished");
    assert!(said.contains("platform team") && said.contains(&narrow.elsewhere), "{said}");

    // Once bound it continues by itself. There is no watch in that namespace, so it is checked from time to time.
    bind(&it.stage, &narrow.elsewhere).await;
    it.secret_in(&narrow.elsewhere, "billing").await;
}

/// The rights in one namespace are lost, and the operator restarts.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_22_a_namespace_that_cannot_be_read_delays_only_what_is_in_it() {
    let narrow = Narrow::new().await;
    let (it, lost) = (&narrow.it, &narrow.jobs);
    it.minting_provider().lifetime(6).apply().await;
    it.connection("mail").apply().await;
    it.until_phase("mail", "Active").await;
    it.stage.stop_operator();
    let bindings: Api<RoleBinding> = Api::namespaced(it.admin.clone(), lost);
    bindings.delete("bowline-secrets", &DeleteParams::default()).await.expect("it is lost");

    it.stage.start_operator().await;
    let before = it.secret("mail").await["access_token"].clone();
    until("the other namespace is served", async || {
        (it.secret("mail").await["access_token"] != before).then_some(())
    })
    .await;
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "billing"}, "spec": {"provider": it.name, "owner": "alice"}});
    let api: Api<bowline_api::IntegrationConnection> = Api::namespaced(it.alice.clone(), lost);
    api.patch("billing", &PatchParams::apply("files").force(), &Patch::Apply(&object))
        .await
        .expect("applied");
    let told = until("the lost one says why", async || {
        let status = api.get("billing").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let said = is(&status, "SecretPublished", "NamespaceUnreadable");
        if said { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert!(words(&told, "SecretPublished").contains("platform team"), "{told:?}");
    assert_eq!(condition(&told, "Ready").unwrap().status, "Unknown");
    let gauge = "bowline_namespaces_unreadable 1";
    until("a gauge says so", async || {
        let (_, metrics) = it.stage.ask("metrics").await?;
        metrics.lines().any(|line| line == gauge).then_some(())
    })
    .await;

    bind(&it.stage, lost).await;
    it.secret_in(lost, "billing").await;
}

/// Somebody takes the operator's rights in a namespace away, and then the connection goes.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_22_a_namespace_without_rights_holds_back_neither_revocation_nor_deletion() {
    let narrow = Narrow::new().await;
    let it = &narrow.it;
    it.workspace(&["alice"], &[&narrow.jobs]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    let minted = it.authorized("mail").await;
    let id = format!("{}.mail", it.namespace);
    it.secret_in(&narrow.jobs, &id).await;
    let bindings: Api<RoleBinding> = Api::namespaced(it.admin.clone(), &narrow.jobs);
    bindings.delete("bowline-secrets", &DeleteParams::default()).await.expect("deleted");
    let operator = as_operator(&it.stage).await;
    until("no rights", async || (!may(&operator, "delete", &narrow.jobs).await).then_some(())).await;

    it.delete("mail").await;
    it.until_gone(Duration::from_secs(40), "mail").await;
    let grant = &minted.grant_id;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
    let told = it.until_event(&it.namespace, "NotWithdrawn").await;
    assert!(told.contains(&id), "{told}");
    assert!(it.secret_now(&narrow.jobs, &id).await.is_some(), "nobody can remove it");
    until("the debt is counted", async || {
        let (_, metrics) = it.stage.ask("metrics").await.ok_or("nobody listens")?;
        metrics.contains("bowline_withdrawal_debts 1").then_some(()).ok_or("not counted")
    })
    .await;
    // With the right it goes by itself, and the ending with it.
    bind(&it.stage, &narrow.jobs).await;
    until_within(Duration::from_secs(90), "the Secret is gone", async || {
        it.secret_now(&narrow.jobs, &id).await.is_none().then_some(())
    })
    .await;
}

/// The namespace controller removes kinds in no order of its own, and so the operator's rights often before the connection.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_22_a_namespace_that_loses_its_role_binding_first_goes() {
    let narrow = Narrow::new().await;
    let it = &narrow.it;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let bindings: Api<RoleBinding> = Api::namespaced(it.admin.clone(), &it.namespace);
    bindings.delete("bowline-secrets", &DeleteParams::default()).await.expect("deleted");
    it.until_its_namespace_is_deleted().await;
    let grant = &minted.grant_id;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
}
