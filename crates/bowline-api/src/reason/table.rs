//! The reasons, a row each.

use serde::{Deserialize, Serialize};

use super::EventType::{Normal, Warning};
use super::Fixer::{Author, Nobody, Owner, PlatformTeam, ProviderAdministrator, WorkspaceKeeper};
use super::ReasonPlace::{Binding, Connection, Delivery, Event, Provider, Share, Workspace};
use super::{Effect, ReasonPlace, Remedy, Row};
use crate::condition_type::ConditionType::{Authorized, Members, Ready, SecretPublished, Shared, TokenFresh};
use crate::condition_type::Truth::{False, True, Unknown};

/// `Name: places, status, effect, fixer, remedy, stalled | moving, event | silent, sentence`
macro_rules! rows {
    ($($name:ident: [$($place:expr),+], $status:expr, $effect:ident, $fixer:expr, $remedy:ident, $pace:ident, $event:ident, $sentence:literal;)*) => {
        /// Why something is as it is: the same word in conditions, Events and metrics.
        #[allow(clippy::doc_markdown, reason = "the sentences are for people, who see them without backticks")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $sentence] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What follows from it.
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        places: &[$($place),+],
                        status: $status,
                        effect: Effect::$effect,
                        fixer: $fixer,
                        remedy: Remedy::$remedy,
                        stalled: rows!(@pace $pace),
                        event: rows!(@event $event),
                        sentence: $sentence,
                    },)*
                }
            }
        }
    };
    (@pace stalled) => { true };
    (@pace moving) => { false };
    (@event silent) => { None };
    (@event normal) => { Some(Normal) };
    (@event warning) => { Some(Warning) };
}

const AUTHORIZED: ReasonPlace = Connection(Authorized);
const FRESH: ReasonPlace = Connection(TokenFresh);
const PUBLISHED: ReasonPlace = Connection(SecretPublished);
const SHARED: ReasonPlace = Connection(Shared);
const MEMBERS: ReasonPlace = Connection(Members);

rows! {
    Connected: [Connection(Ready)], True, Serve, Nobody, None, moving, silent,
        "The Secret holds a valid token.";

    // Authorized: the grant in use, or why there is none.
    Authorized: [AUTHORIZED], True, Serve, Nobody, None, moving, normal,
        "{owner} allowed access and the provider accepts the grant.";
    KeysIssued: [AUTHORIZED], True, Serve, Nobody, None, moving, silent,
        "The keys were issued here, for {owner}; their digests are published.";
    GrantExpiringSoon: [AUTHORIZED], True, Serve, Owner, Reconnect, moving, warning,
        "The grant expires at {at}; until then everything works.";
    ScopeApprovalNeeded: [AUTHORIZED], True, Serve, Owner, Approve, moving, warning,
        "The provider accepts the grant. Somebody else than {owner} asks for more scopes, which are not requested before {owner} approves: {list}.";
    AwaitingAuthorization: [AUTHORIZED], False, Serve, Owner, Connect, moving, silent,
        "Nobody has allowed access yet.";
    AdoptionOffered: [AUTHORIZED], False, Serve, Owner, Adopt, moving, warning,
        "There is a sealed record of a former object with this name, owner and provider, after a restore or a move. Nothing is sent with it before somebody agrees.";
    AdoptionHeld: [AUTHORIZED], False, Serve, Owner, AdoptSpent, moving, warning,
        "The sealed record of the former object may be older than the last refresh: its token expired at {at}. If its refresh token was replaced since, sending it can end the grant.";
    AuthorizationInProgress: [AUTHORIZED], False, Serve, Nobody, Wait, moving, silent,
        "An authorization is in progress.";
    AuthorizationFailed: [AUTHORIZED], False, Serve, Owner, Connect, moving, warning,
        "The last attempt to connect ended without a grant.";
    MintFailed: [AUTHORIZED], False, Serve, PlatformTeam, FixProvider, moving, warning,
        "The provider does not give the app registration a first token.";
    AwaitingConfirmation: [AUTHORIZED], False, Withhold, Owner, ConfirmAccount, moving, warning,
        "Somebody allowed access for the account {account} with the code; nothing proves that it was {owner}.";
    IntakeRefused: [AUTHORIZED], False, Serve, Owner, Import, moving, warning,
        "The imported grant cannot be used.";
    IntakeDelayed: [AUTHORIZED], False, Serve, Nobody, Wait, moving, warning,
        "The imported grant cannot be checked yet.";
    IntakeOutcomeUnknown: [AUTHORIZED], False, Serve, Owner, Import, moving, warning,
        "The imported grant was sent to the provider and its answer never arrived.";
    AccountMismatch: [AUTHORIZED], False, Serve, Owner, Reconnect, moving, warning,
        "The grant belongs to another account than the expected one; another account needs a connection of its own.";
    AccountAlreadyConnected: [AUTHORIZED], False, Serve, Owner, UseOtherConnection, moving, warning,
        "Another connection already holds this account's only chain of tokens.";
    MissingScopes: [AUTHORIZED], False, Withhold, Owner, Reconnect, stalled, warning,
        "The provider did not grant required scopes: {list}.";
    ExtraScopes: [AUTHORIZED], False, Withhold, Owner, AgreeToScopes, stalled, warning,
        "The provider granted more than was requested: {list}.";
    GrantExpired: [AUTHORIZED], False, Coast, Owner, Reconnect, stalled, warning,
        "The provider no longer accepts the grant.";
    GrantRevoked: [AUTHORIZED], False, Withdraw, Owner, Reconnect, stalled, warning,
        "The grant was revoked at the provider.";
    StepUpRequired: [AUTHORIZED], False, Serve, Owner, Reconnect, stalled, warning,
        "The provider requires {owner} to sign in again.";
    AdminConsentRequired: [AUTHORIZED], False, Serve, ProviderAdministrator, ApproveApp, stalled, warning,
        "The organization at the provider has not approved the app.";
    PolicyBlocked: [AUTHORIZED], False, Serve, ProviderAdministrator, ChangePolicy, stalled, warning,
        "A rule of the organization at the provider blocks access.";
    RotationOutcomeUnknown: [AUTHORIZED], Unknown, Serve, Nobody, Wait, moving, warning,
        "A refresh was sent and its answer never arrived. The published token still works; the stored refresh token is tried once more before it expires.";
    RefreshTokenLost: [AUTHORIZED], False, Coast, Owner, Reconnect, stalled, warning,
        "A refresh was sent, its answer never arrived, and the provider has refused the stored refresh token since: the new one is very likely lost.";
    AnswerNotStored: [AUTHORIZED], Unknown, Serve, PlatformTeam, LetStore, moving, warning,
        "The provider has answered, and since {at} the API server has not accepted the answer. It is kept, and written again.";
    Disconnected: [AUTHORIZED], False, End, Nobody, Enable, moving, normal,
        "Disconnected, as spec.disconnect requests.";
    OwnerChanged: [AUTHORIZED], False, End, Nobody, Wait, moving, normal,
        "It was transferred from {list} to {owner}. What {list} allowed ends with that, and nothing of it is published any more.";
    RecordMissing: [AUTHORIZED], False, Serve, Owner, Reconnect, stalled, warning,
        "The sealed record of the grant is gone. If there is a backup, the platform team can restore it.";
    RecordTampered: [AUTHORIZED], False, Coast, PlatformTeam, InspectRecord, stalled, warning,
        "The sealed record was changed by somebody other than the operator. Nothing is sent with it.";
    RecordRolledBack: [AUTHORIZED], False, Coast, Owner, Reconnect, stalled, warning,
        "The sealed record is older than what was published: an earlier state of it was restored. Nothing is sent and nothing is published with it. If the platform team restores the newer record, it continues by itself.";
    RecordUnreadable: [AUTHORIZED], Unknown, Coast, PlatformTeam, RestoreKey, stalled, warning,
        "The keyring has no key that opens the sealed record.";
    ConsentOutdated: [AUTHORIZED], False, Coast, Owner, Reconnect, stalled, warning,
        "This is not what was consented to: {list}. Nothing is sent, and what is published stays until it expires.";
    ProviderNotAllowed: [AUTHORIZED], False, Withdraw, PlatformTeam, AllowUse, stalled, warning,
        "The provider does not allow this connection.";
    LimitReached: [AUTHORIZED], False, Coast, WorkspaceKeeper, ChangeLimits, stalled, warning,
        "Workspace {workspace} has no place for another connection like this one (spec.limits), so it gets no first grant.";
    OwnerUnverified: [AUTHORIZED], False, Withdraw, PlatformTeam, EditOwner, stalled, warning,
        "spec.owner does not name a user who can own this connection.";
    ReservedNamespace: [AUTHORIZED], False, Withdraw, Author, Recreate, stalled, warning,
        "Namespace {namespace} is reserved for Bowline or the cluster: nothing is published in it.";
    PolicyMissing: [AUTHORIZED], False, Serve, PlatformTeam, ApplyPolicies, moving, silent,
        "No new grant is taken in while admission policies that enforce ownership are not in force as shipped: {list}.";
    ProviderNotFound: [AUTHORIZED], Unknown, Coast, PlatformTeam, CreateProvider, moving, silent,
        "There is no IntegrationProvider {provider}.";
    ProviderNotReady: [AUTHORIZED], Unknown, Coast, PlatformTeam, FixProvider, moving, silent,
        "The provider cannot be used now.";
    GrantsRefused: [AUTHORIZED, Provider], Unknown, Serve, Nobody, Wait, moving, silent,
        "The provider refuses the grants of several connections at once, which says nothing about any one of them: none is given up and nothing is withdrawn. One at a time is tried until one works. If your own grant was revoked, connect again.";
    ParametersInvalid: [AUTHORIZED], False, Coast, Author, Recreate, stalled, warning,
        "spec.parameters do not fit the provider.";
    CredentialsNotFound: [AUTHORIZED], False, Serve, Author, CreateCredentials, moving, silent,
        "The Secret {secret} is missing in this namespace, or cannot be used.";

    SecretForAnother: [AUTHORIZED], False, Serve, Author, NameConnection, stalled, warning,
        "The Secret {secret} does not say that it is for this connection, so it is not read.";

    // TokenFresh: the access token.
    Fresh: [FRESH], True, Serve, Nobody, None, moving, silent,
        "The token is valid and is refreshed before it expires.";
    NeverExpires: [FRESH], True, Serve, Nobody, None, moving, silent,
        "The provider names no time at which the token expires.";
    ValidUntilExpiry: [FRESH], True, Serve, Owner, Reconnect, moving, silent,
        "The token is valid until {at} and cannot be refreshed.";
    RefreshFailing: [FRESH], True, Serve, Nobody, Wait, moving, warning,
        "The token is valid until {at}, but the last refresh failed.";
    NoToken: [FRESH], Unknown, Serve, Nobody, None, moving, silent,
        "There is no token.";
    RefreshRefused: [FRESH], False, Serve, Owner, Reconnect, stalled, warning,
        "The provider refused to refresh {list} times in a row. It is tried daily, on request, and when the app Secret changes.";
    TokenRefused: [FRESH], False, Serve, Nobody, None, moving, warning,
        "The provider does not honor the token any more, before its end. Where the grant can be refreshed, another token is requested now.";
    TokenExpired: [FRESH], False, Serve, Nobody, Wait, moving, warning,
        "The token expired at {at} and no new one has arrived.";
    NotRefreshable: [FRESH], False, Serve, Owner, Reconnect, stalled, warning,
        "The token expired at {at} and the grant has no refresh token.";
    NoValidKey: [FRESH], False, Serve, Owner, CreateKey, stalled, warning,
        "No key is valid: each has expired or was revoked.";
    Suspended: [FRESH], False, Coast, Nobody, Resume, moving, silent,
        "Suspended: nothing is sent to the provider, and what is published stays until it expires.";

    // SecretPublished, and Ready of a share or binding: the Secret.
    Published: [PUBLISHED, Share], True, Serve, Nobody, None, moving, normal,
        "The Secret {secret} holds the token.";
    NotYet: [PUBLISHED, Share, Binding], False, Serve, Nobody, Wait, moving, silent,
        "Nothing is published yet.";
    Withheld: [PUBLISHED, Share], False, Serve, Nobody, Wait, moving, silent,
        "There is a newer token that is not published: see Authorized.";
    Withdrawn: [PUBLISHED, Share], False, Serve, Nobody, Wait, moving, silent,
        "The Secret {secret} was removed: see Authorized.";
    NameTaken: [PUBLISHED, Share, Binding], False, Serve, Author, FreeName, stalled, warning,
        "Secret {secret} exists and belongs to somebody else; it was not touched.";
    NameReserved: [PUBLISHED, Binding], False, Serve, Author, EditSecret, stalled, warning,
        "The name {secret} is the own name or the id of another connection, for whose Secret it is reserved.";
    QuotaExceeded: [PUBLISHED, Share, Binding], False, Serve, PlatformTeam, RaiseQuota, stalled, warning,
        "The quota of namespace {namespace} leaves no room for Secret {secret}.";
    Forbidden: [PUBLISHED, Share, Binding], False, Serve, PlatformTeam, GrantRights, stalled, warning,
        "The operator may not write Secret {secret}, or a policy refuses it.";
    NamespaceUnreadable: [AUTHORIZED, PUBLISHED, Share, Binding], Unknown, Serve, PlatformTeam, GrantRights, moving, warning,
        "The operator cannot list the Secrets of namespace {namespace}, so it does not know what is there.";
    TemplateFailed: [PUBLISHED, Binding], False, Serve, Author, EditTemplate, stalled, warning,
        "The template cannot be rendered.";
    FormatFailed: [PUBLISHED, Binding], False, Serve, Author, EditSecret, stalled, warning,
        "The Secret cannot be written as spec.secret requests.";
    LoginUnknown: [PUBLISHED, Binding], False, Serve, PlatformTeam, FixProvider, stalled, warning,
        "The provider's description does not say where, or as whom, the tools that read spec.secret.format sign in.";

    // Shared: the Secrets in the workspace.
    Shared: [SHARED], True, Serve, Nobody, None, moving, normal,
        "Published in every other namespace of workspace {workspace}.";
    PartiallyPublished: [SHARED], False, Serve, Nobody, Wait, moving, silent,
        "Not yet published in {list}. The ConnectionShare there says why.";
    WorkspaceNotFound: [SHARED], False, Serve, PlatformTeam, CreateWorkspace, moving, silent,
        "There is no Workspace {workspace}.";
    WorkspaceUnreadable: [SHARED], Unknown, Serve, WorkspaceKeeper, CorrectObject, moving, silent,
        "Workspace {workspace} cannot be read: its Event Unreadable names the field. What is shared stays shared.";
    OwnerNotMember: [SHARED], False, Serve, WorkspaceKeeper, AddMember, moving, silent,
        "{owner} is not a member of workspace {workspace}.";

    OwnerApprovalNeeded: [SHARED], False, Serve, Owner, Approve, moving, warning,
        "It is shared as {owner} agreed, and no further before {owner} approves: {list}.";
    SharingNotAllowed: [SHARED], False, Serve, WorkspaceKeeper, ChangeLimits, moving, silent,
        "Workspace {workspace} does not take it (spec.limits), so it is not shared there.";

    // Members: their rights.
    MembersInForce: [MEMBERS], True, Serve, Nobody, None, moving, silent,
        "The members may do what their roles say.";
    MembersWait: [MEMBERS], False, Serve, Owner, Connect, moving, silent,
        "The members may do nothing before {owner} has allowed access.";
    RoleTaken: [MEMBERS, Event], False, Serve, Author, FreeRole, moving, warning,
        "{list} exists and is not Bowline's. It was not touched, and the members do not get their rights.";
    MembersNotWritten: [MEMBERS], False, Serve, PlatformTeam, GrantRoles, moving, warning,
        "The rights of the members could not be written, or not taken away.";

    ConnectionReplaced: [SHARED], False, Serve, WorkspaceKeeper, AcceptOwner, moving, warning,
        "{list} shared another connection as {namespace}.{name} before. Nobody gets the account of {owner} under that id until the workspace agrees.";

    // Ready of the other kinds.
    Ready: [Provider, Workspace], True, Serve, Nobody, None, moving, silent,
        "It can be used.";
    AppSecretNotFound: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "The app Secret with client_id and client_secret is missing.";
    AppSecretIncomplete: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "The app Secret cannot be used.";
    CertificateExpiringSoon: [Provider], True, Serve, PlatformTeam, ReplaceCertificate, moving, silent,
        "It can be used. The TLS client certificate in the app Secret expires at {at}, and with it all requests end.";
    CertificateInvalid: [Provider], False, Serve, PlatformTeam, ReplaceCertificate, stalled, silent,
        "The TLS client certificate in the app Secret is not valid now: nothing is sent with it.";
    UnknownType: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "The catalogue has no such type: run bowline catalog list. spec.type is immutable, so create a new provider.";
    OverlayInvalid: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "spec.overlay does not describe a provider.";
    ParametersMissing: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "A parameter or an address has no value, or one that is not allowed.";
    DiscoveryFailed: [Provider], False, Serve, PlatformTeam, FixProvider, moving, silent,
        "The issuer's metadata could not be read; it is tried again.";
    RegistrationFailed: [Provider], False, Serve, PlatformTeam, FixProvider, moving, silent,
        "The operator could not register itself at the authorization server.";
    EndpointRefused: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "An address may not be used: see spec.network and the operator's bounds.";
    AppRejected: [Provider], False, Serve, PlatformTeam, FixProvider, stalled, silent,
        "The provider refuses our app registration. Its connections pause, and no grant is condemned.";
    NamespaceMissing: [Workspace], False, Serve, WorkspaceKeeper, FixWorkspace, stalled, silent,
        "A namespace of the workspace does not exist; the others are served.";
    NamespaceReserved: [Workspace], False, Serve, WorkspaceKeeper, FixWorkspace, stalled, silent,
        "A namespace is reserved for Bowline or the cluster; the others are served.";
    NamespaceInOtherWorkspace: [Workspace], False, Serve, WorkspaceKeeper, FixWorkspace, stalled, silent,
        "A namespace belongs to an older Workspace; the others are served.";
    LimitExceeded: [Workspace], True, Serve, WorkspaceKeeper, ChangeLimits, moving, silent,
        "It can be used. More counts towards it than spec.limits allows: what is connected stays so, and nothing is added.";
    SecretRefused: [Share], False, Serve, PlatformTeam, FixProvider, stalled, warning,
        "The Secret cannot be written.";
    ConnectionNotReady: [Share, Binding], False, Serve, Owner, FixConnection, moving, silent,
        "The connection has no valid token that is published here.";
    Bound: [Binding], True, Serve, Nobody, None, moving, normal,
        "The Secret {secret} holds the token of the connection.";
    ConnectionNotFound: [Binding], False, Serve, Author, ChooseConnection, moving, silent,
        "This namespace has no connection with the id in spec.connection, and none is shared with it under that id.";
    ConnectionDeleted: [Binding], False, Serve, Author, ChooseAnother, stalled, warning,
        "The connection of this namespace that was bound is deleted.";
    ShareWithdrawn: [Binding], False, Serve, Author, AskToShare, stalled, warning,
        "The connection was shared with this namespace, and is not any more.";
    ConnectionMismatch: [Binding], False, Serve, Author, AcceptConnection, stalled, warning,
        "It is not the connection, owner or account that this binding was made with.";
    ConfigInvalid: [PUBLISHED, Binding], False, Serve, Author, EditConfig, stalled, warning,
        "spec.config cannot be published.";

    // Delivered of bindings: what the workload says.
    Delivered: [Delivery], True, Serve, Nobody, None, moving, silent,
        "The workload reports a delivery: {list}.";
    DeliveryFailing: [Delivery], False, Serve, Author, FixDelivery, moving, warning,
        "The workload reports a failed delivery: {list}. The Secret is published all the same.";
    DeliveryUnreadable: [Delivery], Unknown, Serve, Author, CorrectMark, moving, silent,
        "The workload's mark, annotation bowline.dev/delivery, cannot be read.";

    // Events alone.
    Refreshed: [Event], True, Serve, Nobody, None, moving, normal,
        "Refreshed on request.";
    NudgeForbidden: [Event], False, Serve, Author, GrantNudge, moving, warning,
        "The Secret {secret} is published, but the pods that mount it get it later: the operator may not list and patch pods in namespace {here}.";
    GrantReplaced: [Event], True, Serve, Nobody, None, moving, normal,
        "Another grant is in use, read from the credentials Secret.";
    KeyCreated: [Event], True, Serve, Nobody, None, moving, normal,
        "{owner} created the key {list}.";
    KeyRevoked: [Event], True, Serve, Nobody, None, moving, normal,
        "The key {list} was revoked.";
    KeyExpired: [Event], True, Serve, Nobody, None, moving, normal,
        "The key {list} has expired.";
    Recovered: [Event], True, Serve, Nobody, None, moving, normal,
        "The connection works again.";
    Unshared: [Event], True, Serve, Nobody, None, moving, normal,
        "The connection left the workspace.";
    OwnerRemoved: [Event], True, Serve, WorkspaceKeeper, AddMember, moving, warning,
        "The connection left the workspace because its owner did.";
    NotWithdrawn: [Event], True, Serve, PlatformTeam, RemoveByHand, moving, warning,
        "The connection is gone and these Secrets of it could not be removed: {list}. It is tried again.";
    Revoked: [Event], True, Serve, Nobody, None, moving, normal,
        "The provider has confirmed that the grant is revoked.";
    AlreadyRevoked: [Event], True, Serve, Nobody, None, moving, normal,
        "The provider says that there was nothing left to revoke.";
    RevocationWaits: [Event], True, Serve, Nobody, Wait, moving, normal,
        "The grant is not revoked at the provider yet, because that could end another one that is in use.";
    RevocationUnsupported: [Event], True, Serve, Owner, RevokeByHand, moving, warning,
        "The grant is erased here, and nothing was sent to revoke it: the provider takes no request for that.";
    RevocationFailed: [Event], True, Serve, Owner, RevokeByHand, moving, warning,
        "The grant could not be revoked at the provider.";
    RevocationGivenUp: [Event], True, Serve, Owner, RevokeByHand, moving, warning,
        "The grant was not revoked at the provider, and that is not tried any more.";
    Unreadable: [Event], True, Serve, Author, CorrectObject, moving, warning,
        "The object cannot be read and is set aside.";
    InternalError: [Event], True, Serve, Nobody, Wait, moving, warning,
        "The operator failed at this object because of a fault in its own program. Everything else is served; the operator's log says more.";
}
