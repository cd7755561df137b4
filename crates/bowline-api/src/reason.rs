//! Stable reasons: the same constants in conditions, Events and metrics.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        /// Every reason, for documentation and tests.
        pub const ALL: &[&str] = &[$($value),*];
    };
}

reasons! {
    // Ready
    /// Everything is as it should be.
    CONNECTED = "Connected";

    // Authorized
    /// The owner consented and the provider honours it.
    AUTHORIZED = "Authorized";
    /// The grant ends soon by itself.
    GRANT_EXPIRING_SOON = "GrantExpiringSoon";
    /// Nobody consented yet.
    AWAITING_AUTHORIZATION = "AwaitingAuthorization";
    /// The last try to connect ended without a grant.
    AUTHORIZATION_FAILED = "AuthorizationFailed";
    /// A grant came by device flow, and its owner has not agreed to the account yet.
    AWAITING_CONFIRMATION = "AwaitingConfirmation";
    /// The provider gave more scopes than were reviewed.
    EXTRA_SCOPES = "ExtraScopes";
    /// A grant was brought and is being checked, or somebody is at the provider.
    AUTHORIZATION_IN_PROGRESS = "AuthorizationInProgress";
    /// A grant was brought that cannot be used; the old one, if any, is kept.
    INTAKE_REFUSED = "IntakeRefused";
    /// A grant was brought, and a passing cause, or a missing right of the operator, keeps it from being taken.
    INTAKE_DELAYED = "IntakeDelayed";
    /// What was brought was sent to the provider, and its answer never arrived.
    INTAKE_OUTCOME_UNKNOWN = "IntakeOutcomeUnknown";
    /// The grant belongs to another account than the one pinned.
    ACCOUNT_MISMATCH = "AccountMismatch";
    /// Another connection already holds this account's only token chain.
    ACCOUNT_ALREADY_CONNECTED = "AccountAlreadyConnected";
    /// Required scopes were not given.
    MISSING_SCOPES = "MissingScopes";
    /// The grant ended by itself.
    GRANT_EXPIRED = "GrantExpired";
    /// The grant was withdrawn at the provider.
    GRANT_REVOKED = "GrantRevoked";
    /// An administrator at the provider must approve first.
    ADMIN_CONSENT_REQUIRED = "AdminConsentRequired";
    /// A rule of the organization at the provider blocks it.
    POLICY_BLOCKED = "PolicyBlocked";
    /// The provider wants the owner to sign in again.
    STEP_UP_REQUIRED = "StepUpRequired";
    /// Disconnected by its spec.
    DISCONNECTED = "Disconnected";
    /// The sealed record is gone.
    RECORD_MISSING = "RecordMissing";
    /// The sealed record was changed by somebody else.
    RECORD_TAMPERED = "RecordTampered";
    /// The keyring has no key for the record.
    RECORD_UNREADABLE = "RecordUnreadable";
    /// Owner, endpoint or app differ from what was consented to.
    CONSENT_OUTDATED = "ConsentOutdated";
    /// The provider's `allow` excludes this connection.
    PROVIDER_NOT_ALLOWED = "ProviderNotAllowed";
    /// The owner is empty or a system: user.
    OWNER_UNVERIFIED = "OwnerUnverified";
    /// A refresh was sent and its outcome is not known.
    ROTATION_OUTCOME_UNKNOWN = "RotationOutcomeUnknown";
    /// No `IntegrationProvider` of that name.
    PROVIDER_NOT_FOUND = "ProviderNotFound";
    /// The `IntegrationProvider` is not ready.
    PROVIDER_NOT_READY = "ProviderNotReady";
    /// The parameters do not fit the provider.
    PARAMETERS_INVALID = "ParametersInvalid";
    /// The credentials or app Secret is missing or not of our type.
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound";

    // TokenFresh
    /// The published token is valid and will be refreshed in time.
    FRESH = "Fresh";
    /// The credential has no end.
    NEVER_EXPIRES = "NeverExpires";
    /// The last refresh failed for a passing cause; it will be tried again.
    REFRESH_FAILING = "RefreshFailing";
    /// Ten refusals in a row: tried again daily or on request.
    REFRESH_REFUSED = "RefreshRefused";
    /// The published token has ended.
    TOKEN_EXPIRED = "TokenExpired";
    /// The grant has no refresh token.
    NOT_REFRESHABLE = "NotRefreshable";
    /// Suspended by its spec.
    SUSPENDED = "Suspended";

    // SecretPublished
    /// The Secret holds the present token.
    PUBLISHED = "Published";
    /// There is nothing to publish yet.
    NOT_YET = "NotYet";
    /// There is a token, but it may not be published.
    WITHHELD = "Withheld";
    /// The Secret was removed.
    WITHDRAWN = "Withdrawn";
    /// A Secret of that name belongs to somebody else.
    NAME_TAKEN = "NameTaken";
    /// The namespace's quota refuses another Secret.
    QUOTA_EXCEEDED = "QuotaExceeded";
    /// The operator may not write Secrets there.
    FORBIDDEN = "Forbidden";
    /// The template could not be rendered.
    TEMPLATE_FAILED = "TemplateFailed";
    /// A value cannot be written in the chosen format, or a label is not allowed.
    FORMAT_FAILED = "FormatFailed";

    // Shared
    /// Published in every namespace of the workspace.
    SHARED = "Shared";
    /// Not shared.
    NOT_SHARED = "NotShared";
    /// No Workspace of that name.
    WORKSPACE_NOT_FOUND = "WorkspaceNotFound";
    /// The owner is not a member of the workspace.
    OWNER_NOT_MEMBER = "OwnerNotMember";
    /// Some namespaces of the workspace do not have it.
    PARTIALLY_PUBLISHED = "PartiallyPublished";

    // Providers
    /// The provider can be used.
    READY = "Ready";
    /// The app Secret does not exist.
    APP_SECRET_NOT_FOUND = "AppSecretNotFound";
    /// The app Secret lacks a key.
    APP_SECRET_INCOMPLETE = "AppSecretIncomplete";
    /// The catalogue has no such entry.
    UNKNOWN_TYPE = "UnknownType";
    /// Placeholders or endpoints have no value.
    PARAMETERS_MISSING = "ParametersMissing";
    /// The issuer's metadata could not be read.
    DISCOVERY_FAILED = "DiscoveryFailed";
    /// An address is not allowed.
    ENDPOINT_REFUSED = "EndpointRefused";
    /// The provider does not accept our registration.
    APP_REJECTED = "AppRejected";

    // Workspaces
    /// A namespace does not exist.
    NAMESPACE_MISSING = "NamespaceMissing";
    /// A namespace belongs to an older Workspace.
    NAMESPACE_IN_OTHER_WORKSPACE = "NamespaceInOtherWorkspace";

    // Shares
    /// The connection behind the share has no valid token.
    CONNECTION_NOT_READY = "ConnectionNotReady";

    // Events
    /// The provider gave a token, after a failure or by request.
    REFRESHED = "Refreshed";
    /// The connection left the workspace.
    UNSHARED = "Unshared";
    /// The owner left the workspace.
    OWNER_REMOVED = "OwnerRemoved";
    /// A connection works again.
    RECOVERED = "Recovered";
    /// The grant could not be revoked at the provider.
    REVOCATION_FAILED = "RevocationFailed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_camel_case_and_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in ALL {
            assert!(seen.insert(reason), "{reason} stands twice");
            assert!(reason.len() <= 128 && reason.chars().all(char::is_alphanumeric), "{reason}");
            assert!(reason.starts_with(char::is_uppercase), "{reason}");
        }
    }
}
