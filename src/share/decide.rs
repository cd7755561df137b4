//! What to do about a share: pure, from the object and what was observed.

use std::sync::Arc;

use bowline_api::reason::Reason;
use bowline_api::{ConnectionShare, IntegrationConnection, names};
use bowline_runtime::follow::ObjectVersion;
use kube::ResourceExt;

use crate::following::decide::SecretFollower;
use crate::publishing::PublishedVersion;
use crate::secret_plan::{GrantInUse, SecretPlan};
use crate::sharing::{self, Shared};

pub(crate) struct ObservedShare {
    /// UID, namespace and name of the share.
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The connection, if it is still the one with the UID of the share's spec.
    pub(crate) source: Option<ShareSource>,
    /// The Secret under the share's name, if there is one.
    pub(crate) secret: Option<ObjectVersion>,
    pub(crate) written: Option<PublishedVersion>,
}

impl ObservedShare {
    pub(super) fn grant(&self) -> Option<&GrantInUse> {
        self.source.as_ref()?.grant.as_ref()
    }

    /// The share's Secret, which has its name, and no `spec.secret` that anybody could change.
    pub(super) fn follower(&self) -> SecretFollower<'_> {
        SecretFollower {
            uid: &self.uid,
            namespace: &self.namespace,
            name: &self.name,
            seen: self.secret.as_ref(),
            written: self.written.as_ref(),
            has_content: true,
            refused: Reason::SecretRefused,
        }
    }
}

pub(crate) struct ShareSource {
    pub(crate) connection: Arc<IntegrationConnection>,
    pub(crate) shared: Shared,
    pub(crate) grant: Option<GrantInUse>,
}

/// Why a share is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unshared {
    /// The connection, or the one with this UID, is gone.
    ConnectionGone,
    /// It is private now, disconnected or being deleted.
    NotAsked,
    WorkspaceGone,
    OwnerRemoved,
    /// Somebody else shared another connection under this id before.
    Replaced,
    /// The workspace's limits do not allow it.
    NotAllowed,
    /// The workspace does not have this namespace, or the namespace is being deleted.
    NamespaceLeft,
    /// Its name differs from its connection's id: the operator did not create it.
    WrongName,
}

impl Unshared {
    /// The reason of the Event; the table says whether it is a warning.
    pub(crate) fn reason(self) -> Reason {
        if self == Self::OwnerRemoved { Reason::OwnerRemoved } else { Reason::Unshared }
    }

    /// What happened, in words for people in the share's namespace.
    pub(crate) fn note(self, share: &ConnectionShare) -> String {
        let of = &share.spec.connection;
        let id = names::connection_id(&of.namespace, &of.name);
        let workspace = &share.spec.workspace;
        let owner = share.status.as_ref().and_then(|status| status.shared_by.as_deref()).unwrap_or("");
        let why = match self {
            Self::ConnectionGone => "the connection does not exist any more".to_owned(),
            Self::NotAsked => "it is not shared any more".to_owned(),
            Self::WorkspaceGone => format!("there is no Workspace {workspace} any more"),
            Self::OwnerRemoved => format!("its owner {owner} is not a member of workspace {workspace}"),
            Self::Replaced => format!(
                "somebody else shared another one under this id before, and workspace {workspace} has not accepted {owner}"
            ),
            Self::NotAllowed => format!("workspace {workspace} does not take it (spec.limits)"),
            Self::NamespaceLeft => "its workspace does not have this namespace".to_owned(),
            Self::WrongName => "shares are made by the operator alone".to_owned(),
        };
        format!(
            "Connection {id} was taken back from this namespace with its Secret: {why}. Running pods keep the token they have read until it expires."
        )
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct SharePlan {
    pub(crate) secret: SecretPlan,
    /// The share as it should be, if it differs.
    pub(crate) correction: Option<ConnectionShare>,
}

/// Decides; the error says why the share does not belong here.
pub(crate) fn decide(share: &ConnectionShare, observed: &ObservedShare) -> Result<SharePlan, Unshared> {
    let source = observed.source.as_ref().ok_or(Unshared::ConnectionGone)?;
    let workspace = belongs(share, source)?;
    let wanted = sharing::share(&source.connection, workspace, &share.namespace().unwrap_or_default());
    Ok(SharePlan {
        secret: observed.follower().plan(
            &source.connection,
            source.grant.as_ref(),
            !matches!(source.shared, Shared::Unknown),
        ),
        correction: (!is_like(share, &wanted)).then_some(wanted),
    })
}

/// Whether the share is in the computed set: the workspace it is for, or why it is not in it.
fn belongs<'a>(share: &'a ConnectionShare, source: &'a ShareSource) -> Result<&'a str, Unshared> {
    let of = &share.spec.connection;
    if share.name_any() != names::connection_id(&of.namespace, &of.name) {
        return Err(Unshared::WrongName);
    }
    match &source.shared {
        Shared::NotAsked => Err(Unshared::NotAsked),
        // It stays, but nothing is written for it (see `secret_plan`).
        Shared::Unknown => Ok(&share.spec.workspace),
        Shared::WorkspaceNotFound => Err(Unshared::WorkspaceGone),
        Shared::OwnerNotMember => Err(Unshared::OwnerRemoved),
        Shared::Replaced { .. } => Err(Unshared::Replaced),
        Shared::NotAllowed(_) => Err(Unshared::NotAllowed),
        Shared::In { workspace, namespaces } => {
            let is_within = namespaces.contains(&share.namespace().unwrap_or_default());
            is_within.then_some(workspace.as_str()).ok_or(Unshared::NamespaceLeft)
        }
    }
}

/// Whether spec and our labels are as they should be; foreign labels may stay.
fn is_like(share: &ConnectionShare, wanted: &ConnectionShare) -> bool {
    share.spec == wanted.spec
        && wanted.labels().iter().all(|(name, value)| share.labels().get(name) == Some(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
