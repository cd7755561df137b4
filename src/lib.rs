//! x
pub mod vault;
