//! Programs that tests need beside the control plane, each built from the Go module that `tools/NAME/go.mod` pins.

use std::path::{Path, PathBuf};

use crate::{
    assets::{Module, Program},
    error::Error,
};

/// A program. To add one: a variant, its row in [`Tool::source`], and `tools/NAME` with go.mod and go.sum (`go mod init
/// bowline.dev/testbed/tools/NAME && go get -tool PACKAGE@VERSION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// Checks workflows.
    Actionlint,
    /// Installs charts.
    Helm,
    /// Checks manifests against schemas.
    Kubeconform,
    /// Makes manifests from folders.
    Kustomize,
    /// Checks and tests rules of Prometheus.
    Promtool,
}

/// Where a tool comes from.
struct Source {
    program: Program,
    /// The module whose version is the tool's.
    module: &'static str,
    /// The variable that holds what the tool prints as its version.
    version_in: &'static str,
    /// Build tags, comma separated.
    tags: &'static str,
}

impl Tool {
    fn source(self) -> Source {
        match self {
            Self::Actionlint => Source {
                program: Program {
                    name: "actionlint",
                    built_as: "actionlint",
                    package: "github.com/rhysd/actionlint/cmd/actionlint",
                },
                module: "github.com/rhysd/actionlint",
                version_in: "github.com/rhysd/actionlint.version",
                tags: "",
            },
            Self::Helm => Source {
                program: Program { name: "helm", built_as: "helm", package: "helm.sh/helm/v4/cmd/helm" },
                module: "helm.sh/helm/v4",
                version_in: "helm.sh/helm/v4/internal/version.version",
                tags: "",
            },
            Self::Kubeconform => Source {
                program: Program {
                    name: "kubeconform",
                    built_as: "kubeconform",
                    package: "github.com/yannh/kubeconform/cmd/kubeconform",
                },
                module: "github.com/yannh/kubeconform",
                version_in: "main.version",
                tags: "",
            },
            Self::Kustomize => Source {
                program: Program {
                    name: "kustomize",
                    // Go leaves a module's major version out of the name of its program.
                    built_as: "kustomize",
                    package: "sigs.k8s.io/kustomize/kustomize/v5",
                },
                module: "sigs.k8s.io/kustomize/kustomize/v5",
                version_in: "sigs.k8s.io/kustomize/api/provenance.version",
                tags: "",
            },
            Self::Promtool => Source {
                program: Program {
                    name: "promtool",
                    built_as: "promtool",
                    package: "github.com/prometheus/prometheus/cmd/promtool",
                },
                module: "github.com/prometheus/prometheus",
                version_in: "github.com/prometheus/common/version.Version",
                // Rules need no discovery of targets, which is most of the code.
                tags: "remove_all_sd",
            },
        }
    }
}

/// The program's path. The first call builds it, which takes minutes, with progress on standard error; it is kept in the
/// target's folder `controlplane/tools`.
///
/// Blocks; two processes that build at once take turns.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn path(tool: Tool) -> Result<PathBuf, Error> {
    let Source { program, module, version_in, tags } = tool.source();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(program.name);
    let name = format!("tools/{}", program.name);
    let directory = Module::read(sources, module)?.provide(&name, &[program], version_in, tags)?;
    Ok(directory.join(tool.source().program.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_tool_is_pinned() {
        for tool in Tool::value_variants() {
            let Source { program, module, .. } = tool.source();
            assert!(program.package.starts_with(module), "{tool:?}");
            let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(program.name);
            let version = Module::read(sources, module).unwrap().version;
            assert!(version.starts_with('v'), "{tool:?} {version}");
        }
    }
}
