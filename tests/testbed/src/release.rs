//! A release: its programs and its manifests. Tests of upgrades begin with the previous one, which is built from its commit.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    assets::{target_directory, workspace},
    error::Error,
    process,
    stage::Binaries,
};

/// Programs, and the sources that they were built from.
#[derive(Debug, Clone)]
pub struct Release {
    /// `bowline` and `kubectl-bowline`.
    pub binaries: Binaries,
    /// Where `deploy`, `crds` and `examples` are.
    pub sources: PathBuf,
}

impl Release {
    /// This source tree, with the operator at this path.
    pub fn current(operator: impl AsRef<Path>) -> Self {
        Self { binaries: Binaries::beside(operator), sources: workspace().to_owned() }
    }

    /// The one whose commit the file `previous` names. The first call builds it, which takes one to four minutes, with
    /// progress on standard error; it is kept in the target's folder `previous`.
    ///
    /// Blocks; two processes that build at once take turns.
    ///
    /// # Errors
    /// When the commit is neither in this checkout nor to be fetched, or the build fails.
    pub fn previous() -> Result<Self, Error> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("previous");
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let commit = commit(&text).ok_or(Error::NoCommit { path })?;
        let cache = target_directory().join("previous");
        let directory = cache.join(commit);
        fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;

        // Held until the end of this function: a second process finds everything built.
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
        lock.lock().map_err(Error::io("lock", &lock_path))?;

        let sources = directory.join("sources");
        if !sources.is_dir() {
            fetch(commit)?;
            unpack(commit, &directory, &sources)?;
        }
        let binaries = Binaries::beside(directory.join("target/debug/bowline"));
        if !(binaries.operator.is_file() && binaries.plugin.is_file()) {
            build(&sources, &directory)?;
        }
        Ok(Self { binaries, sources })
    }
}

/// The only line that is no comment, if it is the whole name of a commit.
fn commit(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let commit =
        lines.next().filter(|line| line.len() == 40 && line.bytes().all(|it| it.is_ascii_hexdigit()));
    commit.filter(|_| lines.next().is_none())
}

/// Fetches the commit if this checkout is without it, as a shallow one is.
fn fetch(commit: &str) -> Result<(), Error> {
    if run("git", workspace(), &["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok() {
        return Ok(());
    }
    run("git", workspace(), &["fetch", "--quiet", "--depth", "1", "origin", commit])
        .map_err(|source| Error::PreviousMissing { commit: commit.to_owned(), source: Box::new(source) })
}

/// The commit's files, moved to `sources` when they are all there.
fn unpack(commit: &str, directory: &Path, sources: &Path) -> Result<(), Error> {
    let fresh = directory.join("fresh");
    if fresh.is_dir() {
        fs::remove_dir_all(&fresh).map_err(Error::io("remove", &fresh))?;
    }
    fs::create_dir_all(&fresh).map_err(Error::io("create", &fresh))?;
    let archive = directory.join("sources.tar").to_string_lossy().into_owned();
    run("git", workspace(), &["archive", "--format=tar", "--output", &archive, commit])?;
    run("tar", &fresh, &["-xf", &archive])?;
    fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
    fs::rename(&fresh, sources).map_err(Error::io("move", sources))
}

/// Builds its programs into the folder `target`.
///
/// What both releases depend on is built once. Intermediate files are kept in our own target, and `--examples`, of which there are
/// none, makes Cargo choose the features that it chooses for tests. Cargo would give our crates the same file names in both
/// workspaces, and takes the older sources for built: a wrapper, whose path is part of those names, keeps them apart.
fn build(sources: &Path, directory: &Path) -> Result<(), Error> {
    eprintln!("building the previous release (up to four minutes the first time, then kept) …");
    let wrapper = directory.join("env");
    if !wrapper.is_symlink() {
        symlink("/usr/bin/env", &wrapper).map_err(Error::io("create", &wrapper))?;
    }
    let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut command = process::bound(&cargo);
    command
        .current_dir(sources)
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper)
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .env("CARGO_BUILD_BUILD_DIR", target_directory())
        .args(["build", "--locked", "-p", "bowline", "-p", "kubectl-bowline", "--bins", "--examples"])
        .stdin(Stdio::null());
    let failed = || Error::io("run", &cargo);
    let status = process::spawn(command).map_err(failed())?.wait().map_err(failed())?;
    if status.success() { Ok(()) } else { Err(Error::CargoBuild { status }) }
}

/// Runs a program that says on standard error why it fails.
fn run(program: &str, directory: &Path, arguments: &[&str]) -> Result<(), Error> {
    let ended = Command::new(program).current_dir(directory).args(arguments).stdin(Stdio::null()).output();
    let ended = ended.map_err(Error::io("run", program))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Err(Error::Unexpected { what: format!("success of {program} {}", arguments.join(" ")), seen: said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_commit_of_the_previous_release() {
        let named = include_str!("../previous");
        assert!(commit(named).is_some(), "{named}");
        let commit_of = |rest: &str| commit(rest).map(str::len);
        let whole = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(commit_of(&format!("# why\n\n{whole}\n")), Some(40));
        for wrong in ["", "main", &whole[..12], &format!("{whole}\n{whole}")] {
            assert_eq!(commit_of(wrong), None, "{wrong}");
        }
    }
}
