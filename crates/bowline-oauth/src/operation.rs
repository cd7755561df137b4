//! What a provider is asked.

/// What was asked of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// A refresh token was spent.
    Refresh,
    /// A token was asked for with the app registration alone.
    ClientCredentials,
    /// An authorization request was pushed.
    Push,
    /// An authorization code was exchanged.
    Exchange,
    /// A device asked for its codes.
    DeviceAuthorization,
    /// A device asked whether the person has decided.
    DevicePoll,
    /// A grant was withdrawn.
    Revoke,
    /// The account was asked for, with an access token.
    Identity,
    /// A key was checked.
    Key,
}

impl Operation {
    /// Whether the answer comes from a token endpoint, and not from an API that was called with a credential.
    pub(super) fn is_token_request(self) -> bool {
        !matches!(self, Self::Identity | Self::Key)
    }

    /// Whether a new grant was asked for: there is none yet that could be gone.
    pub(super) fn begins_a_grant(self) -> bool {
        matches!(self, Self::Push | Self::Exchange | Self::DeviceAuthorization | Self::DevicePoll)
    }
}
