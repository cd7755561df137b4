//! Installing what deploy/ ships, and seeing that it is in force.

use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::{
    access::ADMIN, assets::workspace, cluster::Cluster, error::Error, objects::Objects, wait::wait_for,
};

/// Kinds are served within a second or two; policies are read anew about every second.
const WITHIN: Duration = Duration::from_mins(1);

/// A write that a policy must refuse, whoever asks: tried as a dry run.
struct Probe {
    policy: &'static str,
    path: &'static str,
    object: Value,
}

/// Applies deploy/ and waits until policies refuse what they must; says what was seen.
pub async fn install(cluster: &Cluster) -> Result<String, Error> {
    cluster.apply_kustomize(&workspace().join("deploy")).await?;
    Stage::no_deployment(cluster).await?;
    let admin = Objects::new(cluster.client_for(ADMIN).await?);
    let probes = probes();
    for Probe { policy, path, object } in &probes {
        let path = format!("{path}?dryRun=All");
        wait_for(&format!("{policy} is in force"), WITHIN, async || {
            match admin.create(&path, object).await {
                Err(kube::Error::Api(status)) if status.message.contains(&format!("'{policy}'")) => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err("the write was let through".to_owned()),
            }
        })
        .await?;
    }
    Ok(format!("kinds served; {} policies refuse even the administrator", probes.len()))
}

fn probes() -> Vec<Probe> {
    let labels = json!({"app.kubernetes.io/managed-by": "bowline"});
    let connection = json!({"namespace": "default", "name": "probe", "uid": "probe"});
    vec![
        Probe {
            policy: "bowline-operator-finalizers",
            path: "/apis/bowline.dev/v1alpha1/workspaces",
            object: bowline("Workspace", &json!({"finalizers": ["bowline.dev/probe"]}), &json!({})),
        },
        Probe {
            policy: "bowline-operator-shares",
            path: "/apis/bowline.dev/v1alpha1/namespaces/default/connectionshares",
            object: bowline(
                "ConnectionShare",
                &json!({}),
                &json!({"connection": connection, "workspace": "probe", "provider": "probe", "owner": "probe"}),
            ),
        },
        Probe {
            policy: "bowline-operator-secret-labels",
            path: "/api/v1/namespaces/default/secrets",
            object: secret(&json!({"name": "probe", "labels": labels}), "Opaque"),
        },
        Probe {
            policy: "bowline-operator-records",
            path: "/api/v1/namespaces/default/secrets",
            object: secret(&json!({"name": "probe"}), "bowline.dev/record"),
        },
    ]
}

fn bowline(kind: &str, metadata: &Value, spec: &Value) -> Value {
    let mut metadata = metadata.clone();
    metadata["name"] = json!("probe");
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn secret(metadata: &Value, kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind})
}
