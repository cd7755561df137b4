//! Connections without a person: a `ServiceAccount` owns them, and an assertion that the app's key signs mints their tokens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bowline_api::IntegrationConnection;
use bowline_testbed::sandbox::{Endpoint, GrantType, TrustedIssuer};
use kube::api::PostParams;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::drafts::{ProviderDraft, merge};
use crate::looking::{is, words};
use crate::scene::{Scene, parsed, scene};

/// A new P-256 key: in PEM, and its public half as a JWK set.
fn key() -> (String, Value) {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let body = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    (pem, json!({"keys": [{"kty": "EC", "crv": "P-256", "x": part(x), "y": part(y)}]}))
}

/// The app Secret of a robot that signs.
fn robot(pem: &str) -> BTreeMap<String, String> {
    let keys = [("client_id", "robot"), ("private_key", pem), ("key_id", "key-1")];
    keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A provider that takes assertions which this key set verifies.
fn provider<'a>(it: &'a Scene, pem: &str, keys: Value) -> ProviderDraft<'a> {
    let spec = json!({"endpoints": {"token": it.realm.url("token")}, "allow": {"namespaces": {}},
        "parameters": {"subject": "billing"}, "scopes": {"default": ["read"], "allowed": ["read"]}});
    let trusted = TrustedIssuer { issuer: "robot".to_owned(), keys };
    let draft = it.provider_of_type("generic-oauth2-jwt-bearer").registration(robot(pem));
    draft.spec(spec).habit(|config| config.trusted = vec![trusted])
}

/// Creates a connection that a `ServiceAccount` of the scene's namespace owns, as a pipeline does.
async fn owned_by_robot(it: &Scene, name: &str, more: Value) {
    let owner = format!("system:serviceaccount:{}:billing", it.namespace);
    let mut spec = json!({"provider": it.name, "owner": owner, "method": "JwtBearer"});
    merge(&mut spec, more);
    let object: IntegrationConnection = parsed(json!({"metadata": {"name": name}, "spec": spec}));
    let api = kube::Api::namespaced(it.admin.clone(), &it.namespace);
    api.create(&PostParams::default(), &object).await.expect("a connection");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_service_account_owns_a_connection_that_a_signed_assertion_mints() {
    let it = scene("assertion").await;
    let (pem, keys) = key();
    provider(&it, &pem, keys).lifetime(6).apply().await;
    owned_by_robot(&it, "billing", json!({})).await;
    let status = it.until_phase("billing", "Active").await;
    assert_eq!(status.account.expect("an account").id, "robot");
    let first = it.secret("billing").await;
    assert_eq!(first["scopes"], "read");
    it.until_secret("billing", "another token", |keys| keys != &first).await;
    let ledger = it.realm.ledger();
    let mut asked = ledger.requests_to(Endpoint::Token);
    assert!(asked.all(|request| request.grant_type == Some(GrantType::JwtBearer)));
    assert!(it.secret("billing").await.values().all(|value| !value.contains("PRIVATE")));

    // Another account than the spec expects is not published.
    owned_by_robot(&it, "other", json!({"account": {"id": "somebody"}})).await;
    let status = it.until_reason("other", "Authorized", "MintFailed").await;
    assert!(words(&status, "Authorized").contains("another account"), "{}", words(&status, "Authorized"));
    assert!(it.secret_now(&it.namespace, "other").await.is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_assertion_of_another_key_mints_nothing_until_the_key_is_right() {
    let it = scene("other-key").await;
    let ((pem, _), (right, keys)) = (key(), key());
    // Such a refusal is looked at again after a day, unless something changes.
    let overlay = json!({"overlay": {"errors": {"token": {"invalid_grant": "Policy"}}}});
    provider(&it, &pem, keys).spec(overlay).apply().await;
    owned_by_robot(&it, "billing", json!({})).await;
    let status = it.until_reason("billing", "Authorized", "MintFailed").await;
    assert!(words(&status, "Authorized").contains("invalid_grant"), "{}", words(&status, "Authorized"));
    it.register_app(&robot(&right)).await;
    it.until_status("billing", "Active", |status| is(status, "Ready", "Connected")).await;

    // Without a key the provider says so, before anything is sent.
    let mut keyless = robot("");
    keyless.insert("client_secret".to_owned(), "canary".to_owned());
    it.register_app(&keyless).await;
    assert!(it.until_provider("AppSecretIncomplete").await.contains("private_key"));
}
