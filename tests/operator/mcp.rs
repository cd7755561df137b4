//! A protected resource names its authorization server, and the operator registers itself there: `oidc-provider`.

use std::time::Duration;

use bowline_api::provider::registration_name;
use bowline_testbed::oidc::OidcServer;
use kube::api::DeleteParams;
use serde_json::json;

use crate::looking::until;
use crate::scene::{Scene, scene};
use crate::stage::{HOME, PORTAL};

async fn registered(it: &Scene) -> std::collections::BTreeMap<String, String> {
    let secret = it.secrets(HOME).get(&registration_name(&it.name)).await.expect("a registration");
    let owner = &secret.metadata.owner_references.as_ref().expect("an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("IntegrationProvider", it.name.as_str()));
    assert_eq!(secret.type_.as_deref(), Some("bowline.dev/app"));
    let text = |value: k8s_openapi::ByteString| String::from_utf8(value.0).expect("text");
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value))).collect()
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn an_mcp_server_needs_no_registration_by_hand() {
    let server = OidcServer::start(Duration::from_secs(8)).await.expect("oidc-provider");
    let it = scene("mcp").await;
    it.provider_of_type("mcp").spec(json!({"parameters": {"server": server.url("mcp")}})).apply().await;

    let client = registered(&it).await;
    let host = server.issuer().trim_start_matches("http://");
    assert_eq!(client["hosts"], host);
    assert_eq!(client["providers"], it.name);
    assert_eq!(client["redirect_uri"], format!("{PORTAL}/callback/{}", it.name));
    it.connection("files").apply().await;
    let minted = server.mint_for_resource("alice", &client["client_id"]).await.expect("a grant");
    it.import("files", &minted).await;
    it.until_phase("files", "Active").await;
    // Refreshed for the resource alone: the server takes no other.
    let first = it.secret("files").await["access_token"].clone();
    until("another token", async || (it.secret("files").await["access_token"] != first).then_some(())).await;

    // Without the registration there is a new one, and what was granted to the former client is not sent with it.
    it.secrets(HOME).delete(&registration_name(&it.name), &DeleteParams::default()).await.expect("deleted");
    until("a new registration", async || {
        let secret = it.secrets(HOME).get_opt(&registration_name(&it.name)).await.ok()??;
        let id = String::from_utf8(secret.data?.get("client_id")?.0.clone()).ok()?;
        (id != client["client_id"]).then_some(())
    })
    .await;
    it.until_reason("files", "Authorized", "ConsentOutdated").await;
}

#[tokio::test]
#[ignore = "needs an API server and Node: make test"]
async fn a_resource_that_means_another_is_refused_before_anything_is_registered() {
    let server = OidcServer::start(Duration::from_mins(1)).await.expect("oidc-provider");
    let it = scene("mcp-other").await;
    let draft =
        it.provider_of_type("mcp").spec(json!({"parameters": {"server": server.url("mcp-metadata")}}));
    draft.apply_as_it_is().await;
    let message = it.until_provider("DiscoveryFailed").await;
    assert!(message.contains("names none"), "{message}");
    assert!(it.secrets(HOME).get_opt(&registration_name(&it.name)).await.expect("read").is_none());
}
