//! The benchmark: many connections with short tokens, measured by what a reader, the sandbox's ledger and the API server's
//! audit log saw. The report has figures, and guarantees that must hold whatever the figures are.

mod cost;
pub mod departure;
mod fleet;
mod idle;
mod machine;
mod raw;
mod reader;
mod report;
mod run;
mod schedule;

pub use report::Report;
pub use run::run;

use std::time::Duration;

use crate::stage::Profile;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many connections.
    pub connections: usize,
    /// For how long, after every connection was refreshed once.
    pub duration: Duration,
    /// How the operator was built.
    pub profile: Profile,
}

/// Lifetime of the tokens, in seconds.
const TOKEN_SECONDS: u64 = 60;

/// How many of our own requests run at once while the fleet is set up.
const AT_ONCE: usize = 16;
