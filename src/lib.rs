//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`clock`], [`telemetry`], [`metrics`]: time, logs and numbers, for whoever needs them.
//! - [`plugin`]: `kubectl bowline`, which knows only the kinds and the API server.

pub mod api;
pub mod clock;
pub mod metrics;
pub mod plugin;
pub mod telemetry;
