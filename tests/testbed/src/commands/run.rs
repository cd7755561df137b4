//! `bowline-testbed run -- CMD…`

use std::{
    env,
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
};

use bowline_testbed::{
    access::ADMIN,
    cluster::{Cluster, RUN_DIRECTORY},
    error::Error,
    process,
};

use super::stop::{Stop, StopSignals};

/// Ends as the command ends: with its exit code, or 128 and the number of the signal that ended it.
pub async fn run(command: Vec<OsString>) -> Result<ExitCode, Error> {
    // A build may take minutes: until it is done, signals end us as they end any program.
    Cluster::prepare()?;
    let mut signals = StopSignals::listen()?;
    let cluster = tokio::select! {
        cluster = Cluster::from_environment() => cluster?,
        _ = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let status = run_in(&cluster, command, &mut signals).await?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn run_in(
    cluster: &Cluster,
    command: Vec<OsString>,
    signals: &mut StopSignals,
) -> Result<ExitStatus, Error> {
    let mut words = command.into_iter();
    let program = PathBuf::from(words.next().unwrap_or_default());
    let mut child = process::bound(&program);
    child
        .args(words)
        .env("KUBECONFIG", cluster.kubeconfig_for(ADMIN)?)
        .env(RUN_DIRECTORY, cluster.directory())
        .env("PATH", path_with(cluster.kubectl_path()));
    let failed = |source| Error::Io { action: "run", path: program.clone(), source };
    let mut child = process::spawn(child).map_err(failed)?;
    let id = child.id();
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    loop {
        tokio::select! {
            status = &mut ended => return status.map_err(std::io::Error::other).flatten().map_err(failed),
            // The terminal has sent Ctrl-C to the command too: the command decides when it ends.
            stop = signals.next() => if stop == Stop::Terminate {
                process::signal(id, "TERM").map_err(failed)?;
            },
        }
    }
}

/// `PATH` with our `kubectl` first.
fn path_with(kubectl: &Path) -> OsString {
    let mut path = kubectl.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
