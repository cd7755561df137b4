//! What can go wrong while a test environment is set up.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use crate::{
    sandbox::{RealmError, StartError},
    wait::TimedOut,
};

/// A failure of the testbed itself, never of what is being tested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control plane has to be built and there is no Go to build it with.
    #[error(
        "Go is not installed: the local control plane is built with it (https://go.dev/dl), or point KUBEBUILDER_ASSETS at envtest binaries"
    )]
    GoMissing,
    /// `go build` ran and failed; its output is on standard error.
    #[error("go build of {names} failed ({status})")]
    GoBuild {
        /// The programs that were built.
        names: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Helm, or what renders manifests beside it, ended badly.
    #[error("helm {arguments}: {stderr}")]
    Helm {
        /// What it was asked for.
        arguments: String,
        /// What it said.
        stderr: String,
    },
    /// go.mod names no version of what is built.
    #[error("{} requires no {required}", path.display())]
    VersionUnknown {
        /// The module.
        required: &'static str,
        /// The go.mod that was read.
        path: PathBuf,
    },
    /// `KUBEBUILDER_ASSETS` lacks a program.
    #[error("there is no {program} in {}", directory.display())]
    ProgramMissing {
        /// The program's file name.
        program: &'static str,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A file, directory or process could not be handled.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No free port was found.
    #[error("no free port between 20000 and 30000")]
    NoFreePort,
    /// The system's random source failed.
    #[error("the system gave no random bytes")]
    Random,
    /// A process ended before it was ready.
    #[error("{program} ended early ({status}); the end of its log:\n{log_tail}")]
    EndedEarly {
        /// The process.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log_tail: String,
    },
    /// Something did not become ready in time.
    #[error("{program} was not ready within {within:?}: {last_seen}; the end of its log:\n{log_tail}")]
    NotReady {
        /// The process.
        program: String,
        /// The deadline.
        within: Duration,
        /// What the last look showed.
        last_seen: String,
        /// The last lines it wrote.
        log_tail: String,
    },
    /// The shipped policies were applied and do not refuse what they should.
    #[error("the admission policies are not in force")]
    NotInForce(#[source] crate::wait::TimedOut),
    /// This cluster does not know a user of that name.
    #[error("there is no kubeconfig for {user}")]
    UnknownUser {
        /// The requested name.
        user: String,
    },
    /// We cannot read this cluster's audit log (it is another cluster).
    #[error("this cluster's audit log cannot be read from here")]
    NoAuditLog,
    /// A line of the audit log, or a kubeconfig, does not parse.
    #[error("cannot parse {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// `kubectl` failed.
    #[error("kubectl {arguments} failed ({status}): {stderr}")]
    Kubectl {
        /// Its arguments.
        arguments: String,
        /// How it ended.
        status: ExitStatus,
        /// Its output.
        stderr: String,
    },
    /// The engines of Argo CD and Flux could not be built, or failed.
    #[error("tests/testbed/health failed ({status}): {stderr}")]
    Health {
        /// How it ended.
        status: ExitStatus,
        /// Their output.
        stderr: String,
    },
    /// `cargo build` ran and failed; its output is on standard error.
    #[error("cargo build of the operator failed ({status})")]
    CargoBuild {
        /// How it ended.
        status: ExitStatus,
    },
    /// The file that names the previous release is not as it should be.
    #[error("{} must have one line with the 40 digits of a commit, beside comments", path.display())]
    NoCommit {
        /// The file.
        path: PathBuf,
    },
    /// The commit of the previous release is not there.
    #[error(
        "the previous release is commit {commit}, which this checkout is without, and `git fetch --depth 1 origin {commit}` fails: run the tests in a clone of the whole repository, or fetch that commit from it"
    )]
    PreviousMissing {
        /// The commit.
        commit: String,
        /// What git said.
        source: Box<Error>,
    },
    /// The plug-in failed.
    #[error("kubectl bowline {arguments} failed ({status}): {stderr}")]
    Plugin {
        /// Its arguments; they never contain a secret.
        arguments: String,
        /// How it ended.
        status: ExitStatus,
        /// Its output.
        stderr: String,
    },
    /// On another cluster, a namespace that we would use and later delete exists already.
    #[error("the namespace {name} exists already on this cluster: the demo would write into it, so it stops")]
    NamespaceTaken {
        /// The namespace.
        name: &'static str,
    },
    /// A shipped file no longer contains what is to be replaced in it.
    #[error("{} does not contain {expected}", path.display())]
    ExampleChanged {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// An object that was read is not as expected.
    #[error("{what} is not as expected: {seen}")]
    Unexpected {
        /// The object.
        what: String,
        /// What it is instead.
        seen: String,
    },
    /// A page could not be fetched.
    #[error("nothing came from {address}")]
    Browser {
        /// Its address, without the query.
        address: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// A condition did not come true in time.
    #[error(transparent)]
    NotInTime(#[from] TimedOut),
    /// The sandbox did not start.
    #[error("the sandbox did not start")]
    Sandbox(#[from] StartError),
    /// The sandbox refused what its administrator asked.
    #[error("the sandbox refused")]
    Realm(#[from] RealmError),
    /// A kubeconfig does not parse.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused, or did not answer.
    #[error("the API server refused")]
    Kube(#[from] Box<kube::Error>),
    /// The API server answered a token request without a token.
    #[error("the API server gave no token for {namespace}/{name}")]
    NoToken {
        /// The `ServiceAccount`'s namespace.
        namespace: String,
        /// The `ServiceAccount`'s name.
        name: String,
    },
}

impl Error {
    /// For `map_err`: the action that failed, and its object.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}
