//! What others change in a published Secret is restored without asking the provider, and what belongs to them is left alone.
//!
//! publishing.rs of the cluster tests shows each write. Only here does the operator notice and act by itself.

use bowline_testbed::sandbox::{Endpoint, Rotation};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::looking::{holds, keys, until};
use crate::scene::{Scene, parsed, scene};

/// Secrets of the scene's namespace, as alice: an editor.
fn as_editor(it: &Scene) -> Api<Secret> {
    Api::namespaced(it.alice.clone(), &it.namespace)
}

async fn put_back(name: &str, change: Value) {
    let it = scene(name).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let before = it.secret("mail").await;
    let asked = it.realm.ledger().requests.len();
    as_editor(&it).patch("mail", &PatchParams::default(), &Patch::Merge(&change)).await.expect("edited");
    until("it is as it was", async || {
        let secret = it.secret_now(&it.namespace, "mail").await.ok_or("there is none")?;
        let same = keys(&secret) == before && secret.immutable != Some(true);
        same.then_some(()).ok_or("it is not")
    })
    .await;
    assert_eq!(it.realm.ledger().requests.len(), asked, "the provider was asked");
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_edited_secret_is_put_back() {
    put_back("edited", json!({"data": {"access_token": "aGFja2Vk", "token_type": null, "added": "eA=="}}))
        .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_secret_made_immutable_is_replaced() {
    put_back("immutable", json!({"immutable": true})).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_secret_comes_back() {
    let it = scene("removed").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let before = it.secret("mail").await;
    let former = it.secret_now(&it.namespace, "mail").await.unwrap().uid();
    as_editor(&it).delete("mail", &DeleteParams::default()).await.expect("deleted");
    until("another one", async || {
        let secret = it.secret_now(&it.namespace, "mail").await?;
        (secret.uid() != former && keys(&secret) == before).then_some(())
    })
    .await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_name_that_somebody_else_has_is_left_alone_until_it_is_free() {
    let it = scene("taken").await;
    it.keep_secret("mail", "mail", "example.com/other", &[("access_token", "theirs")]).await;
    let theirs = it.secret_now(&it.namespace, "mail").await.unwrap();
    it.provider(Rotation::SingleUse).lifetime(6).apply().await;
    it.connection("mail").apply().await;
    let minted = it.mint();
    it.import("mail", &minted).await;
    let taken = it.until_reason("mail", "SecretPublished", "NameTaken").await;
    assert!(!holds(&taken, "Ready"), "{taken:?}");
    it.until_event(&it.namespace, "NameTaken").await;
    it.until_refreshed(&minted.grant_id, 3).await;
    assert_eq!(it.secret_now(&it.namespace, "mail").await.unwrap(), theirs, "it was changed");

    as_editor(&it).delete("mail", &DeleteParams::default()).await.expect("freed");
    it.until_secret("mail", "a token that works", |keys| it.realm.is_alive(&keys["access_token"])).await;
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_name_taken_over_is_left_alone_too() {
    let it = scene("overtaken").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    // Ours is deleted and theirs is created before anybody can restore ours: the first owns the name.
    let theirs: Secret = parsed(json!({"metadata": {"name": "mail"}, "type": "example.com/other",
        "stringData": {"access_token": "theirs"}}));
    let secrets = as_editor(&it);
    let taken = until("theirs exists", async || {
        let _ = secrets.delete("mail", &DeleteParams::default()).await;
        secrets.create(&PostParams::default(), &theirs).await
    })
    .await;
    it.until_reason("mail", "SecretPublished", "NameTaken").await;
    assert_eq!(it.secret_now(&it.namespace, "mail").await.unwrap().data, taken.data);
    secrets.delete("mail", &DeleteParams::default()).await.expect("freed");
    it.until_phase("mail", "Active").await;
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
}
