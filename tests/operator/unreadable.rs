//! One unreadable object stops nothing: it is set aside by name, and all others are served.
//!
//! The schemas refuse such objects, so they are relaxed first, as if a later version had written the objects.

use std::time::Duration;

use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use bowline_testbed::access;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, CustomResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::looking::until;
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

/// Lets the field hold anything, and drops the rules that would refuse that.
async fn loosen<K: CustomResourceExt>(it: &Scene, path: &[&str]) {
    let api: Api<CustomResourceDefinition> = Api::all(it.admin.clone());
    let mut definition = api.get(K::crd_name()).await.expect("a definition");
    let schema = definition.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
    without_rules(schema);
    let field = path
        .iter()
        .fold(schema, |schema, name| schema.properties.as_mut().unwrap().get_mut(*name).expect("the field"));
    *field =
        JSONSchemaProps { x_kubernetes_preserve_unknown_fields: Some(true), ..JSONSchemaProps::default() };
    api.replace(K::crd_name(), &PostParams::default(), &definition).await.expect("loosened");
}

fn without_rules(schema: &mut JSONSchemaProps) {
    schema.x_kubernetes_validations = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| without_rules(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_rules(items);
    }
}

/// Changes an object whose answer may not parse; a new schema takes a moment to become effective.
async fn change<K>(api: Api<PartialObjectMeta<K>>, name: &str, change: Value)
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    until(&format!("{name} is changed to {change}"), async || {
        let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// As the operator, because only it may change shares.
async fn operator(stage: &Stage) -> Client {
    let kubeconfig = stage.access.service_account_kubeconfig(HOME, "bowline").await.expect("a token");
    access::client(&kubeconfig).await.expect("a client")
}

/// One field of each kind, broken or as before.
struct Fields {
    uid: Value,
    suspend: Value,
    before: Value,
    display_name: Value,
}

impl Fields {
    fn spoiled() -> Self {
        let display_name = json!({"en": "Marketing"});
        Self { uid: json!(7), suspend: json!("perhaps"), before: json!("soon"), display_name }
    }

    async fn correct(it: &Scene) -> Self {
        let uid = json!(it.get("mail").await.metadata.uid);
        Self { uid, suspend: Value::Null, before: Value::Null, display_name: Value::Null }
    }

    /// Writes them into the scene's objects and the share in `other`.
    async fn put(self, it: &Scene, other: &str) {
        let Self { uid, suspend, before, display_name } = self;
        let (shares, share) =
            (Api::namespaced(operator(&it.stage).await, other), format!("{}.mail", it.namespace));
        change::<ConnectionShare>(shares, &share, json!({"spec": {"connection": {"uid": uid}}})).await;
        let connections = Api::namespaced(it.alice.clone(), &it.namespace);
        change::<IntegrationConnection>(connections, "mail", json!({"spec": {"suspend": suspend}})).await;
        let refresh = json!({"spec": {"refresh": {"before": before}}});
        change::<IntegrationProvider>(Api::all(it.admin.clone()), &it.name, refresh).await;
        let display_name = json!({"spec": {"displayName": display_name}});
        change::<Workspace>(Api::all(it.admin.clone()), &it.name, display_name).await;
    }
}

/// A connection of this scene, shared into another namespace; returns that namespace, and the grant's id.
async fn shared(it: &Scene) -> (String, String) {
    let other = it.another_namespace("other").await;
    it.provider(Rotation::SingleUse).lifetime(8).apply().await;
    it.workspace(&["alice"], &[&other]).apply().await;
    it.connection("mail").shared().apply().await;
    let minted = it.authorized("mail").await;
    it.secret_in(&other, &format!("{}.mail", it.namespace)).await;
    (other, minted.grant_id)
}

async fn until_metrics(stage: &Stage, count: usize) {
    let kinds = ["IntegrationConnection", "IntegrationProvider", "Workspace", "ConnectionShare"];
    let lines = kinds.map(|kind| format!(r#"bowline_unreadable_objects{{kind="{kind}"}} {count}"#));
    until(&format!("{count} unreadable object of each kind"), async || {
        let (_, metrics) = stage.ask("metrics").await?;
        lines.iter().all(|line| metrics.lines().any(|said| said == line)).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn unreadable_objects_stop_nobody_and_are_served_again_when_corrected() {
    let stage = Stage::fresh(&[]).await;
    let (good, bad) = (stage.scene("good").await, stage.scene("bad").await);
    let (_, good_grant) = shared(&good).await;
    let (other, bad_grant) = shared(&bad).await;
    let share = format!("{}.mail", bad.namespace);
    loosen::<ConnectionShare>(&bad, &["spec", "connection", "uid"]).await;
    loosen::<IntegrationConnection>(&bad, &["spec", "suspend"]).await;
    loosen::<IntegrationProvider>(&bad, &["spec", "refresh", "before"]).await;
    loosen::<Workspace>(&bad, &["spec", "displayName"]).await;
    let correct = Fields::correct(&bad).await;
    Fields::spoiled().put(&bad, &other).await;

    // While it runs, and after a restart, which waits until it is ready.
    until_metrics(&stage, 1).await;
    let refreshes = |grant: &str| bad.realm.ledger().refreshes_of(grant).len();
    let rested = refreshes(&bad_grant);
    stage.stop_operator();
    stage.start_operator().await;
    until_metrics(&stage, 1).await;
    let times = good.realm.ledger().refreshes_of(&good_grant).len();
    good.until_refreshed(&good_grant, times + 2).await;
    good.until_reason("mail", "Shared", "Shared").await;

    let fields = [
        (bad.namespace.as_str(), "spec.suspend"),
        (&other, "spec.connection.uid"),
        ("default", "spec.refresh.before"),
        ("default", "spec.displayName"),
    ];
    for (namespace, field) in fields {
        until(&format!("an Event that names {field}"), async || {
            let told = bad.events(namespace).await;
            let named = told.iter().any(|(reason, note)| reason == "Unreadable" && note.contains(field));
            named.then_some(()).ok_or_else(|| format!("{told:?}"))
        })
        .await;
    }
    assert_eq!(refreshes(&bad_grant), rested, "nothing is done for what cannot be read");
    assert!(bad.secret_now(&bad.namespace, "mail").await.is_some(), "and nothing is withdrawn for it");
    assert!(bad.secret_now(&other, &share).await.is_some(), "nor where it is shared");

    correct.put(&bad, &other).await;
    until_metrics(&stage, 0).await;
    bad.until_phase("mail", "Active").await;
    bad.until_refreshed(&bad_grant, rested + 1).await;
    bad.until_reason("mail", "Shared", "Shared").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_04_of_a_workspace_that_cannot_be_read_nobody_says_that_it_excludes() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("unreadable-members").await;
    let members_only = json!({"allow": {"workspaces": [it.name]}});
    it.provider(Rotation::SingleUse).lifetime(8).spec(members_only).apply().await;
    it.workspace(&["alice"], &[&it.namespace]).apply().await;
    it.connection("mail").spec(json!({"workspace": it.name})).apply().await;
    let grant = it.authorized("mail").await.grant_id;
    loosen::<Workspace>(&it, &["spec", "displayName"]).await;
    let display_name = |value: Value| json!({"spec": {"displayName": value}});
    let spoiled = display_name(json!({"en": "Marketing"}));
    change::<Workspace>(Api::all(it.admin.clone()), &it.name, spoiled).await;

    it.until_reason("mail", "Authorized", "ProviderNotReady").await;
    let published = it.secret("mail").await;
    let refreshes = it.realm.ledger().refreshes_of(&grant).len();
    until("the token's expiry", async || (!it.realm.is_alive(&published["access_token"])).then_some(()))
        .await;
    assert_eq!(it.realm.ledger().refreshes_of(&grant).len(), refreshes, "nothing newer is obtained");
    assert_eq!(it.secret("mail").await, published, "and nothing is withdrawn");
    change::<Workspace>(Api::all(it.admin.clone()), &it.name, display_name(Value::Null)).await;
    it.until_phase("mail", "Active").await;
    it.until_refreshed(&grant, refreshes + 1).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_unreadable_connection_that_is_deleted_goes_with_all_it_published() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("unreadable-gone").await;
    let (other, grant) = shared(&it).await;
    loosen::<IntegrationConnection>(&it, &["spec", "suspend"]).await;
    let connections = Api::<PartialObjectMeta<_>>::namespaced(it.alice.clone(), &it.namespace);
    let suspend = json!({"spec": {"suspend": "perhaps"}});
    change::<IntegrationConnection>(connections.clone(), "mail", suspend).await;
    it.until_event(&it.namespace, "Unreadable").await;
    connections.delete("mail", &DeleteParams::default()).await.expect("deleted");
    it.until_gone(Duration::from_mins(1), "mail").await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_no_secret(&other, &format!("{}.mail", it.namespace)).await;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(&grant).then_some(())).await;
}
