//! Well-known names on the objects: labels, annotations, Secret types, finalizers.

/// Group of all kinds.
pub const GROUP: &str = "bowline.dev";

/// Label on everything the operator writes.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "bowline";
/// Label on published Secrets, records and shares: UID of the connection.
pub const LABEL_CONNECTION_UID: &str = "bowline.dev/connection-uid";
/// Label on published Secrets, records and shares: namespace of the connection.
pub const LABEL_CONNECTION_NAMESPACE: &str = "bowline.dev/connection-namespace";
/// Label on published Secrets, records and shares: name of the connection.
pub const LABEL_CONNECTION_NAME: &str = "bowline.dev/connection-name";
/// Label on records: name of the `IntegrationProvider`.
pub const LABEL_PROVIDER: &str = "bowline.dev/provider";
/// Label on shares: name of the workspace.
pub const LABEL_WORKSPACE: &str = "bowline.dev/workspace";
/// Label on attempts: UID of the connection. Not under `bowline.dev/`, which on Secrets only the operator may set.
pub const LABEL_ATTEMPT_CONNECTION: &str = "attempts.bowline.dev/connection-uid";
/// Label on attempts: digest of the user's name, to count what one user has open.
pub const LABEL_ATTEMPT_USER: &str = "attempts.bowline.dev/user-digest";
/// Label on intake Secrets: the name of the connection they are for.
pub const LABEL_INTAKE_FOR: &str = "bowline.dev/connection";

/// Annotation on published Secrets: id of the connection.
pub const ANNOTATION_CONNECTION: &str = "bowline.dev/connection";
/// Annotation on published Secrets: id of the grant whose token it holds.
pub const ANNOTATION_GRANT_ID: &str = "bowline.dev/grant-id";
/// Annotation on published Secrets: how often that grant was refreshed.
pub const ANNOTATION_REVISION: &str = "bowline.dev/revision";
/// Annotation on published Secrets: when the access token expires (RFC 3339).
pub const ANNOTATION_EXPIRES_AT: &str = "bowline.dev/expires-at";

/// Annotation on pods: when the operator last told them that a Secret they mount has changed (RFC 3339).
pub const ANNOTATION_NUDGED_AT: &str = "bowline.dev/nudged-at";

/// Annotation on credentials Secrets: the names of the connections that may use it, separated by commas.
pub const ANNOTATION_FOR: &str = "bowline.dev/for";

/// Annotation on a connection: a new value requests one refresh.
pub const ANNOTATION_REFRESH_REQUESTED: &str = "bowline.dev/refresh-requested-at";
/// Annotation on a connection: `<name>/<uid>` of the intake Secret to take.
pub const ANNOTATION_INTAKE: &str = "bowline.dev/intake";

/// Annotation on a connection: a new value requests an authorization by device flow (RFC 8628).
pub const ANNOTATION_AUTHORIZE_REQUESTED: &str = "bowline.dev/authorize-requested-at";
/// Annotation on a connection: the id of the account that its owner confirms.
pub const ANNOTATION_ACCEPT_ACCOUNT: &str = "bowline.dev/accept-account";
/// Annotation on a connection: its UID, by which its owner confirms that it may be deleted while bindings hold its token.
pub const ANNOTATION_CONFIRM_DELETE: &str = "bowline.dev/confirm-delete";
/// Annotation on a connection: who set its present terms (`spec.workspace`, `spec.shared`, `spec.scopes`). Absent means its owner.
pub const ANNOTATION_TERMS_BY: &str = "bowline.dev/terms-by";
/// Annotation on a connection: the digest of proposed terms (`status.terms.digest`), by which its owner approves them.
pub const ANNOTATION_APPROVE_TERMS: &str = "bowline.dev/approve-terms";
/// Annotation on a connection: the record of the former object with its name is to be adopted ([`ADOPT_RECORD`] or
/// [`ADOPT_EVEN_IF_SPENT`]), once there is one.
pub const ANNOTATION_ADOPT: &str = "bowline.dev/adopt";
/// Value of [`ANNOTATION_ADOPT`]: unless the record may be older than the last refresh.
pub const ADOPT_RECORD: &str = "record";
/// Value of [`ANNOTATION_ADOPT`]: also then.
pub const ADOPT_EVEN_IF_SPENT: &str = "even-if-spent";
/// Annotation on a binding: what its workload reports of the last thing it did with the token ([`crate::delivery`]).
pub const ANNOTATION_DELIVERY: &str = "bowline.dev/delivery";
/// Annotation on a disconnected connection: its UID, by which its owner has the grant revoked without the pause in which the
/// disconnection could be undone.
pub const ANNOTATION_REVOKE_NOW: &str = "bowline.dev/revoke-now";
/// Value of [`ANNOTATION_ACCEPT_ACCOUNT`] for an account that the provider does not name.
pub const UNNAMED_ACCOUNT: &str = "unnamed";
/// Annotation on a connection that the portal writes: the user for whom it acts in the same request.
pub const ANNOTATION_ACTING_USER: &str = "bowline.dev/acting-user";
/// Annotation on a connection that the portal writes: the verb with which that user acts on what is not theirs. The policies
/// let the portal's own verb count in no other request.
pub const ANNOTATION_ACTING_WITH: &str = "bowline.dev/acting-with";
/// The verb of whoever names somebody else as owner, and acts on their connections.
pub const VERB_ASSIGN_OWNER: &str = "assign-owner";
/// Annotation on a connection that the portal created: the user who requested it there.
pub const ANNOTATION_MADE_BY: &str = "bowline.dev/made-by";
/// Annotation on a connection that the portal paused: when (RFC 3339), a space, and the user.
pub const ANNOTATION_SUSPENDED_BY: &str = "bowline.dev/suspended-by";
/// Annotation on a connection that the portal disconnected: when (RFC 3339), a space, and the user.
pub const ANNOTATION_DISCONNECTED_BY: &str = "bowline.dev/disconnected-by";

/// Type of the sealed record Secrets in the operator's namespace.
pub const TYPE_RECORD: &str = "bowline.dev/record";
/// Type of the Secrets in the operator's namespace that remember who shared a connection under an id.
pub const TYPE_SHARER: &str = "bowline.dev/sharer";
/// Type of the sealed Secrets there that hold a grant until it is revoked at its provider.
pub const TYPE_ENDING: &str = "bowline.dev/ending";
/// Type of the short-lived Secrets that import a grant.
pub const TYPE_INTAKE: &str = "bowline.dev/intake";
/// Type of the short-lived Secrets through which portal and operator carry out an attempt.
pub const TYPE_ATTEMPT: &str = "bowline.dev/attempt";
/// Type of Secrets that connections may name in `credentials`; no other Secret is ever read for them.
pub const TYPE_CREDENTIAL: &str = "bowline.dev/credential";
/// Type of Secrets with an app registration, which providers and connections name in `app`; no other Secret is ever read as one.
pub const TYPE_APP: &str = "bowline.dev/app";

/// Finalizer on a connection that may have a grant.
pub const FINALIZER: &str = "bowline.dev/grant";

/// Field manager of what the operator applies, save status.
pub const FIELD_MANAGER: &str = "bowline";
/// Field manager of status.
pub const STATUS_MANAGER: &str = "bowline/status";

/// The namespace of the portal, as shipped.
const PORTAL_NAMESPACE: &str = "bowline-portal";

/// Whether nothing is published in a namespace: it is the cluster's, the portal's, or one of `ours`.
pub fn is_reserved(namespace: &str, ours: &[&str]) -> bool {
    namespace.starts_with("kube-") || namespace == PORTAL_NAMESPACE || ours.contains(&namespace)
}

/// The stable id of a connection: `<namespace>.<name>`. Also the name of its shares and of the Secrets they publish.
pub fn connection_id(namespace: &str, name: &str) -> String {
    format!("{namespace}.{name}")
}

/// Namespace and name of the connection with this id; neither contains a dot.
pub fn connection_of(id: &str) -> Option<(&str, &str)> {
    id.split_once('.')
}
