//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`clock`]: the one reader of the wall clock.
//! - [`kube_ext`]: writing objects, conditions, Events, the index of Secrets.
//! - [`publishing`]: the Secret that workloads read: content, publish, withdraw.

pub mod api;
pub mod clock;
pub mod kube_ext;
pub mod publishing;
