//! The demo: a connection's life, from waiting for consent to a revoked grant; each step is observed and timed.

mod board;
mod consent;
mod diagnosis;
mod hints;
mod owning;
mod place;
mod story;

pub use board::Board;
pub use diagnosis::explain;
pub use hints::{hints, in_browser, people};
pub use place::{clear, install, platform, refuse_taken, set, start};
pub use story::tell;

/// Namespace of alice's connection, as in examples/quickstart.
const TEAM: &str = "team-a";
/// Namespace and name of the workspace that it is shared into.
const WORKSPACE: &str = "marketing";
/// Name of the connection and of its Secret.
const CONNECTION: &str = "sandbox-alice";
/// Name of the provider object.
const PROVIDER: &str = "sandbox";
/// Name of alice's second connection, to another account.
const SECOND: &str = "sandbox-second";
/// That account.
const SECOND_ACCOUNT: &str = "bob";
/// Name of the first one's Secret where it is shared: the connection's id.
const SHARED: &str = "team-a.sandbox-alice";
/// Name of the binding by which a workflow there chooses it.
const BINDING: &str = "post-to-chat";
/// The owner.
const OWNER: &str = "alice";
/// How long the demo's tokens live, in seconds: refreshed after half of it.
const TOKEN_SECONDS: u64 = 12;
/// How often the operator may poll for a device code, in seconds.
const POLL_SECONDS: u64 = 1;
