//! Who can change something, and what helps.

/// Who can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixer {
    /// Nobody has to: all is well, as requested, or it continues by itself.
    Nobody,
    /// The owner of the connection.
    Owner,
    /// Whoever maintains the object or the workload.
    Author,
    WorkspaceKeeper,
    /// The people who run Bowline and this cluster.
    PlatformTeam,
    /// An administrator of the owner's organization at the provider.
    ProviderAdministrator,
}

impl Fixer {
    /// In a table or on a line of its own.
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

    /// The beginning of a sentence that says what to do.
    pub(super) const fn request(self) -> &'static str {
        match self {
            Self::Nobody => "To continue, ",
            Self::Owner => "{owner} must ",
            Self::Author => "Whoever maintains this object must ",
            Self::WorkspaceKeeper => "Ask {keeper} to ",
            Self::PlatformTeam => "Ask {contact} to ",
            Self::ProviderAdministrator => "Ask an administrator of your organization at {provider} to ",
        }
    }
}

/// How a connection gets a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The owner allows access in a browser.
    Browser,
    /// The owner allows access on any device, with a code.
    Device,
    /// The owner imports a key, a password, or a token obtained elsewhere.
    Import,
    /// The owner has a key issued.
    Key,
}

/// `Name: step, command;`
///
/// The step is the end of a sentence that names who acts; the command carries it out, or shows what is needed.
macro_rules! remedies {
    ($($(#[$doc:meta])* $name:ident: $step:literal, $command:expr;)*) => {
        /// What helps.
        #[allow(clippy::doc_markdown, reason = "the steps are for people, who see them without backticks")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Remedy {
            $($(#[$doc])* #[doc = $step] $name,)*
        }

        impl Remedy {
            pub(super) const fn step(self) -> &'static str {
                match self {
                    $(Self::$name => $step,)*
                }
            }

            const fn usual_command(self) -> &'static str {
                match self {
                    $(Self::$name => $command,)*
                }
            }
        }
    };
}

const CONNECT: &str = "kubectl bowline connect {name} -n {namespace}";
const IMPORT: &str = "kubectl bowline import {name} -n {namespace} --from-file FILE";
const ISSUE: &str = "kubectl bowline issue {name} -n {namespace}";
const LIST_USABLE: &str = "kubectl bowline list --usable -n {namespace}";
const EDIT: &str = "kubectl edit ic {name} -n {namespace}";
const DESCRIBE: &str = "kubectl bowline describe {name} -n {namespace}";
const EDIT_WORKSPACE: &str = "kubectl edit workspaces.bowline.dev {workspace}";

remedies! {
    /// All is well.
    None: "", LIST_USABLE;
    /// It continues by itself.
    Wait: "", "kubectl bowline list -n {namespace} --watch";
    Connect: "connect: {how}", CONNECT;
    Reconnect: "connect again", CONNECT;
    Adopt: "agree to adopting it, or connect again", "kubectl bowline adopt {name} -n {namespace}";
    AdoptSpent: "connect again; or, if nobody has refreshed it since the backup, adopt it with --even-if-spent", CONNECT;
    Import: "import a grant that can be used", IMPORT;
    CreateKey: "create a key", ISSUE;
    ConfirmAccount: "confirm the account {account}",
        "kubectl bowline connect {name} -n {namespace} --accept-account {account_id}";
    AgreeToScopes: "agree to them in the portal or add them to spec.scopes, or take them back at the provider and connect again",
        EDIT;
    Approve: "approve what is proposed in the portal or by kubectl bowline approve, or have it taken back",
        "kubectl bowline approve {name} -n {namespace}";
    ApproveApp: "approve the app at {approval}; then connect again",
        "kubectl get ic {name} -n {namespace} -o jsonpath='{.status.authorization.adminConsentURL}'";
    ChangePolicy: "allow the app in the organization's rules; then it continues by itself",
        "kubectl bowline refresh {name} -n {namespace}";
    UseOtherConnection: "use that connection, or ask its owner to share it", LIST_USABLE;
    EditOwner: "change spec.owner", EDIT;
    EditSecret: "change spec.secret", EDIT;
    EditTemplate: "change spec.secret.template", EDIT;
    Recreate: "create a new connection: this cannot be changed in place",
        "kubectl get ic {name} -n {namespace} -o yaml";
    Resume: "set spec.suspend to false",
        "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"suspend\":false}}'";
    Enable: "set spec.disconnect to false and connect again",
        "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"disconnect\":false}}'";
    RestoreKey: "put the missing key back into the keyring; nobody has to connect again",
        "kubectl get secrets -A --field-selector metadata.name=bowline-keyring";
    InspectRecord: "find out who changed it; then {owner} must connect again",
        "kubectl get secrets -A --field-selector type=bowline.dev/record --show-managed-fields -o yaml";
    LetStore: "let the operator write Secrets in its own namespace, before it is restarted",
        "kubectl get secrets -A --field-selector type=bowline.dev/record";
    RemoveByHand: "let the operator delete Secrets there, or delete them by hand",
        "kubectl get secrets -A -l app.kubernetes.io/managed-by=bowline";
    CreateProvider: "create the IntegrationProvider {provider}; then it continues by itself",
        "kubectl get iprov";
    FixProvider: "fix the provider; then it continues by itself",
        "kubectl describe iprov {provider}";
    ReplaceCertificate: "put a new certificate and its key into tls.crt and tls.key of the app Secret; it is picked up by itself",
        "kubectl describe iprov {provider}";
    AllowUse: "let this connection use the provider (spec.allow)",
        "kubectl edit iprov {provider}";
    CreateCredentials: "create the Secret {secret}, of type bowline.dev/credential or for an app bowline.dev/app; then it continues by itself",
        "kubectl get secrets -n {namespace}";
    NameConnection: "let somebody who may change the Secret name this connection in its annotation bowline.dev/for (of several, all names with commas)",
        "kubectl annotate secret {secret} -n {namespace} bowline.dev/for={name}";
    ApplyPolicies: "apply deploy/admission as shipped with this version; then it continues by itself",
        "kubectl bowline doctor";
    AcceptOwner: "accept {owner} as its owner (spec.acceptedOwners)",
        "kubectl patch workspaces.bowline.dev {workspace} --type merge -p {acceptance}";
    FreeName: "delete the Secret that has the name, or choose another spec.secret.name",
        "kubectl get secret {secret} -n {here} -o yaml";
    RaiseQuota: "make room in the namespace's quota",
        "kubectl describe quota -n {here}";
    GrantRights: "let the operator write Secrets in namespace {here}",
        "kubectl get rolebindings -n {here}";
    GrantNudge: "apply the Role of examples/nudge in namespace {here}, or take spec.secret.nudge away",
        "kubectl get rolebindings -n {here}";
    FreeRole: "delete it, or have it renamed; then it continues by itself",
        "kubectl get roles,rolebindings -n {namespace}";
    GrantRoles: "give the operator its rights as shipped (deploy/rbac); then it continues by itself",
        "kubectl describe clusterrole bowline-operator";
    CreateWorkspace: "create the Workspace {workspace}; then it is shared by itself",
        "kubectl get workspaces.bowline.dev";
    AddMember: "make {owner} a member; then it is shared by itself", EDIT_WORKSPACE;
    FixWorkspace: "change spec.namespaces, or create what is missing", EDIT_WORKSPACE;
    ChangeLimits: "change its spec.limits, or have connections deleted that are not needed there; then it continues by itself",
        "kubectl get workspaces.bowline.dev -o yaml";
    FixConnection: "fix the connection; then its Secret here follows by itself", DESCRIBE;
    ChooseConnection: "correct spec.connection, or ask the connection's owner to share it with this namespace's workspace; then it continues by itself",
        LIST_USABLE;
    ChooseAnother: "choose another connection in spec.connection", LIST_USABLE;
    AskToShare: "ask the connection's owner to share it again, or choose another in spec.connection", LIST_USABLE;
    AcceptConnection: "check whose it is now, and accept it in spec.accept or choose another in spec.connection",
        "kubectl get cb -n {here} -o yaml";
    EditConfig: "change spec.config", "kubectl get cb -n {here} -o yaml";
    FixDelivery: "look at that item, and at what the workload logged; after the next success this is over",
        "kubectl get pods -n {here}";
    CorrectMark: "have the workload write it as docs/bindings.md says",
        "kubectl get cb -n {here} -o yaml";
    RevokeByHand: "revoke it at the provider by hand", DESCRIBE;
    CorrectObject: "correct the object; all others are served meanwhile", DESCRIBE;
}

impl Remedy {
    /// Whether the `IntegrationProvider` or its app registration has to change.
    pub(super) const fn is_about_the_provider(self) -> bool {
        matches!(self, Self::CreateProvider | Self::FixProvider | Self::ReplaceCertificate | Self::AllowUse)
    }

    /// The command for the remedy, in a sentence.
    pub(super) const fn short_command(self) -> &'static str {
        match self {
            Self::Import => "kubectl bowline import {name}",
            Self::NameConnection | Self::AcceptOwner => self.usual_command(),
            Self::ConfirmAccount => "kubectl bowline connect {name} --accept-account {account_id}",
            _ => "",
        }
    }

    /// The command for a connection that is authorized in this way.
    pub(super) const fn command(self, entrance: Entrance) -> &'static str {
        match (self, entrance) {
            (Self::Connect | Self::Reconnect, Entrance::Device) => {
                "kubectl bowline connect {name} -n {namespace} --device"
            }
            (Self::Connect | Self::Reconnect, Entrance::Import) => IMPORT,
            (Self::Connect | Self::Reconnect | Self::Import, Entrance::Key) => ISSUE,
            _ => self.usual_command(),
        }
    }
}
