//! The cluster that a test runs against.

use std::{env, ops::Deref, path::PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::OnceCell;

use crate::{
    access::{ADMIN, Access},
    assets::{Assets, Wanted},
    control_plane::{ControlPlane, Options},
    error::Error,
    random,
    scratch::Scratch,
};

/// Names another cluster, which is then used instead of one of ours. Its user must be an administrator.
pub const FOREIGN_KUBECONFIG: &str = "BOWLINE_KUBECONFIG";

/// Set by `bowline-testbed run` for its command: the directory of the control plane it has started.
pub const RUN_DIRECTORY: &str = "BOWLINE_TESTBED";

/// A cluster, and [`Access`] to it (which it dereferences to).
///
/// `KUBECONFIG` is ignored, so that you can run tests even if it refers to production.
#[derive(Debug)]
pub struct Cluster {
    access: Access,
    plane: Option<ControlPlane>,
    /// Holds the kubeconfigs for a cluster that is not ours.
    scratch: Option<Scratch>,
}

impl Cluster {
    /// The one cluster of this test binary: the one `bowline-testbed run` has started, else the one that
    /// `BOWLINE_KUBECONFIG` names, else one of its own.
    ///
    /// It ends with the process: the test harness leaves without dropping statics, so the kernel ends the children
    /// (see [`crate::process`]) and a watcher removes the files (see [`crate::scratch`]). Make a client per test
    /// ([`Access::client_for`]): a client belongs to its test's runtime.
    pub async fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::from_environment).await
    }

    /// A control plane of our own, for tests that stop, count or fill it.
    pub async fn fresh(options: Options) -> Result<Self, Error> {
        let plane = ControlPlane::start(options).await?;
        Ok(Self { access: plane.deref().clone(), plane: Some(plane), scratch: None })
    }

    /// Builds now what [`Cluster::from_environment`] would build.
    pub fn prepare() -> Result<(), Error> {
        let given = [RUN_DIRECTORY, FOREIGN_KUBECONFIG].iter().any(|name| env::var_os(name).is_some());
        Assets::locate(if given { Wanted::Client } else { Wanted::ControlPlane }).map(drop)
    }

    /// Like [`Cluster::shared`], for a program's own use.
    pub async fn from_environment() -> Result<Self, Error> {
        if let Some(directory) = env::var_os(RUN_DIRECTORY) {
            let assets = Assets::locate(Wanted::Client)?;
            let access = Access::attach(PathBuf::from(directory), assets.kubectl());
            return Ok(Self { access, plane: None, scratch: None });
        }
        let Some(kubeconfig) = env::var_os(FOREIGN_KUBECONFIG) else {
            return Self::fresh(Options::default()).await;
        };
        let assets = Assets::locate(Wanted::Client)?;
        let scratch = Scratch::create()?;
        let directory = scratch.path().to_owned();
        let access = Access::to_cluster(kubeconfig.as_ref(), directory, assets.kubectl()).await?;
        Ok(Self { access, plane: None, scratch: Some(scratch) })
    }

    /// The control plane, if this process has started it, for example to stop its API server.
    pub fn control_plane(&mut self) -> Option<&mut ControlPlane> {
        self.plane.as_mut()
    }

    /// Whether it is another cluster, named by `BOWLINE_KUBECONFIG`: there we delete what we created.
    pub fn is_foreign(&self) -> bool {
        self.scratch.is_some()
    }

    /// The process ids of the control plane, if this process has started it.
    pub fn process_ids(&self) -> Vec<u32> {
        self.plane.as_ref().map(ControlPlane::process_ids).unwrap_or_default()
    }

    /// Creates a namespace `prefix-<random>`, and returns its name.
    pub async fn random_namespace(&self, prefix: &str) -> Result<String, Error> {
        let name = format!("{prefix}-{}", random::hex(4)?);
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(self.client_for(ADMIN).await?);
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// Prints Bowline's objects of a namespace with their status, and its events, to standard error. No Secrets.
    pub async fn dump(&self, namespace: &str) {
        for question in [
            &["get", "bowline", "-o", "yaml"][..],
            &["get", "events.events.k8s.io", "--sort-by=.metadata.creationTimestamp"],
        ] {
            let arguments = [&["--namespace", namespace], question].concat();
            match self.kubectl(&arguments).await {
                Ok(output) => eprintln!(
                    "# kubectl {}\n{}{}",
                    arguments.join(" "),
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ),
                Err(error) => eprintln!("cannot show {namespace}: {error}"),
            }
        }
    }
}

impl Deref for Cluster {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}
