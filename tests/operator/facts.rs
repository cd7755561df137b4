//! What real providers do differently, against the operator: each fact by its field in `spec.overlay`, or by a default that is safe.
//!
//! Protocol tests show what is read and sent. Only here do we see that the grant lives on, and who is told what.

use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, GrantType, Ledger, Rotation};
use serde_json::json;

use crate::looking::{holds, is, words};
use crate::scene::{Scene, scene};

/// Several lifetimes of the tokens in these tests.
const LATER: Duration = Duration::from_mins(2);

/// A fault of every refresh.
fn refreshes(action: Action) -> Fault {
    Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(action) }.times(10_000)
}

fn asked(ledger: &Ledger) -> usize {
    ledger.requests_to(Endpoint::Token).count()
}

/// Imports a grant whose lifetime nobody says.
async fn import_without_lifetime(it: &Scene, name: &str) -> String {
    let minted = it.mint();
    let keys = [("refresh_token", minted.refresh_token.as_str()), ("access_token", &minted.access_token)];
    it.import_keys(name, &keys).await;
    minted.grant_id
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_tokens_without_a_lifetime_are_refreshed_by_the_overlays() {
    let it = scene("no-lifetime").await;
    let silent = it.provider(Rotation::SingleUse).lifetime(30).habit(|config| config.omit_expires_in = true);
    silent.spec(json!({"overlay": {"grant": {"accessLifetime": "30s"}}})).apply().await;
    it.connection("mail").apply().await;
    let grant = import_without_lifetime(&it, "mail").await;
    it.until_phase("mail", "Active").await;
    it.until_ledger_within(LATER, "two refreshes", |ledger| {
        (ledger.refreshes_of(&grant).len() >= 2).then_some(())
    })
    .await;
    let keys =
        it.until_secret("mail", "a token that works", |keys| it.realm.is_alive(&keys["access_token"])).await;
    assert!(keys.contains_key("expires_at"), "readers learn the assumed end");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_lifetime_that_a_refresh_leaves_out_stays_the_last_known() {
    let it = scene("first-only").await;
    it.provider(Rotation::SingleUse).lifetime(30).apply().await;
    it.connection("mail").apply().await;
    it.realm.fault(refreshes(Action::without("expires_in")));
    let minted = it.authorized("mail").await;
    it.until_ledger_within(LATER, "two refreshes", |ledger| {
        (ledger.refreshes_of(&minted.grant_id).len() >= 2).then_some(())
    })
    .await;
    assert!(it.status("mail").await.token.unwrap().expires_at.is_some());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_zero_without_a_refresh_token_is_no_end() {
    let it = scene("zero").await;
    it.provider(Rotation::None).habit(|config| config.omit_refresh_token = true).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.realm.fault(Fault::token(Action::set("expires_in", 0)).times(10));
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let status = it.until_phase("mail", "Active").await;
    assert!(status.token.unwrap().expires_at.is_none());
    it.connection("imported").apply().await;
    let minted = it.mint();
    it.import_keys("imported", &[("access_token", &minted.access_token), ("expires_in", "0")]).await;
    let status = it.until_phase("imported", "Active").await;
    assert!(status.token.unwrap().expires_at.is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_values_beside_the_token_are_published_from_answer_callback_and_calls() {
    let it = scene("beside").await;
    let draft = it.provider(Rotation::SingleUse).spec(json!({"overlay": {
        "publishCall": {"method": "POST", "url": it.realm.url("userinfo")},
        "publish": {"site": "/answer/instance_url", "from": "/callback/iss", "mail": "/userInfo/email",
            "called": "/call/email", "none": "/callback/none"}}}));
    draft.apply().await;
    let template = json!({"template": {"data": {"crm": "{{ extras.site }}|{{ token }}"}}});
    it.connection("mail").apply().await;
    it.connection("file").spec(json!({"secret": template})).apply().await;
    it.realm.fault(Fault::token(Action::set("instance_url", "https://eu7.crm.example")).times(2));
    for name in ["mail", "file"] {
        it.until_reason(name, "Authorized", "AwaitingAuthorization").await;
        assert!(it.consents_as(name, "alice").await.is_connected());
        it.until_phase(name, "Active").await;
    }
    let keys = it.secret("mail").await;
    assert_eq!(
        (keys["site"].as_str(), keys["mail"].as_str()),
        ("https://eu7.crm.example", "alice@example.com")
    );
    assert_eq!((keys["from"].clone(), keys["called"].clone()), (it.realm.issuer(), keys["mail"].clone()));
    assert!(!keys.contains_key("none"));
    assert!(it.secret("file").await["crm"].starts_with("https://eu7.crm.example|"));
    // A refresh does not say it again, and it stays.
    it.ask_for_refresh("mail", "now").await;
    let renewed =
        it.until_secret("mail", "another token", |new| new["access_token"] != keys["access_token"]).await;
    assert_eq!(
        (&renewed["site"], &renewed["from"], &renewed["mail"], &renewed["called"]),
        (&keys["site"], &keys["from"], &keys["mail"], &keys["called"])
    );
    // What an overlay takes back leaves the Secret, although the grant still has it.
    it.change_provider(json!({"spec": {"overlay": {"publish": {"mail": null}}}})).await;
    let rest = it.until_secret("mail", "without the address", |new| !new.contains_key("mail")).await;
    assert_eq!(rest["site"], keys["site"]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_pushed_request_that_is_refused_goes_through_the_browser() {
    let it = scene("no-push").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.realm.fault(Fault::at(Endpoint::PushedRequest, Action::error("invalid_client")).times(10));
    let attempt = it.attempt_as("alice", "mail").await;
    let address = attempt.sent().await;
    assert!(address.query_pairs().any(|(name, _)| name == "code_challenge"), "{address}");
    attempt.returned(&crate::carrier::allowed(&address, "alice").await).await;
    assert!(attempt.ended().await.is_connected());
    it.until_provider("Ready").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_identity_scopes_that_nobody_asked_for_are_shown_and_withhold_nothing() {
    let it = scene("added-scopes").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").spec(json!({"scopes": ["read"]})).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.realm.fault(Fault::token(Action::set("scope", "read email profile offline_access")).times(1));
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let status = it.until_phase("mail", "Active").await;
    assert_eq!(status.scopes.unwrap().extra, ["email", "profile", "offline_access"]);
}

/// Told as failing, with nothing decided about the grant.
fn only_fails(status: &IntegrationConnectionStatus) -> bool {
    is(status, "TokenFresh", "RefreshFailing") && holds(status, "Authorized") && holds(status, "Ready")
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_refresh_that_comes_too_early_is_tried_again_by_the_tokens_end() {
    let it = scene("too-early").await;
    let minted = it.connected("mail", Rotation::SingleUse, 60).await;
    it.realm.fault(refreshes(Action::error("access_denied")));
    it.ask_for_refresh("mail", "now").await;
    let status = it.until_status("mail", "failing", only_fails).await;
    let (next, end) = status.token.map(|token| (token.next_refresh_at, token.expires_at)).unwrap();
    assert!(next.unwrap().0 < end.unwrap().0, "before it ends, not a day later");
    it.realm.clear_faults();
    it.until_ledger_within(LATER, "a refresh", |ledger| {
        (!ledger.refreshes_of(&minted.grant_id).is_empty()).then_some(())
    })
    .await;
    it.until_reason("mail", "TokenFresh", "Fresh").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_dead_grant_in_other_words_asks_its_owner_once_no_token_works() {
    for (name, refusal) in
        [("in-other-words", Action::error("unauthorized_client")), ("without-words", Action::status(400))]
    {
        let it = scene(name).await;
        it.connected("mail", Rotation::SingleUse, 30).await;
        it.realm.fault(refreshes(refusal));
        it.ask_for_refresh("mail", "now").await;
        it.until_status("mail", "failing", only_fails).await;
        let over = it
            .until_status_within(Duration::from_mins(4), "mail", "asked to connect again", |status| {
                is(status, "Authorized", "GrantExpired")
            })
            .await;
        assert!(over.authorization.as_ref().is_some_and(|it| it.url.is_some()), "the page stands there");
        assert!(!words(&over, "Authorized").contains("app registration"), "{}", words(&over, "Authorized"));
        it.until_provider("Ready").await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_refused_first_token_is_told_and_not_asked_for_all_the_time() {
    let it = scene("no-first-token").await;
    it.realm.fault(Fault::token(Action::error("invalid_client")).times(10_000));
    it.minting_provider().apply().await;
    it.connection("robot").spec(json!({"method": "ClientCredentials"})).apply().await;
    it.realm.fault(Fault::token(Action::error("invalid_client")).times(10_000));
    let status = it.until_reason("robot", "Authorized", "MintFailed").await;
    assert!(words(&status, "Authorized").contains("invalid_client"), "{}", words(&status, "Authorized"));
    assert!(words(&status, "Authorized").contains("overlay.clientAuth"), "its secret needs encoding");
    it.until_event(&it.namespace, "MintFailed").await;
    let next = status.token.unwrap().next_refresh_at.expect("a time").0;
    assert!(next > k8s_openapi::jiff::Timestamp::now());
    let before = asked(&it.realm.ledger());
    // Whatever wakes it: another look is no reason to ask again.
    it.change("robot", json!({"metadata": {"annotations": {"example.com/touched": "yes"}}})).await;
    it.until_reason("robot", "Authorized", "MintFailed").await;
    assert!(before <= 2 && asked(&it.realm.ledger()) == before, "{before}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_failed_tries_of_people_pause_nobody() {
    let it = scene("failed-tries").await;
    let minted = it.connected("mail", Rotation::SingleUse, 60).await;
    let tries = ["ann", "ben", "cem", "dan"];
    it.realm.fault(
        Fault {
            grant_type: Some(GrantType::AuthorizationCode),
            ..Fault::token(Action::error("invalid_client"))
        }
        .times(4),
    );
    for name in tries {
        it.connection(name).apply().await;
        it.until_reason(name, "Authorized", "AwaitingAuthorization").await;
        assert!(!it.consents_as(name, "alice").await.is_connected());
    }
    it.until_provider("Ready").await;
    it.ask_for_refresh("mail", "now").await;
    it.until_refreshed(&minted.grant_id, 1).await;
    // The provider accepts us again, and whoever comes first connects.
    assert!(it.consents_as("ann", "bob").await.is_connected());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_a_changed_provider_object_opens_at_once_what_was_paused() {
    let it = scene("rewritten").await;
    it.minting_provider().apply().await;
    let robots = ["one", "two", "three"];
    it.realm.fault(Fault::token(Action::error("invalid_client")).times(10_000));
    for name in robots {
        it.connection(name).spec(json!({"method": "ClientCredentials"})).apply().await;
    }
    it.until_provider("AppRejected").await;
    it.realm.clear_faults();
    it.change_provider(json!({"spec": {"overlay": {"clientAuth": ["Post"]}}})).await;
    it.until_provider("Ready").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fact_an_overlay_that_describes_nothing_is_told_with_its_field() {
    let it = scene("bad-overlay").await;
    let bad = json!({"overlay": {"publish": {"site": "/instance_url"}}});
    it.provider(Rotation::SingleUse).spec(bad).apply_as_it_is().await;
    let message = it.until_provider("OverlayInvalid").await;
    assert!(message.contains("publish.site: a path begins with /answer/"), "{message}");
    it.change_provider(json!({"spec": {"overlay": {"publish": {"site": "/answer/instance_url"}}}})).await;
    it.until_provider("Ready").await;
}
