//! Where the programs of the control plane come from.
//!
//! `KUBEBUILDER_ASSETS` (envtest's binaries) if set, else built from published Go modules and cached under `target/`.

mod build;

use std::path::PathBuf;

use crate::error::Error;

pub(crate) use build::{Module, Program, target_directory, workspace};

/// The programs of a control plane, and the client for it.
#[derive(Debug, Clone)]
pub struct Assets {
    directory: PathBuf,
    controller_manager: bool,
}

/// What is needed: for another cluster only the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// etcd, API server, controller manager and kubectl.
    ControlPlane,
    /// kubectl.
    Client,
}

const CONTROLLER_MANAGER: &str = "kube-controller-manager";

impl Assets {
    /// Finds the programs, or builds them: up to five minutes the first time, with progress on standard error.
    ///
    /// Blocks; two processes that build at once take turns.
    pub fn locate(wanted: Wanted) -> Result<Self, Error> {
        match std::env::var_os("KUBEBUILDER_ASSETS") {
            Some(directory) => Self::envtest(PathBuf::from(directory), wanted),
            None => Ok(Self { directory: build::ensure(wanted, None)?, controller_manager: true }),
        }
    }

    /// Builds a control plane of another release, such as `1.33`, and returns its directory: one for `KUBEBUILDER_ASSETS`.
    pub fn of_release(release: &str) -> Result<PathBuf, Error> {
        build::ensure(Wanted::ControlPlane, Some(release))
    }

    fn envtest(directory: PathBuf, wanted: Wanted) -> Result<Self, Error> {
        let programs: &[&'static str] = match wanted {
            Wanted::ControlPlane => &["etcd", "kube-apiserver", "kubectl"],
            Wanted::Client => &["kubectl"],
        };
        if let Some(program) = programs.iter().find(|program| !directory.join(program).is_file()) {
            return Err(Error::ProgramMissing { program, directory });
        }
        // envtest's archives leave it out; without it nothing collects garbage or empties a deleted namespace.
        let controller_manager = directory.join(CONTROLLER_MANAGER).is_file();
        Ok(Self { directory, controller_manager })
    }

    /// The directory with all of them; put it first in `PATH` to use the right `kubectl`.
    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// The store.
    pub fn etcd(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// The API server.
    pub fn api_server(&self) -> PathBuf {
        self.directory.join("kube-apiserver")
    }

    /// The controllers, if they exist.
    pub fn controller_manager(&self) -> Option<PathBuf> {
        self.controller_manager.then(|| self.directory.join(CONTROLLER_MANAGER))
    }

    /// The client that fits the API server. One found on `PATH` may be a different program.
    pub fn kubectl(&self) -> PathBuf {
        self.directory.join("kubectl")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn envtest_without_an_api_server_is_refused_by_name() {
        let scratch = Scratch::create().unwrap();
        for program in ["etcd", "kubectl"] {
            std::fs::write(scratch.path().join(program), "").unwrap();
        }
        let error = Assets::envtest(scratch.path().to_owned(), Wanted::ControlPlane).unwrap_err();
        assert!(matches!(error, Error::ProgramMissing { program: "kube-apiserver", .. }));
        let client = Assets::envtest(scratch.path().to_owned(), Wanted::Client).unwrap();
        assert_eq!(client.controller_manager(), None);
    }
}
