//! Consent at servers that the catalogue does not describe: one whose pages we did not write, and one that only an overlay
//! describes.

use std::time::Duration;

use bowline_testbed::oidc::{OidcAuth, OidcServer};
use bowline_testbed::sandbox::{Action, Fault, Rotation};
use serde_json::{Value, json};

use crate::PORTAL;
use crate::looking::until;
use crate::person::Person;
use crate::portal;
use crate::scene::{Scene, scene};
use crate::walk::agrees_as;

#[tokio::test]
#[ignore = "needs an API server, Node and Chromium: make test"]
async fn a_person_consents_at_a_server_that_nobody_here_wrote() {
    let it = scene("certified").await;
    let callback = format!("{PORTAL}/callback/{}", it.name);
    let server = OidcServer::start_for(Duration::from_mins(5), &callback).await.expect("oidc-provider");
    let client = server.client(OidcAuth::Basic).expect("a client");
    it.provider_of_type("generic-oauth2")
        .app(&client.id, &client.secret)
        .spec(json!({"displayName": "Certified", "endpoints": {"issuer": server.issuer()},
            "scopes": {"default": ["openid", "email"]}, "parameters": {"account_name": "/sub"}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let page = format!("/connections/{}/mail", it.namespace);

    alice.signs_in(&it, "alice").await;
    alice.opens(&page).await;
    alice.clicks("#connect").await;
    alice.presses("Continue to Certified").await;
    alice.types("input[name=login]", "alice").await;
    alice.types("input[name=password]", "anything").await;
    alice.clicks("button[type=submit]").await;
    alice.reads("body", "Authorize").await;
    alice.clicks("button[type=submit]").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Connected").await;
    alice.reads("#account", "alice@example.com").await;

    let before = it.secret("mail").await["access_token"].clone();
    alice.clicks("#refresh button").await;
    it.until_secret("mail", "another token", |keys| keys["access_token"] != before).await;

    alice.clicks("#disconnect").await;
    alice.clicks("#confirm button").await;
    alice.reads("#status", "Disconnected").await;
    // It is disconnected at once, and revoked then.
    until("the grant is revoked", async || {
        let events = server.events().await.map_err(|error| error.to_string())?;
        let revoked = events.iter().any(|event| event.event == "grant.revoked");
        revoked.then_some(()).ok_or_else(|| format!("{events:?}"))
    })
    .await;
}

/// The sandbox as a service that nobody listed: every fact about it stands in the provider object.
fn fern(it: &Scene) -> Value {
    let at = |path: &str| format!("{}{path}", it.realm.issuer());
    json!({"type": "generic-oauth2", "endpoints": null, "overlay": {
        "displayName": "Fern",
        "about": "Use your ferns.",
        "color": "#2d6a4f",
        "endpoints": {"authorization": at("/authorize"), "token": at("/token"), "userinfo": at("/userinfo"),
            "revocation": at("/revoke")},
        "scopes": {"default": ["read"], "describe": {"read": {"says": "See your leaves", "kind": "Read"}}},
        "identity": {"from": ["Call"], "account": {"id": ["/sub"], "name": "/name", "email": "/email"}},
        "grant": {"rotation": "SingleUse", "accessLifetime": "1h"},
        "publish": {"site": "/answer/instance_url", "from": "/callback/iss"},
    }})
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn a_service_that_no_entry_describes_is_connected_by_its_overlay_alone() {
    let it = scene("overlay").await;
    it.provider(Rotation::SingleUse).spec(fern(&it)).apply().await;
    let file = r#"{"token": {{ token | tojson }}, "site": {{ extras.site | tojson }}}"#;
    let template = json!({"template": {"data": {"fern.json": file, "from": "{{ extras.from }}"}}});
    it.connection("ferns").spec(json!({"secret": template})).apply().await;
    it.realm.fault(Fault::token(Action::set("instance_url", "https://eu7.fern.example")));
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let page = format!("/connections/{}/ferns", it.namespace);

    alice.signs_in(&it, "alice").await;
    alice.opens(&page).await;
    alice.clicks("#connect").await;
    alice.reads("#review", "Bowline will ask Fern for").await;
    alice.reads("#review", "See your leaves").await;
    alice.presses("Continue to Fern").await;
    agrees_as(&alice, "alice").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Connected").await;
    alice.reads("#account", "alice@example.com").await;

    // What kubelet writes into a pod that mounts the Secret.
    let keys = it.secret("ferns").await;
    let fern: Value = serde_json::from_str(&keys["fern.json"]).expect("a file of JSON");
    assert!(it.realm.is_alive(fern["token"].as_str().unwrap()));
    assert_eq!(
        (fern["site"].as_str(), keys["from"].as_str()),
        (Some("https://eu7.fern.example"), it.realm.issuer().as_str())
    );
}
