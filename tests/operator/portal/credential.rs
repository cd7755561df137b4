//! Keys and passwords that their owner types in the portal.

use bowline_runtime::attempts::Attempts;
use bowline_testbed::sandbox::ApiKey;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::house::Portal;
use crate::looking::until;
use crate::scene::{Scene, scene};

const ATTEMPTS: &str = "bowline-attempts";
const GOOD: &str = "good-key-0123456789";
const BETTER: &str = "good-key-9876543210";

/// A provider whose keys are checked, and a connection that waits for one.
async fn waiting_for_a_key(name: &str) -> Scene {
    let it = scene(name).await;
    let key =
        |key: &str, account: &str| ApiKey { key: key.into(), account: account.into(), forbidden: false };
    let keys = vec![key(GOOD, "alice"), key(BETTER, "alice"), key("good-key-of-another", "mallory")];
    it.provider_of_type("generic-api-key")
        .habit(|config| config.api_keys = keys)
        .spec(json!({"displayName": "Mail", "parameters": {"validate_url": it.realm.url("api/me"), "account_id": "/id"}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it
}

/// Whether no attempt holds this text in any of its values.
async fn is_in_no_attempt(it: &Scene, text: &str) -> Option<()> {
    let attempts: Api<Secret> = Api::namespaced(it.admin.clone(), ATTEMPTS);
    let kept = attempts.list(&ListParams::default()).await.unwrap();
    let values = kept.items.iter().flat_map(|secret| secret.data.iter().flatten());
    values.into_iter().all(|(_, value)| !String::from_utf8_lossy(&value.0).contains(text)).then_some(())
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_types_a_key_and_replaces_it() {
    let it = waiting_for_a_key("typed").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let form = format!("{page}/credential");
    let before = alice.get(&page).await;
    assert!(before.says("id=\"provide\"") && !before.says("kubectl bowline import"), "{}", before.text);

    let asked = alice.get(&form).await;
    assert!(asked.says("Who will be able to use it") && asked.says("type=\"password\""), "{}", asked.text);
    // What is pasted often ends with a line break.
    let sent = alice
        .submit(&asked, &form, &[("value.api_key", &format!(" {GOOD}\n")), ("expires_at", "2099-01-31")])
        .await;
    assert_eq!((sent.status, sent.location.as_str()), (303, page.as_str()), "{}", sent.text);
    it.until_phase("mail", "Active").await;
    assert_eq!(it.secret("mail").await["api_key"], GOOD);
    let status = it.until_status("mail", "a result", |status| {
        status.last_attempt.as_ref().is_some_and(|last| last.result.to_string() == "Succeeded")
    });
    let status = status.await;
    let last = status.last_attempt.unwrap();
    assert_eq!((last.method.to_string(), last.requested_by.as_deref()), ("KeyForm".into(), Some("alice")));
    let ends = status.grant.and_then(|grant| grant.expires_at).map(|at| at.0.to_string());
    assert_eq!(ends.as_deref(), Some("2099-01-31T00:00:00Z"));
    until("the key is erased from the attempt", || is_in_no_attempt(&it, GOOD)).await;

    // A key of another account changes nothing, one of the same account replaces it.
    let another = alice.submit(&asked, &form, &[("value.api_key", "good-key-of-another")]).await;
    assert_eq!(another.status, 303, "{}", another.text);
    let refused = it
        .until_status("mail", "refused", |status| {
            status.last_attempt.as_ref().is_some_and(|last| last.result.to_string() == "Failed")
        })
        .await;
    assert_eq!(refused.last_attempt.unwrap().reason.unwrap().to_string(), "AccountMismatch");
    assert_eq!(it.secret("mail").await["api_key"], GOOD);
    let told = alice.get(&page).await;
    assert!(told.says("Replace…") && told.says("It belongs to the account mallory"), "{}", told.text);
    alice.submit(&asked, &form, &[("value.api_key", BETTER)]).await;
    it.until_secret("mail", "the other key", |keys| keys["api_key"] == BETTER).await;

    let connection = serde_json::to_string(&it.connections().get("mail").await.unwrap()).unwrap();
    for (place, text) in [("logs", portal.logs()), ("status", connection), ("the operator", it.stage.logs())]
    {
        assert!(!text.contains(GOOD) && !text.contains(BETTER), "a key is in {place}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_form_that_is_refused_keeps_and_shows_nothing_of_it() {
    let it = waiting_for_a_key("mistyped").await;
    let portal = Portal::start(&it, &[]).await;
    let (alice, bob) = (portal.browser_of(&it, "alice").await, portal.browser_of(&it, "bob").await);
    let form = format!("/connections/{}/mail/credential", it.namespace);
    let asked = alice.get(&form).await;
    let missing = alice.submit(&asked, &form, &[("value.password", "hush-hush")]).await;
    assert!(missing.says("Key is missing.") && !missing.says("hush-hush"), "{}", missing.text);
    let day = alice.submit(&asked, &form, &[("value.api_key", "hush-hush"), ("expires_at", "soon")]).await;
    assert!(day.says("written like 2027-01-31") && !day.says("hush-hush"), "{}", day.text);
    let long = alice.submit(&asked, &form, &[("value.api_key", &"k".repeat(40_000))]).await;
    assert_eq!(long.status, 400, "{}", long.text);
    // bob may connect it, and is not its owner.
    for sent in [bob.get(&form).await, bob.submit(&asked, &form, &[("value.api_key", GOOD)]).await] {
        assert!(sent.status == 403 && !sent.says("value.api_key"), "{} {}", sent.status, sent.text);
    }
    let attempts = Attempts::new(it.admin.clone(), ATTEMPTS);
    assert!(
        attempts
            .of_user("alice")
            .await
            .unwrap()
            .iter()
            .all(|kept| kept.attempt.connection.namespace != it.namespace)
    );

    // The service refuses it: the person is told, and nothing is published.
    alice.submit(&asked, &form, &[("value.api_key", "no-such-key-0123456789")]).await;
    it.until_status("mail", "refused", |status| {
        status.last_attempt.as_ref().is_some_and(|last| last.result.to_string() == "Failed")
    })
    .await;
    assert!(it.secrets(&it.namespace).get_opt("mail").await.unwrap().is_none());
    until("it is erased", || is_in_no_attempt(&it, "no-such-key-0123456789")).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_user_name_and_a_password_are_typed() {
    let it = scene("typed-pair").await;
    it.provider_of_type("generic-basic-auth").apply().await;
    it.connection("registry").apply().await;
    it.until_reason("registry", "Authorized", "AwaitingAuthorization").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let form = format!("/connections/{}/registry/credential", it.namespace);
    let asked = alice.get(&form).await;
    assert!(asked.says("User name") && !asked.says("Expires on"), "{}", asked.text);
    alice.submit(&asked, &form, &[("value.username", "ci"), ("value.password", "two words")]).await;
    it.until_phase("registry", "Active").await;
    let secret = it.secret("registry").await;
    assert_eq!((secret["username"].as_str(), secret["password"].as_str()), ("ci", "two words"));
}
