//! `bowline-testbed bench`

use std::{process::ExitCode, time::Duration};

use bowline_testbed::{
    bench,
    cluster::{Cluster, FOREIGN_KUBECONFIG},
    error::Error,
    stage::{Binaries, Profile},
};

use super::stop::StopSignals;

/// The figures go to standard output and to target/bench/latest.md. Ends 0 only if every guarantee held.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many connections
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(4..=20_000))]
    connections: u32,
    /// For how many seconds to measure
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(30..=86_400))]
    duration: u64,
    /// Measure instead how long it takes until nothing of an owner's is left in a workspace that they were removed from, with 100
    /// shares and 1,000 bindings; the figures go to standard output alone
    #[arg(long)]
    departure: bool,
    /// How often to remove the owner, with --departure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..), requires = "departure")]
    rounds: u8,
    /// Measure a quick build instead of the shipped one: to try the bench itself, its figures mean little
    #[arg(long)]
    quick_build: bool,
}

impl Arguments {
    pub async fn run(self) -> Result<ExitCode, Error> {
        let Self { connections, duration, departure, rounds, quick_build } = self;
        if std::env::var_os(FOREIGN_KUBECONFIG).is_some() {
            // It counts requests in the audit log.
            return Err(Error::NoAuditLog);
        }
        // Builds may take minutes: until they are done, signals end us as they end any program.
        let profile = if quick_build { Profile::Dev } else { Profile::Release };
        let binaries = Binaries::build(profile)?;
        Cluster::prepare()?;
        let mut signals = StopSignals::listen()?;
        if departure {
            let rounds = rounds.into();
            let options = bench::departure::Options { shares: 100, bindings: 1_000, rounds, profile };
            let departures = tokio::select! {
                departures = bench::departure::run(&options, &binaries) => departures?,
                _ = signals.next() => return Ok(ExitCode::FAILURE),
            };
            print!("{}", departures.page());
            return Ok(if departures.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let options = bench::Options {
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            duration: Duration::from_secs(duration),
            profile,
        };
        let report = tokio::select! {
            report = bench::run(&options, &binaries) => report?,
            _ = signals.next() => return Ok(ExitCode::FAILURE),
        };
        println!("{}", report.page());
        eprintln!("written to {}", report.write()?.display());
        Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
