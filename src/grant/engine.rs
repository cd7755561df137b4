//! What it takes to send a grant to its provider, and to keep what comes back.

use super::gate::Gate;
use super::marks::Marks;
use super::records::Records;
use super::secrets::Secrets;

/// What it takes to send a grant to its provider, and to keep what comes back.
pub struct Engine {
    /// The grants at rest.
    pub records: Records,
    /// The way to the providers.
    pub gate: Gate,
    /// Whose intents stand.
    pub marks: Marks,
    /// What users keep in their namespaces.
    pub secrets: Secrets,
}
