//! A temporary directory that is removed even when this process is killed.

use std::{
    fs::{self, DirBuilder},
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{error::Error, random};

/// Reads until its standard input closes, which the kernel does however our process ends, then removes the directory. Rust's
/// test harness leaves by `exit`, which drops no static, so `Drop` alone would leave every shared cluster's directory
/// behind. The retries let killed processes finish their last write.
const WATCHER: &str = r#"read -r _; for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 0.2; done"#;

/// A directory of this process, readable by its user only.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    watcher: Child,
}

impl Scratch {
    /// Creates the directory under the system's temporary directory.
    pub fn create() -> Result<Self, Error> {
        // Short: a Unix socket's path, which etcd puts in here, may have about 100 bytes.
        let path = std::env::temp_dir().join(format!("bowline-{}", random::hex(6)?));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("create", &path))?;
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C, which reaches the whole foreground group, must not reach it.
            .process_group(0)
            .spawn()
            .map_err(Error::io("start the watcher of", &path))?;
        Ok(Self { path, watcher })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "left to the watcher");
        }
        drop(self.watcher.stdin.take());
        if let Err(error) = self.watcher.wait() {
            tracing::warn!(%error, "cannot wait for the watcher");
        }
    }
}
