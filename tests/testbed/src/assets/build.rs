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
pub(crate) struct Program {
    pub name: &'static str,
    pub built_as: &'static str,
    pub package: &'static str,
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

/// The directory with the requested programs, built now unless they exist already for the same sources.
///
/// `release` is an older one than the usual, such as `1.33`: a directory in `controlplane/`.
pub fn ensure(wanted: Wanted, release: Option<&str>) -> Result<PathBuf, Error> {
    let mut sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
    sources.extend(release);
    let module = Module::read(sources, "k8s.io/kubernetes")?;
    let programs = match wanted {
        Wanted::ControlPlane => PROGRAMS.as_slice(),
        Wanted::Client => &[KUBECTL],
    };
    module.provide(&module.version, programs, "k8s.io/component-base/version.gitVersion", "")
}

/// A folder with go.mod and go.sum, which pin what is built, and main.go if the program is ours.
pub(crate) struct Module {
    sources: PathBuf,
    pub version: String,
    stamp: String,
}

impl Module {
    /// Reads go.mod and go.sum in `sources`; the version is that of the module `required`.
    pub(crate) fn read(sources: PathBuf, required: &'static str) -> Result<Self, Error> {
        let path = sources.join("go.mod");
        let module = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let sums_path = sources.join("go.sum");
        let sums = fs::read(&sums_path).map_err(Error::io("read", &sums_path))?;
        let version = required_version(&module, required);
        let version = version.ok_or(Error::VersionUnknown { path, required })?.to_owned();
        let own = fs::read(sources.join("main.go")).unwrap_or_default();
        let digest = Sha256::new().chain_update(&module).chain_update(&sums).chain_update(&own).finalize();
        let stamp = STANDARD.encode(digest);
        Ok(Self { sources, version, stamp })
    }

    /// The directory `name` of the cache, with these programs in it. `version_in` is the variable of theirs that tells their
    /// version, `tags` are build tags.
    pub(crate) fn provide(
        &self,
        name: &str,
        programs: &[Program],
        version_in: &str,
        tags: &str,
    ) -> Result<PathBuf, Error> {
        let cache = target_directory().join("controlplane");
        let directory = cache.join(name);
        fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;

        // Held until the end of this function: a second process finds everything built.
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
        lock.lock().map_err(Error::io("lock", &lock_path))?;

        discard_if_stale(&directory, &self.stamp)?;
        let missing: Vec<_> =
            programs.iter().filter(|program| !directory.join(program.name).is_file()).collect();
        if !missing.is_empty() {
            self.build(&directory, &missing, version_in, tags)?;
        }
        Ok(directory)
    }

    fn build(
        &self,
        directory: &Path,
        programs: &[&Program],
        version_in: &str,
        tags: &str,
    ) -> Result<(), Error> {
        let Self { sources, version, .. } = self;
        // Checked first, because a missing program behind `setpriv` is only an exit code.
        let go_version = Command::new("go").arg("version").stdout(Stdio::null()).status();
        if go_version.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(Error::GoMissing);
        }
        let names: Vec<_> = programs.iter().map(|program| program.name).collect();
        eprintln!(
            "building {} {version} (up to five minutes the first time, then cached) …",
            names.join(", ")
        );
        let start = Instant::now();
        // Built elsewhere and moved: a running control plane keeps its file, and an interrupted build leaves nothing half done.
        let fresh = directory.join("fresh");
        fs::create_dir_all(&fresh).map_err(Error::io("create", &fresh))?;
        let mut go = process::bound(Path::new("nice"));
        go.current_dir(sources)
            .env("CGO_ENABLED", "0")
            .args(["-n", "19", "go", "build", "-trimpath", "-tags", tags, "-ldflags"])
            .arg(format!("-s -w -X {version_in}={version}"))
            .arg("-o")
            .arg(format!("{}/", fresh.display()))
            .args(programs.iter().map(|program| program.package))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let failed = || Error::io("run", "go");
        let status = process::spawn(go).map_err(failed())?.wait().map_err(failed())?;
        if !status.success() {
            return Err(Error::GoBuild { names: names.join(", "), status });
        }
        for program in programs {
            let path = directory.join(program.name);
            fs::rename(fresh.join(program.built_as), &path).map_err(Error::io("move", path))?;
        }
        fs::remove_dir_all(&fresh).map_err(Error::io("remove", &fresh))?;
        eprintln!("built in {:.0} s", start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The version in a line `MODULE VERSION` of go.mod, within a block or after `require`.
fn required_version<'a>(module: &'a str, required: &str) -> Option<&'a str> {
    module.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(required)).then(|| words.next())?
    })
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
    for entry in fs::read_dir(directory).map_err(Error::io("read", directory))? {
        let path = entry.map_err(Error::io("read", directory))?.path();
        if path.is_file() {
            fs::remove_file(&path).map_err(Error::io("remove", path))?;
        }
    }
    fs::write(&stamp_path, stamp).map_err(Error::io("write", stamp_path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_version_is_the_one_that_go_mod_requires() {
        let module = "require (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        let version = |module, required| required_version(module, required);
        assert_eq!(version(module, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(version("require helm.sh/helm/v4 v4.3.2\n", "helm.sh/helm/v4"), Some("v4.3.2"));
        assert_eq!(version("module x\n", "x"), None);
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
