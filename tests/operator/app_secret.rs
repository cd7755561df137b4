//! Client secrets go only where their Secret says, whoever edits the provider object.

use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::looking::{until, words};
use crate::scene::{Scene, parsed, scene};
use crate::stage::HOME;
use crate::where_tokens_go::{assert_untouched, set_endpoint};

/// A Secret of the operator's namespace that is none of the scene's.
async fn secret_of_others(it: &Scene, type_: &str, purpose: (&str, &str)) -> String {
    let name = format!("{}-others", it.name);
    let client = it.realm.config().clients[0].clone();
    let secret = json!({"metadata": {"name": name}, "type": type_, "stringData": {
        "client_id": client.id, "client_secret": client.secret, purpose.0: purpose.1}});
    let api = it.secrets(HOME);
    let _ = api.delete(&name, &DeleteParams::default()).await;
    api.create(&PostParams::default(), &parsed::<Secret>(secret)).await.expect("a Secret");
    name
}

/// The provider's condition about its app Secret, once it says this.
async fn until_said(it: &Scene, part: &str) -> String {
    until(&format!("the provider says: {part}"), async || {
        let said = it.until_provider("AppSecretIncomplete").await;
        if said.contains(part) { Ok(said) } else { Err(said) }
    })
    .await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_03_a_provider_object_uses_no_secret_that_is_not_meant_for_it() {
    let it = scene("others-app").await;
    let name = secret_of_others(&it, "Opaque", ("providers", &it.name)).await;
    it.provider(Rotation::SingleUse).spec(json!({"app": {"secretName": name}})).apply_as_it_is().await;
    it.connection("mail").apply().await;
    let command = format!("kubectl create secret generic {name} -n {HOME} --type=bowline.dev/app");
    let said = until_said(&it, &command).await;
    assert!(said.contains("type Opaque"), "{said}");
    let rows = [
        ("note", "mine", "the keys providers and hosts are both missing".to_owned()),
        ("providers", "another", format!("does not name {}, but another", it.name)),
        ("hosts", "id.example.com", "does not name 127.0.0.1:".to_owned()),
    ];
    for (key, value, part) in rows {
        secret_of_others(&it, "bowline.dev/app", (key, value)).await;
        let said = until_said(&it, &part).await;
        assert!(said.contains(&format!("kubectl patch secret {name} -n {HOME} --type=merge -p '")), "{said}");
    }
    it.until_reason("mail", "Authorized", "ProviderNotReady").await;
    assert_untouched(&it.realm);

    let issuer: url::Url = it.realm.issuer().parse().unwrap();
    let host = format!("127.0.0.1:{}", issuer.port().unwrap());
    secret_of_others(&it, "bowline.dev/app", ("hosts", &host)).await;
    it.until_provider("Ready").await;
    it.authorized("mail").await;
    // Whoever edits the provider object cannot send it elsewhere, not even for a person who consents again.
    set_endpoint(&it, "deviceAuthorization", json!("https://thief.example/device")).await;
    until_said(&it, "does not name thief.example").await;
    it.secrets(HOME).delete(&name, &DeleteParams::default()).await.expect("deleted");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_03_so_is_a_connections_own_app() {
    let it = scene("own-app").await;
    it.provider_of_type("generic-oauth2-client-credentials")
        .spec(json!({"endpoints": {"issuer": it.realm.issuer()}, "allow": {"ownApp": true}}))
        .apply()
        .await;
    let client = it.realm.config().clients[0].clone();
    let secret = client.secret.clone().unwrap();
    let keys = |purpose: &'static str| {
        [("client_id", client.id.clone()), ("client_secret", secret.clone()), (purpose, it.name.clone())]
    };
    let keep = async |name: &str, type_: &str, purpose: &'static str| {
        let keys = keys(purpose);
        let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        it.keep_secret(name, name.trim_end_matches("-app"), type_, &keys).await;
    };
    keep("any-app", "Opaque", "providers").await;
    keep("named-app", "bowline.dev/app", "note").await;
    for (name, part) in [
        ("any", "kubectl create secret generic any-app -n"),
        ("named", "kubectl patch secret named-app -n"),
        ("ours", "kubectl create secret generic ours-app -n"),
    ] {
        let app = json!({"app": {"secretName": format!("{name}-app")}});
        it.connection(name).spec(app).apply().await;
        let refused = it.until_reason(name, "Authorized", "CredentialsNotFound").await;
        assert!(words(&refused, "Authorized").contains(part), "{refused:?}");
    }
    assert_untouched(&it.realm);
    keep("ours-app", "bowline.dev/app", "providers").await;
    it.until_phase("ours", "Active").await;
    assert!(it.realm.is_alive(&it.secret("ours").await["access_token"]));
}
