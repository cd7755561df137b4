//! What every process of ours stands on.
//!
//! - [`clock`], [`telemetry`]: time and logs.
//! - [`kubeconfig`]: what is wrong with one, without quoting it.
//! - [`attempts`]: reading and writing the Secrets through which portal and operator speak of one try to connect.

pub mod attempts;
pub mod clock;
pub mod kubeconfig;
pub mod telemetry;
