//! What somebody else does to the Secrets in which grants are kept: with a backup, or with the operator's own token and no
//! keyring. And endings, which are such Secrets too.
//!
//! Unit tests show what is believed. Only here do we see what a running operator sends and publishes because of it.

use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::access;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, Minted, Rotation};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::looking::{holds, is, until, words};
use crate::scene::{Scene, scene};
use crate::stage::HOME;

/// The pause is ten seconds after the first failed revocation, twenty after the second, and so on.
const REVOKED_WITHIN: Duration = Duration::from_secs(90);

/// Secrets of the operator's namespace, with the operator's token: what a thief of it may do.
async fn as_operator(it: &Scene) -> Api<Secret> {
    let kubeconfig = it.stage.access.service_account_kubeconfig(HOME, "bowline").await.expect("a token");
    Api::namespaced(access::client(&kubeconfig).await.expect("a client"), HOME)
}

async fn record_name(it: &Scene) -> String {
    format!("record-{}", it.get("mail").await.metadata.uid.unwrap())
}

/// The same Secret, to be created again.
fn anew(secret: &Secret, name: &str) -> Secret {
    let mut copy = secret.clone();
    copy.metadata = kube::api::ObjectMeta {
        name: Some(name.to_owned()),
        labels: secret.metadata.labels.clone(),
        ..kube::api::ObjectMeta::default()
    };
    copy
}

async fn refreshed_on_request(it: &Scene, minted: &Minted, request: &str) {
    refreshed("mail", it, minted, request).await;
}

async fn refreshed(connection: &str, it: &Scene, minted: &Minted, request: &str) {
    let before = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.ask_for_refresh(connection, request).await;
    it.until_refreshed(&minted.grant_id, before + 1).await;
    let is_answered =
        |status: &IntegrationConnectionStatus| status.last_handled_refresh.as_deref() == Some(request);
    it.until_status(connection, "answered", is_answered).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_15_a_record_that_was_restored_is_neither_published_nor_sent() {
    let it = scene("restored").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let (thief, name) = (as_operator(&it).await, record_name(&it).await);
    let older = thief.get(&name).await.expect("a record");
    refreshed_on_request(&it, &minted, "one").await;
    let published = it.secret("mail").await;
    let sent = it.realm.ledger().refresh_attempts_of(&minted.grant_id).len();

    thief.delete(&name, &DeleteParams::default()).await.expect("deleted");
    thief.create(&PostParams::default(), &anew(&older, &name)).await.expect("restored");
    let told = it.until_reason("mail", "Authorized", "RecordRolledBack").await;
    assert!(words(&told, "Authorized").contains("connect again"), "{told:?}");
    it.until_event(&it.namespace, "RecordRolledBack").await;
    it.ask_for_refresh("mail", "two").await;
    it.until_status("mail", "answered", |status| status.last_handled_refresh.as_deref() == Some("two")).await;
    assert_eq!(it.secret("mail").await, published, "the newer token stays");
    assert_eq!(
        it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(),
        sent,
        "the spent token was sent"
    );
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));

    it.authorized("mail").await;
    let again = it.until_secret("mail", "the new grant's token", |keys| *keys != published).await;
    assert!(it.realm.is_alive(&again["access_token"]));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_16_a_deleted_record_is_told_at_once_and_the_next_grant_is_published() {
    let it = scene("lost-record").await;
    it.connected("mail", Rotation::None, 3600).await;
    let published = it.secret("mail").await;
    let thief = as_operator(&it).await;
    thief.delete(&record_name(&it).await, &DeleteParams::default()).await.expect("deleted");
    let told = it.until_reason("mail", "Authorized", "RecordMissing").await;
    assert!(!holds(&told, "Ready"), "{told:?}");
    it.until_event(&it.namespace, "RecordMissing").await;
    assert_eq!(it.secret("mail").await, published, "what is published stays until it expires");
    // Its record counts from the beginning again, as the first one did.
    let again = it.authorized("mail").await;
    it.until_secret("mail", "the new grant's token", |keys| keys["access_token"] == again.access_token).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_02_whoever_has_the_operators_token_and_no_keyring_ends_and_redirects_nothing() {
    let it = scene("no-keyring").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let (thief, name) = (as_operator(&it).await, record_name(&it).await);
    let record = thief.get(&name).await.expect("a record");
    let ending = json!({"since": "2026-01-01T00:00:00Z", "failures": 0,
        "notBefore": "2026-01-01T00:00:00Z", "recordObject": "fabricated", "withdrawal": {"debts": []}});
    let clear = |secret: &Secret| -> serde_json::Value {
        serde_json::from_slice(&secret.data.as_ref().unwrap()["record.json"].0).unwrap()
    };
    let mut marked = clear(&record);
    marked["ending"] = ending;
    let bytes = ByteString(serde_json::to_vec(&marked).unwrap());

    // An ending of a grant in use, made from its record.
    let mut fabricated = anew(&record, "ending-fabricated");
    fabricated.type_ = Some("bowline.dev/ending".to_owned());
    fabricated.data.as_mut().unwrap().insert("record.json".to_owned(), bytes.clone());
    thief.create(&PostParams::default(), &fabricated).await.expect("fabricated");

    // The mark of an ending, and whatever else, in the record itself.
    let edit = json!({"data": {"record.json": bytes}});
    thief.patch(&name, &PatchParams::default(), &Patch::Merge(&edit)).await.expect("edited");
    let told = it.until_reason("mail", "Authorized", "RecordTampered").await;
    it.until_event(&it.namespace, "RecordTampered").await;
    assert!(!holds(&told, "Ready"), "{told:?}");
    it.ask_for_refresh("mail", "now").await;
    it.until_status("mail", "answered", |status| status.last_handled_refresh.is_some()).await;
    until_refused(&it, "fabricated").await;
    let ledger = it.realm.ledger();
    assert_eq!(ledger.requests_to(Endpoint::Revocation).count(), 0);
    assert!(ledger.refresh_attempts_of(&minted.grant_id).is_empty());
    assert!(it.realm.is_alive(&minted.refresh_token));
    it.authorized("mail").await;
    thief.delete("ending-fabricated", &DeleteParams::default()).await.expect("deleted");
}

/// The ending of the scene's connection.
async fn ending_of(thief: &Api<Secret>, uid: &str) -> Secret {
    let selected = ListParams::default().labels(&format!("bowline.dev/connection-uid={uid}"));
    until("an ending", async || {
        let found = thief.list(&selected).await.map_err(|error| error.to_string())?;
        let is_ending = |secret: &Secret| {
            secret.type_.as_deref() == Some("bowline.dev/ending")
                && secret.data.as_ref().is_some_and(|data| data.contains_key("signature"))
        };
        found.into_iter().find(is_ending).ok_or_else(|| "none".to_owned())
    })
    .await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_26_the_owner_connects_again_while_the_old_grant_is_still_being_revoked() {
    let it = scene("again").await;
    it.provider_of_type("sandbox-token")
        .registered()
        .lifetime(3600)
        .spec(json!({"endpoints": {"issuer": it.realm.issuer()}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    let minted = it.authorized("mail").await;
    it.realm.fault(Fault::at(Endpoint::Revocation, Action::status(503)).times(u32::MAX));
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_event(&it.namespace, "RevocationFailed").await;
    let told = it
        .until_status("mail", "not revoked", |status| {
            words(status, "Authorized").contains("could not be revoked at the provider")
        })
        .await;
    assert!(is(&told, "Authorized", "Disconnected"), "{told:?}");
    let (thief, uid) = (as_operator(&it).await, it.get("mail").await.metadata.uid.unwrap());
    let ending = ending_of(&thief, &uid).await;

    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    let again = it.authorized("mail").await;
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
    it.realm.clear_faults();
    let (old, new) = (&minted.grant_id, &again.grant_id);
    it.until_ledger_within(REVOKED_WITHIN, "revoked", |ledger| ledger.is_grant_revoked(old).then_some(()))
        .await;
    it.until_no_secret(HOME, &ending.name_any()).await;
    assert!(!it.realm.ledger().is_grant_revoked(new));
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));

    // A copy of it, made by somebody without our keyring, is not carried out.
    let revoked = it.realm.ledger().requests_to(Endpoint::Revocation).count();
    thief.create(&PostParams::default(), &anew(&ending, &ending.name_any())).await.expect("a copy");
    until_refused(&it, ending.name_any().trim_start_matches("ending-")).await;
    refreshed_on_request(&it, &again, "meanwhile").await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), revoked);
    thief.delete(&ending.name_any(), &DeleteParams::default()).await.expect("deleted");
}

/// Waits until the operator has seen a Secret that it did not write, and says so.
async fn until_refused(it: &Scene, key: &str) {
    until("the copy is refused", async || {
        let logs = it.stage.logs();
        let told = logs.lines().any(|line| line.contains(key) && line.contains("cannot be read"));
        told.then_some(())
    })
    .await;
}

/// Where a revocation ends every grant of the account, the connection's next one counts too.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_26_an_old_grant_is_not_revoked_where_that_would_end_the_next_one() {
    let it = scene("sibling").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.realm.fault(Fault::at(Endpoint::Revocation, Action::status(503)).times(u32::MAX));
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_event(&it.namespace, "RevocationFailed").await;
    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    let again = it.authorized("mail").await;
    let tried = it.realm.ledger().requests_to(Endpoint::Revocation).count();
    it.realm.clear_faults();
    it.until_status_within(REVOKED_WITHIN, "mail", "it waits", |status| {
        status.revocation.as_ref().is_some_and(|it| it.reason.to_string() == "RevocationWaits")
    })
    .await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), tried);
    assert!(!it.realm.ledger().is_grant_revoked(&again.grant_id));
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_19_a_request_does_not_send_a_doubtful_token_before_its_time() {
    let it = scene("doubtful").await;
    let minted = it.connected("mail", Rotation::SingleUse, 600).await;
    it.realm.fault(Fault::token(Action::Drop { commit: true }));
    it.ask_for_refresh("mail", "one").await;
    it.until_reason("mail", "Authorized", "RotationOutcomeUnknown").await;
    let sent = it.realm.ledger().refresh_attempts_of(&minted.grant_id).len();
    it.ask_for_refresh("mail", "two").await;
    it.until_status("mail", "it waits", |status| {
        words(status, "Authorized").contains("The requested refresh waits")
    })
    .await;
    // The least interval between two refreshes is two seconds here: a request of another connection is served later than that.
    it.connection("other").apply().await;
    let other = it.authorized("other").await;
    refreshed("other", &it, &other, "later").await;
    assert_eq!(it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(), sent);
    assert!(it.realm.ledger().spent_twice().is_empty());
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]), "the published token lives");
}
