//! Consent that an attacker tampers with, that comes too late, or that its connection no longer expects.
//!
//! The tests also play a hijacked portal: the operator alone judges what it sends.

use std::collections::BTreeMap;

use std::time::Duration;

use bowline_api::attempt::{AuthorizationResponse, Step};
use bowline_testbed::sandbox::{
    Action, CallbackIssuer, Endpoint, Event, Fault, Ledger, RealmConfig, Rotation, TokenKind,
};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::carrier::{ATTEMPTS, Callback, OpenAttempt, allowed};
use crate::looking::{holds, phase_of, until, words};
use crate::scene::{Scene, scene};
use crate::stage::{HOME, Stage};

/// A provider, and a connection of alice's that awaits authorization.
async fn prepare(it: &Scene) {
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
}

async fn awaiting(name: &str) -> Scene {
    let it = scene(name).await;
    prepare(&it).await;
    it
}

/// A person has consented at the provider, and the browser is on its way back.
async fn on_the_way_back(it: &Scene, user: &str, account: &str) -> (OpenAttempt, Callback) {
    let attempt = it.attempt_as(user, "mail").await;
    let callback = allowed(&attempt.sent().await, account).await;
    (attempt, callback)
}

fn codes_spent(it: &Scene) -> usize {
    codes_spent_in(&it.realm.ledger())
}

fn codes_spent_in(ledger: &Ledger) -> usize {
    ledger
        .of(Event::Spent)
        .filter(|entry| entry.token.as_ref().is_some_and(|token| token.kind == TokenKind::Code))
        .count()
}

async fn until_exchanging(attempt: &OpenAttempt) {
    until("the code is on its way to the provider", async || match attempt.now().await.attempt.step {
        Step::Exchanging => Ok(()),
        step => Err(format!("{step:?}")),
    })
    .await;
}

/// The administrator transfers the connection to this user.
async fn transfer(it: &Scene, owner: &str) {
    let change = json!({"spec": {"owner": owner}}).to_string();
    let patch =
        ["-n", &it.namespace, "patch", "integrationconnections", "mail", "--type=merge", "-p", &change];
    let output = it.stage.access.kubectl(&patch).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_wrong_issuer_or_none_where_one_is_announced_ends_the_attempt() {
    let forged = CallbackIssuer::Forged("https://honest.example".to_owned());
    for (name, habit) in [("iss-forged", forged), ("iss-omitted", CallbackIssuer::Omitted)] {
        let it = scene(name).await;
        let provider = it.provider(Rotation::SingleUse).habit(|config| config.callback_issuer = habit);
        provider.apply().await;
        it.connection("mail").apply().await;
        let ending = it.consents_as("mail", "alice").await;
        assert!(
            !ending.is_connected() && ending.message.contains("not come from the provider"),
            "{ending:?}"
        );
        assert_eq!(codes_spent(&it), 0, "{name}");
        it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    }
}

/// Whoever steals the code, and even our client secret, still has no verifier: only the operator can open it.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_is_worth_nothing_without_the_verifier() {
    let it = awaiting("verifier").await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    let client = RealmConfig::default().clients.swap_remove(0);
    let back = format!("{}/callback/{}", crate::stage::PORTAL, it.name);
    let guess = "v".repeat(43);
    let thief = reqwest::Client::builder().no_proxy().build().unwrap();
    for verifier in [None, Some(("code_verifier", guess.as_str()))] {
        let secret = client.secret.as_deref().unwrap();
        let known =
            [("grant_type", "authorization_code"), ("code", &callback["code"]), ("redirect_uri", &back)];
        let ours = [("client_id", client.id.as_str()), ("client_secret", secret)];
        let fields = known.into_iter().chain(ours).chain(verifier);
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = thief.post(it.realm.url("token")).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{verifier:?}: {}", answer.text().await.unwrap());
    }
    assert_eq!(codes_spent(&it), 0);
    attempt.returned(&callback).await;
    assert!(attempt.ended().await.is_connected(), "the operator has it");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_answer_that_comes_too_late_is_not_taken() {
    let it = awaiting("late").await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    let kept = attempt.now().await;
    let Step::Sent { sealed, .. } = kept.attempt.step.clone() else { panic!("not sent") };
    let answer = AuthorizationResponse::Code {
        code: callback["code"].as_str().into(),
        issuer: callback.get("iss").cloned(),
        parameters: BTreeMap::new(),
    };
    let late = Timestamp::now() - SignedDuration::from_secs(1);
    attempt.forged_at(late, Step::Returned { answer, sealed }).await;
    it.until_attempt("mail", "AuthorizationFailed").await;
    // An answer in time is accepted, so the operator could have accepted the late one.
    assert!(it.consents_as("mail", "alice").await.is_connected());
    assert_eq!(codes_spent(&it), 1);
    assert!(matches!(attempt.now().await.attempt.step, Step::Returned { .. }));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_between_start_and_callback_ends_the_attempt() {
    let it = awaiting("handed-on").await;
    let (first, callback) = on_the_way_back(&it, "alice", "alice").await;
    transfer(&it, "bob").await;
    first.returned(&callback).await;
    let ending = first.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("bob must connect"), "{ending:?}");
    assert_eq!(codes_spent(&it), 0, "alice's consent does not count for bob");
}

/// The grant in use is alice's; under the new owner the next consent is a first one.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_of_a_connected_one_takes_the_new_owners_consent() {
    let it = awaiting("handed-over").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
    let (renewal, callback) = on_the_way_back(&it, "alice", "alice").await;
    transfer(&it, "bob").await;
    renewal.returned(&callback).await;
    let late = renewal.ended().await;
    let begun = it.attempt_as("alice", "mail").await.ended().await;
    // Until what alice allowed is withdrawn, the transfer itself is the reason.
    let refuses =
        |said: &str| ["bob must connect", "transferred from alice to bob"].iter().any(|it| said.contains(it));
    for ending in [late, begun] {
        assert!(!ending.is_connected() && refuses(&ending.message), "{ending:?}");
    }
    assert_eq!(codes_spent(&it), 1, "the first one's");
}

/// bob may renew what is connected. If it was disconnected meanwhile, his answer would be a first consent, and not alice's.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_renewal_is_no_first_consent_once_the_grant_is_gone() {
    let it = awaiting("renewal").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
    let (bobs, callback) = on_the_way_back(&it, "bob", "bob").await;
    let record = format!("record-{}", it.get("mail").await.uid().unwrap());
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(HOME, &record).await;
    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    it.until_status("mail", "waiting again", |status| phase_of(status) != "Disconnected").await;
    bobs.returned(&callback).await;
    let ending = bobs.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("alice must connect"), "{ending:?}");
    assert_eq!(codes_spent(&it), 1, "the first one's");
    assert!(it.status("mail").await.account.is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_suspended_connection_takes_no_consent() {
    let it = awaiting("paused").await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    it.change("mail", json!({"spec": {"suspend": true}})).await;
    it.until_phase("mail", "Suspended").await;
    attempt.returned(&callback).await;
    assert!(!attempt.ended().await.is_connected());
    assert_eq!(codes_spent(&it), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_consent_is_for_the_very_object_and_not_for_the_next_of_its_name() {
    let it = awaiting("same-name").await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    it.delete("mail").await;
    it.until_gone(Duration::from_secs(30), "mail").await;
    it.connection("mail").apply().await;
    attempt.returned(&callback).await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    assert_eq!(codes_spent(&it), 1, "its own");
    assert!(matches!(attempt.now().await.attempt.step, Step::Returned { .. }), "nobody took it");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_given_to_a_connection_that_is_deleted_meanwhile_is_given_back() {
    let it = awaiting("given-back").await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    it.realm.fault(Fault::at(Endpoint::Token, Action::Delay { milliseconds: 6_000, commit: true }));
    attempt.returned(&callback).await;
    until_exchanging(&attempt).await;
    it.delete("mail").await;
    it.until_gone(Duration::from_secs(30), "mail").await;
    it.until_ledger("the grant is revoked", |ledger| (!ledger.revoked().is_empty()).then_some(())).await;
    let ending = attempt.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("not kept"), "{ending:?}");
    assert!(!it.realm.tokens().iter().any(|token| it.realm.is_alive(token)), "a token is still valid");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_given_to_a_connection_that_is_disconnected_meanwhile_is_given_back() {
    let it = awaiting("given-up").await;
    for renewal in [false, true] {
        if renewal {
            it.change("mail", json!({"spec": {"disconnect": false}})).await;
            it.until_status("mail", "free again", |status| phase_of(status) != "Disconnected").await;
            assert!(it.consents_as("mail", "alice").await.is_connected());
            it.until_phase("mail", "Active").await;
        }
        let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
        it.realm.fault(Fault::at(Endpoint::Token, Action::Delay { milliseconds: 4_000, commit: true }));
        attempt.returned(&callback).await;
        until_exchanging(&attempt).await;
        it.change("mail", json!({"spec": {"disconnect": true}})).await;
        attempt.ended().await;
        it.until_phase("mail", "Disconnected").await;
        until("no token is still valid", async || {
            let alive = it.realm.tokens().into_iter().filter(|token| it.realm.is_alive(token)).count();
            if alive == 0 { Ok(()) } else { Err(format!("{alive}, renewal: {renewal}")) }
        })
        .await;
    }
}

/// If the operator was not interrupted, nobody is told that it was.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn how_an_attempt_ended_is_reported_even_if_it_could_not_be_written_at_once() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("unwritten").await;
    prepare(&it).await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    let (attempt, callback) = on_the_way_back(&it, "alice", "bob").await;
    it.realm.fault(Fault::at(Endpoint::Token, Action::Delay { milliseconds: 12_000, commit: true }));
    attempt.returned(&callback).await;
    until_exchanging(&attempt).await;
    let rights: Api<RoleBinding> = Api::namespaced(it.admin.clone(), ATTEMPTS);
    let mut writes = rights.get("bowline-attempts").await.expect("the operator's rights");
    rights.delete("bowline-attempts", &DeleteParams::default()).await.expect("taken away");
    it.until_attempt("mail", "AccountMismatch").await;
    assert!(matches!(attempt.now().await.attempt.step, Step::Exchanging), "it could not be written");
    writes.metadata.resource_version = None;
    writes.metadata.uid = None;
    rights.create(&PostParams::default(), &writes).await.expect("given back");
    assert_eq!(attempt.ended().await.reason.to_string(), "AccountMismatch");
}

/// Only at this moment can a consent be lost, and the status says so.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_killed_between_sending_the_code_and_the_record_says_so() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("killed").await;
    prepare(&it).await;
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    it.realm.fault(Fault::at(Endpoint::Token, Action::Delay { milliseconds: 30_000, commit: true }));
    attempt.returned(&callback).await;
    it.until_ledger("the code is spent", |ledger| (codes_spent_in(ledger) == 1).then_some(())).await;
    stage.kill_operator();
    assert!(matches!(attempt.now().await.attempt.step, Step::Exchanging), "nobody takes the code again");
    stage.start_operator().await;
    let ending = attempt.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("interrupted"), "{ending:?}");
    let told = it.until_reason("mail", "Authorized", "AuthorizationFailed").await;
    assert!(words(&told, "Authorized").contains("interrupted"), "{told:?}");
    assert_eq!(codes_spent(&it), 1);
    assert!(it.realm.ledger().spent_twice().is_empty(), "the code was sent once");
    it.realm.clear_faults();
    assert!(it.consents_as("mail", "alice").await.is_connected(), "the next attempt succeeds");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_interrupted_renewal_leaves_the_grant_in_use_alone() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("killed-again").await;
    prepare(&it).await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.until_phase("mail", "Active").await;
    let token = it.secret("mail").await["access_token"].clone();
    let (attempt, callback) = on_the_way_back(&it, "alice", "alice").await;
    it.realm.fault(Fault::at(Endpoint::Token, Action::Delay { milliseconds: 30_000, commit: true }));
    attempt.returned(&callback).await;
    it.until_ledger("the code is spent", |ledger| (codes_spent_in(ledger) == 2).then_some(())).await;
    stage.kill_operator();
    stage.start_operator().await;
    let ending = attempt.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("interrupted"), "{ending:?}");
    let status = it.until_phase("mail", "Active").await;
    assert!(holds(&status, "Ready"), "{status:?}");
    assert_eq!(it.secret("mail").await["access_token"], token);
}

/// A code that nobody types is removed from the status, and causes no more requests.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_for_another_device_runs_out() {
    let it = scene("untyped").await;
    let provider = it.provider(Rotation::SingleUse).habit(|config| {
        config.device_interval_seconds = 1;
        config.device_lifetime_seconds = 5;
    });
    provider.spec(json!({"allow": {"deviceFlow": true}})).apply().await;
    it.connection("mail").apply().await;
    it.change("mail", json!({"metadata": {"annotations": {"bowline.dev/authorize-requested-at": "1"}}}))
        .await;
    let code = |status: &bowline_api::connection::IntegrationConnectionStatus| {
        status.authorization.as_ref().is_some_and(|authorization| authorization.user_code.is_some())
    };
    it.until_status("mail", "a code", code).await;
    let over = it.until_status("mail", "no code", |status| !code(status)).await;
    assert!(!holds(&over, "Ready") && over.account.is_none(), "{over:?}");
}
