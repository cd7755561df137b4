//! A provider that takes no connection without a client certificate: the emulator plays Ponto, and asks for it in TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_testbed::emulator::{Emulator, FamilyHandle};
use k8s_openapi::jiff::Timestamp;
use reqwest::redirect::Policy;
use serde_json::json;
use url::Url;

use crate::carrier::Callback;
use crate::looking::until;
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

/// A provider `ponto` that reaches the emulator, and the emulator's family.
async fn ponto(emulator: &Emulator) -> (Scene, FamilyHandle) {
    let proxy = emulator.proxy();
    let stage: Arc<Stage> = Stage::fresh(&["--provider-proxy", &proxy]).await;
    let (it, family) = (stage.scene("mutual-tls").await, emulator.family("ponto").unwrap());
    let authority =
        json!({"metadata": {"name": "emulator-ca"}, "stringData": {"ca.crt": emulator.authority()}});
    it.create(HOME, &crate::scene::parsed::<k8s_openapi::api::core::v1::Secret>(authority)).await;
    certify(&it, &family, emulator.client_certificate(2020..=2090).unwrap()).await;
    let network = json!({"proxy": proxy, "caSecretName": "emulator-ca"});
    it.provider_of_type("ponto")
        .spec(json!({"app": {"secretName": it.name}, "network": network}))
        .apply()
        .await;
    (it, family)
}

/// Puts a certificate and its key into the app Secret.
async fn certify(it: &Scene, family: &FamilyHandle, (certificate, key): (String, String)) {
    let app = &family.data().apps["connect"];
    let secret = app.client_secret.clone().unwrap();
    let keys = [
        ("client_id", app.client_id.clone()),
        ("client_secret", secret),
        ("tls.crt", certificate),
        ("tls.key", key),
    ];
    it.register_app(&keys.map(|(key, value)| (key.to_owned(), value)).into()).await;
}

/// The browser at the provider, where somebody consents.
async fn consent(emulator: &Emulator, address: &Url) -> Callback {
    let authority = reqwest::Certificate::from_pem(emulator.authority().as_bytes()).unwrap();
    let browser = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(emulator.proxy()).unwrap())
        .tls_certs_merge([authority])
        .redirect(Policy::none());
    let answer = browser.build().unwrap().get(address.as_str()).send().await.expect("the provider answers");
    let location = answer.headers().get("location").expect("the provider sends the browser back");
    Url::parse(location.to_str().unwrap()).unwrap().query_pairs().into_owned().collect()
}

async fn refreshed(it: &Scene, request: &str, last: &str) -> BTreeMap<String, String> {
    it.ask_for_refresh("bank", request).await;
    it.until_secret("bank", "another token", |keys| keys["access_token"] != last).await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_requires_a_certificate_is_connected_refreshed_and_revoked() {
    let emulator = Emulator::start(Timestamp::now()).await.expect("the emulator starts");
    let (it, family) = ponto(&emulator).await;
    family.consent_as("acme");
    it.connection("bank").apply().await;
    it.until_reason("bank", "Authorized", "AwaitingAuthorization").await;
    let attempt = it.attempt_as("alice", "bank").await;
    attempt.returned(&consent(&emulator, &attempt.sent().await).await).await;
    assert!(attempt.ended().await.is_connected());
    let status = it.until_phase("bank", "Active").await;
    let account = status.account.expect("the call for the account presents the certificate, too");
    assert_eq!(account.name.as_deref(), Some("Acme Example"));
    let first = it.secret("bank").await["access_token"].clone();
    let second = refreshed(&it, "first", &first).await["access_token"].clone();
    assert!(family.is_alive(&second));

    // Somebody else's certificate: the server ends the session, and nothing is spent.
    let other = Emulator::start(Timestamp::now()).await.expect("the emulator starts");
    certify(&it, &family, other.client_certificate(2020..=2080).unwrap()).await;
    until("the operator has seen it", async || {
        let ends = it.providers().get(&it.name).await.ok()?.status?.certificate_expires_at?;
        (ends.0.to_string() == "2080-01-01T00:00:00Z").then_some(())
    })
    .await;
    it.ask_for_refresh("bank", "foreign").await;
    let message = until("the refusal", async || {
        let failure = it.status("bank").await.token?.last_failure?;
        failure.message.contains("client certificate").then_some(failure.message)
    });
    assert!(message.await.contains("UnknownCA"));
    // One that has expired is not even sent.
    certify(&it, &family, emulator.client_certificate(2020..=2021).unwrap()).await;
    let told = it.until_provider("CertificateInvalid").await;
    assert!(
        told.contains("expired at 2021-01-01T00:00:00Z") && told.contains("platform@example.com"),
        "{told}"
    );
    assert_eq!(it.secret("bank").await["access_token"], second, "what is published stays");

    certify(&it, &family, emulator.client_certificate(2020..=2090).unwrap()).await;
    it.until_provider("Ready").await;
    let third = refreshed(&it, "again", &second).await["access_token"].clone();
    assert!(family.is_alive(&third));
    it.change("bank", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "bank").await;
    until("the grant is revoked", async || (family.grants_alive() == 0).then_some(())).await;
    assert!(emulator.strangers().is_empty(), "{:?}", emulator.strangers());
}
