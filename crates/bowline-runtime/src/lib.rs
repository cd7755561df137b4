//! What all our processes share.
//!
//! - [`clock`], [`steps`], [`telemetry`]: time, whether it jumped, and logs.
//! - `metrics`, `traces`: what a process counts, and the spans that it sends to a collector (feature `server`).
//! - [`startup`]: a server's client, and the signals that end it.
//! - `deadline`: every call to the API server ends.
//! - [`tasks`]: tasks that end the process if they end.
//! - [`kubeconfig`]: what is wrong with one, without quoting it.
//! - [`follow`]: watches, and caches that tolerate unreadable objects and are never behind our own writes.
//! - [`attempts`]: reading and writing attempts.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod attempts;
pub mod clock;
mod deadline;
pub mod follow;
pub mod kubeconfig;
#[cfg(feature = "server")]
pub mod metrics;
// Servers run on Unix; the plug-in, which needs none of it, also elsewhere.
#[cfg(unix)]
pub mod startup;
pub mod steps;
pub mod tasks;
pub mod telemetry;
#[cfg(feature = "server")]
pub mod traces;
