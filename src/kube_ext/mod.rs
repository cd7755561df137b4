//! What every controller needs of Kubernetes: writing objects, Events, the index of Secrets.

pub(crate) mod apply;
pub(crate) mod coalesce;
pub(crate) mod events;
pub(crate) mod index;
pub(crate) mod lease;
pub(crate) mod memory;
