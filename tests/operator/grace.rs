//! A provider whose replaced refresh token works for a while: what a fault loses is recovered, and nobody notices.
//!
//! Unit tests show when the predecessor is sent. Only here do we see that the provider sees no reuse, and the owner no
//! outage.

use bowline_testbed::sandbox::{Action, Event, Fault, GrantType, Minted, Rotation};
use serde_json::json;

use crate::looking::{holds, is, phase_of};
use crate::scene::{Scene, scene};

/// As the catalogue entry says.
const WINDOW: u64 = 30;
/// The window is long enough for a refresh, a lost answer, a pause of about five seconds and the next refresh.
const LIFETIME: u64 = 24;

/// A connected connection whose next refresh, started by a request, has this fault.
async fn with_window(name: &str, action: Action) -> (Scene, Minted) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse)
        .lifetime(LIFETIME)
        .habit(|config| config.grace_seconds = WINDOW)
        .spec(json!({"type": "sandbox-grace"}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    let minted = it.authorized("mail").await;
    it.realm.fault(Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(action) });
    it.ask_for_refresh("mail", "now").await;
    (it, minted)
}

/// The provider accepted the predecessor within its window, once, and the connection was always Active.
async fn is_had_back(it: &Scene, minted: &Minted) {
    let served = |it: &Scene| it.realm.ledger().of(Event::SpentInGrace).count();
    let back = it
        .until_status("mail", "had back", |status| {
            assert!(holds(status, "Ready") && phase_of(status) == "Active", "{status:?}");
            served(it) == 1
                && is(status, "Authorized", "Authorized")
                && is(status, "TokenFresh", "Fresh")
                && status.token.as_ref().is_some_and(|token| token.last_failure.is_none())
        })
        .await;
    assert!(holds(&back, "Ready"), "{back:?}");
    // The chain continues with the new token: the next refresh is an ordinary one.
    let before = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, before + 1).await;
    it.until_phase("mail", "Active").await;
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
    let ledger = it.realm.ledger();
    assert_eq!(served(it), 1);
    assert!(ledger.spent_twice().is_empty() && ledger.revoked().is_empty(), "reuse was detected: {ledger:?}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_answer_lost_within_the_window_is_requested_again_with_the_predecessor() {
    let (it, minted) = with_window("grace-lost", Action::Drop { commit: true }).await;
    is_had_back(&it, &minted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_new_token_that_the_provider_does_not_know_gives_way_to_its_predecessor() {
    let (it, minted) = with_window("grace-bad", Action::set("refresh_token", "never-issued")).await;
    it.until_status("mail", "answered", |status| status.last_handled_refresh.is_some()).await;
    is_had_back(&it, &minted).await;
}
