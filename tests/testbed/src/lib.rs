//! What Bowline's tests and demo run on: a real Kubernetes control plane without containers.
//!
//! A test takes a [`cluster::Cluster`], a person runs the binary `bowline-testbed`.

pub mod access;
pub mod assets;
pub mod audit;
pub mod cluster;
pub mod control_plane;
pub mod error;
pub mod operator_process;
pub mod process;
pub mod random;
pub mod scratch;
pub mod tls;
pub mod wait;
