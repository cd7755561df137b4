//! What ends at the provider is noticed between refreshes, and what ends by itself is announced.
//!
//! Unit tests show each decision. Only here does a probe reach a provider in its own time, and does a restart repeat nothing.

use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::{Action, ApiKey, Endpoint, Fault, Rotation};
use serde_json::json;

use crate::looking::{condition, holds, is, words};
use crate::scene::{Scene, scene};
use crate::stage::Stage;

/// Several probes ten seconds apart, and the doubt between them.
const PROBED_WITHIN: Duration = Duration::from_mins(3);

fn often() -> serde_json::Value {
    json!({"overlay": {"probe": {"every": "10s"}}})
}

/// Waits until the provider has answered this many probes at an endpoint.
async fn until_probed(it: &Scene, endpoint: Endpoint, times: usize) {
    let what = format!("{times} probes at {endpoint:?}");
    it.until_ledger_within(PROBED_WITHIN, &what, |ledger| {
        (ledger.requests_to(endpoint).count() >= times).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_that_is_ended_at_the_provider_is_noticed_long_before_its_token_expires() {
    let it = scene("ended-elsewhere").await;
    it.provider(Rotation::SingleUse).spec(often()).apply().await;
    it.connection("mail").apply().await;
    let minted = it.authorized("mail").await;
    until_probed(&it, Endpoint::Introspection, 2).await;
    let before = it.status("mail").await;
    assert!(holds(&before, "Ready"), "{before:?}");
    assert_eq!(it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(), 0, "a probe spends nothing");

    it.realm.revoke_grant(&minted.grant_id).expect("revoked");
    let refused = it
        .until_status_within(PROBED_WITHIN, "mail", "refused or condemned", |status| !holds(status, "Ready"))
        .await;
    assert!(!holds(&refused, "TokenFresh") || !holds(&refused, "Authorized"), "{refused:?}");
    it.until_status_within(PROBED_WITHIN, "mail", "condemned", |status| {
        is(status, "Authorized", "GrantExpired") || is(status, "Authorized", "GrantRevoked")
    })
    .await;
    let ledger = it.realm.ledger();
    assert_eq!(ledger.refresh_attempts_of(&minted.grant_id).len(), 2, "the refresh was doubted once");
    assert!(ledger.spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_that_ends_alone_is_replaced_at_once() {
    let it = scene("token-dead").await;
    it.provider(Rotation::SingleUse).spec(often()).apply().await;
    it.connection("mail").apply().await;
    let minted = it.authorized("mail").await;
    let before = it.secret("mail").await;
    until_probed(&it, Endpoint::Introspection, 1).await;
    it.realm.end_access_tokens(&minted.grant_id).expect("ended");
    let what = "another token";
    let told = it.until_status_within(PROBED_WITHIN, "mail", what, |status| {
        status.history.iter().any(|entry| entry.reason.to_string() == "Recovered")
    });
    let told = told.await;
    assert!(told.history.iter().any(|entry| entry.reason.to_string() == "TokenRefused"), "{told:?}");
    let after = it.until_secret("mail", what, |keys| keys["access_token"] != before["access_token"]).await;
    assert!(it.realm.is_alive(&after["access_token"]));
    assert_eq!(it.realm.ledger().refreshes_of(&minted.grant_id).len(), 1);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_in_trouble_says_nothing_about_a_token() {
    let it = scene("probe-storm").await;
    it.provider(Rotation::SingleUse).spec(often()).apply().await;
    it.connection("mail").apply().await;
    let minted = it.authorized("mail").await;
    until_probed(&it, Endpoint::Introspection, 1).await;
    let before = it.get("mail").await.metadata.resource_version;
    for endpoint in [Endpoint::Introspection, Endpoint::Userinfo] {
        it.realm.fault(Fault::at(endpoint, Action::status(503)).times(1_000));
    }
    let asked = it.realm.ledger().requests_to(Endpoint::Introspection).count();
    until_probed(&it, Endpoint::Introspection, asked + 3).await;
    let after = it.get("mail").await;
    assert_eq!(after.metadata.resource_version, before, "{:?}", after.status);
    assert_eq!(it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_that_stops_working_is_condemned_by_its_third_refusal() {
    let it = scene("key-ended").await;
    let key = |key: &str| ApiKey { key: key.into(), account: "alice".into(), forbidden: false };
    it.provider_of_type("generic-api-key")
        .habit(|config| config.api_keys = vec![key("good-key-0123456789")])
        .spec(often())
        .spec(json!({"parameters": {"validate_url": it.realm.url("api/me")}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    it.import_keys("mail", &[("api_key", "good-key-0123456789")]).await;
    it.until_phase("mail", "Active").await;
    // The first request checked the key when it came.
    until_probed(&it, Endpoint::ApiMe, 2).await;
    it.realm.reconfigure(|config| config.api_keys.clear());
    let over = it
        .until_status_within(PROBED_WITHIN, "mail", "condemned", |status| {
            is(status, "Authorized", "GrantExpired")
        })
        .await;
    assert!(is(&over, "TokenFresh", "TokenRefused") && !holds(&over, "Ready"), "{over:?}");
    assert!(over.ruling.is_some_and(|ruling| ruling.is_final));
    let refused = |ledger: &bowline_testbed::sandbox::Ledger| {
        ledger.requests_to(Endpoint::ApiMe).filter(|request| request.status == Some(401)).count()
    };
    assert_eq!(refused(&it.realm.ledger()), 3);
}

fn reminders(status: &IntegrationConnectionStatus) -> usize {
    status.history.iter().filter(|entry| entry.reason.to_string() == "GrantExpiringSoon").count()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn each_reminder_comes_once_whatever_is_restarted() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("reminder").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let minted = it.mint();
    // A day and some time to look at the first reminder, and to restart.
    let lives = (24 * 3_600 + 40).to_string();
    it.import_keys("mail", &[("access_token", &minted.access_token), ("expires_in", &lives)]).await;
    let week = it
        .until_status("mail", "the reminder of the week", |status| {
            is(status, "Authorized", "GrantExpiringSoon")
        })
        .await;
    assert!(holds(&week, "Ready") && reminders(&week) == 1, "{week:?}");
    let reminder = week.grant.as_ref().and_then(|grant| grant.reminder.clone()).expect("a reminder");
    assert_eq!(reminder.days, 7);
    assert!(words(&week, "Authorized").contains(&reminder.ends_at.0.to_string()), "{week:?}");
    let note = it.until_event(&it.namespace, "GrantExpiringSoon").await;
    assert_eq!(Some(note.as_str()), condition(&week, "Authorized").map(|told| told.message.as_str()));

    stage.stop_operator();
    stage.start_operator().await;
    let day = it
        .until_status_within(PROBED_WITHIN, "mail", "the reminder of the day", |status| {
            status.grant.as_ref().and_then(|grant| grant.reminder.as_ref()).is_some_and(|told| told.days == 1)
        })
        .await;
    assert_eq!(reminders(&day), 2, "none was repeated: {:?}", day.history);
    let (_, metrics) = stage.ask("metrics").await.expect("metrics");
    assert!(metrics.contains(r#"bowline_grants_ending{within="30d"}"#), "{metrics}");
}
