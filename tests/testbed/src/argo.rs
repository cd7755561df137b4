//! Definitions of Argo Workflows, from its Go module: `argo/go.mod` names the release.

use std::{fs, io, path::Path, process::Command};

use serde_json::Value;

use crate::error::Error;

const MODULE: &str = "github.com/argoproj/argo-workflows/v3";

/// The whole definition of `WorkflowTemplate`, with the schema of each field.
///
/// # Errors
/// When Go is missing, the module cannot be downloaded, or it has no such file.
pub fn workflow_template() -> Result<Value, Error> {
    let output = Command::new("go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("argo"))
        .args(["mod", "download", "-json", MODULE])
        .output()
        .map_err(Error::io("run", "go"))?;
    let module: Value = serde_json::from_slice(&output.stdout)
        .map_err(|source| Error::Parse { path: MODULE.into(), source })?;
    let folder = Path::new(module["Dir"].as_str().unwrap_or_default());
    let path = folder.join("manifests/base/crds/full/argoproj.io_workflowtemplates.yaml");
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    serde_yaml::from_slice(&text).map_err(|error| Error::io("parse", &path)(io::Error::other(error)))
}
