//! Keys that we issue: created, recognized by an application, replaced with an overlap, revoked.

use std::process::Stdio;

use bowline_api::names::ANNOTATION_INTAKE;
use bowline_testbed::random;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::looking::{Keys, holds, is, until, words};
use crate::plugin::bowline;
use crate::scene::{Scene, scene};

/// A provider of keys for Zapier, and a connection of alice's without one.
async fn waiting(it: &Scene, parameters: serde_json::Value) {
    it.provider_of_type("zapier-key").spec(json!({"parameters": parameters})).apply().await;
    it.connection("zapier").apply().await;
    it.until_reason("zapier", "Authorized", "AwaitingAuthorization").await;
}

/// Creates a key as alice does.
async fn issue(it: &Scene, more: &[&str]) -> String {
    let (code, key, errors) = bowline(it, "alice", &[&["issue", "zapier"], more].concat(), "").await;
    assert_eq!(code, 0, "{errors}");
    let key = key.trim_end().to_owned();
    assert!(key.starts_with("wkz_") && key.len() == 61, "{key}");
    assert!(!errors.contains(&key[12..]), "only stdout has the key: {errors}");
    key
}

fn id(key: &str) -> &str {
    &key[4..12]
}

/// What the worked example says of a key, given the file of the Secret: its id, or none.
pub async fn verified(keys: &Keys, key: &str) -> Option<String> {
    let file = std::env::temp_dir().join(format!("issued-keys-{}", random::hex(8).unwrap()));
    std::fs::write(&file, &keys["issued_keys"]).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/issued-key/verify.mjs");
    let mut node = Command::new("node")
        .arg(example)
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node");
    node.stdin.take().unwrap().write_all(key.as_bytes()).await.unwrap();
    let output = node.wait_with_output().await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        Some(1) if said.trim() == "not a valid key" => None,
        code => panic!("{code:?}: {said}"),
    }
}

async fn ids(it: &Scene) -> Vec<String> {
    it.status("zapier").await.issued_keys.into_iter().map(|key| key.id).collect()
}

/// Neither the key nor, outside Secrets, its digest is anywhere in the cluster.
async fn assert_known_by_its_digest_alone(it: &Scene, key: &str) {
    let secrets: Api<Secret> = Api::all(it.admin.clone());
    for secret in secrets.list(&ListParams::default()).await.unwrap() {
        for value in secret.data.iter().flatten().map(|(_, value)| String::from_utf8_lossy(&value.0)) {
            assert!(!value.contains(&key[12..]), "{} has the key", secret.name_any());
        }
    }
    let connection = serde_json::to_string(&it.get("zapier").await).unwrap();
    let published = &it.secret("zapier").await["issued_keys"];
    let listed: Vec<serde_json::Value> = serde_json::from_str(published).unwrap();
    for digest in listed.iter().map(|key| key["sha256"].as_str().unwrap()) {
        assert!(!connection.contains(digest) && !it.stage.logs().contains(digest), "a digest is shown");
    }
    assert!(!connection.contains(&key[12..]) && !it.stage.logs().contains(&key[12..]), "the key is shown");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_is_recognized_replaced_with_an_overlap_and_revoked() {
    let it = scene("issued").await;
    let other = it.another_namespace("jobs").await;
    waiting(&it, json!({"overlap": "12s"})).await;
    let awaiting = it.status("zapier").await;
    let awaiting = words(&awaiting, "Authorized");
    assert!(awaiting.contains("kubectl bowline issue zapier"), "{awaiting}");

    let first = issue(&it, &[]).await;
    let active = it.until_phase("zapier", "Active").await;
    assert!(
        is(&active, "Authorized", "KeysIssued") && is(&active, "TokenFresh", "NeverExpires"),
        "{active:?}"
    );
    let keys = it.secret("zapier").await;
    assert_eq!(verified(&keys, &first).await.as_deref(), Some(id(&first)));
    assert_eq!(verified(&keys, &first.replace(&first[20..30], "0123456789")).await, None);
    assert_known_by_its_digest_alone(&it, &first).await;
    assert_eq!(active.issued_keys[0].created_by, "alice");

    // Both work for a while, here and where it is shared; then the first one is taken out by itself.
    it.workspace(&["alice"], &[&it.namespace, &other]).apply().await;
    it.change("zapier", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.until_reason("zapier", "Shared", "Shared").await;
    let second = issue(&it, &[]).await;
    let has = |keys: &Keys, key: &str| keys["issued_keys"].contains(id(key));
    let both = it.until_secret("zapier", "both keys", |keys| has(keys, &first) && has(keys, &second)).await;
    for key in [&first, &second] {
        assert_eq!(verified(&both, key).await.as_deref(), Some(id(key)));
    }
    assert_eq!(ids(&it).await, [id(&second), id(&first)]);
    let one = it.until_secret("zapier", "the second key", |keys| !has(keys, &first)).await;
    assert_eq!(verified(&one, &first).await, None);
    assert_eq!(verified(&both, &first).await, None, "whoever still has the old list refuses it as well");
    assert_eq!(verified(&one, &second).await.as_deref(), Some(id(&second)));
    let shared = format!("{}.zapier", it.namespace);
    it.until_secret_in(&other, &shared, "the second key", |keys| has(keys, &second) && !has(keys, &first))
        .await;
    let status = it.until_status("zapier", "one key", |status| status.issued_keys.len() == 1).await;
    let told: Vec<_> = status.history.iter().map(|entry| entry.message.clone()).collect();
    for news in
        [format!("alice created the key {}.", id(&second)), format!("The key {} has expired.", id(&first))]
    {
        assert!(told.contains(&news), "{told:?}");
    }

    // The list stays, and is empty: a Secret that is deleted would stay in the mounts of pods.
    let (code, said, errors) = bowline(&it, "alice", &["revoke", "zapier", id(&second)], "").await;
    assert_eq!((code, said.trim()), (0, "Revoked."), "{errors}");
    let none = it.until_secret("zapier", "no key", |keys| keys["issued_keys"] == "[]").await;
    assert_eq!(verified(&none, &second).await, None);
    it.until_secret_in(&other, &shared, "no key", |keys| keys["issued_keys"] == "[]").await;
    let over = it.until_reason("zapier", "TokenFresh", "NoValidKey").await;
    assert!(is(&over, "Ready", "NoValidKey") && is(&over, "SecretPublished", "Published"), "{over:?}");
    let (code, _, errors) = bowline(&it, "alice", &["revoke", "zapier", id(&second)], "").await;
    assert!(code == 1 && errors.contains("no valid key with this id"), "{errors}");

    let third = issue(&it, &[]).await;
    it.until_phase("zapier", "Active").await;
    assert_eq!(verified(&it.secret("zapier").await, &third).await.as_deref(), Some(id(&third)));
    it.change("zapier", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "zapier").await;
    it.until_status("zapier", "no keys", |status| status.issued_keys.is_empty()).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn keys_with_a_lifetime_expire_and_others_can_end_at_once() {
    let it = scene("lasting").await;
    waiting(&it, json!({"lifetime": "1h"})).await;
    let first = issue(&it, &[]).await;
    let active = it.until_reason("zapier", "TokenFresh", "ValidUntilExpiry").await;
    assert!(holds(&active, "Ready") && active.issued_keys[0].expires_at.is_some(), "{active:?}");
    let second = issue(&it, &["--overlap", "0s"]).await;
    let keys =
        it.until_secret("zapier", "the second alone", |keys| !keys["issued_keys"].contains(id(&first))).await;
    assert_eq!(verified(&keys, &first).await, None);
    assert_eq!(verified(&keys, &second).await.as_deref(), Some(id(&second)));
}

/// Whoever could add a digest would have a key of their own.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_but_the_owner_announces_a_key_and_no_secret_provides_one() {
    let it = scene("slipped").await;
    waiting(&it, json!({})).await;
    let (code, _, errors) = bowline(&it, "bob", &["issue", "zapier"], "").await;
    assert!(code == 1 && errors.contains("this connection belongs to 'alice'"), "{errors}");

    // A Secret of bob's in the place of the one that alice announced.
    let digest = "0".repeat(64);
    let order = format!(r#"{{"create":{{"id":"B0bB0bB0","sha256":"{digest}"}}}}"#);
    let bobs: Api<Secret> = Api::namespaced(it.bob.clone(), &it.namespace);
    let secret = json!({"metadata": {"name": "slipped", "labels": {"bowline.dev/connection": "zapier"}},
        "type": "bowline.dev/intake", "stringData": {"key_order": order}});
    let made = bobs.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let value = format!("slipped/{}", made.uid().unwrap());
    let announcement = json!({"metadata": {"annotations": {ANNOTATION_INTAKE: value}}});
    let connections: Api<bowline_api::IntegrationConnection> = Api::namespaced(it.bob.clone(), &it.namespace);
    let refused = connections.patch("zapier", &PatchParams::default(), &Patch::Merge(&announcement)).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");

    // A credentials Secret is no way either, and an intake must not hold a key.
    it.keep_secret("kept", "zapier", "bowline.dev/credential", &[("key_order", &order)]).await;
    it.change("zapier", json!({"spec": {"credentials": {"secretName": "kept"}}})).await;
    let refused = it.until_attempt("zapier", "IntakeRefused").await;
    assert!(words(&refused, "Authorized").contains("issued by Bowline"), "{refused:?}");
    it.change("zapier", json!({"spec": {"credentials": null}})).await;
    it.import_keys("zapier", &[("api_key", "wkz_mine")]).await;
    until("the second refusal", async || {
        let status = it.status("zapier").await;
        words(&status, "Authorized").contains("key_order").then_some(())
    })
    .await;
    assert!(it.status("zapier").await.issued_keys.is_empty());
    assert!(it.secret_now(&it.namespace, "zapier").await.is_none());
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn a_key_for_any_service_begins_as_its_provider_says() {
    let it = scene("issued-any").await;
    let draft = it.provider_of_type("generic-issued-key");
    draft.spec(json!({"parameters": {"prefix": "acme_"}})).apply().await;
    it.connection("zapier").apply().await;
    it.until_reason("zapier", "Authorized", "AwaitingAuthorization").await;
    let (code, key, errors) = bowline(&it, "alice", &["issue", "zapier"], "").await;
    assert_eq!(code, 0, "{errors}");
    let key = key.trim_end();
    assert!(key.starts_with("acme_"), "{key}");
    let keys = it.until_secret("zapier", "the key", |keys| keys.contains_key("issued_keys")).await;
    assert!(verified(&keys, key).await.is_some());
}
