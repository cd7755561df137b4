//! A real control plane on this machine: etcd, API server, controller manager.

mod credentials;
mod flags;
mod ready;

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use crate::{
    access::Access,
    assets::{Assets, Wanted},
    error::Error,
    process::Process,
    random::free_port,
    scratch::Scratch,
};
use credentials::Credentials;

/// How a control plane differs from the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// etcd waits for the disk, as in production. Slower; for tests of durability.
    pub durable: bool,
}

/// A running control plane. Its users get [`Access`] (which it dereferences to).
///
/// Everything is in one temporary directory. Dropping it kills the three processes and removes the directory; if this
/// process dies without dropping it, the kernel kills them and a watcher removes the directory.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they are dropped.
    controller_manager: Option<Process>,
    api_server: Option<Process>,
    etcd: Process,
    access: Access,
    layout: Layout,
    port: u16,
    assets: Assets,
    scratch: Scratch,
}

/// The files of a control plane.
#[derive(Debug)]
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The certificate that the API server signs for itself at its first start.
    fn authority(&self) -> PathBuf {
        self.root.join("certificates/apiserver.crt")
    }
}

/// A port is chosen first and opened later, so another process can take it; a second start uses another port.
const PORT_ATTEMPTS: usize = 3;

impl ControlPlane {
    /// Starts one and waits until it serves: about 3 s, up to five minutes more if it has to be built first.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let assets = Assets::locate(Wanted::ControlPlane)?;
        let scratch = Scratch::create()?;
        let layout = Layout { root: scratch.path().to_owned() };
        let credentials = Credentials::generate()?;
        credentials.write(&layout)?;
        let audit_policy = layout.path("audit-policy.yaml");
        std::fs::write(&audit_policy, flags::AUDIT_POLICY).map_err(Error::io("write", audit_policy))?;

        let mut etcd = Process::start(
            &assets.etcd(),
            |command| {
                command.args(flags::etcd(&layout, options.durable));
            },
            layout.path("etcd.log"),
        )?;
        ready::etcd(&mut etcd, &layout).await?;

        let access = Access::attach(layout.root.clone(), assets.kubectl());
        let mut plane = Self {
            controller_manager: None,
            api_server: None,
            etcd,
            access,
            layout,
            port: 0,
            assets,
            scratch,
        };
        plane.find_port_and_start(&credentials).await?;
        plane.start_controllers().await?;
        Ok(plane)
    }

    async fn find_port_and_start(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            self.port = free_port()?;
            let server = format!("https://127.0.0.1:{}", self.port);
            self.access.write(&server, &self.layout.authority(), credentials.tokens())?;
            match self.start_api_server().await {
                Err(Error::EndedEarly { log_tail, .. })
                    if log_tail.contains("address already in use") && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_controllers(&mut self) -> Result<(), Error> {
        let Some(program) = self.assets.controller_manager() else {
            tracing::warn!("no kube-controller-manager: deleted namespaces stay, nothing collects garbage");
            return Ok(());
        };
        let kubeconfig = self.access.kubeconfig_for(credentials::CONTROLLER_MANAGER)?;
        let mut process = Process::start(
            &program,
            |command| {
                command.args(flags::controller_manager(&self.layout, &kubeconfig));
            },
            self.layout.path("kube-controller-manager.log"),
        )?;
        ready::controllers(&mut process, &self.access).await?;
        self.controller_manager = Some(process);
        Ok(())
    }

    /// Kills the API server; its port then refuses connections. etcd keeps what was written.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server at its port, and waits until it is ready. Does nothing if it is running.
    pub async fn start_api_server(&mut self) -> Result<(), Error> {
        if self.api_server.is_some() {
            return Ok(());
        }
        let mut process = Process::start(
            &self.assets.api_server(),
            |command| {
                command.args(flags::api_server(&self.layout, self.port));
            },
            self.layout.path("kube-apiserver.log"),
        )?;
        ready::api_server(&mut process, &self.access, &self.layout).await?;
        self.api_server = Some(process);
        Ok(())
    }

    /// An API server that was away for as long as it takes to start, about 2 s.
    pub async fn restart_api_server(&mut self) -> Result<(), Error> {
        self.stop_api_server();
        self.start_api_server().await
    }

    /// Ends all processes and removes all files, as dropping does.
    pub fn stop(self) {}

    /// The process ids of what runs: controller manager, API server, etcd.
    pub fn process_ids(&self) -> Vec<u32> {
        let optional = [self.controller_manager.as_ref(), self.api_server.as_ref()];
        optional.into_iter().flatten().chain([&self.etcd]).map(Process::id).collect()
    }

    /// The directory with logs and data.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The directory with the programs; put it first in `PATH` to use the right `kubectl`.
    pub fn programs(&self) -> PathBuf {
        self.assets.directory()
    }
}

impl Deref for ControlPlane {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}
