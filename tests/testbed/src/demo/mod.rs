//! The demo: one connection's life, from waiting for consent to a revoked grant, each step observed and timed.

mod board;
mod diagnosis;
mod hints;
mod place;
mod story;

pub use board::Board;
pub use diagnosis::explain;
pub use hints::hints;
pub use place::{clear, refuse_taken, set};
pub use story::tell;

/// Namespace of alice's connection, as in examples/quickstart.
const TEAM: &str = "team-a";
/// Namespace and name of the workspace that it is shared into.
const WORKSPACE: &str = "marketing";
/// Name of the connection and of its Secret.
const CONNECTION: &str = "sandbox-alice";
/// Name of its Secret where it is shared: the connection's id.
const SHARED: &str = "team-a.sandbox-alice";
/// The owner.
const OWNER: &str = "alice";
/// How long the demo's tokens live, in seconds: refreshed after half of it.
const TOKEN_SECONDS: u64 = 12;
