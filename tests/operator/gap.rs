//! A gap in the watches: what changes meanwhile is acted on as soon as the API server can be reached again.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_testbed::access::ADMIN;
use bowline_testbed::cluster::Cluster;
use bowline_testbed::control_plane::Options;
use bowline_testbed::tcp_proxy::{Network, TcpProxy};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::looking::until_within;
use crate::scene::Scene;
use crate::stage::Stage;

/// More than a page of a listing has.
const CONNECTIONS: usize = 60;

/// Where the API server of a cluster listens.
fn server_of(cluster: &Cluster) -> SocketAddr {
    let kubeconfig = fs::read(cluster.kubeconfig_for(ADMIN).unwrap()).unwrap();
    let kubeconfig: Value = serde_json::from_slice(&kubeconfig).unwrap();
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    server.strip_prefix("https://").unwrap().parse().unwrap()
}

fn name(number: usize) -> String {
    format!("c{number}")
}

/// The connections that are published, by name.
async fn published(it: &Scene) -> Result<Vec<String>, String> {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=bowline");
    let secrets: Api<Secret> = it.secrets(&it.namespace);
    let listed = secrets.list_metadata(&ours).await.map_err(|error| error.to_string())?;
    Ok(listed.iter().map(ResourceExt::name_any).collect())
}

/// An app that mints tokens for itself, and many connections of it, all published.
async fn many_published(it: &Scene) {
    it.minting_provider().apply().await;
    for number in 0..CONNECTIONS {
        it.connection(&name(number)).apply().await;
    }
    until_within(Duration::from_mins(2), "all are published", async || {
        let count = published(it).await?.len();
        if count == CONNECTIONS { Ok(()) } else { Err(format!("{count} of {CONNECTIONS}")) }
    })
    .await;
}

/// A restarted API server has no events of before: the operator lists everything again, page by page.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_17_disconnects_and_deletions_in_a_gap_of_the_watches_are_acted_on_within_seconds() {
    let mut cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
    let proxy = TcpProxy::start(server_of(&cluster)).await.expect("a proxy");
    let stage = Stage::behind(&cluster, proxy.address()).await;
    let it = stage.scene("gap").await;
    many_published(&it).await;

    proxy.set(Network::Cut);
    for number in 0..20 {
        it.change(&name(number), json!({"spec": {"disconnect": true}})).await;
        it.connections().delete(&name(20 + number), &DeleteParams::default()).await.expect("deleted");
    }
    cluster.control_plane().unwrap().restart_api_server().await.expect("an API server");
    proxy.set(Network::Works);

    until_within(Duration::from_mins(2), "the other twenty are left, and no object hangs", async || {
        let (left, connections) = (published(&it).await?, it.connections());
        let objects: Vec<IntegrationConnection> =
            connections.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let fine = left.len() == CONNECTIONS - 40 && objects.len() == CONNECTIONS - 20;
        fine.then_some(()).ok_or_else(|| format!("{} Secrets, {} connections", left.len(), objects.len()))
    })
    .await;
    let left = published(&it).await.unwrap();
    assert!((40..CONNECTIONS).all(|number| left.contains(&name(number))), "{left:?}");
    stage.stop_operator();
}
