//! Why an entry, a provider object and a connection's parameters do not fit together.

use super::parameter::{Rule, SetBy};

/// Why a provider object, or a connection's parameters, do not fit the entry. Messages name who has to act and never
/// repeat a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// `missing` are `parameters.x`, or the endpoints to choose from.
    #[error("the provider needs {}; set it on the IntegrationProvider", missing.join(", "))]
    ProviderIncomplete { missing: Vec<String> },
    /// The provider object does not set it either.
    #[error("the connection needs {}; set it in spec.parameters", missing.join(", "))]
    ConnectionIncomplete { missing: Vec<String> },
    /// `has` are those that whoever set it could set.
    #[error("{by} sets parameters.{parameter}, which this provider does not have; it has {}", known(has))]
    UnknownParameter { by: SetBy, parameter: String, has: Vec<String> },
    #[error(
        "parameters.{parameter} can be set on the IntegrationProvider only; remove it from the connection"
    )]
    ProviderOnly { parameter: String },
    #[error(
        "parameters.{parameter} is set by the IntegrationProvider already; remove it from the connection"
    )]
    AlreadySet { parameter: String },
    #[error("{by} sets parameters.{parameter} to a value that is not allowed: {rule}")]
    BadValue { by: SetBy, parameter: String, rule: Rule },
    #[error("the address for {what} is not allowed: {rule}")]
    BadAddress { what: &'static str, rule: Rule },
    #[error("the address for {what} is not https; http needs spec.network.allowHTTP of the provider")]
    Insecure { what: &'static str },
    #[error(
        "the address for {what} has the placeholder {{{placeholder}}}, which this provider does not have"
    )]
    UnknownPlaceholder { what: &'static str, placeholder: String },
    /// What the provider object states does not fit the catalogue's schema.
    #[error("the provider's description cannot be read: {flaw}")]
    Misfit { flaw: String },
    /// Its overlay does not fit an entry, or breaks a rule of entries. `flaw` names the field.
    #[error("spec.overlay does not fit: {flaw}")]
    Overlay { flaw: String },
    #[error("spec.{field} and spec.overlay.{field} are both set and differ: keep one of them")]
    Contradiction { field: String },
    #[error("the catalogue has no type {type_}; `bowline catalog list` shows those it has")]
    UnknownType { type_: String },
    #[error("the connection's parameters would change the host or path of the address for {what}")]
    AddressChanged { what: &'static str },
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
            | Self::Misfit { .. }
            | Self::Overlay { .. }
            | Self::Contradiction { .. }
            | Self::UnknownType { .. } => SetBy::Provider,
        }
    }
}

fn known(has: &[String]) -> String {
    if has.is_empty() { "none".to_owned() } else { has.join(", ") }
}
