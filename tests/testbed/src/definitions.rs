//! Definitions of kinds that are not ours, from the Go modules that ship them: `definitions/go.mod` names the releases.

use std::{fs, io, path::Path, process::Command};

use serde_json::Value;

use crate::error::Error;

/// A kind that the shipped manifests or examples use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Of Gateway API.
    HttpRoute,
    /// Of the Prometheus Operator.
    PodMonitor,
    /// Of the Prometheus Operator.
    PrometheusRule,
    /// Of the Prometheus Operator.
    ServiceMonitor,
    /// Of Argo Workflows, with the schema of each field.
    WorkflowTemplate,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::HttpRoute,
        Self::PodMonitor,
        Self::PrometheusRule,
        Self::ServiceMonitor,
        Self::WorkflowTemplate,
    ];

    /// The module, and the file in it.
    fn source(self) -> (&'static str, &'static str) {
        let monitoring = "github.com/prometheus-operator/prometheus-operator";
        match self {
            Self::HttpRoute => {
                ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml")
            }
            Self::PodMonitor => {
                (monitoring, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml")
            }
            Self::PrometheusRule => {
                (monitoring, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml")
            }
            Self::ServiceMonitor => {
                (monitoring, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml")
            }
            Self::WorkflowTemplate => (
                "github.com/argoproj/argo-workflows/v3",
                "manifests/base/crds/full/argoproj.io_workflowtemplates.yaml",
            ),
        }
    }

    /// The whole definition of the kind.
    ///
    /// # Errors
    /// When Go is missing, the module cannot be downloaded, or it has no such file.
    pub fn definition(self) -> Result<Value, Error> {
        let (module, file) = self.source();
        let output = Command::new("go")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions"))
            .args(["mod", "download", "-json", module])
            .output()
            .map_err(Error::io("run", "go"))?;
        let downloaded: Value = serde_json::from_slice(&output.stdout)
            .map_err(|source| Error::Parse { path: module.into(), source })?;
        let path = Path::new(downloaded["Dir"].as_str().unwrap_or_default()).join(file);
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        serde_yaml::from_slice(&text).map_err(|error| Error::io("parse", &path)(io::Error::other(error)))
    }
}
