//! A connection needs something that does not exist: the status says so, and it is fixed by itself when the thing appears.
//!
//! Unit tests show the verdicts. Only here do we see that each thing that appears wakes what waits for it.

use std::time::Duration;

use bowline_testbed::sandbox::{Endpoint, RealmConfig, Rotation};
use kube::api::DeleteParams;
use serde_json::json;

use crate::looking::{holds, is, until, words};
use crate::scene::{Scene, scene};
use crate::stage::sandbox;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_comes_later_is_found() {
    let it = scene("no-provider").await;
    it.connection("mail").apply().await;
    let waiting = it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    assert!(words(&waiting, "Authorized").contains(&it.name), "{waiting:?}");
    it.provider(Rotation::SingleUse).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.authorized("mail").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_app_registration_that_comes_later_is_found() {
    let it = scene("no-app").await;
    let app = json!({"app": {"secretName": it.name}, "endpoints": {"issuer": it.realm.issuer()}});
    it.provider_of_type("sandbox").spec(app).apply_as_it_is().await;
    let said = it.until_provider("AppSecretNotFound").await;
    assert!(said.contains(&it.name), "{said}");
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "ProviderNotReady").await;

    it.register_app(&[("client_secret".to_owned(), "x".to_owned())].into()).await;
    let said = it.until_provider("AppSecretIncomplete").await;
    assert!(said.contains("client_id"), "{said}");
    it.provider(Rotation::SingleUse).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.authorized("mail").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_type_that_the_catalogue_lacks_is_said() {
    let it = scene("no-type").await;
    it.provider_of_type("nonesuch").apply_as_it_is().await;
    let said = it.until_provider("UnknownType").await;
    assert!(said.contains("nonesuch"), "{said}");
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "ProviderNotReady").await;
    it.providers().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspace_that_comes_later_is_found() {
    let it = scene("no-workspace").await;
    let other = it.another_namespace("other").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").shared().apply().await;
    it.authorized("mail").await;
    let alone = it.until_reason("mail", "Shared", "WorkspaceNotFound").await;
    assert!(holds(&alone, "Ready"), "the owner's own connection stays ready: {alone:?}");
    it.workspace(&["bob"], &[&other]).apply().await;
    it.until_reason("mail", "Shared", "OwnerNotMember").await;
    it.workspace(&["alice"], &[&other]).apply().await;
    it.until_reason("mail", "Shared", "Shared").await;
    it.secret_in(&other, &format!("{}.mail", it.namespace)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_identical_provider_made_again_carries_on() {
    let it = scene("remade").await;
    let minted = it.connected("mail", Rotation::SingleUse, 12).await;
    let spec = it.providers().get(&it.name).await.unwrap().spec;
    it.providers().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    let without = it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    assert!(holds(&without, "Ready"), "the published token lives: {without:?}");
    it.apply_provider(&serde_json::to_value(spec).unwrap()).await;
    it.until_phase("mail", "Active").await;
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();
    it.until_refreshed(&minted.grant_id, refreshes + 1).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// Only public metadata was requested from the realm.
fn assert_untouched(realm: &bowline_testbed::sandbox::RealmHandle) {
    let ledger = realm.ledger();
    let asked: Vec<_> =
        ledger.requests.iter().filter(|request| request.endpoint != Endpoint::Discovery).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

async fn outdated(it: &Scene) {
    let outdated = it.until_reason("mail", "Authorized", "ConsentOutdated").await;
    assert!(!holds(&outdated, "Ready"), "{outdated:?}");
    it.until_event(&it.namespace, "ConsentOutdated").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_is_not_sent_to_another_address() {
    let it = scene("moved").await;
    let minted = it.connected("mail", Rotation::SingleUse, 6).await;
    let elsewhere = sandbox().realm(&format!("{}-elsewhere", it.name), RealmConfig::default());
    it.change_provider(json!({"spec": {"endpoints": {"issuer": elsewhere.issuer()}}})).await;
    outdated(&it).await;
    let published = it.secret("mail").await;
    until("the token's expiry", async || (!it.realm.is_alive(&published["access_token"])).then_some(()))
        .await;
    it.ask_for_refresh("mail", "now").await;
    it.until_status("mail", "the request is answered", |status| status.last_handled_refresh.is_some()).await;
    assert_eq!(it.secret("mail").await, published, "what is published stays");
    assert_untouched(&elsewhere);

    it.change_provider(json!({"spec": {"endpoints": {"issuer": it.realm.issuer()}}})).await;
    it.until_phase("mail", "Active").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
    assert_untouched(&elsewhere);
}

/// Revoking sends the refresh token as well.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_is_not_revoked_at_another_address() {
    let it = scene("moved-end").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let elsewhere = sandbox().realm(&format!("{}-elsewhere", it.name), RealmConfig::default());
    it.change_provider(json!({"spec": {"endpoints": {"issuer": elsewhere.issuer()}}})).await;
    outdated(&it).await;
    it.delete("mail").await;
    it.until_event(&it.namespace, "RevocationFailed").await;
    assert_untouched(&elsewhere);
    it.change_provider(json!({"spec": {"endpoints": {"issuer": it.realm.issuer()}}})).await;
    // The pause is ten seconds after the first failed revocation, twenty after the second, forty after the third.
    let (within, grant) = (Duration::from_secs(90), &minted.grant_id);
    it.until_ledger_within(within, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
    assert_untouched(&elsewhere);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_is_not_sent_by_another_app() {
    let it = scene("other-app").await;
    it.connected("mail", Rotation::SingleUse, 6).await;
    let app =
        |id: &str| [("client_id".to_owned(), id.to_owned()), ("client_secret".to_owned(), "s".to_owned())];
    it.register_app(&app("another").into()).await;
    outdated(&it).await;
    let asked = it.realm.ledger().requests_to(Endpoint::Token).count();
    let published = it.secret("mail").await;
    until("the token's expiry", async || (!it.realm.is_alive(&published["access_token"])).then_some(()))
        .await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), asked);
    // Back to the app for which the person consented.
    it.provider(Rotation::SingleUse).lifetime(6).apply().await;
    it.until_phase("mail", "Active").await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn parameters_that_the_provider_does_not_know_are_said() {
    let it = scene("parameters").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").spec(json!({"parameters": {"tenant": "contoso"}})).apply().await;
    let said = it.until_reason("mail", "Authorized", "ParametersInvalid").await;
    assert!(words(&said, "Authorized").contains("tenant"), "{said:?}");
    assert!(is(&said, "Ready", "ParametersInvalid"), "{said:?}");
}
