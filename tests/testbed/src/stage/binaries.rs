//! The operator and the plug-in, built from this source tree.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    assets::{target_directory, workspace},
    error::Error,
    process,
};

/// How they are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build.
    Dev,
    /// As shipped.
    Release,
}

/// The programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `bowline`
    pub operator: PathBuf,
    /// `kubectl-bowline`; built only with [`Profile::Dev`].
    pub plugin: PathBuf,
}

impl Binaries {
    /// The operator at `operator`, and the plug-in that `cargo build --workspace` puts beside it: Cargo gives a test only
    /// the paths of its own package's programs.
    pub fn beside(operator: impl AsRef<Path>) -> Self {
        let operator = operator.as_ref().to_owned();
        Self { plugin: operator.with_file_name("kubectl-bowline"), operator }
    }

    /// Builds what changed. Blocks; Cargo shows its progress on standard error.
    pub fn build(profile: Profile) -> Result<Self, Error> {
        let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut command = process::bound(&cargo);
        command.current_dir(workspace()).args(["build", "--locked", "-p", "bowline"]);
        match profile {
            // Built together with us, as the Makefile builds everything: alone, Cargo would choose other features for shared
            // dependencies, and compile those a second time.
            Profile::Dev => command.args(["-p", "kubectl-bowline", "-p", "bowline-testbed", "--bins"]),
            // Optimized builds take minutes, so only what is measured.
            Profile::Release => command.args(["--release", "--bin", "bowline"]),
        };
        command.stdin(Stdio::null());
        let failed = || Error::io("run", &cargo);
        let status = process::spawn(command).map_err(failed())?.wait().map_err(failed())?;
        if !status.success() {
            return Err(Error::CargoBuild { status });
        }
        let directory = target_directory().join(match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        });
        Ok(Self::beside(directory.join("bowline")))
    }
}
