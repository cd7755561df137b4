//! Packages from npm that tests need: a folder with package.json and its lock, installed once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Why a folder's packages are not there.
#[derive(Debug, thiserror::Error)]
pub enum NpmError {
    /// The lock beside package.json is not available.
    #[error("cannot lock {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// npm did not run.
    #[error("cannot run `npm`: is Node installed?")]
    Run(#[source] io::Error),
    /// `npm ci` failed; its own words are on standard error.
    #[error("`npm ci` failed in {0}")]
    Failed(PathBuf),
}

/// Runs `npm ci` once, in the first process that needs it: a lock keeps parallel test processes apart.
pub async fn install(folder: &Path) -> Result<(), NpmError> {
    let path = folder.join(".install.lock");
    let lock_error = |source| NpmError::Lock { path: path.clone(), source };
    let file = File::create(&path).map_err(lock_error)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    let _lock = locked.map_err(|error| lock_error(io::Error::other(error)))?.map_err(lock_error)?;
    // npm writes this file last: a folder without it comes from an interrupted install.
    if folder.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    tracing::info!(folder = %folder.display(), "installing from npm (once)");
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .map_err(NpmError::Run)?;
    status.success().then_some(()).ok_or_else(|| NpmError::Failed(folder.to_owned()))
}
