//! Outcomes of a consent without an attacker: approval by an administrator, optional scopes, a refresh at the same time, a
//! code that is polled too often; and what remains of attempts.

use std::time::Duration;

use bowline_api::attempt::Step;
use bowline_runtime::attempts::{Attempts, StoredAttempt};
use bowline_testbed::sandbox::{
    Action, CallbackIssuer, Endpoint, Fault, GrantType, Ledger, Pushed, Rotation,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::carrier::{ATTEMPTS, allowed};
use crate::looking::{holds, is, until, until_within, words};
use crate::scene::{Scene, parsed, scene};
use crate::stage::{PORTAL, Stage};

async fn awaiting(it: &Scene) {
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_callback_url_to_register_stands_in_the_providers_status() {
    let it = scene("callback-url").await;
    it.provider(Rotation::SingleUse).apply().await;
    let status = it.providers().get(&it.name).await.expect("the provider").status.expect("a status");
    assert_eq!(status.callback_url, Some(format!("{PORTAL}/callback/{}", it.name)));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn where_an_administrator_must_approve_the_address_for_it_is_said_r7() {
    let it = scene("approval").await;
    let endpoint = |name: &str| it.realm.url(name);
    it.provider_of_type("microsoft")
        .registered()
        .habit(|config| {
            config.scopes.push("offline_access".to_owned());
            // The issuer is still Entra's, and so is the address for administrators.
            config.callback_issuer = CallbackIssuer::Unknown;
            config.clients[0].redirect_uris.push(format!("{PORTAL}/callback/{}", it.name));
        })
        .spec(json!({"parameters": {"tenant": "contoso.example"}, "endpoints": {
            "authorization": endpoint("authorize"), "token": endpoint("token"),
            "userinfo": endpoint("userinfo"), "deviceAuthorization": endpoint("device_authorization")}}))
        .apply()
        .await;
    it.connection("mail").spec(json!({"scopes": ["openid", "offline_access"]})).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    // As Entra answers: a standard error, and the exact cause as a number of its own.
    let unapproved = json!({"error": "invalid_grant", "error_codes": [65001],
        "error_description": "AADSTS65001: The user or administrator has not consented to use the application."});
    it.realm.fault(Fault::token(Action::Answer {
        status: 400,
        body: unapproved.to_string(),
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        retry_after: None,
        commit: false,
    }));
    let ending = it.consents_as("mail", "alice").await;
    assert_eq!(ending.reason.to_string(), "AdminConsentRequired", "{ending:?}");
    let status = it.until_reason("mail", "Authorized", "AdminConsentRequired").await;
    assert!(words(&status, "Authorized").contains("administrator"), "{status:?}");
    let address = status.authorization.unwrap().admin_consent_url.unwrap();
    assert!(
        address.starts_with("https://login.microsoftonline.com/contoso.example/v2.0/adminconsent?"),
        "{address}"
    );
    let client = &bowline_testbed::sandbox::RealmConfig::default().clients[0].id;
    assert!(address.contains(&format!("client_id={client}")), "{address}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_optional_scope_that_was_not_given_is_told_and_stops_nothing_r15() {
    let it = scene("optional").await;
    it.provider(Rotation::SingleUse).spec(json!({"scopes": {"required": ["read"]}})).apply().await;
    it.connection("mail").spec(json!({"scopes": ["read", "write"]})).apply().await;
    it.realm.fault(Fault::token(Action::set("scope", "read")));
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let status = it.until_phase("mail", "Active").await;
    assert!(holds(&status, "Ready") && is(&status, "Authorized", "Authorized"), "{status:?}");
    let scopes = status.scopes.unwrap();
    assert_eq!((scopes.granted, scopes.missing), (vec!["read".to_owned()], vec!["write".to_owned()]));
    assert_eq!(it.secret("mail").await["scopes"], "read");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_connects_again_is_not_asked_which_account() {
    let it = scene("hinted").await;
    it.provider(Rotation::SingleUse).habit(|config| config.pushed = Pushed::Absent).apply().await;
    it.connection("mail").apply().await;
    let hint = async || {
        let address = it.attempt_as("alice", "mail").await.sent().await;
        address.query_pairs().find(|(name, _)| name == "login_hint").map(|(_, hint)| hint.into_owned())
    };
    assert_eq!(hint().await, None, "nobody knows yet");
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let email = it.until_phase("mail", "Active").await.account.unwrap().email;
    assert!(email.is_some());
    assert_eq!(hint().await, email);
    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/accept-account": "bob"}}})).await;
    until("another account is meant", async || hint().await.is_none().then_some(())).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_consent_that_comes_during_a_refresh_is_what_stands_and_nothing_is_without_a_token() {
    let it = scene("meanwhile").await;
    awaiting(&it).await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
    let first = it.secret("mail").await["access_token"].clone();
    let attempt = it.attempt_as("alice", "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    it.realm.fault(Fault {
        grant_type: Some(GrantType::RefreshToken),
        ..Fault::token(Action::Delay { milliseconds: 5_000, commit: true })
    });
    it.ask_for_refresh("mail", "now").await;
    let refreshing = |ledger: &Ledger| {
        ledger.requests_to(Endpoint::Token).any(|request| request.grant_type == Some(GrantType::RefreshToken))
    };
    it.until_ledger("a refresh is under way", |ledger| refreshing(ledger).then_some(())).await;
    attempt.returned(&callback).await;
    let came = async {
        let ending = attempt.ended().await;
        assert!(ending.is_connected(), "{ending:?}");
    };
    let served = async {
        until("the new grant's token", async || {
            assert!(holds(&it.status("mail").await, "Ready"), "there is a token all the time");
            let keys = it.secret("mail").await;
            let grant = grant_of(&it, &keys["access_token"]);
            if grant == grant_of(&it, &first) { Err("still the old grant's") } else { Ok(()) }
        })
        .await;
    };
    tokio::join!(came, served);
    assert!(it.realm.ledger().spent_twice().is_empty(), "{:?}", it.realm.ledger().spent_twice());
    let status = it.until_phase("mail", "Active").await;
    assert_eq!(status.last_handled_refresh.as_deref(), Some("now"), "{status:?}");
}

/// The grant that an access token belongs to, according to the provider.
fn grant_of(it: &Scene, token: &str) -> Option<String> {
    it.realm.ledger().history_of(token).first().and_then(|entry| entry.grant.clone())
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_says_slow_down_is_asked_more_slowly_also_after_a_restart() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("slow").await;
    it.provider(Rotation::SingleUse)
        .habit(|config| config.device_interval_seconds = 1)
        .spec(json!({"allow": {"deviceFlow": true}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    let of_device = |action| Fault { grant_type: Some(GrantType::DeviceCode), ..Fault::token(action) };
    it.realm.fault(of_device(Action::error("slow_down")));
    it.realm.fault(of_device(Action::status(503)));
    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": "1"}}}))
        .await;
    let interval = async |expected: u32| {
        until(&format!("an interval of {expected} s"), async || match step(&it).await {
            Some(Step::Waiting { interval, .. }) if interval == expected => Ok(()),
            step => Err(format!("{step:?}")),
        })
        .await;
    };
    interval(6).await;
    interval(11).await;
    stage.kill_operator();
    stage.start_operator().await;
    let code = it.status("mail").await.authorization.unwrap().user_code.unwrap();
    it.realm.decide_device(&code, Some("alice")).unwrap();
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    let ledger = it.realm.ledger();
    let polls: Vec<u64> = ledger
        .requests_to(Endpoint::Token)
        .filter(|request| request.grant_type == Some(GrantType::DeviceCode))
        .map(|request| request.at_ms)
        .collect();
    let pauses: Vec<u64> = polls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // What is written has whole seconds.
    assert!(pauses.len() == 2 && pauses[0] >= 5_000 && pauses[1] >= 10_000, "{pauses:?}");
}

/// The step of the scene's only attempt.
async fn step(it: &Scene) -> Option<Step> {
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    let hers = attempts.of_user("alice").await.expect("the attempts");
    let its = |kept: &StoredAttempt| kept.attempt.connection.namespace == it.namespace;
    hers.into_iter().find(its).map(|kept| kept.attempt.step)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn attempts_whose_time_is_over_are_swept_and_what_cannot_be_read_stays_for_as_long() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("swept").await;
    awaiting(&it).await;
    let (over, open) = (it.attempt_as("alice", "mail").await, it.attempt_as("bob", "mail").await);
    over.begun().await;
    open.begun().await;
    stage.stop_operator();
    // It is kept for ten more minutes.
    let long_ago = SignedDuration::from_secs(601);
    over.forged_at(Timestamp::now() - long_ago, over.now().await.attempt.step).await;
    let junk: Secret = parsed(json!({"metadata": {"name": "attempt-junk"}, "type": "bowline.dev/attempt"}));
    let secrets: Api<Secret> = it.secrets(ATTEMPTS);
    secrets.create(&PostParams::default(), &junk).await.expect("junk");
    stage.start_operator().await;
    // The first sweep may find a cache that is not filled yet; the next one comes a minute later.
    until_within(Duration::from_mins(2), "the old attempt is swept", async || {
        secrets.get_opt(&over.name).await.expect("the API server answers").is_none().then_some(())
    })
    .await;
    open.now().await;
    let junk = secrets.get_opt("attempt-junk").await.expect("the API server answers");
    assert!(junk.is_some(), "another version may have written it a moment ago");
}
