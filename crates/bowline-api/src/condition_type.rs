//! Types and values of conditions.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// The summary.
    Ready,
    /// The grant in use.
    Authorized,
    TokenFresh,
    /// The Secret beside the connection.
    SecretPublished,
    /// The Secrets in the workspace. Absent where sharing is not asked for.
    Shared,
    /// What the workload of a binding reported last. Absent until it reports something; Ready does not depend on it.
    Delivered,
    /// The rights of the members. Absent where there are none.
    Members,
    /// Nothing changes until a person acts (kstatus). Absent otherwise.
    Stalled,
}

impl ConditionType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Authorized => "Authorized",
            Self::TokenFresh => "TokenFresh",
            Self::SecretPublished => "SecretPublished",
            Self::Shared => "Shared",
            Self::Delivered => "Delivered",
            Self::Members => "Members",
            Self::Stalled => "Stalled",
        }
    }
}

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}
