//! The whole operator as a process of its own, with the rights it ships with, against a real API server and real OAuth
//! servers. What it decides is shown without a cluster; only here do its parts, its rights and its timing meet.
//!
//! Needs an API server: `make test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod canary;
mod carrier;
mod consent;
mod drafts;
mod drift;
mod ending;
mod faults;
mod intake;
mod keyring;
mod lifecycle;
mod looking;
mod missing;
mod oidc;
mod plugin;
mod portal;
mod scene;
mod sharing;
mod stage;
