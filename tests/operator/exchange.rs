//! Token exchange: the operator requests a token of the `ServiceAccount` that owns a connection, for the provider alone, and only
//! where an administrator lets it.

use bowline_api::IntegrationConnection;
use bowline_testbed::access;
use bowline_testbed::sandbox::{Endpoint, GrantType, TrustedIssuer};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::drafts::ProviderDraft;
use crate::looking::{until, words};
use crate::scene::{Scene, parsed, scene};
use crate::stage::HOME;

/// What the API server publishes.
async fn published(it: &Scene, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    it.admin.request(request).await.expect("a document of the API server")
}

/// A provider that trusts the cluster's issuer.
async fn provider(it: &Scene) -> ProviderDraft<'_> {
    let metadata = published(it, "/.well-known/openid-configuration").await;
    let issuer = metadata["issuer"].as_str().unwrap().to_owned();
    let trusted = TrustedIssuer { issuer, keys: published(it, "/openid/v1/jwks").await };
    let draft = it.provider_of_type("generic-oauth2-token-exchange").registered();
    let spec = json!({"endpoints": {"token": it.realm.url("token")}, "allow": {"namespaces": {}},
        "scopes": {"default": ["read"], "allowed": ["read"]}});
    draft.spec(spec).habit(|config| config.trusted = vec![trusted])
}

async fn account(it: &Scene, name: &str) {
    let object: ServiceAccount = parsed(json!({"metadata": {"name": name}}));
    it.create(&it.namespace, &object).await;
}

/// Lets the operator request tokens in the scene's namespace.
async fn allow(it: &Scene) {
    let binding: RoleBinding = parsed(json!({"metadata": {"name": "bowline-token-exchange"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-token-exchange"},
        "subjects": [{"kind": "ServiceAccount", "name": "bowline", "namespace": "bowline-system"}]}));
    it.create(&it.namespace, &binding).await;
}

fn connection(it: &Scene, name: &str, owner: &str) -> IntegrationConnection {
    let spec = json!({"provider": it.name, "owner": owner, "method": "TokenExchange"});
    parsed(json!({"metadata": {"name": name}, "spec": spec}))
}

async fn create(it: &Scene, client: &kube::Client, object: &IntegrationConnection) -> kube::Result<()> {
    let api: Api<IntegrationConnection> = Api::namespaced(client.clone(), &it.namespace);
    api.create(&PostParams::default(), object).await.map(drop)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_token_of_the_account_that_owns_a_connection_is_exchanged() {
    let it = scene("exchange").await;
    provider(&it).await.lifetime(6).apply().await;
    account(&it, "billing").await;
    let owner = format!("system:serviceaccount:{}:billing", it.namespace);

    // Nobody has let the operator do that yet.
    create(&it, &it.admin, &connection(&it, "early", &owner)).await.expect("a connection");
    let status = it.until_reason("early", "Authorized", "MintFailed").await;
    assert!(words(&status, "Authorized").contains("docs/permissions.md"), "{}", words(&status, "Authorized"));
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), 0);
    allow(&it).await;
    create(&it, &it.admin, &connection(&it, "billing", &owner)).await.expect("a connection");
    it.until_phase("billing", "Active").await;
    let first = it.secret("billing").await;
    it.until_secret("billing", "another token", |keys| keys != &first).await;
    let ledger = it.realm.ledger();
    let mut asked = ledger.requests_to(Endpoint::Token);
    assert!(asked.all(|request| request.grant_type == Some(GrantType::TokenExchange)));

    // With a token for the cluster itself the provider could use the cluster.
    let api: Api<IntegrationConnection> = Api::namespaced(it.admin.clone(), &it.namespace);
    let suspended = Patch::Merge(json!({"spec": {"suspend": true}}));
    api.patch("billing", &PatchParams::default(), &suspended).await.expect("a change");
    it.until_reason("billing", "TokenFresh", "Suspended").await;
    let metadata = published(&it, "/.well-known/openid-configuration").await;
    it.change_provider(json!({"spec": {"parameters": {"subject_audience": metadata["issuer"]}}})).await;
    it.until_provider("Ready").await;
    let known = it.realm.ledger().requests_to(Endpoint::Token).count();
    create(&it, &it.admin, &connection(&it, "other", &owner)).await.expect("a connection");
    it.until_reason("other", "Authorized", "MintFailed").await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Token).count(), known);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_exchanges_the_token_of_an_account_that_is_not_theirs_to_use() {
    let it = scene("not-theirs").await;
    provider(&it).await.apply().await;
    account(&it, "billing").await;
    let owner = format!("system:serviceaccount:{}:billing", it.namespace);
    let foreign = "system:serviceaccount:kube-system:default";
    let said = |refused: kube::Result<()>| refused.expect_err("a refusal").to_string();
    // alice may edit in the namespace. The built-in role lets her request tokens there, so she is made to lose that.
    let roles: Api<RoleBinding> = Api::namespaced(it.admin.clone(), &it.namespace);
    let mine = create(&it, &it.alice, &connection(&it, "billing", &owner)).await;
    assert!(said(mine).contains("assign-owner"), "she names another owner");
    let other = create(&it, &it.admin, &connection(&it, "billing", foreign)).await;
    assert!(said(other).contains("of the connection's own namespace"));
    let person = create(&it, &it.alice, &connection(&it, "billing", "alice")).await;
    assert!(said(person).contains("system:serviceaccount:NAMESPACE:NAME"));
    let subject = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]);
    let gitops: RoleBinding = parsed(json!({"metadata": {"name": "gitops"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-gitops"},
        "subjects": subject}));
    it.create(&it.namespace, &gitops).await;
    let bob = json!({"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}]});
    roles.patch("edit", &PatchParams::default(), &Patch::Merge(&bob)).await.unwrap();
    let refused = until("alice lost the role edit", async || {
        let refused = create(&it, &it.alice, &connection(&it, "billing", &owner)).await;
        let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
        if said.contains("serviceaccounts/token") { Ok(said) } else { Err(said) }
    })
    .await;
    assert!(refused.contains("you need the right"), "{refused}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_stolen_token_of_the_operator_gets_no_token_for_the_cluster() {
    let it = scene("stolen").await;
    account(&it, "billing").await;
    allow(&it).await;
    let kubeconfig = it.stage.access.service_account_kubeconfig(HOME, "bowline").await.expect("a token");
    let operator = access::client(&kubeconfig).await.expect("a client");
    let api: Api<ServiceAccount> = Api::namespaced(operator, &it.namespace);
    let asked = async |spec: Value| {
        let request: TokenRequest = parsed(json!({"spec": spec}));
        api.create_token_request("billing", &PostParams::default(), &request).await
    };
    until("the operator may", async || {
        let outcome =
            asked(json!({"audiences": ["https://sts.example.com"], "expirationSeconds": 600})).await;
        outcome.map(drop).map_err(|error| error.to_string())
    })
    .await;
    for spec in [
        json!({"audiences": ["https://sts.example.com"], "expirationSeconds": 3600}),
        json!({"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 600}),
        json!({"audiences": ["https://kubernetes.default.svc.cluster.local"], "expirationSeconds": 600}),
        json!({"audiences": ["a", "b"], "expirationSeconds": 600}),
        json!({"audiences": [], "expirationSeconds": 600}),
    ] {
        let refused = asked(spec.clone()).await.expect_err("a refusal").to_string();
        assert!(refused.contains("the operator requests tokens"), "{spec}: {refused}");
    }
}
