//! What every controller needs of Kubernetes: writing objects, conditions, Events, the index of Secrets.

pub mod apply;
pub mod events;
pub mod index;
pub mod memory;
