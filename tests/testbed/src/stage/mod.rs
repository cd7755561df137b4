//! Everything running: a cluster with Bowline installed, the sandbox, and operator and portal as separate processes.

mod binaries;
mod portal;

use std::path::Path;

use serde_json::json;

pub use binaries::{Binaries, Profile};
pub use portal::{PORTAL_NAMESPACE, Portal, PortalAddress};

use crate::{
    access::ADMIN,
    assets::workspace,
    cluster::Cluster,
    deploy::deploy,
    error::Error,
    objects::Objects,
    operator_process::{Operator, OperatorProcess},
    random::free_port,
    sandbox::{Clock, Options, RealmConfig, RealmError, RealmHandle, Sandbox},
};

/// The operator's namespace; the shipped manifests say so.
pub const NAMESPACE: &str = "bowline-system";

/// The operator's `ServiceAccount`.
pub const SERVICE_ACCOUNT: &str = "bowline";

/// The operator's user name, as the audit log has it.
pub const OPERATOR_USER: &str = "system:serviceaccount:bowline-system:bowline";

/// The running parts. They end when it is dropped, the operator first.
pub struct Stage {
    operator: OperatorProcess,
    /// A second replica of it.
    standby: Option<OperatorProcess>,
    portal: Option<Portal>,
    sandbox: Sandbox,
    cluster: Cluster,
}

impl Stage {
    /// Installs deploy/ and waits until the kinds are served and the admission policies are in force.
    pub async fn install(cluster: &Cluster) -> Result<String, Error> {
        Self::install_from(cluster, &workspace().join("deploy")).await
    }

    /// Like [`Stage::install`], from another kustomization.
    pub async fn install_from(cluster: &Cluster, directory: &Path) -> Result<String, Error> {
        // Boxed: its future is large, and every caller would contain it.
        Box::pin(deploy(cluster, directory)).await?;
        // The operator is our process, and there is one at a time: a cluster with nodes must not start the shipped one.
        let admin = Objects::new(cluster.client_for(ADMIN).await?);
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/bowline");
        admin.merge(&path, &json!({"spec": {"replicas": 0}})).await?;
        Ok("deploy/ applied: kinds served, admission policies in force".to_owned())
    }

    /// A sandbox on a free port whose one client is the quickstart's.
    pub async fn sandbox(mut defaults: RealmConfig) -> Result<Sandbox, Error> {
        for client in &mut defaults.clients {
            client.secret = Some("sandbox-secret".to_owned());
        }
        let listen = ([127, 0, 0, 1], 0).into();
        Ok(Sandbox::start(Options { listen, defaults, clock: Clock::system() }).await?)
    }

    /// Starts the operator with its `ServiceAccount`'s token, and waits until it is ready.
    pub async fn start(
        cluster: Cluster,
        sandbox: Sandbox,
        binaries: &Binaries,
        flags: &[&str],
    ) -> Result<Self, Error> {
        let operator = replica(&cluster, binaries, flags).await?;
        Ok(Self { operator, standby: None, portal: None, sandbox, cluster })
    }

    /// Starts a second replica, which waits until the first one is gone. Both need `--instance`.
    pub async fn start_standby(&mut self, binaries: &Binaries, flags: &[&str]) -> Result<(), Error> {
        self.standby = Some(replica(&self.cluster, binaries, flags).await?);
        Ok(())
    }

    /// SIGKILL for the operator; the second replica is the operator from now on.
    pub fn kill_operator(&mut self) -> Result<(), Error> {
        self.operator.kill()?;
        if let Some(standby) = self.standby.take() {
            self.operator = standby;
        }
        Ok(())
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The sandbox.
    pub fn sandbox_server(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The sandbox's default realm.
    pub fn realm(&self) -> Result<RealmHandle, Error> {
        Ok(self.sandbox.default_realm().ok_or(RealmError::UnknownGrant)?)
    }

    /// The operator.
    pub fn operator(&self) -> &OperatorProcess {
        &self.operator
    }

    /// Starts the portal at an address that the operator was given as `--portal-url`.
    pub async fn open_portal(&mut self, at: &PortalAddress, binaries: &Binaries) -> Result<&Portal, Error> {
        let portal = Portal::start(&self.cluster, at, binaries).await?;
        Ok(self.portal.insert(portal))
    }

    /// The portal, if it was started.
    pub fn portal(&self) -> Option<&Portal> {
        self.portal.as_ref()
    }

    /// SIGTERM, and waits until portal and operator have ended: started refreshes are committed.
    pub fn end(&mut self) -> Result<(), Error> {
        let portal = self.portal.as_mut().map_or(Ok(()), Portal::end);
        // First the one that waits: it would take over.
        let standby = self.standby.as_mut().map_or(Ok(None), OperatorProcess::terminate).map(drop);
        self.operator.terminate().map(drop).and(standby).and(portal)
    }

    /// Reads and writes as a user.
    pub async fn objects_as(&self, user: &str) -> Result<Objects, Error> {
        Ok(Objects::new(self.cluster.client_for(user).await?))
    }
}

async fn replica(cluster: &Cluster, binaries: &Binaries, flags: &[&str]) -> Result<OperatorProcess, Error> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    // The sandbox serves http on this machine.
    let reach = ["--allow-http-providers", "--provider-networks", "127.0.0.0/8"];
    // A disconnection is not undone here, so nobody waits for its revocation.
    let own = ["operator", "--namespace", NAMESPACE, "--listen", &listen, "--disconnect-pause", "0s"];
    let arguments = [&own, &reach[..], flags].concat();
    let operator = Operator {
        program: &binaries.operator,
        service_account: (NAMESPACE, SERVICE_ACCOUNT),
        arguments: &arguments,
        environment: &[],
        readiness: &format!("http://{listen}/readyz"),
    };
    OperatorProcess::start(cluster, operator).await
}
