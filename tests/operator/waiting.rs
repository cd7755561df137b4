//! A person who connects waits for nobody's refresh: neither for one that the provider put off, nor for those in a queue.

use std::time::Duration;

use bowline_testbed::sandbox::{Action, Fault, GrantType, RetryAfter, Rotation};
use serde_json::json;

use crate::looking::until;
use crate::scene::{Scene, scene};

fn refreshes(action: Action) -> Fault {
    Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(action) }
}

/// A connection with a grant, at a provider with device flow that takes one request at a time.
async fn connected(it: &Scene) {
    it.provider(Rotation::SingleUse)
        .lifetime(600)
        .habit(|config| config.device_interval_seconds = 1)
        .spec(json!({"allow": {"deviceFlow": true}, "refresh": {"maxConcurrent": 1}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    it.authorized("mail").await;
}

/// Requests a code for the same connection and types it. Waits until that grant is in use.
async fn connects_again(it: &Scene) {
    let annotation = json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": "again"}}});
    it.change("mail", annotation).await;
    let shown = it
        .until_status("mail", "a code", |status| {
            status.authorization.as_ref().is_some_and(|shown| shown.user_code.is_some())
        })
        .await;
    let before = shown.grant.expect("a grant").id;
    it.realm.decide_device(&shown.authorization.unwrap().user_code.unwrap(), Some("alice")).unwrap();
    it.until_status("mail", "the new grant", |status| {
        status.grant.as_ref().is_some_and(|grant| grant.id != before)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_25_a_provider_that_puts_refreshes_off_does_not_hold_up_a_consent() {
    let it = scene("put-off").await;
    connected(&it).await;
    it.realm.fault(refreshes(Action::busy(429, RetryAfter::Seconds(1800))));
    it.ask_for_refresh("mail", "now").await;
    it.until_reason("mail", "TokenFresh", "RefreshFailing").await;
    // This one finds the provider on hold.
    it.ask_for_refresh("mail", "again").await;
    connects_again(&it).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_25_a_refresh_that_waits_for_its_turn_gives_way_to_a_consent_of_its_connection() {
    let it = scene("queue").await;
    connected(&it).await;
    // Another connection's refresh takes the only place, and is not answered before its deadline.
    it.connection("slow").apply().await;
    let slow = it.authorized("slow").await;
    let never = Action::Delay { milliseconds: 18_000, commit: false };
    it.realm.fault(refreshes(never).for_grant(&slow.grant_id));
    it.ask_for_refresh("slow", "now").await;
    until("the slow refresh is there", async || it.realm.remaining_faults().is_empty().then_some(())).await;
    it.ask_for_refresh("mail", "now").await;
    let begun = std::time::Instant::now();
    connects_again(&it).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "it waited for another's refresh");
}
