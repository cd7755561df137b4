//! Bowline keeps third-party connections as Kubernetes objects.
//!
//! The map, in the direction in which modules may use each other:
//!
//! - [`api`]: the kinds, their fields, rules and reasons.
//! - [`catalog`]: provider descriptions, compiled in.
//! - [`oauth`]: the protocol: requests, answers, failures.

pub mod api;
pub mod catalog;
pub mod oauth;
