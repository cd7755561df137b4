//! `bowline-testbed up`

use std::process::ExitCode;

use bowline_testbed::{access::ADMIN, cluster::Cluster, error::Error};

use super::stop::StopSignals;

pub async fn up() -> Result<ExitCode, Error> {
    // A build may take minutes: until it is done, signals end us as they end any program.
    Cluster::prepare()?;
    let mut signals = StopSignals::listen()?;
    let cluster = tokio::select! {
        cluster = Cluster::from_environment() => cluster?,
        _ = signals.next() => return Ok(ExitCode::FAILURE),
    };
    println!("export KUBECONFIG={}", cluster.kubeconfig_for(ADMIN)?.display());
    println!("alias kubectl={}", cluster.kubectl_path().display());
    eprintln!("Logs are in {}. Ctrl-C ends it and removes everything.", cluster.directory().display());
    signals.next().await;
    Ok(ExitCode::SUCCESS)
}
