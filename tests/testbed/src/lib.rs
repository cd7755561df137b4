//! What Bowline's tests and demo run on: a real Kubernetes control plane without containers, and OAuth providers.
//!
//! A test takes a [`cluster::Cluster`] and a [`sandbox::Sandbox`], a person runs the binary `bowline-testbed`.

pub mod access;
pub mod assets;
pub mod audit;
pub mod bench;
pub mod browser;
pub mod cluster;
pub mod collector;
pub mod control_plane;
pub mod definitions;
pub mod demo;
pub mod deploy;
pub mod emulator;
pub mod error;
pub mod health;
pub mod helm;
pub mod jws;
pub mod kms;
pub mod npm;
pub mod objects;
pub mod oidc;
pub mod operator_process;
pub mod pod;
pub mod process;
pub mod random;
pub mod release;
pub mod sandbox;
pub mod scratch;
pub mod stage;
pub mod tcp_proxy;
pub mod tls;
pub mod tools;
pub mod wait;
