//! What it takes to send a grant to its provider, and to keep what comes back.

use super::gate::Gate;
use super::marks::Marks;
use super::records::Records;
use super::secrets::Secrets;

/// What it takes to send a grant to its provider, and to keep what comes back.
pub(crate) struct Engine {
    /// The grants at rest.
    pub(crate) records: Records,
    /// The way to the providers.
    pub(crate) gate: Gate,
    /// Whose intents stand.
    pub(crate) marks: Marks,
    /// What users keep in their namespaces.
    pub(crate) secrets: Secrets,
}
