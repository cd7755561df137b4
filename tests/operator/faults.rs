//! Faults of a provider: they are understood correctly, nothing is lost, and no grant is given up while its state is
//! unknown.
//!
//! Unit tests classify each answer. Only here do we see its effect on a grant in use, its record and its Secret.

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_api::duration::Duration as Written;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, GrantType, Minted, RetryAfter, Rotation};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::looking::{condition, holds, is, words};
use crate::scene::{Scene, scene};
use crate::stage::{HOME, SECOND_OPINION_AFTER};

/// Long enough for a failed refresh, its pause of about five seconds and the next refresh.
const LIFETIME: u64 = 24;

/// A fault of the next refresh.
fn next_refresh(action: Action) -> Fault {
    Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(action) }
}

/// A connected connection whose next refresh has this fault. A request starts it.
async fn faulty(name: &str, action: Action) -> (Scene, Minted) {
    let it = scene(name).await;
    let minted = it.connected("mail", Rotation::SingleUse, LIFETIME).await;
    it.realm.fault(next_refresh(action));
    it.ask_for_refresh("mail", "now").await;
    (it, minted)
}

/// Its status after a refresh failed.
async fn failing(it: &Scene) -> IntegrationConnectionStatus {
    it.until_status("mail", "failing", |status| {
        status.token.as_ref().is_some_and(|token| token.last_failure.is_some())
    })
    .await
}

/// The refresh after the fault works, and no token was sent twice.
async fn recovers(it: &Scene, minted: &Minted) {
    it.until_status("mail", "fresh again", |status| {
        is(status, "TokenFresh", "Fresh") && holds(status, "Ready")
    })
    .await;
    let keys = it.secret("mail").await;
    assert!(it.realm.is_alive(&keys["access_token"]));
    assert!(it.realm.ledger().spent_twice().is_empty(), "{:?}", it.realm.ledger().spent_twice());
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_registration_that_is_refused_condemns_no_grant_and_is_tried_again_on_request() {
    let (it, minted) = faulty("bad-client", Action::error("invalid_client")).await;
    let failing = failing(&it).await;
    assert!(holds(&failing, "Ready"), "a token is still alive: {failing:?}");
    assert!(
        !is(&failing, "Authorized", "GrantRevoked") && !is(&failing, "Authorized", "GrantExpired"),
        "{failing:?}"
    );
    it.until_event(&it.namespace, "RefreshFailing").await;
    it.ask_for_refresh("mail", "again").await;
    recovers(&it, &minted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_new_app_secret_ends_the_minute_that_a_refused_registration_waits() {
    let (it, minted) = faulty("new-secret", Action::error("invalid_client")).await;
    let failing = failing(&it).await;
    let token = failing.token.unwrap();
    let pause = token.next_refresh_at.unwrap().0.duration_since(token.last_failure.unwrap().at.0);
    assert!(pause.as_secs() >= 60, "{pause}");
    let rotated = json!({"stringData": {"client_secret_previous": "former"}});
    let app = it.secrets(HOME).patch(&it.name, &PatchParams::default(), &Patch::Merge(&rotated)).await;
    app.expect("the app Secret");
    recovers(&it, &minted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_overloaded_provider_is_asked_again_when_it_said() {
    let it = scene("busy").await;
    let minted = it.connected("mail", Rotation::SingleUse, 40).await;
    it.realm.fault(next_refresh(Action::busy(429, RetryAfter::Seconds(9))));
    it.ask_for_refresh("mail", "now").await;
    it.until_reason("mail", "TokenFresh", "RefreshFailing").await;
    recovers(&it, &minted).await;
    let ledger = it.realm.ledger();
    let attempts = ledger.refresh_attempts_of(&minted.grant_id);
    let refused = attempts.iter().position(|request| request.status == Some(429)).unwrap();
    let pause = attempts[refused + 1].at_ms - attempts[refused].at_ms;
    assert!(pause >= 8_000, "asked again after {pause} ms, with Retry-After: 9");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_expires_in_that_is_a_string_is_understood() {
    let (it, minted) = faulty("text-time", Action::set("expires_in", "24")).await;
    it.until_status("mail", "answered", |status| status.last_handled_refresh.is_some()).await;
    let status = it.status("mail").await;
    assert!(is(&status, "TokenFresh", "Fresh"), "{status:?}");
    recovers(&it, &minted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_answer_without_a_refresh_token_leaves_the_old_one_in_use() {
    let (it, minted) = faulty("no-token", Action::NoRefreshToken).await;
    it.until_status("mail", "answered", |status| status.last_handled_refresh.is_some()).await;
    let before = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, before + 1).await;
    recovers(&it, &minted).await;
}

/// After these nobody knows whether the token was used: the intent stays, and the stored token is sent once more, late.
async fn is_in_doubt_and_recovers(name: &str, action: Action) {
    let (it, minted) = faulty(name, action).await;
    let unknown = it.until_reason("mail", "Authorized", "RotationOutcomeUnknown").await;
    assert_eq!(condition(&unknown, "Authorized").unwrap().status, "Unknown", "{unknown:?}");
    assert!(holds(&unknown, "Ready"), "the published token lives: {unknown:?}");
    recovers(&it, &minted).await;
    assert!(is(&it.status("mail").await, "Authorized", "Authorized"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_web_page_instead_of_an_answer_is_no_verdict() {
    is_in_doubt_and_recovers("page", Action::Html { status: 200 }).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_inner_error_of_the_provider_is_no_verdict() {
    is_in_doubt_and_recovers("inner", Action::status(500)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_that_is_reset_before_anything_was_done_is_no_verdict() {
    is_in_doubt_and_recovers("reset", Action::Drop { commit: false }).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_400_without_a_word_is_no_verdict_on_the_grant() {
    let (it, _) = faulty("wordless", Action::status(400)).await;
    let failing = failing(&it).await;
    assert!(holds(&failing, "Ready"), "a token is still alive: {failing:?}");
    assert!(
        !is(&failing, "Authorized", "GrantRevoked") && !is(&failing, "Authorized", "GrantExpired"),
        "{failing:?}"
    );
}

/// The provider rotated and its answer was lost: the stored token is dead, and only the owner can fix it. The status says so
/// at once, Ready stays True while the published token is valid, and it is never called revoked.
async fn is_lost(name: &str, action: Action) {
    let (it, minted) = faulty(name, action).await;
    let unknown = it.until_reason("mail", "Authorized", "RotationOutcomeUnknown").await;
    assert!(holds(&unknown, "Ready"), "the published token lives: {unknown:?}");
    let published = it.secret("mail").await;
    let lost = it
        .until_status("mail", "lost", |status| {
            assert!(!is(status, "Authorized", "GrantRevoked"), "{status:?}");
            condition(status, "Authorized").is_some_and(|authorized| authorized.status == "False")
        })
        .await;
    assert!(is(&lost, "Authorized", "RefreshTokenLost"), "{lost:?}");
    assert!(words(&lost, "Authorized").contains("connect again"), "{lost:?}");
    assert_eq!(it.secret("mail").await, published, "a token is not withdrawn because of a fault");
    let attempts = it.realm.ledger().refresh_attempts_of(&minted.grant_id).len();

    it.authorized("mail").await;
    let ledger = it.realm.ledger();
    assert_eq!(
        ledger.refresh_attempts_of(&minted.grant_id).len(),
        attempts,
        "nothing more was sent of the lost grant"
    );
    assert_eq!(ledger.spent_twice().len(), 1, "one probe, and no more: {:?}", ledger.spent_twice());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_answer_that_never_arrives_is_told_at_once_and_then_as_lost() {
    is_lost("lost-drop", Action::Drop { commit: true }).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn half_an_answer_is_told_at_once_and_then_as_lost() {
    is_lost("lost-half", Action::ClosedMidBody).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn truncated_json_is_told_at_once_and_then_as_lost() {
    is_lost("lost-json", Action::HalfJson).await;
}

/// One `invalid_grant` is doubted for a while, whoever requests a refresh meanwhile; the second one is believed.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_withdrawn_at_the_provider_is_believed_the_second_time() {
    let it = scene("withdrawn").await;
    let minted = it.connected("mail", Rotation::SingleUse, 6).await;
    it.realm.revoke_grant(&minted.grant_id).expect("revoked");
    let first = it
        .until_status("mail", "refused once", |status| {
            status.token.as_ref().is_some_and(|token| token.consecutive_refusals == Some(1))
        })
        .await;
    assert!(
        !is(&first, "Authorized", "GrantRevoked") && !is(&first, "Authorized", "GrantExpired"),
        "{first:?}"
    );
    it.ask_for_refresh("mail", "sooner").await;
    let over = it
        .until_status("mail", "refused twice", |status| {
            is(status, "Authorized", "GrantRevoked") || is(status, "Authorized", "GrantExpired")
        })
        .await;
    assert!(!holds(&over, "Ready"), "{over:?}");
    let refused = it.realm.ledger();
    let refused: Vec<_> =
        refused.requests_to(Endpoint::Token).filter(|request| request.error.is_some()).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    let waited = refused[1].at_ms - refused[0].at_ms;
    let least = SECOND_OPINION_AFTER.parse::<Written>().unwrap().get().as_millis();
    assert!(u128::from(waited) + 1_000 >= least, "requested again after {waited} ms");
    it.until_status("mail", "answered", |status| status.last_handled_refresh.as_deref() == Some("sooner"))
        .await;
    it.authorized("mail").await;
}
