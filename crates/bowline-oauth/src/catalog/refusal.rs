//! Why an entry, a provider object and a connection's parameters do not fit together.

use super::parameter::Rule;

/// Why a provider object, or a connection's parameters, do not fit the entry. Messages name who has to act and never
/// repeat a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The provider object leaves out what the entry needs.
    #[error("the provider needs {}; set it on the IntegrationProvider", missing.join(", "))]
    ProviderIncomplete {
        /// `parameters.x`, or the endpoints to choose from.
        missing: Vec<String>,
    },
    /// The connection leaves out what the entry needs and the provider object does not set.
    #[error("the connection needs {}; set it in spec.parameters", missing.join(", "))]
    ConnectionIncomplete {
        /// `parameters.x`.
        missing: Vec<String>,
    },
    /// A parameter that the entry does not have.
    #[error("{by} sets parameters.{parameter}, which this provider does not have; it has {}", known(has))]
    UnknownParameter {
        /// Who set it.
        by: SetBy,
        /// Its name.
        parameter: String,
        /// Those it has, for whoever set it.
        has: Vec<String>,
    },
    /// A connection sets what only the provider object may.
    #[error(
        "parameters.{parameter} can be set on the IntegrationProvider only; remove it from the connection"
    )]
    ProviderOnly {
        /// Its name.
        parameter: String,
    },
    /// A connection sets what the provider object has set.
    #[error(
        "parameters.{parameter} is set by the IntegrationProvider already; remove it from the connection"
    )]
    AlreadySet {
        /// Its name.
        parameter: String,
    },
    /// A value that is not allowed.
    #[error("{by} sets parameters.{parameter} to a value that is not allowed: {rule}")]
    BadValue {
        /// Who set it.
        by: SetBy,
        /// Its name.
        parameter: String,
        /// What it must be.
        rule: Rule,
    },
    /// An address of the provider object that is not allowed.
    #[error("the address for {what} is not allowed: {rule}")]
    BadAddress {
        /// Which address.
        what: &'static str,
        /// What it must be.
        rule: Rule,
    },
    /// An address with `http`.
    #[error("the address for {what} is not https; http needs spec.network.allowHTTP of the provider")]
    Insecure {
        /// Which address.
        what: &'static str,
    },
    /// An address of the provider object has a placeholder that the entry has no parameter for.
    #[error(
        "the address for {what} has the placeholder {{{placeholder}}}, which this provider does not have"
    )]
    UnknownPlaceholder {
        /// Which address.
        what: &'static str,
        /// Its name.
        placeholder: String,
    },
    /// What the provider object states does not fit the catalogue's schema.
    #[error("the provider's description cannot be read: {flaw}")]
    Misfit {
        /// What the reader says; names the field.
        flaw: String,
    },
    /// A connection's value would change where an address leads.
    #[error("the connection's parameters would change the host or path of the address for {what}")]
    AddressChanged {
        /// Which address.
        what: &'static str,
    },
}

/// Who set a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetBy {
    /// The provider object.
    Provider,
    /// The connection.
    Connection,
}

impl std::fmt::Display for SetBy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Provider => "the IntegrationProvider",
            Self::Connection => "the connection",
        })
    }
}

impl ResolveError {
    /// Whose object has to change: the connection's, or else the provider's.
    pub fn concerns(&self) -> SetBy {
        match self {
            Self::UnknownParameter { by, .. } | Self::BadValue { by, .. } => *by,
            Self::ConnectionIncomplete { .. }
            | Self::ProviderOnly { .. }
            | Self::AlreadySet { .. }
            | Self::AddressChanged { .. } => SetBy::Connection,
            Self::ProviderIncomplete { .. }
            | Self::BadAddress { .. }
            | Self::Insecure { .. }
            | Self::UnknownPlaceholder { .. }
            | Self::Misfit { .. } => SetBy::Provider,
        }
    }
}

fn known(has: &[String]) -> String {
    if has.is_empty() { "none".to_owned() } else { has.join(", ") }
}
