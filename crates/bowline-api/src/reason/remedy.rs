//! Who can change something, and what helps.

/// Who can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixer {
    /// Nobody has to: all is well, as asked, or it continues by itself.
    Nobody,
    /// The owner of the connection.
    Owner,
    /// Whoever maintains the object or the workload.
    Author,
    /// Whoever maintains the Workspace.
    WorkspaceKeeper,
    /// The people who run Bowline and this cluster.
    PlatformTeam,
    /// An administrator of the owner's organization at the provider.
    ProviderAdministrator,
}

impl Fixer {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::Nobody,
        Self::Owner,
        Self::Author,
        Self::WorkspaceKeeper,
        Self::PlatformTeam,
        Self::ProviderAdministrator,
    ];

    /// In a table or a line of its own.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Owner => "the owner",
            Self::Author => "whoever maintains the object",
            Self::WorkspaceKeeper => "whoever maintains the workspace",
            Self::PlatformTeam => "the platform team",
            Self::ProviderAdministrator => "an administrator at the provider",
        }
    }

    /// How a sentence begins that says what to do.
    pub(super) const fn request(self) -> &'static str {
        match self {
            Self::Nobody => "To continue, ",
            Self::Owner => "{owner} must ",
            Self::Author => "Whoever maintains this object must ",
            Self::WorkspaceKeeper => "Ask whoever maintains workspace {workspace} to ",
            Self::PlatformTeam => "Ask {contact} to ",
            Self::ProviderAdministrator => "Ask an administrator of your organization at {provider} to ",
        }
    }
}

/// How a grant reaches a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The owner allows access in a browser.
    Browser,
    /// The owner allows access on any device, with a code.
    Device,
    /// The owner imports a key, a password, or a token obtained elsewhere.
    Import,
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: all is well.
    None,
    /// It continues by itself.
    Wait,
    /// Allow access for the first time, or after a failed attempt.
    Connect,
    /// Allow access again.
    Reconnect,
    /// Import a grant that can be used.
    Import,
    /// Say whether the account is the right one.
    ConfirmAccount,
    /// Accept the scopes that were granted beyond the requested ones.
    AgreeToScopes,
    /// Approve the app for the organization at the provider.
    ApproveApp,
    /// Change a rule of the organization at the provider.
    ChangePolicy,
    /// Use the connection that already holds the account.
    UseOtherConnection,
    /// Change this field of the spec.
    EditSpec(&'static str),
    /// Create another connection: what is wrong cannot be changed in this one.
    Recreate,
    /// Set `spec.suspend` to false.
    Resume,
    /// Set `spec.disconnect` to false.
    Enable,
    /// Put a key back into the keyring.
    RestoreKey,
    /// Find out who changed the record.
    InspectRecord,
    /// Create the `IntegrationProvider`.
    CreateProvider,
    /// Change the `IntegrationProvider`, or its app Secret.
    FixProvider,
    /// Let the connection use the provider.
    AllowUse,
    /// Create the Secret that the spec names.
    CreateCredentials,
    /// Use another name for the Secret, or remove the one that has it.
    FreeName,
    /// Make room in the namespace's quota.
    RaiseQuota,
    /// Let the operator write Secrets in the namespace.
    GrantRights,
    /// Create the Workspace.
    CreateWorkspace,
    /// Add the owner to the Workspace's members.
    AddMember,
    /// Change the Workspace's namespaces.
    FixWorkspace,
    /// Fix the connection behind the share.
    FixConnection,
    /// Revoke the grant by hand.
    RevokeByHand,
    /// Correct the object so that it can be read.
    CorrectObject,
}

impl Remedy {
    /// Whether it lies in the `IntegrationProvider` or in its app registration.
    pub(super) const fn is_about_the_provider(self) -> bool {
        matches!(self, Self::CreateProvider | Self::FixProvider | Self::AllowUse)
    }

    /// What to do, as the end of a sentence that names who.
    pub(super) const fn step(self) -> &'static str {
        match self {
            Self::None | Self::Wait => "",
            Self::Connect => "connect: {how}",
            Self::Reconnect => "connect again",
            Self::Import => "import a grant that can be used",
            Self::ConfirmAccount => "confirm the account {account}",
            Self::AgreeToScopes => {
                "agree to them in the portal or add them to spec.scopes, or take them back at the provider and connect again"
            }
            Self::ApproveApp => "approve the app at {approval}; then connect again",
            Self::ChangePolicy => "allow the app in the organization's rules; then it continues by itself",
            Self::UseOtherConnection => "use that connection, or ask its owner to share it",
            Self::EditSpec(_) => "change spec.{field}",
            Self::Recreate => "create a new connection: this cannot be changed in place",
            Self::Resume => "set spec.suspend to false",
            Self::Enable => "set spec.disconnect to false and connect again",
            Self::RestoreKey => "put the missing key back into the keyring; nobody has to connect again",
            Self::InspectRecord => "find out who changed it; then {owner} must connect again",
            Self::CreateProvider => "create the IntegrationProvider {provider}; then it continues by itself",
            Self::FixProvider => "fix the provider; then it continues by itself",
            Self::AllowUse => "let this connection use the provider (spec.allow)",
            Self::CreateCredentials => {
                "create the Secret {secret} with the type bowline.dev/credential; then it continues by itself"
            }
            Self::FreeName => {
                "delete the Secret that has the name, or choose another spec.secret.name of the connection"
            }
            Self::RaiseQuota => "make room in the namespace's quota",
            Self::GrantRights => "let the operator write Secrets in namespace {here}",
            Self::CreateWorkspace => "create the Workspace {workspace}; then it is shared by itself",
            Self::AddMember => "make {owner} a member; then it is shared by itself",
            Self::FixWorkspace => "change spec.namespaces, or create what is missing",
            Self::FixConnection => "fix the connection; then the share follows by itself",
            Self::RevokeByHand => "revoke it at the provider by hand",
            Self::CorrectObject => "correct the object; all others are served meanwhile",
        }
    }

    /// The command that says it in a sentence.
    pub(super) const fn short_command(self) -> &'static str {
        match self {
            Self::Import => "kubectl bowline import {name}",
            Self::ConfirmAccount => "kubectl bowline connect {name} --accept-account {account_id}",
            _ => "",
        }
    }

    /// The command that carries it out, or shows what is needed. Holes as in [`super::Row::sentence`].
    pub(super) const fn command(self, entrance: Entrance) -> &'static str {
        match self {
            Self::Wait => "kubectl bowline list -n {namespace} --watch",
            Self::Connect | Self::Reconnect => match entrance {
                Entrance::Browser => "kubectl bowline connect {name} -n {namespace}",
                Entrance::Device => "kubectl bowline connect {name} -n {namespace} --device",
                Entrance::Import => IMPORT,
            },
            Self::Import => IMPORT,
            Self::ConfirmAccount => {
                "kubectl bowline connect {name} -n {namespace} --accept-account {account_id}"
            }
            Self::AgreeToScopes | Self::EditSpec(_) => "kubectl edit ic {name} -n {namespace}",
            Self::Recreate => "kubectl get ic {name} -n {namespace} -o yaml",
            Self::ChangePolicy => "kubectl bowline refresh {name} -n {namespace}",
            Self::ApproveApp => {
                "kubectl get ic {name} -n {namespace} -o jsonpath='{.status.authorization.adminConsentURL}'"
            }
            Self::FixProvider => "kubectl describe iprov {provider}",
            Self::None | Self::UseOtherConnection => "kubectl bowline list --usable -n {namespace}",
            Self::Resume => {
                "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"suspend\":false}}'"
            }
            Self::Enable => {
                "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"disconnect\":false}}'"
            }
            Self::RestoreKey => "kubectl get secrets -A --field-selector metadata.name=bowline-keyring",
            Self::InspectRecord => {
                "kubectl get secrets -A --field-selector type=bowline.dev/record --show-managed-fields -o yaml"
            }
            Self::CreateProvider => "kubectl get iprov",
            Self::AllowUse => "kubectl edit iprov {provider}",
            Self::CreateCredentials => {
                "kubectl get secrets -n {namespace} --field-selector type=bowline.dev/credential"
            }
            Self::FreeName => "kubectl get secret {secret} -n {here} -o yaml",
            Self::RaiseQuota => "kubectl describe quota -n {here}",
            Self::GrantRights => "kubectl get rolebindings -n {here}",
            Self::CreateWorkspace => "kubectl get workspaces.bowline.dev",
            Self::AddMember | Self::FixWorkspace => "kubectl edit workspaces.bowline.dev {workspace}",
            Self::FixConnection | Self::RevokeByHand | Self::CorrectObject => {
                "kubectl bowline describe {name} -n {namespace}"
            }
        }
    }
}

const IMPORT: &str = "kubectl bowline import {name} -n {namespace} --from-file FILE";
