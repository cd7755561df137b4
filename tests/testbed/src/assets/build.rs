//! Builds the control plane from the Go modules that `controlplane/go.mod` pins.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::Wanted;
use crate::{error::Error, process};

/// A program: our name for it (envtest's), the name that `go build` gives it, its package.
struct Program {
    name: &'static str,
    built_as: &'static str,
    package: &'static str,
}

const KUBECTL: Program =
    Program { name: "kubectl", built_as: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" };

const PROGRAMS: [Program; 4] = [
    Program { name: "etcd", built_as: "server", package: "go.etcd.io/etcd/server/v3" },
    Program {
        name: "kube-apiserver",
        built_as: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
    },
    Program {
        name: "kube-controller-manager",
        built_as: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
    },
    KUBECTL,
];

/// The directory with the requested programs, built now unless they exist already for the same go.mod and go.sum.
///
/// `release` is an older one than the usual, such as `1.33`: a directory in `controlplane/`.
pub fn ensure(wanted: Wanted, release: Option<&str>) -> Result<PathBuf, Error> {
    let mut sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
    sources.extend(release);
    let module = Module::read(&sources)?;
    let cache = target_directory().join("controlplane");
    let directory = cache.join(&module.version);
    fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;

    // Held until the end of this function: a second process finds everything built.
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;

    discard_if_stale(&directory, &module.stamp)?;
    let programs = match wanted {
        Wanted::ControlPlane => PROGRAMS.as_slice(),
        Wanted::Client => &[KUBECTL],
    };
    let missing: Vec<_> = programs.iter().filter(|program| !directory.join(program.name).is_file()).collect();
    if !missing.is_empty() {
        build(&sources, &module.version, &directory, &missing)?;
    }
    Ok(directory)
}

/// What identifies the sources.
struct Module {
    version: String,
    stamp: String,
}

impl Module {
    fn read(sources: &Path) -> Result<Self, Error> {
        let path = sources.join("go.mod");
        let module = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let sums_path = sources.join("go.sum");
        let sums = fs::read(&sums_path).map_err(Error::io("read", &sums_path))?;
        let version = required_version(&module).ok_or(Error::VersionUnknown { path })?.to_owned();
        let digest = Sha256::new().chain_update(&module).chain_update(&sums).finalize();
        let stamp = STANDARD.encode(digest);
        Ok(Self { version, stamp })
    }
}

fn required_version(module: &str) -> Option<&str> {
    let line = module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))?;
    line.split_whitespace().next()
}

/// The directory of the whole project.
pub fn workspace() -> &'static Path {
    // This crate is in tests/testbed.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."))
}

/// Cargo's target directory. It is read from the environment, as Cargo itself does.
pub fn target_directory() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        // A relative path starts at the workspace, where `make` runs.
        Some(target) => workspace().join(target),
        None => workspace().join("target"),
    }
}

/// Empties the directory unless its stamp is `stamp`. The stamp is written first: what is built after it belongs to it.
fn discard_if_stale(directory: &Path, stamp: &str) -> Result<(), Error> {
    let stamp_path = directory.join("stamp");
    if fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    for program in &PROGRAMS {
        let path = directory.join(program.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io { action: "remove", path, source: error });
            }
            _ => {}
        }
    }
    fs::write(&stamp_path, stamp).map_err(Error::io("write", stamp_path))
}

fn build(sources: &Path, version: &str, directory: &Path, programs: &[&Program]) -> Result<(), Error> {
    // Checked first, because a missing program behind `setpriv` is only an exit code.
    let go_version = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if go_version.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Error::GoMissing);
    }
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    eprintln!("building {} {version} (up to five minutes the first time, then cached) …", names.join(", "));
    let start = Instant::now();
    // Built elsewhere and moved: a running control plane keeps its file, and an interrupted build leaves nothing half done.
    let fresh = directory.join("fresh");
    fs::create_dir_all(&fresh).map_err(Error::io("create", &fresh))?;
    let mut go = process::bound(Path::new("go"));
    go.current_dir(sources)
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-ldflags"])
        .arg(format!("-s -w -X k8s.io/component-base/version.gitVersion={version}"))
        .arg("-o")
        .arg(format!("{}/", fresh.display()))
        .args(programs.iter().map(|program| program.package))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let failed = || Error::io("run", "go");
    let status = process::spawn(go).map_err(failed())?.wait().map_err(failed())?;
    if !status.success() {
        return Err(Error::GoBuild { status });
    }
    for program in programs {
        let path = directory.join(program.name);
        fs::rename(fresh.join(program.built_as), &path).map_err(Error::io("move", path))?;
    }
    fs::remove_dir_all(&fresh).map_err(Error::io("remove", &fresh))?;
    eprintln!("built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_version_is_the_one_that_go_mod_requires() {
        let module = "require (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        assert_eq!(required_version(module), Some("v1.36.3"));
        assert_eq!(required_version("module x\n"), None);
    }

    #[test]
    fn programs_survive_until_go_mod_changes() {
        let scratch = Scratch::create().unwrap();
        let program = scratch.path().join("etcd");
        discard_if_stale(scratch.path(), "one").unwrap();
        fs::write(&program, "").unwrap();
        discard_if_stale(scratch.path(), "one").unwrap();
        assert!(program.exists());
        discard_if_stale(scratch.path(), "two").unwrap();
        assert!(!program.exists());
    }
}
