//! Consent at `oidc-provider`, whose pages we did not write.

use std::time::Duration;

use bowline_testbed::oidc::{OidcAuth, OidcServer};
use serde_json::json;

use crate::PORTAL;
use crate::looking::until;
use crate::person::Person;
use crate::portal;
use crate::scene::scene;

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
