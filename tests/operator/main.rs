//! The whole operator as a separate process with its shipped rights, against a real API server and real OAuth servers. Unit
//! tests show what it decides; only here do its parts, its rights and its timing work together.
//!
//! Needs an API server: `make test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod app_secret;
mod applied;
mod bench;
mod binding;
mod canary;
mod carrier;
mod consent;
mod consent_attacks;
mod consent_outcomes;
mod delivery;
mod dependents;
mod device;
mod drafts;
mod drift;
mod ending;
mod exchange;
mod facts;
mod faults;
mod foreign;
mod formats;
mod gap;
mod gitops;
mod grace;
mod guarding;
mod incident;
mod intake;
mod issued;
mod keyring;
mod kms;
mod leaving;
mod lifecycle;
mod limits;
mod looking;
mod machines;
mod mcp;
mod members;
mod missing;
mod moving;
mod mutual_tls;
mod narrow;
mod notify;
mod nudge;
mod oidc;
mod oversized;
mod plugin;
mod plugin_consent;
mod plugin_installed;
mod plugin_sharing;
mod portal;
mod probe;
mod records;
mod registration;
mod replicas;
mod revoking;
mod scene;
mod sharing;
mod skew;
mod stage;
mod terminal;
mod terms;
mod traces;
mod tutorial;
mod unreadable;
mod waiting;
mod weight;
mod where_tokens_go;
mod who_may_use;

/// Where browsers would find the portal.
pub const PORTAL: &str = "https://portal.example";
