//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`catalog`]: provider descriptions, compiled in.
//! - [`oauth`]: the protocol: requests, answers, failures.
//! - [`clock`], [`telemetry`], [`metrics`]: time, logs and numbers, for whoever needs them.
//! - [`plugin`]: `kubectl bowline`, which knows only the kinds and the API server.

pub mod api;
pub mod catalog;
pub mod clock;
pub mod metrics;
pub mod oauth;
pub mod plugin;
pub mod telemetry;
