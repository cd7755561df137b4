//! Who may use a provider: its members in their namespaces, and of the organization's own power only those who are named.

use bowline_api::IntegrationConnection;
use bowline_testbed::sandbox::{Endpoint, Event, Rotation};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::drafts::merge;
use crate::looking::{until, words};
use crate::scene::{Scene, parsed, scene};

/// A provider that mints tokens from the organization's registration.
async fn organizations(it: &Scene, spec: Value) {
    let mut all = json!({"endpoints": {"issuer": it.realm.issuer()}});
    merge(&mut all, spec);
    it.provider_of_type("generic-oauth2-client-credentials").registered().spec(all).apply().await;
}

/// Creates a connection of somebody's, in a namespace.
async fn connection(it: &Scene, client: &Client, owner: &str, namespace: &str, name: &str) {
    let object: IntegrationConnection = parsed(json!({"metadata": {"name": name}, "spec": {
        "provider": it.name, "owner": owner, "workspace": it.name}}));
    let api: Api<IntegrationConnection> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &object).await.expect("a connection");
}

/// Waits until a connection may not use its provider, and returns why.
async fn until_refused(it: &Scene, namespace: &str, name: &str) -> String {
    let api: Api<IntegrationConnection> = Api::namespaced(it.admin.clone(), namespace);
    until(&format!("{name} is not allowed"), async || {
        let status = api.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let said = words(&status, "Authorized").to_owned();
        if said.contains("does not allow this connection") { Ok(said) } else { Err(said) }
    })
    .await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_04_naming_a_workspace_gives_nobody_the_organizations_token() {
    let it = scene("members").await;
    let outside = it.another_namespace("outside").await;
    let terms =
        json!({"allow": {"workspaces": [it.name]}, "scopes": {"default": ["read"], "allowed": ["read"]}});
    organizations(&it, terms).await;
    connection(&it, &it.alice, "alice", &it.namespace, "early").await;
    let said = until_refused(&it, &it.namespace, "early").await;
    assert!(said.contains("no such Workspace"), "{said}");
    it.workspace(&["alice"], &[&it.namespace]).apply().await;
    it.until_phase("early", "Active").await;
    let minted = || it.realm.ledger().requests_to(Endpoint::Token).count();
    let known = minted();

    connection(&it, &it.bob, "bob", &it.namespace, "bobs").await;
    let said = until_refused(&it, &it.namespace, "bobs").await;
    assert!(said.contains("bob is none of them"), "{said}");
    connection(&it, &it.alice, "alice", &outside, "away").await;
    let said = until_refused(&it, &outside, "away").await;
    assert!(said.contains(&format!("{outside} is none of them")), "{said}");
    assert_eq!(minted(), known, "nothing is minted for them");
    for (namespace, name) in [(&it.namespace, "bobs"), (&outside, "away")] {
        assert!(it.secret_now(namespace, name).await.is_none());
    }

    // Who leaves loses it, and gets it again with the membership.
    it.workspace(&["bob"], &[&it.namespace]).apply().await;
    it.until_no_secret(&it.namespace, "early").await;
    it.until_reason("early", "Authorized", "ProviderNotAllowed").await;
    it.secret("bobs").await;
    it.workspace(&["alice"], &[&it.namespace, &outside]).apply().await;
    it.secret("early").await;
    it.secret_in(&outside, "away").await;
    it.until_no_secret(&it.namespace, "bobs").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_04_the_organizations_power_is_nobodys_before_somebody_is_named() {
    let it = scene("nobody").await;
    organizations(&it, json!({"scopes": {"default": ["read"]}})).await;
    it.connection("billing").apply().await;
    let said = until_refused(&it, &it.namespace, "billing").await;
    assert!(said.contains("set spec.allow.namespaces or spec.allow.workspaces"), "{said}");
    it.change_provider(json!({"spec": {"allow": {"namespaces": {"matchLabels": {"scene": it.name}}}}})).await;
    let said = until("the scopes are asked for", async || {
        let said = until_refused(&it, &it.namespace, "billing").await;
        if said.contains("spec.scopes.allowed") { Ok(said) } else { Err(said) }
    })
    .await;
    assert!(said.contains("no person reviews"), "{said}");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);
    it.change_provider(json!({"spec": {"scopes": {"allowed": ["read"]}}})).await;
    it.until_phase("billing", "Active").await;
    it.connection("admin").spec(json!({"scopes": ["write"]})).apply().await;
    assert!(until_refused(&it, &it.namespace, "admin").await.contains("the scopes write"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_04_no_consent_is_taken_for_who_may_not_use_the_provider() {
    let it = scene("members-consent").await;
    it.workspace(&["bob"], &[&it.namespace]).apply().await;
    it.provider(Rotation::SingleUse).spec(json!({"allow": {"workspaces": [it.name]}})).apply().await;
    it.connection("mail").spec(json!({"workspace": it.name})).apply().await;
    it.until_reason("mail", "Authorized", "ProviderNotAllowed").await;
    let ending = it.attempt_as("alice", "mail").await.ended().await;
    assert!(!ending.is_connected() && ending.message.contains("alice is none of them"), "{ending:?}");
    assert_eq!(it.realm.ledger().of(Event::Issued).count(), 0);
    it.workspace(&["alice", "bob"], &[&it.namespace]).apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(it.consents_as("mail", "alice").await.is_connected());
    it.secret("mail").await;
}
