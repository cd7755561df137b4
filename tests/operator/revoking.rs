//! What becomes of a grant at its provider is told as it happened, and the last connection of a grant ends it.
//!
//! Unit tests show what is decided and said. Only here do several connections end, one after the other, at one provider.

use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, MintRequest, Minted, Rotation};
use serde_json::json;

use crate::looking::{is, words};
use crate::scene::{Scene, scene};

/// What waits is looked at once a minute, and what failed first after ten seconds.
const SOON: Duration = Duration::from_secs(90);
/// A refusal, the doubt about it, and the end of the token.
const DEAD_WITHIN: Duration = Duration::from_mins(4);

fn revocation(status: &IntegrationConnectionStatus) -> String {
    status.revocation.as_ref().map(|it| it.reason.to_string()).unwrap_or_default()
}

/// What the connection says of the end of its grant, once it says this.
async fn until_told(it: &Scene, name: &str, reason: &str) -> String {
    let status = it
        .until_status_within(SOON, name, reason, |status| {
            revocation(status) == reason && is(status, "Authorized", "Disconnected")
        })
        .await;
    let told = status.revocation.as_ref().unwrap();
    assert!(words(&status, "Authorized").contains(&told.message), "{status:?}");
    assert!(status.history.iter().any(|entry| entry.reason.to_string() == reason), "{status:?}");
    told.message.clone()
}

async fn disconnect(it: &Scene, name: &str) {
    it.change(name, json!({"spec": {"disconnect": true}})).await;
}

/// Another connection of alice's with a grant of the same account.
async fn beside(it: &Scene, name: &str) -> Minted {
    it.connection(name).apply().await;
    it.authorized(name).await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_last_connection_of_a_shared_grant_ends_it_and_each_says_what_became_of_it() {
    let it = scene("shared-grant").await;
    let mail = it.connected("mail", Rotation::SingleUse, 3600).await;
    let calendar = beside(&it, "calendar").await;

    disconnect(&it, "mail").await;
    let told = until_told(&it, "mail", "RevocationWaits").await;
    assert!(told.contains("Another connection of alice") && !told.contains("calendar"), "{told}");
    it.until_event(&it.namespace, "RevocationWaits").await;
    it.until_no_secret(&it.namespace, "mail").await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), 0);
    assert!(it.realm.is_alive(&mail.refresh_token), "nothing was sent, and nothing else is said");

    disconnect(&it, "calendar").await;
    for (name, grant) in [("mail", &mail), ("calendar", &calendar)] {
        let told = until_told(&it, name, "Revoked").await;
        assert!(told.contains("not accepted there any more"), "{told}");
        assert!(it.realm.ledger().is_grant_revoked(&grant.grant_id), "{name}");
        assert!(
            !it.realm.is_alive(&grant.refresh_token) && !it.realm.is_alive(&grant.access_token),
            "{name}"
        );
    }
    it.until_event(&it.namespace, "Revoked").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_whose_grant_is_dead_holds_back_no_revocation() {
    let it = scene("dead-beside").await;
    let dead = it.connected("dead", Rotation::SingleUse, 20).await;
    it.realm.revoke_grant(&dead.grant_id).expect("revoked");
    let over = |status: &IntegrationConnectionStatus| {
        is(status, "Authorized", "GrantExpired") && is(status, "TokenFresh", "TokenExpired")
    };
    it.until_status_within(DEAD_WITHIN, "dead", "dead", over).await;
    let mail = beside(&it, "mail").await;
    disconnect(&it, "mail").await;
    until_told(&it, "mail", "Revoked").await;
    assert!(it.realm.ledger().is_grant_revoked(&mail.grant_id));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn another_account_is_another_grant() {
    let it = scene("other-account").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.connection("work").apply().await;
    let minted = it.realm.mint(&MintRequest::of("bob")).expect("a grant");
    it.import("work", &minted).await;
    it.until_phase("work", "Active").await;
    disconnect(&it, "work").await;
    until_told(&it, "work", "Revoked").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_refused_revocation_is_told_in_the_providers_words_and_so_is_its_success_later() {
    let it = scene("refused").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.realm.fault(Fault::at(Endpoint::Revocation, Action::error("unsupported_token_type")).times(u32::MAX));
    disconnect(&it, "mail").await;
    let told = until_told(&it, "mail", "RevocationFailed").await;
    assert!(told.contains("unsupported_token_type") && told.contains("tried again"), "{told}");
    it.until_event(&it.namespace, "RevocationFailed").await;
    assert!(it.realm.is_alive(&minted.refresh_token));
    it.realm.clear_faults();
    until_told(&it, "mail", "Revoked").await;
    assert!(!it.realm.is_alive(&minted.refresh_token));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn where_the_provider_takes_no_request_it_is_said_that_the_grant_lives_on() {
    let it = scene("no-endpoint").await;
    let by_hand = "https://provider.example/apps";
    let none = json!({"overlay": {"revoke": {"style": "None", "byHand": by_hand}}});
    it.provider(Rotation::SingleUse).spec(none).apply().await;
    let minted = beside(&it, "mail").await;
    disconnect(&it, "mail").await;
    let told = until_told(&it, "mail", "RevocationUnsupported").await;
    assert!(told.contains("nothing was sent") && told.contains(by_hand), "{told}");
    it.until_event(&it.namespace, "RevocationUnsupported").await;
    assert!(it.realm.is_alive(&minted.refresh_token));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_that_was_refused_while_nobody_could_tell_its_account_is_revoked_once_it_can_be() {
    let it = scene("untold").await;
    it.realm.fault(Fault::at(Endpoint::Userinfo, Action::status(401)).times(u32::MAX));
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(!it.consents_as("mail", "alice").await.is_connected());
    let failed = |status: &IntegrationConnectionStatus| revocation(status) == "RevocationFailed";
    let told = it.until_status_within(SOON, "mail", "it could end another", failed).await.revocation.unwrap();
    assert!(told.message.contains("was refused, and was never used"), "{}", told.message);
    assert!(it.realm.ledger().revoked().is_empty());
    it.realm.clear_faults();
    it.until_ledger_within(SOON, "revoked", |ledger| (!ledger.revoked().is_empty()).then_some(())).await;
}
