//! The limits of a workspace (R31): who gets a grant, what is shared, and that nobody who is connected loses anything.

use bowline_testbed::sandbox::{Endpoint, Event, Rotation};
use serde_json::{Value, json};

use crate::looking::{condition, holds, until, words};
use crate::scene::{Scene, scene};

const ASK_DANA: &str = "Ask dana@example.com to change its spec.limits";

/// The scene's Workspace has the scene's namespace and these limits.
async fn limited(it: &Scene, limits: Value) {
    it.workspace(&["alice"], &[&it.namespace]).limits(limits).apply().await;
}

async fn until_workspace(it: &Scene, reason: &str) -> String {
    until(&format!("the workspace says {reason}"), async || {
        let status = it.workspaces().get(&it.name).await.ok()?.status?;
        let ready = status.conditions.into_iter().find(|ready| ready.type_ == "Ready")?;
        (ready.reason == reason && ready.status == "True").then_some(ready.message)
    })
    .await
}

async fn until_waiting(it: &Scene, name: &str) {
    let status = it.until_reason(name, "Authorized", "LimitReached").await;
    assert!(words(&status, "Authorized").contains(ASK_DANA), "{}", words(&status, "Authorized"));
    assert_eq!(condition(&status, "Stalled").map(|stalled| stalled.status.as_str()), Some("True"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_older_connections_have_the_places_and_who_is_connected_stays_so() {
    let it = scene("places").await;
    limited(&it, json!({"connections": 1})).await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("first").apply().await;
    it.until_reason("first", "Authorized", "AwaitingAuthorization").await;
    it.connection("second").apply().await;
    until_waiting(&it, "second").await;
    let said = until_workspace(&it, "LimitExceeded").await;
    assert!(said.contains("more connections than 1") && said.contains(ASK_DANA), "{said}");

    // Neither a consent nor an import is a way around.
    let ending = it.attempt_as("alice", "second").await.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("older one has that place"), "{ending:?}");
    assert_eq!(it.realm.ledger().of(Event::Issued).count(), 0);
    let imported = it.mint();
    it.import("second", &imported).await;
    assert!(it.consents_as("first", "alice").await.is_connected());
    it.secret("first").await;
    assert!(it.secret_now(&it.namespace, "second").await.is_none());
    until_waiting(&it, "second").await;

    // What waits continues when there is room.
    limited(&it, json!({"connections": 2})).await;
    it.until_phase("second", "Active").await;
    until_workspace(&it, "Ready").await;

    // A lower limit takes nothing away: they are refreshed, and may connect again.
    limited(&it, json!({"connections": 0})).await;
    until_workspace(&it, "LimitExceeded").await;
    let before = it.secret("second").await;
    it.ask_for_refresh("second", "now").await;
    it.until_secret("second", "the next token", |keys| keys != &before).await;
    assert!(it.consents_as("first", "alice").await.is_connected());
    assert!(holds(&it.status("first").await, "Ready") && holds(&it.status("second").await, "Ready"));

    // Who disconnects gives it up, and gets another only for a place.
    limited(&it, json!({"connections": 1})).await;
    it.change("second", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "second").await;
    it.until_status("second", "nothing on record", |status| status.revocation.is_some()).await;
    it.change("second", json!({"spec": {"disconnect": false}})).await;
    until_waiting(&it, "second").await;
    it.delete("first").await;
    it.until_reason("second", "Authorized", "AwaitingAuthorization").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nothing_is_minted_for_a_connection_without_a_place() {
    let it = scene("places-minted").await;
    limited(&it, json!({"connections": 0})).await;
    it.minting_provider().apply().await;
    it.connection("billing").apply().await;
    until_waiting(&it, "billing").await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);
    // It counts towards the workspace of its namespace, whether it names it or not, and to no other.
    it.workspace(&["alice"], &[]).limits(json!({"connections": 0})).apply().await;
    it.until_phase("billing", "Active").await;
    limited(&it, json!({"connections": 0, "providers": []})).await;
    until_workspace(&it, "LimitExceeded").await;
    it.until_phase("billing", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspace_takes_shares_back_and_owners_keep_their_own() {
    let it = scene("places-shared").await;
    let one = it.another_namespace("one").await;
    let limited = async |limits: Value| it.workspace(&["alice"], &[&one]).limits(limits).apply().await;
    limited(json!({"sharing": true})).await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    it.authorized("mail").await;
    let id = format!("{}.mail", it.namespace);
    it.secret_in(&one, &id).await;
    let refused = async |says: &str| {
        it.until_no_secret(&one, &id).await;
        let status = it.until_reason("mail", "Shared", "SharingNotAllowed").await;
        let said = words(&status, "Shared");
        assert!(said.contains(says) && said.contains(ASK_DANA), "{said}");
        assert!(holds(&status, "Ready") && it.secret_now(&it.namespace, "mail").await.is_some());
    };

    limited(json!({"sharing": false})).await;
    refused("It takes no shared connections.").await;
    assert!(it.until_event(&one, "Unshared").await.contains("does not take it (spec.limits)"));
    limited(json!({"providers": [it.name]})).await;
    it.secret_in(&one, &id).await;
    limited(json!({"providers": ["another"]})).await;
    refused("these providers: another").await;
    limited(json!({"sharing": true})).await;
    it.secret_in(&one, &id).await;

    // Without a place nothing is newly shared; what is shared stays.
    limited(json!({"connections": 0})).await;
    until_workspace(&it, "LimitExceeded").await;
    it.until_reason("mail", "Shared", "Shared").await;
    it.secret_in(&one, &id).await;
    it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_no_secret(&one, &id).await;
    it.change("mail", json!({"spec": {"shared": true}})).await;
    refused("It takes no connections.").await;
    limited(json!({"connections": 1})).await;
    it.secret_in(&one, &id).await;
}
