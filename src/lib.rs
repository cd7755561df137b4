//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`vault`]: grants at rest: sealed, one record each, one writer.
//! - [`grant`]: the life of one grant, whoever asks.
//! - [`publishing`]: the Secret that workloads read.
//! - [`sharing`]: where a connection is shared; pure.
//! - [`world`], [`context`]: what is known of the cluster, and what every controller is given.
//! - [`discovered`]: what issuers said of their addresses.
//! - [`connection`], [`provider`], [`workspace`], [`share`]: the controllers.
//! - [`operator`], [`cli`]: the process and its command line.
//! - [`kube_ext`]: writing objects, conditions, Events, indexes of Secrets.
//! - [`metrics`]: numbers, for whoever needs them.
//!
//! What the operator shares with other processes is in crates of its own: `bowline-api` has the kinds, `bowline-oauth` the
//! catalogue and the protocol, `bowline-runtime` clock, logs and attempts; `bowline-portal` is `bowline portal`.

pub mod cli;
pub mod connection;
pub mod context;
pub mod discovered;
pub mod grant;
pub mod kube_ext;
pub mod metrics;
pub mod operator;
pub mod provider;
pub mod publishing;
pub mod share;
pub mod sharing;
pub mod vault;
pub mod workspace;
pub mod world;
