//! The main job against `oidc-provider`, a server that we did not write: our sandbox may share our mistakes.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_api::reason::Reason;
use bowline_testbed::oidc::{OidcAuth, OidcServer};
use bowline_testbed::sandbox::{MintRequest, Minted, fingerprint};
use serde_json::{Value, json};

use crate::looking::{holds, is, until};
use crate::scene::{Scene, scene};

/// Several checks ten seconds apart, and the doubt between them.
const PROBED_WITHIN: Duration = Duration::from_mins(3);

/// A server whose access tokens live for this long, and a connection with a grant of alice's there. `more` goes into the provider's
/// spec.
async fn connected(name: &str, lifetime: Duration, more: Value) -> (OidcServer, Scene, Minted) {
    let server = OidcServer::start(lifetime).await.expect("oidc-provider");
    let client = server.client(OidcAuth::Basic).expect("a client");
    let it = scene(name).await;
    it.provider_of_type("generic-oauth2")
        .app(&client.id, &client.secret)
        .spec(json!({"endpoints": {"issuer": server.issuer()}}))
        .spec(more)
        .apply()
        .await;
    it.connection("mail").apply().await;
    let minted = server.mint("alice").await.expect("a grant");
    it.import("mail", &minted).await;
    it.until_phase("mail", "Active").await;
    (server, it, minted)
}

async fn lives(name: &str, type_: &str, auth: OidcAuth) {
    let server = OidcServer::start(Duration::from_secs(8)).await.expect("oidc-provider");
    let client = server.client(auth).expect("a client");
    let it = scene(name).await;
    let way = if auth == OidcAuth::Basic { "basic" } else { "post" };
    it.provider_of_type(type_)
        .app(&client.id, &client.secret)
        .spec(json!({"endpoints": {"issuer": server.issuer()}, "parameters": {"client_auth": way}}))
        .apply()
        .await;
    it.connection("mail").apply().await;
    let request = MintRequest { client_id: Some(client.id.clone()), ..MintRequest::of("alice") };
    let minted = server.mint_as(&request).await.expect("a grant");
    it.import("mail", &minted).await;
    let active = it.until_phase("mail", "Active").await;
    assert_eq!(active.account.map(|account| account.id).as_deref(), Some("alice"));

    let mut tokens = BTreeSet::new();
    until("four tokens", async || {
        tokens.insert(it.secret("mail").await["access_token"].clone());
        (tokens.len() >= 4).then_some(())
    })
    .await;
    let events = server.events().await.expect("events");
    let ours = || events.iter().filter(|event| event.grant.as_ref() == Some(&minted.grant_id));
    // The server revokes a grant whose refresh token is used twice, so a live grant shows that none was.
    assert!(!ours().any(|event| event.event == "grant.revoked"), "{events:?}");
    let consumed: Vec<_> = ours().filter(|event| event.event == "refresh_token.consumed").collect();
    assert!(consumed.len() >= 3, "{consumed:?}");
    assert_eq!(consumed[0].sha256, Some(fingerprint(&minted.refresh_token)));

    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "mail").await;
    until("the grant is revoked", async || {
        let events = server.events().await.ok()?;
        let revoked = |event: &&bowline_testbed::oidc::OidcEvent| {
            event.event == "grant.revoked" && event.grant.as_ref() == Some(&minted.grant_id)
        };
        events.iter().find(revoked).map(drop)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn a_grant_of_oidc_provider_rotates_and_is_revoked() {
    lives("oidc-basic", "generic-oauth2", OidcAuth::Basic).await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn so_it_does_with_the_client_secret_in_the_body() {
    lives("oidc-post", "generic-oauth2", OidcAuth::Post).await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn so_it_does_where_a_refresh_token_can_only_be_imported() {
    lives("oidc-import", "generic-oauth2-refresh", OidcAuth::Basic).await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn a_grant_that_its_person_removes_at_the_provider_is_no_longer_used() {
    let (server, it, minted) = connected("oidc-removed", Duration::from_secs(6), json!({})).await;
    server.revoke_grant(&minted.grant_id).await.expect("removed");
    it.until_status("mail", "refused", |status| {
        status.token.as_ref().is_some_and(|token| token.consecutive_refusals == Some(1))
    })
    .await;
    it.until_phase("mail", "Expired").await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn after_a_disconnect_the_servers_own_introspection_says_that_both_tokens_are_dead() {
    let (server, it, minted) = connected("oidc-both", Duration::from_hours(1), json!({})).await;
    let tokens = [&minted.refresh_token, &minted.access_token];
    for token in tokens {
        assert!(server.is_active(token).await.expect("introspected"), "it lives before");
    }
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    let told = it.until_status("mail", "revoked", |status| {
        status.revocation.as_ref().is_some_and(|it| it.reason.is(Reason::Revoked))
    });
    let told = told.await.revocation.unwrap().message;
    assert!(told.contains("not accepted there any more"), "{told}");
    for token in tokens {
        assert!(!server.is_active(token).await.expect("introspected"));
    }
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn a_token_that_the_server_has_ended_is_noticed_long_before_its_nominal_end() {
    let (server, it, minted) =
        connected("oidc-ended", Duration::from_hours(1), json!({"overlay": {"probe": {"every": "10s"}}}))
            .await;
    it.until_checked(PROBED_WITHIN, "mail").await;
    server.revoke_grant(&minted.grant_id).await.expect("removed");
    let over = it
        .until_status_within(PROBED_WITHIN, "mail", "noticed", |status| {
            is(status, "Authorized", "GrantExpired")
        })
        .await;
    assert!(!holds(&over, "Ready"), "{over:?}");
    assert!(over.token.unwrap().expires_at.unwrap().0 > k8s_openapi::jiff::Timestamp::now());
}
