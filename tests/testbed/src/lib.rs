//! x
pub mod oidc;
pub mod sandbox;
