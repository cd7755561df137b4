//! Tokens and codes go only where their owner consented to, whoever edits the provider object.

use std::time::Duration;

use bowline_testbed::sandbox::{Action, Endpoint, Event, Fault, RealmConfig, RealmHandle, Rotation};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::carrier::allowed;
use crate::looking::{until, words};
use crate::scene::{Scene, scene};
use crate::stage::sandbox;

/// A provider of somebody else, at the same server.
fn elsewhere(it: &Scene) -> RealmHandle {
    sandbox().realm(&format!("{}-elsewhere", it.name), RealmConfig::default())
}

/// Only its public metadata was requested.
pub fn assert_untouched(realm: &RealmHandle) {
    let ledger = realm.ledger();
    let asked: Vec<_> =
        ledger.requests.iter().filter(|request| request.endpoint != Endpoint::Discovery).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

pub async fn set_endpoint(it: &Scene, field: &str, address: Value) {
    it.change_provider(json!({"spec": {"endpoints": {field: address}}})).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_01_each_address_that_receives_tokens_is_the_one_consented_to() {
    let it = scene("addresses").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let other = elsewhere(&it);
    let addresses = [
        ("token", "token"),
        ("revocation", "revoke"),
        ("userinfo", "userinfo"),
        ("deviceAuthorization", "device_authorization"),
    ];
    for (field, path) in addresses {
        set_endpoint(&it, field, json!(other.url(path))).await;
        it.ask_for_refresh("mail", field).await;
        let outdated = it.until_reason("mail", "Authorized", "ConsentOutdated").await;
        let said = words(&outdated, "Authorized");
        assert!(said.contains(&format!("endpoints.{field} (")) && said.contains("alice"), "{said}");
        it.until_status("mail", "the request is answered", |status| {
            status.last_handled_refresh.as_deref() == Some(field)
        })
        .await;
        set_endpoint(&it, field, Value::Null).await;
        it.until_phase("mail", "Active").await;
    }
    assert_untouched(&other);
    // As it was, it goes on.
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.ask_for_refresh("mail", "as before").await;
    it.until_refreshed(&minted.grant_id, refreshes + 1).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_01_an_address_that_the_issuer_announces_later_is_a_change() {
    let it = scene("announced").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let other = elsewhere(&it);
    let set = [("token_endpoint".to_owned(), json!(other.url("token")))].into_iter().collect();
    let announced = Action::Patch { set, remove: Vec::new() };
    it.realm.fault(Fault { times: 100, ..Fault::at(Endpoint::Discovery, announced) });
    // Another network: the metadata is read again at once.
    let network = json!({"allowedCIDRs": ["127.0.0.0/8", "127.0.0.0/9"]});
    it.change_provider(json!({"spec": {"network": network}})).await;
    let outdated = it.until_reason("mail", "Authorized", "ConsentOutdated").await;
    assert!(words(&outdated, "Authorized").contains("endpoints.token ("), "{outdated:?}");
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.ask_for_refresh("mail", "now").await;
    it.until_status("mail", "the request is answered", |status| status.last_handled_refresh.is_some()).await;
    assert_untouched(&other);
    assert_eq!(it.realm.ledger().refreshes_of(&minted.grant_id).len(), refreshes);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_01_an_ending_is_sent_to_no_address_that_came_after_the_consent() {
    let it = scene("ending-moved").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let other = elsewhere(&it);
    it.providers().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    it.delete("mail").await;
    it.until_gone(Duration::from_mins(1), "mail").await;
    let spec = json!({"endpoints": {"revocation": other.url("revoke"), "token": other.url("token")}});
    it.provider(Rotation::SingleUse).spec(spec).apply().await;
    // The first failure is that there is no provider; the next ones are on record only.
    until("nothing was sent", async || {
        let logs = it.stage.logs();
        logs.contains("endpoints.revocation (another path at").then_some(())
    })
    .await;
    assert_untouched(&other);
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
    for field in ["revocation", "token"] {
        set_endpoint(&it, field, Value::Null).await;
    }
    // The pauses double: the one after the third failure is forty seconds.
    let (within, grant) = (Duration::from_mins(2), &minted.grant_id);
    it.until_ledger_within(within, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
    assert_untouched(&other);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_01_a_code_is_sent_to_no_address_that_came_after_its_request() {
    let it = scene("code-moved").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let other = elsewhere(&it);
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    for (field, path) in [("token", "token"), ("userinfo", "userinfo")] {
        set_endpoint(&it, field, json!(other.url(path))).await;
    }
    it.until_provider("Ready").await;
    attempt.returned(&callback).await;
    let ending = attempt.ended().await;
    assert!(ending.message.contains("changed while you were there"), "{ending:?}");
    assert_eq!(it.realm.ledger().of(Event::Spent).count(), 0);
    assert_untouched(&other);
}
