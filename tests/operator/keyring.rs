//! A keyring that cannot be used: not ready, with the reason, and nothing made in its place.
//!
//! Level 1 reads keyrings; what a start with a bad one does to records and Secrets shows only here.

use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::looking::until;
use crate::scene::parsed;
use crate::stage::{HOME, Stage};

const KEYRING: &str = "bowline-keyring";

async fn until_not_ready(stage: &Stage, said: &str) {
    until(&format!("not ready: {said}"), async || {
        let (status, body) = stage.ask("readyz").await.ok_or_else(|| "nobody listens".to_owned())?;
        if status == 503 && body.contains(said) { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
}

async fn until_ready(stage: &Stage) {
    until("ready", async || stage.ask("readyz").await.filter(|(status, _)| *status == 200)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_of_the_wrong_length_is_refused_by_name_until_it_is_mended() {
    let stage = Stage::without_operator(&[]).await;
    let it = stage.scene("short-key").await;
    let id = "0123456789abcdef0123456789abcdef";
    let keyring = |length: usize| -> Secret {
        parsed(json!({"metadata": {"name": KEYRING}, "stringData": {
            "primary": id, format!("{id}.key"): "k".repeat(length), format!("{id}.created"): "2026-03-01T00:00:00Z"}}))
    };
    let secrets = it.secrets(HOME);
    secrets.create(&PostParams::default(), &keyring(31)).await.expect("a keyring");
    stage.spawn_operator().await;
    until_not_ready(&stage, id).await;
    assert_eq!(stage.ask("livez").await.unwrap().0, 200, "a restart would mend nothing");

    secrets.delete(KEYRING, &DeleteParams::default()).await.expect("deleted");
    let mended = until("a keyring that was made", async || {
        secrets.create(&PostParams::default(), &keyring(32)).await.map(drop)
    });
    mended.await;
    until_ready(&stage).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_keyring_that_is_gone_while_records_exist_is_not_made_anew() {
    let stage = Stage::fresh(&["--intent-ttl", "2s"]).await;
    let it = stage.scene("gone-keys").await;
    let minted = it.connected("mail", Rotation::SingleUse, 20).await;
    let secrets = it.secrets(HOME);
    let mut keyring = secrets.get(KEYRING).await.expect("the operator made one");
    stage.stop_operator();
    let published = it.secret("mail").await;
    secrets.delete(KEYRING, &DeleteParams::default()).await.expect("deleted");

    stage.spawn_operator().await;
    until_not_ready(&stage, "while records exist").await;
    assert!(secrets.get_opt(KEYRING).await.unwrap().is_none(), "a new key opens nothing");
    assert_eq!(it.secret("mail").await, published);

    keyring.metadata.resource_version = None;
    keyring.metadata.uid = None;
    // Its label is the operator's, so a person puts it back without.
    keyring.metadata.labels = None;
    secrets.create(&PostParams::default(), &keyring).await.expect("put back");
    until_ready(&stage).await;
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, refreshes + 1).await;
    it.until_phase("mail", "Active").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}
