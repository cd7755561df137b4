//! Setting the demo up, and removing it again from another cluster.

use std::{fs, path::PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{POLL_SECONDS, PROVIDER, TEAM, TOKEN_SECONDS, WORKSPACE};
use crate::{
    access::ADMIN,
    assets::workspace,
    cluster::Cluster,
    demo::Board,
    error::Error,
    sandbox::RealmConfig,
    stage::{Binaries, NAMESPACE, PORTAL_NAMESPACE, Portal, PortalAddress, Stage},
};

/// The names of the replicas; in a cluster these are the names of their pods.
const FIRST_REPLICA: &str = "bowline-one";
const SECOND_REPLICA: &str = "bowline-two";

/// Where the sandbox is according to the example.
const EXAMPLE_ISSUER: &str = "http://127.0.0.1:8090";

/// Starts or uses the cluster, installs Bowline, starts sandbox and two replicas of the operator; prints a line for each.
pub async fn set(board: &mut Board, binaries: &Binaries) -> Result<Stage, Error> {
    let cluster = board
        .observe("control plane", async {
            let cluster = Cluster::from_environment().await?;
            refuse_taken(&cluster).await?;
            let what = if cluster.is_foreign() {
                "yours, by BOWLINE_KUBECONFIG"
            } else {
                "etcd, API server, controllers"
            };
            Ok((what.to_owned(), cluster))
        })
        .await?;
    board.step("installed", install(&cluster)).await?;
    let at = PortalAddress::choose()?;
    let mut stage = board
        .observe("replicas ready", async {
            let realm = RealmConfig {
                access_lifetime_seconds: TOKEN_SECONDS,
                device_interval_seconds: POLL_SECONDS,
                ..RealmConfig::default()
            };
            let mut stage = start(cluster, binaries, realm, &at).await?;
            let leader = stage.operator().id();
            stage.start_standby(binaries, &flags(SECOND_REPLICA, &at.url())).await?;
            let issuer = stage.realm()?.issuer();
            let what = format!("two as {NAMESPACE}/bowline, process {leader} leads; sandbox at {issuer}");
            Ok((what, stage))
        })
        .await?;
    board
        .step("portal ready", async {
            let portal = stage.open_portal(&at, binaries).await?.process().id();
            let account = format!("{PORTAL_NAMESPACE}/bowline-portal");
            Ok(format!("process {portal} as {account}; at {}", at.url()))
        })
        .await?;
    Ok(stage)
}

/// Installs operator and portal, and waits until the policies are in force.
pub async fn install(cluster: &Cluster) -> Result<String, Error> {
    let installed = Stage::install(cluster).await?;
    Portal::install(cluster).await?;
    Ok(installed.replace("deploy/ applied", "deploy/ and deploy/portal applied"))
}

/// Starts sandbox and operator for a portal that will be started later.
pub async fn start(
    cluster: Cluster,
    binaries: &Binaries,
    mut realm: RealmConfig,
    at: &PortalAddress,
) -> Result<Stage, Error> {
    for client in &mut realm.clients {
        client.redirect_uris = vec![at.callback(PROVIDER)];
    }
    let sandbox = Stage::sandbox(realm).await?;
    Stage::start(cluster, sandbox, binaries, &flags(FIRST_REPLICA, &at.url())).await
}

fn flags<'a>(instance: &'a str, portal: &'a str) -> [&'a str; 6] {
    ["--min-refresh-interval", "2s", "--portal-url", portal, "--instance", instance]
}

/// On another cluster, existing namespaces are not used: the demo deletes what it creates there.
pub async fn refuse_taken(cluster: &Cluster) -> Result<(), Error> {
    if !cluster.is_foreign() {
        return Ok(());
    }
    let namespaces: Api<Namespace> = Api::all(cluster.client_for(ADMIN).await?);
    for name in [NAMESPACE, PORTAL_NAMESPACE, TEAM, WORKSPACE] {
        if namespaces.get_opt(name).await?.is_some() {
            return Err(Error::NamespaceTaken { name });
        }
    }
    Ok(())
}

/// Removes the quickstart from another cluster while the operator runs; our own cluster is removed as a whole.
pub async fn clear(stage: &Stage) -> Result<(), Error> {
    if !stage.cluster().is_foreign() {
        return Ok(());
    }
    eprintln!("taking the quickstart away again …");
    for file in ["4-second-account.yaml", "3-workload.yaml", "2-connection.yaml", "1-platform.yaml"] {
        let path = example(file).to_string_lossy().into_owned();
        let deleted =
            stage.cluster().kubectl(&["delete", "--ignore-not-found", "--timeout=60s", "-f", &path]).await?;
        if !deleted.status.success() {
            eprint!("{}", String::from_utf8_lossy(&deleted.stderr));
        }
    }
    eprintln!("left in place: deploy/ and deploy/portal (kubectl delete -k takes them away)");
    Ok(())
}

/// The platform engineer's file, with the real address of the sandbox.
pub fn platform(issuer: &str) -> Result<String, Error> {
    let path = example("1-platform.yaml");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    if !text.contains(EXAMPLE_ISSUER) {
        return Err(Error::ExampleChanged { path, expected: EXAMPLE_ISSUER });
    }
    Ok(text.replace(EXAMPLE_ISSUER, issuer))
}

/// alice's files, unchanged.
pub fn owners() -> Result<String, Error> {
    let read = |file| {
        let path = example(file);
        fs::read_to_string(&path).map_err(Error::io("read", path))
    };
    let files = ["2-connection.yaml", "3-workload.yaml", "4-second-account.yaml"].map(read);
    let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(files.join("---\n"))
}

fn example(file: &str) -> PathBuf {
    workspace().join("examples/quickstart").join(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandboxs_address_is_changed_in_the_platforms_file() {
        let shipped = fs::read_to_string(example("1-platform.yaml")).unwrap();
        let patched = platform("http://127.0.0.1:1").unwrap();
        let changed = shipped.lines().zip(patched.lines()).filter(|(one, other)| one != other).count();
        assert_eq!((changed, shipped.lines().count()), (1, patched.lines().count()));
    }
}
