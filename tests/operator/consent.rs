//! A person consents in a browser. The test plays the portal: what counts is what the operator does with what it receives.
//!
//! Protocol tests (level 2) show the requests. Only here do we see that the grant arrives once, is judged and replaces the
//! old one.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::attempt::{AuthorizationResponse, EndResult, Step};
use bowline_api::opaque::Digest;
use bowline_testbed::sandbox::{Action, Endpoint, Event, Fault, Ledger, Rotation, TokenKind};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::carrier::{allowed, denied};
use crate::looking::{grant_id, holds, is, words};
use crate::scene::{Scene, scene};
use crate::stage::Stage;

/// A provider, and a connection of alice's that nobody has authorized yet.
async fn awaiting(name: &str) -> Scene {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it
}

/// The sandbox's events about codes: issued, spent, spent twice.
fn codes(it: &Scene, event: Event) -> usize {
    let ledger = it.realm.ledger();
    ledger
        .of(event)
        .filter(|entry| entry.token.as_ref().is_some_and(|token| token.kind == TokenKind::Code))
        .count()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_person_consents_once_and_a_fresh_token_is_published_r5_r6() {
    let it = awaiting("consent").await;
    let before = it.status("mail").await;
    let page = format!("https://portal.example/connections/{}/mail", it.namespace);
    assert_eq!(before.authorization.and_then(|it| it.url).as_deref(), Some(page.as_str()));

    let attempt = it.attempt_as("alice", "mail").await;
    let address = attempt.sent().await;
    let sent: Vec<_> = address.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(sent, ["client_id", "request_uri"], "the sandbox offers pushed requests (RFC 9126)");
    it.until_reason("mail", "Authorized", "AuthorizationInProgress").await;
    attempt.returned(&allowed(&address, "alice").await).await;
    assert!(attempt.ended().await.is_connected());

    let status = it.until_phase("mail", "Active").await;
    assert_eq!(status.account.map(|account| account.id).as_deref(), Some("alice"));
    assert_eq!(status.connected_by.as_deref(), Some("alice"));
    assert!(status.authorization.is_none(), "there is nothing left to do");
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
    assert_eq!((codes(&it, Event::Issued), codes(&it, Event::Spent)), (1, 1));
    let kept = it.secrets(crate::carrier::ATTEMPTS).get(&attempt.name).await.unwrap();
    assert_eq!(kept.data.unwrap().keys().collect::<Vec<_>>(), ["attempt.json"], "nothing secret stays");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn reconnecting_keeps_the_old_grant_until_the_new_one_is_in_place_r13() {
    let it = awaiting("again").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let first = it.until_phase("mail", "Active").await;
    let token = it.secret("mail").await["access_token"].clone();

    let attempt = it.attempt_as("alice", "mail").await;
    let address = attempt.sent().await;
    assert!(holds(&it.status("mail").await, "Ready"), "the old grant serves");
    attempt.returned(&allowed(&address, "alice").await).await;
    assert!(attempt.ended().await.is_connected());
    it.until_secret("mail", "another token", |keys| keys["access_token"] != token).await;
    let second = it
        .until_status("mail", "the new grant", |status| {
            holds(status, "Ready") && grant_id(status) != grant_id(&first)
        })
        .await;
    assert_eq!((second.id, second.account), (first.id, first.account));
    assert!(it.realm.ledger().revoked().is_empty(), "here that could end the new one as well");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_replaced_grant_is_revoked_where_that_affects_no_other_r13() {
    gives_back_what_is_replaced(json!({"type": "sandbox-token"})).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn so_it_is_at_any_server_of_which_that_is_known() {
    let known = json!({"rotation": "SingleUse"});
    let overlay = json!({"revoke": {"scope": "Token"}, "grant": known});
    gives_back_what_is_replaced(json!({"type": "generic-oauth2", "overlay": overlay})).await;
}

async fn gives_back_what_is_replaced(spec: Value) {
    let stage = Stage::fresh(&["--revoke-former-after", "20s"]).await;
    let it = stage.scene("given-back-alone").await;
    it.provider(Rotation::SingleUse).spec(spec).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
    let first = it.secret("mail").await["access_token"].clone();
    // A second consent is on record and cannot be judged yet; then there is a third.
    let down = Fault::at(Endpoint::Userinfo, Action::status(503)).times(u32::MAX);
    it.realm.fault(down);
    let kept = it.consents_as("mail", "alice").await;
    assert_eq!((kept.result, kept.reason.to_string().as_str()), (EndResult::Kept, "AuthorizationInProgress"));
    assert!(it.realm.is_alive(&first), "the grant in use still works");
    assert_eq!(it.consents_as("mail", "alice").await.result, EndResult::Kept);
    let revoked = |ledger: &Ledger| ledger.revoked().iter().filter(|entry| entry.token.is_none()).count();
    it.until_ledger("the second is given back", |ledger| (revoked(ledger) == 1).then_some(())).await;
    assert!(it.realm.is_alive(&first), "it was not the one in use");
    it.realm.clear_faults();
    let last = it.until_secret("mail", "the third", |keys| keys["access_token"] != first).await;
    assert!(it.realm.is_alive(&first), "pods may still read it");
    // It is on record that this is to be done, whatever becomes of the operator.
    stage.stop_operator();
    stage.start_operator().await;
    it.until_ledger_within(Duration::from_mins(2), "the first is given back", |ledger| {
        (revoked(ledger) == 2).then_some(())
    })
    .await;
    assert!(it.realm.is_alive(&last["access_token"]) && !it.realm.is_alive(&first));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn another_account_is_refused_unless_the_owner_agrees_to_it() {
    let it = awaiting("mismatch").await;
    it.consents_as("mail", "alice").await;
    it.until_phase("mail", "Active").await;
    let token = it.secret("mail").await["access_token"].clone();

    let ending = it.consents_as("mail", "bob").await;
    assert_eq!((ending.is_connected(), ending.reason.to_string().as_str()), (false, "AccountMismatch"));
    let status = it.until_attempt("mail", "AccountMismatch").await;
    assert!(holds(&status, "Ready"), "the old grant is untouched");
    assert_eq!(it.secret("mail").await["access_token"], token);

    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/accept-account": "bob"}}})).await;
    assert!(it.consents_as("mail", "bob").await.is_connected());
    it.until_status("mail", "bob's account", |status| {
        status.account.as_ref().is_some_and(|account| account.id == "bob")
    })
    .await;
    let kept = crate::looking::until("the confirmation is used up", async || {
        let annotations = it.get("mail").await.annotations().clone();
        if annotations.contains_key("bowline.dev/accept-account") { Err("it stands") } else { Ok(()) }
    });
    kept.await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_expected_account_is_the_only_one_taken() {
    let it = scene("expected").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").spec(json!({"account": {"id": "bob"}})).apply().await;
    assert_eq!(it.consents_as("mail", "alice").await.reason.to_string(), "AccountMismatch");
    assert!(it.consents_as("mail", "bob").await.is_connected());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_account_that_the_token_may_not_ask_for_is_not_the_expected_one() {
    let it = scene("untold").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").spec(json!({"account": {"id": "bob"}})).apply().await;
    it.realm.fault(Fault::at(Endpoint::Userinfo, Action::status(403)));
    assert_eq!(it.consents_as("mail", "alice").await.reason.to_string(), "AccountMismatch");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn denying_is_an_outcome_and_the_next_attempt_may_succeed() {
    let it = awaiting("denied").await;
    let attempt = it.attempt_as("alice", "mail").await;
    let address = attempt.sent().await;
    attempt.returned(&denied(&address).await).await;
    let ending = attempt.ended().await;
    assert_eq!((ending.is_connected(), ending.reason.to_string().as_str()), (false, "AuthorizationFailed"));
    let status = it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    assert!(words(&status, "Authorized").contains("not allowed"), "{status:?}");
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_first_consent_is_nobodys_but_the_owners() {
    let it = awaiting("first").await;
    let ending = it.attempt_as("bob", "mail").await.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("alice must connect"), "{ending:?}");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Authorization).count(), 0, "nobody was sent there");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_name_that_went_to_somebody_else_renews_nothing() {
    let it = awaiting("namesake").await;
    let person = |subject| Some(Digest::of_person("https://idp.example.com", subject));
    let consents = async |person| {
        let attempt = it.attempt_by("alice", person, "mail").await;
        attempt.returned(&allowed(&attempt.sent().await, "alice").await).await;
        attempt.ended().await
    };
    assert!(consents(person("1")).await.is_connected());
    // Somebody whose sign-in does not say who they are may renew, and the pin stays.
    for known in [None, person("1")] {
        assert!(consents(known).await.is_connected());
        let ending = it.attempt_by("alice", person("2"), "mail").await.ended().await;
        assert!(!ending.is_connected() && ending.message.contains("is now a different person"), "{ending:?}");
    }
    it.until_phase("mail", "Active").await;
    // Disconnecting removes the pin together with the grant.
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_reason("mail", "Authorized", "Disconnected").await;
    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(consents(person("2")).await.is_connected());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_answer_from_another_issuer_is_never_exchanged() {
    let it = awaiting("mix-up").await;
    let attempt = it.attempt_as("alice", "mail").await;
    let mut callback = allowed(&attempt.sent().await, "alice").await;
    callback.insert("iss".into(), "https://honest.example".into());
    attempt.returned(&callback).await;
    let ending = attempt.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("not come from the provider"), "{ending:?}");
    assert_eq!(codes(&it, Event::Spent), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_of_another_attempt_is_worth_nothing() {
    let it = awaiting("swapped-code").await;
    it.connection("other").apply().await;
    it.until_reason("other", "Authorized", "AwaitingAuthorization").await;
    let (hers, his) = (it.attempt_as("alice", "mail").await, it.attempt_as("alice", "other").await);
    let callback = allowed(&his.sent().await, "bob").await;
    hers.sent().await;
    // A hijacked portal sends the code of another attempt: PKCE binds it to that attempt's verifier.
    hers.answered(AuthorizationResponse::Code {
        code: callback["code"].as_str().into(),
        issuer: callback.get("iss").cloned(),
        parameters: BTreeMap::new(),
    })
    .await;
    assert!(!hers.ended().await.is_connected());
    // And the terms of another connection's attempt cannot be opened here.
    let (kept, victim) = (his.now().await, it.attempt_as("alice", "mail").await);
    victim.sent().await;
    let Step::Sent { sealed, .. } = kept.attempt.step else { panic!("not sent") };
    let answer = AuthorizationResponse::Code {
        code: "sbx_co_x".into(),
        issuer: callback.get("iss").cloned(),
        parameters: BTreeMap::new(),
    };
    victim.forged(Step::Returned { answer, sealed }).await;
    let ending = victim.ended().await;
    assert!(ending.message.contains("cannot be read"), "{ending:?}");
    assert_eq!(it.status("mail").await.connected_at, None);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_changed_while_the_person_was_away_ends_the_attempt() {
    let it = awaiting("moved").await;
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    it.register_app(
        &[("client_id", "another"), ("client_secret", "s")].map(|(k, v)| (k.into(), v.into())).into(),
    )
    .await;
    crate::looking::until("the other app is in use", async || {
        let address = it.attempt_as("alice", "mail").await.sent().await;
        let used = address.query_pairs().any(|(key, value)| key == "client_id" && value == "another");
        if used { Ok(()) } else { Err(address) }
    })
    .await;
    attempt.returned(&callback).await;
    let ending = attempt.ended().await;
    assert!(ending.message.contains("changed while you were there"), "{ending:?}");
    assert_eq!(codes(&it, Event::Spent), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_is_down_during_the_exchange_is_told_and_the_code_is_sent_once() {
    let it = awaiting("down").await;
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    it.realm.fault(Fault::at(Endpoint::Token, Action::status(503)));
    attempt.returned(&callback).await;
    let ending = attempt.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("Connect again"), "{ending:?}");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 1);
    assert!(it.consents_as("mail", "alice").await.is_connected());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_suspended_or_disconnected_connection_takes_no_consent() {
    let it = awaiting("blocked").await;
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_phase("mail", "Disconnected").await;
    attempt.returned(&callback).await;
    let ending = attempt.ended().await;
    assert_eq!(
        (ending.is_connected(), ending.reason.to_string().as_str()),
        (false, "Disconnected"),
        "{ending:?}"
    );
    assert_eq!(codes(&it, Event::Spent), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn fewer_scopes_than_required_are_withheld_and_more_than_reviewed_too_r15() {
    let it = scene("scopes").await;
    it.provider(Rotation::SingleUse).spec(json!({"scopes": {"required": ["write"]}})).apply().await;
    it.connection("mail").spec(json!({"scopes": ["read"]})).apply().await;
    it.realm.fault(Fault::token(Action::set("scope", "read")));
    it.consents_as("mail", "alice").await;
    let status = it.until_reason("mail", "Authorized", "MissingScopes").await;
    assert!(is(&status, "SecretPublished", "Withheld"), "{status:?}");
    assert_eq!(status.scopes.unwrap().missing, ["write"]);

    it.realm.fault(Fault::token(Action::set("scope", "read write admin")));
    it.consents_as("mail", "alice").await;
    let status = it.until_reason("mail", "Authorized", "ExtraScopes").await;
    assert!(words(&status, "Authorized").contains("admin"), "{status:?}");
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nothing was published");
    it.change("mail", json!({"spec": {"scopes": ["read", "admin"]}})).await;
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_second_consent_with_other_scopes_leaves_the_first_grant_at_work() {
    let it = scene("scopes-again").await;
    it.provider(Rotation::SingleUse).spec(json!({"scopes": {"required": ["write"]}})).apply().await;
    it.connection("mail").spec(json!({"scopes": ["read"]})).apply().await;
    it.consents_as("mail", "alice").await;
    it.until_phase("mail", "Active").await;
    let token = it.secret("mail").await["access_token"].clone();
    for (given, reason) in [("read", "MissingScopes"), ("read write admin", "ExtraScopes")] {
        it.realm.fault(Fault::token(Action::set("scope", given)));
        assert!(!it.consents_as("mail", "alice").await.is_connected());
        let status = it.until_attempt("mail", reason).await;
        assert!(holds(&status, "Ready") && is(&status, "Authorized", "Authorized"), "{status:?}");
        assert_eq!(it.secret("mail").await["access_token"], token);
        assert!(it.realm.is_alive(&token), "the grant in use was not revoked");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_without_a_refresh_token_is_said_to_be_one() {
    let it = awaiting("no-refresh").await;
    it.realm.fault(Fault::token(Action::without("refresh_token")));
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let status = it.until_phase("mail", "Active").await;
    assert!(is(&status, "TokenFresh", "ValidUntilExpiry"), "{status:?}");
    assert_eq!(status.token.unwrap().refreshable, Some(false));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_restart_between_start_and_callback_loses_nothing() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("restart").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    stage.stop_operator();
    attempt.returned(&callback).await;
    stage.start_operator().await;
    assert!(attempt.ended().await.is_connected());
    it.until_phase("mail", "Active").await;
}
