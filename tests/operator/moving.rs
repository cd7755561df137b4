//! Connections are restored, or move to another cluster: nobody consents again, and no refresh token is sent twice.
//!
//! The former cluster's objects are restored as Velero does it: without status, UID and owner references, with finalizers.

use std::process::Output;
use std::sync::Arc;

use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_INTAKE, ANNOTATION_REFRESH_REQUESTED, LABEL_INTAKE_FOR};
use bowline_api::reason::Reason;
use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::{Endpoint, Rotation};
use bowline_testbed::scratch::Scratch;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::looking::{grant_id, until, words};
use crate::plugin::bowline;
use crate::scene::{Scene, parsed};
use crate::stage::{HOME, Stage};

/// What a backup of the operator's namespace has, by the words of `kubectl get`.
const OF_OPERATOR: &[&[&str]] = &[
    &["secrets", "-n", HOME, "--field-selector", "type=bowline.dev/record"],
    &["secrets", "-n", HOME, "--field-selector", "type=bowline.dev/sharer"],
    &["secrets", "-n", HOME, "--field-selector", "type=bowline.dev/app"],
    &["secrets", "-n", HOME, "--field-selector", "metadata.name=bowline-keyring"],
];

fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The objects, as a backup writes them back.
async fn backed_up(stage: &Stage, what: &[&str]) -> Vec<Value> {
    let listed = stage.access.kubectl(&[&["get", "-o", "json"], what].concat()).await.unwrap();
    let mut list: Value = serde_json::from_str(&success(&listed)).unwrap();
    let Value::Array(mut objects) = list["items"].take() else { panic!("no list of {what:?}") };
    for object in &mut objects {
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        for left_out in
            ["uid", "resourceVersion", "creationTimestamp", "generation", "ownerReferences", "managedFields"]
        {
            metadata.remove(left_out);
        }
    }
    objects
}

/// Everything that a move needs, and nothing that the operator writes again by itself.
struct Backup(Vec<Value>);

impl Backup {
    async fn of(it: &Scene) -> Self {
        let mut all = Vec::new();
        for what in OF_OPERATOR {
            all.extend(backed_up(&it.stage, what).await);
        }
        for kind in ["integrationproviders", "workspaces"] {
            all.extend(backed_up(&it.stage, &[kind]).await);
        }
        for kind in ["integrationconnections", "connectionbindings"] {
            all.extend(backed_up(&it.stage, &[kind, "-n", &it.namespace]).await);
        }
        Self(all)
    }

    /// As an administrator, with every policy in force. Nothing is refused.
    async fn restored_to(&self, stage: &Stage) {
        let files = Scratch::create().expect("a folder");
        let file = files.path().join("backup.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.0});
        std::fs::write(&file, list.to_string()).unwrap();
        let created = stage.access.kubectl(&["create", "-f", file.to_str().unwrap()]).await.unwrap();
        success(&created);
    }
}

/// What was sent to the provider with a refresh token, or by a person.
fn sent(it: &Scene) -> [usize; 2] {
    let ledger = it.realm.ledger();
    [Endpoint::Token, Endpoint::Authorization].map(|endpoint| ledger.requests_to(endpoint).count())
}

async fn until_offered(it: &Scene, name: &str) -> String {
    let status = it.until_reason(name, "Authorized", "AdoptionOffered").await;
    words(&status, "Authorized").to_owned()
}

async fn two_clusters(name: &str) -> (Scene, Arc<Stage>) {
    let first = Stage::fresh(&[]).await;
    let it = first.scene(name).await;
    (it, Stage::without_operator(&[]).await)
}

#[tokio::test]
#[ignore = "needs two API servers: make test"]
async fn a_connection_moves_to_another_cluster_and_goes_on_refreshing_there() {
    let (it, second) = two_clusters("moves").await;
    let jobs = it.another_namespace("jobs").await;
    it.workspace(&["alice"], &[&jobs]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    let minted = it.authorized("mail").await;
    it.ask_for_refresh("mail", "before").await;
    it.until_refreshed(&minted.grant_id, 1).await;
    it.secret_in(&jobs, &format!("{}.mail", it.namespace)).await;
    let before = it.until_status("mail", "its revision", |status| {
        status.grant.as_ref().is_some_and(|grant| grant.revision == 2)
    });
    let before = before.await;
    it.stage.stop_operator();
    let sent_before = sent(&it);
    let files = Scratch::create().expect("a folder");
    let file = files.path().join("bowline.json");
    let write = ["backup", "--to", file.to_str().unwrap(), "--with-keyring"];
    let (code, said, errors) = bowline(&it, ADMIN, &write, "").await;
    assert!(code == 0 && said.contains("1 connections, 1 records, with the keyring"), "{said}{errors}");
    let (code, _, errors) = bowline(&it, ADMIN, &write, "").await;
    assert!(code == 1 && errors.contains("cannot be written"), "it writes over nothing: {errors}");

    let there = it.moved_to(&second).await;
    let jobs_there = there.another_namespace("jobs").await;
    let created = ["create", "-f", file.to_str().unwrap()];
    success(&second.access.kubectl(&created).await.unwrap());
    second.start_operator().await;
    let told = until_offered(&there, "mail").await;
    assert!(told.contains("alice must agree to adopting it"), "{told}");
    let (code, said, errors) = bowline(&there, ADMIN, &["adopt", "-A"], "").await;
    assert!(code == 0 && said.contains("mail") && said.contains("alice"), "{said}{errors}");
    let (code, said, _) = bowline(&there, "bob", &["adopt", "mail", "--yes"], "").await;
    assert!(code == 1 && said.contains("refused"), "bob owns nothing of it: {said}");
    assert_eq!(sent(&there), sent_before, "nothing is sent before somebody agrees");
    assert!(there.secret_now(&there.namespace, "mail").await.is_none());

    let (code, said, errors) = bowline(&there, ADMIN, &["adopt", "-A", "--all", "--yes"], "").await;
    assert!(code == 0, "{said}{errors}");
    let after = there.until_phase("mail", "Active").await;
    assert_eq!(grant_id(&after), grant_id(&before), "the same grant");
    assert_eq!((&after.account, &after.connected_by), (&before.account, &before.connected_by));
    assert!(there.realm.is_alive(&there.secret("mail").await["access_token"]));
    there.secret_in(&jobs_there, &format!("{}.mail", there.namespace)).await;
    until("the agreement is handled", async || {
        let annotations = there.get("mail").await.metadata.annotations.unwrap_or_default();
        (!annotations.contains_key("bowline.dev/adopt")).then_some(())
    })
    .await;
    let records = ["get", "secrets", "-n", HOME, "--field-selector", "type=bowline.dev/record", "-o", "name"];
    let records = success(&second.access.kubectl(&records).await.unwrap());
    let uid = there.get("mail").await.metadata.uid.unwrap();
    assert_eq!(records.trim(), format!("secret/record-{uid}"), "the former record is gone");

    there.ask_for_refresh("mail", "there").await;
    there.until_refreshed(&minted.grant_id, 2).await;
    assert_eq!(sent(&there)[1], sent_before[1], "nobody consented again");
    assert!(there.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs two API servers: make test"]
async fn a_record_that_may_be_older_than_the_last_refresh_is_held() {
    let (it, second) = two_clusters("held").await;
    let minted = it.connected("mail", Rotation::SingleUse, 12).await;
    let old = Backup::of(&it).await;
    let expires_at = it.status("mail").await.token.and_then(|token| token.expires_at).expect("a time").0;
    // The former cluster goes on after the backup, as it does until a disaster.
    it.until_refreshed(&minted.grant_id, 1).await;
    it.stage.stop_operator();
    let there = it.moved_to(&second).await;
    old.restored_to(&second).await;
    until("the token of the backup has expired", async || {
        (k8s_openapi::jiff::Timestamp::now() > expires_at).then_some(())
    })
    .await;
    second.start_operator().await;
    let held = there.until_reason("mail", "Authorized", Reason::AdoptionHeld.as_str()).await;
    assert!(words(&held, "Authorized").contains("--even-if-spent"), "{held:?}");
    let sent_before = sent(&there);
    let (code, said, errors) = bowline(&there, "alice", &["adopt", "mail", "--yes"], "").await;
    assert!(code == 2 && said.contains("may be spent"), "{said}{errors}");
    assert_eq!(sent(&there), sent_before);
    // Somebody who knows better is believed.
    let anyway = ["adopt", "mail", "--even-if-spent", "--yes"];
    let (code, said, errors) = bowline(&there, "alice", &anyway, "").await;
    assert!(code == 0, "{said}{errors}");
    there.until_status("mail", "adopted", |status| status.grant.is_some()).await;
}

/// Another owner's record, or another account than the expected one, is not offered.
#[tokio::test]
#[ignore = "needs two API servers: make test"]
async fn nobody_adopts_what_belongs_to_somebody_else() {
    let (it, second) = two_clusters("others").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.connection("chat").apply().await;
    it.authorized("chat").await;
    it.stage.stop_operator();
    let mut backup = Backup::of(&it).await;
    for object in &mut backup.0 {
        if object["kind"] == "IntegrationConnection" {
            match object["metadata"]["name"].as_str() {
                Some("mail") => object["spec"]["owner"] = json!("bob"),
                _ => object["spec"]["account"] = json!({"id": "another"}),
            }
            object["metadata"]["annotations"]["bowline.dev/adopt"] = json!("even-if-spent");
        }
    }
    let there = it.moved_to(&second).await;
    backup.restored_to(&second).await;
    second.start_operator().await;
    for name in ["mail", "chat"] {
        there.until_reason(name, "Authorized", "AwaitingAuthorization").await;
        assert!(there.secret_now(&there.namespace, name).await.is_none());
    }
}

/// A connection of bob's of the same name, by an administrator, with a record whose revision is higher.
async fn bobs_mail(it: &Scene) {
    let administrator = Api::<IntegrationConnection>::namespaced(it.admin.clone(), &it.namespace);
    let (create, merge) = (PostParams::default(), PatchParams::default());
    let connection = json!({"metadata": {"name": "mail"}, "spec": {"provider": it.name, "owner": "bob"}});
    administrator.create(&create, &parsed(connection)).await.expect("a connection");
    let minted = it.mint();
    let intake = json!({"metadata": {"name": "bobs", "labels": {LABEL_INTAKE_FOR: "mail"}}, "type": "bowline.dev/intake",
        "stringData": {"refresh_token": minted.refresh_token, "access_token": minted.access_token, "expires_in": "3600"}});
    let intake =
        Api::<Secret>::namespaced(it.admin.clone(), &it.namespace).create(&create, &parsed(intake)).await;
    let announced = format!("bobs/{}", intake.expect("an intake Secret").uid().unwrap());
    let annotate = async |name: &str, value: &str| {
        let change = json!({"metadata": {"annotations": {name: value}}});
        administrator.patch("mail", &merge, &Patch::Merge(change)).await.expect("announced")
    };
    annotate(ANNOTATION_INTAKE, &announced).await;
    it.until_phase("mail", "Active").await;
    annotate(ANNOTATION_REFRESH_REQUESTED, "higher").await;
    it.until_refreshed(&minted.grant_id, 1).await;
}

/// The record of a later connection of the same name that was somebody else's hides nothing.
#[tokio::test]
#[ignore = "needs two API servers: make test"]
async fn of_several_former_objects_the_owners_own_is_offered() {
    let (it, second) = two_clusters("several").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let alices = Backup::of(&it).await;
    it.delete("mail").await;
    until("the connection is gone", async || {
        it.connections().get_opt("mail").await.unwrap().is_none().then_some(())
    })
    .await;
    bobs_mail(&it).await;
    it.stage.stop_operator();
    let is_record = |object: &Value| object["type"] == "bowline.dev/record";
    let bobs = Backup::of(&it).await.0.into_iter().filter(is_record);
    let both = Backup(alices.0.into_iter().chain(bobs).collect());
    assert_eq!(both.0.iter().filter(|object| is_record(object)).count(), 2);
    let there = it.moved_to(&second).await;
    both.restored_to(&second).await;
    second.start_operator().await;
    until_offered(&there, "mail").await;
}
