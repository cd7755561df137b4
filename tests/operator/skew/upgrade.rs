//! From the previous release to this one, as it is done with two replicas: manifests first, then the new one starts, then the
//! old one ends.

use std::collections::BTreeMap;

use bowline_testbed::sandbox::Rotation;
use bowline_testbed::stage::OPERATOR_USER;
use serde_json::json;

use super::{
    Debt, Kept, LIFETIME, SOON, apply_manifests, assert_lasted, lasting, listed, refreshes, until_leads,
    until_refreshed,
};
use crate::looking::phase_of;
use crate::stage::Stage;

/// How often an object whose token is replaced once may be written. Each is written two or three times; a storm is endless.
const WRITES: usize = 6;

/// Four connections and their providers, what was left of a fifth, a workspace, a share, a binding, and six Secrets.
const OBJECTS: usize = 18;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_upgrade_asks_nobody_spends_nothing_twice_and_changes_no_secret_under_its_readers() {
    let old = Stage::previous(&["--instance", "old"]).await;
    old.start_operator().await;
    let mut kept = Kept::on(&old).await;
    until_refreshed(&kept.chat, 1).await;
    let debt = Debt::on(&old).await;
    let before = lasting(&old).await;
    assert!(before.len() >= OBJECTS, "{before:?}");

    let new = old.replica(&["--instance", "new"]);
    apply_manifests(&new, &old).await;
    // While the definitions are newer than the operator, what it has stays fresh, and what is new waits.
    until_refreshed(&kept.chat, refreshes(&kept.chat) + 1).await;
    kept.chat.connection("later").apply().await;
    kept.chat.import("later", &kept.chat.mint()).await;
    kept.chat.until_reason("later", "Authorized", "PolicyMissing").await;
    assert!(kept.chat.secret_now(&kept.chat.namespace, "later").await.is_none());
    new.start_operator().await;
    let mark = old.access.audit().unwrap().mark().unwrap();
    old.stop_operator();
    until_leads(&old, "new").await;
    kept.follow(&new);
    kept.until_everything_is_renewed("new").await;
    debt.until_paid().await;

    assert_lasted(&kept, &before, &lasting(&old).await);
    kept.assert_nothing_spent_twice();
    for definition in listed(&old, &["customresourcedefinitions"]).await {
        assert_eq!(definition["status"]["storedVersions"], json!(["v1alpha1"]));
    }
    let written = old.access.audit().unwrap().requests_since(mark).unwrap().by(OPERATOR_USER).writes();
    let mut times = BTreeMap::<_, usize>::new();
    for write in written.iter() {
        *times.entry((write.resource.clone(), write.namespace.clone(), write.name.clone())).or_default() += 1;
    }
    let idle = [kept.mail.namespace.clone(), kept.weather.namespace.clone(), kept.work(), String::new()];
    times.retain(|(resource, namespace, _), times| {
        resource != "events" && idle.contains(namespace) && *times > WRITES
    });
    assert!(times.is_empty(), "{times:?}");

    kept.chat.until_status_within(SOON, "later", "connected", |status| phase_of(status) == "Active").await;
    kept.chat.secret("later").await;
}

/// Somebody changes the image alone, or the manifests come later.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_that_is_newer_than_its_manifests_keeps_tokens_fresh_and_says_what_is_missing() {
    let old = Stage::previous(&["--instance", "old"]).await;
    old.start_operator().await;
    let it = old.scene("early").await;
    it.connected("chat", Rotation::SingleUse, LIFETIME).await;
    old.stop_operator();
    let new = old.replica(&["--instance", "new"]);
    new.start_operator().await;
    until_leads(&old, "new").await;
    until_refreshed(&it, refreshes(&it) + 2).await;
    it.connection("later").apply().await;
    it.import("later", &it.mint()).await;
    it.until_reason("later", "Authorized", "PolicyMissing").await;

    apply_manifests(&new, &old).await;
    it.until_status_within(SOON, "later", "connected", |status| phase_of(status) == "Active").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}
