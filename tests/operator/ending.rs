//! Deletion never waits: not for a provider that is down or deleted, a namespace that is being deleted, or our own
//! definition.
//!
//! Unit tests show the decisions. Finalizers, the namespace controller and a terminating definition exist only here.

use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, Rotation};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::{Api, CustomResourceExt};

use crate::looking::until_within;
use crate::scene::scene;
use crate::stage::Stage;

/// How long a deleted object may stay, even on a busy machine. What it must not wait for takes longer, or never happens.
const GONE_WITHIN: Duration = Duration::from_mins(1);
/// The pause is ten seconds after the first failed revocation, twenty after the second, and so on.
const REVOKED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_goes_while_its_provider_is_down_and_is_revoked_later() {
    let it = scene("down").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.realm.fault(Fault::at(Endpoint::Revocation, Action::status(503)).times(u32::MAX));
    it.delete("mail").await;
    it.until_gone(GONE_WITHIN, "mail").await;
    it.until_no_secret(&it.namespace, "mail").await;
    let grant = &minted.grant_id;
    it.until_event(&it.namespace, "RevocationFailed").await;
    assert!(!it.realm.ledger().is_grant_revoked(grant));
    it.realm.clear_faults();
    it.until_ledger_within(REVOKED_WITHIN, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(()))
        .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_goes_with_its_whole_namespace_and_is_revoked() {
    let it = scene("namespace").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.until_its_namespace_is_deleted().await;
    let grant = &minted.grant_id;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_goes_after_its_provider_and_is_revoked_when_that_comes_back() {
    let it = scene("orphan").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.providers().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    it.delete("mail").await;
    it.until_gone(GONE_WITHIN, "mail").await;
    it.until_no_secret(&it.namespace, "mail").await;
    let said = it.until_event(&it.namespace, "RevocationFailed").await;
    assert!(said.contains(&it.name), "{said}");
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
    it.provider(Rotation::SingleUse).apply().await;
    let grant = &minted.grant_id;
    it.until_ledger_within(REVOKED_WITHIN, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(()))
        .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn deleting_the_definition_lets_everything_go_and_revokes_nothing() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("uninstall").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let record = format!("record-{}", it.get("mail").await.metadata.uid.unwrap());
    let definitions: Api<CustomResourceDefinition> = Api::all(it.admin.clone());
    let name = IntegrationConnection::crd_name();
    definitions.delete(name, &DeleteParams::default()).await.expect("deleted");
    until_within(Duration::from_secs(30), "the definition is gone", async || {
        definitions.get_opt(name).await.ok().and_then(|found| found.is_none().then_some(()))
    })
    .await;
    it.until_no_secret(&it.namespace, "mail").await;
    stage.stop_operator();
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), 0);
    assert!(it.realm.is_alive(&minted.refresh_token), "the grant ended");
    assert!(
        it.secret_now("bowline-system", &record).await.is_some(),
        "the record is kept for a reinstallation"
    );
}
