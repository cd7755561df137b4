//! How much memory others can make the operator need.

use bowline_api::IntegrationConnection;
use futures::future::join_all;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::looking::until;
use crate::stage::Stage;

const CONNECTIONS: usize = 400;
/// What Kubernetes allows annotations to have in total, less the name.
const BYTES: usize = 256 * 1024 - 64;
/// The operator's limit as it ships is 256.
const MIB: u64 = 160;

/// They were created before the policy that refuses them.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_13_large_metadata_of_others_does_not_keep_the_operator_from_starting() {
    let stage = Stage::without_operator(&[]).await;
    let it = stage.scene("weight").await;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(it.admin.clone());
    let _ = bindings.delete("bowline-metadata-is-small", &DeleteParams::default()).await;
    let connections: Api<IntegrationConnection> = Api::namespaced(it.admin.clone(), &it.namespace);
    let apply = async |number: usize, annotations: serde_json::Value| {
        let name = format!("c{number}");
        let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"provider": it.name, "owner": "alice"}});
        connections.patch(&name, &PatchParams::apply("files"), &Patch::Apply(&object)).await
    };
    until("a large object is accepted", async || {
        apply(0, json!({"bowline.dev/large": "x".repeat(BYTES)})).await.map_err(|error| error.to_string())
    })
    .await;
    for some in (1..CONNECTIONS).collect::<Vec<_>>().chunks(20) {
        let applied =
            some.iter().map(|number| apply(*number, json!({"bowline.dev/large": "x".repeat(BYTES)})));
        assert!(join_all(applied).await.iter().all(Result::is_ok));
    }

    stage.start_operator().await;
    until("all are served", async || {
        let (_, metrics) = stage.ask("metrics").await?;
        let pending = format!("bowline_connections{{phase=\"Pending\"}} {CONNECTIONS}");
        metrics.lines().any(|line| line == pending).then_some(())
    })
    .await;
    let peak = stage.peak_memory();
    assert!(peak < MIB, "{peak} MiB for {CONNECTIONS} connections");
    stage.stop_operator();
}
