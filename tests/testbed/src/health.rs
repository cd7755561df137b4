//! The health that Argo CD and Flux give objects, with the scripts and expressions in deploy/ and the engines of those
//! tools.
//!
//! The engines are Go: `health/` is built by `go run`, which takes minutes the first time and is cached.

use std::{path::Path, process::Stdio};

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::{assets::workspace, error::Error};

/// A tool's word for an object, and why.
#[derive(Debug, Deserialize)]
pub struct Judged {
    /// Such as `Healthy` (Argo CD) or `Current` (Flux).
    pub status: String,
    /// The message beside it.
    pub message: String,
}

/// The verdicts of both on one object.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// Argo CD, by `deploy/argocd/argocd-cm.yaml`.
    pub argo: Judged,
    /// Flux, by `deploy/flux/kustomization-health.yaml`.
    pub flux: Judged,
}

/// Asks both about objects with apiVersion and kind; the verdicts have the same order.
///
/// # Errors
/// When Go is missing, the build fails, a kind has no script, or a script fails.
pub async fn judge(objects: &[Value]) -> Result<Vec<Verdict>, Error> {
    let failed = || Error::io("run", "go");
    let deploy = workspace().join("deploy");
    let mut child = tokio::process::Command::new("go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("health"))
        .args(["run", "."])
        .args([deploy.join("argocd/argocd-cm.yaml"), deploy.join("flux/kustomization-health.yaml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed())?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may end without reading; its exit code then says more than our broken pipe.
        let _ = stdin.write_all(Value::from(objects).to_string().as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Health { status: output.status, stderr });
    }
    serde_json::from_slice(&output.stdout).map_err(|source| Error::Parse { path: "verdicts".into(), source })
}
