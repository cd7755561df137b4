//! What only a real API server can show: how it applies our schemas, policies and rights, and what it stores of our writes.
//!
//! Needs an API server: `make test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod asking;
mod binding;
mod bypass;
mod chart;
mod consent;
mod dependents;
mod examples;
mod fixture;
mod guarding;
mod judging;
mod limits;
mod manifests;
mod members;
mod metadata;
mod operator_only;
mod overlay;
mod pods;
mod publishing;
mod release;
mod rights;
mod schema;
mod terms;
mod values;
mod writing;
