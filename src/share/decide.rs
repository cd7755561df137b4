//! What to do about a share: pure, from the object and what was gathered.

use std::sync::Arc;

use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::Reason;
use bowline_api::view::Publication;
use bowline_api::{ConnectionShare, IntegrationConnection, names};
use bowline_runtime::follow::ObjectVersion;
use kube::ResourceExt;

use crate::publishing::PublishedVersion;
use crate::sharing::{self, Shared};
use crate::vault::Grant;
use crate::vault::record::GrantVersion;

/// Everything a decision needs.
pub(crate) struct Observed {
    /// The connection, if it is still the one with the UID of the share's spec.
    pub(crate) source: Option<Source>,
    /// The Secret under the share's name, if there is one.
    pub(crate) secret: Option<ObjectVersion>,
    /// What was published last: as this process remembers, or else as the Secret itself tells.
    pub(crate) written: Option<PublishedVersion>,
}

/// The connection behind a share.
pub(crate) struct Source {
    /// The object.
    pub(crate) connection: Arc<IntegrationConnection>,
    /// Where it is to be shared.
    pub(crate) shared: Shared,
    /// Its grant, if it can be read.
    pub(crate) held: Option<Held>,
}

/// A grant on record.
#[derive(Clone)]
pub(crate) struct Held {
    /// The grant.
    pub(crate) grant: Arc<Grant>,
    /// Revision of its record.
    pub(crate) revision: i64,
    /// Which grant it is, and how often it was refreshed.
    pub(crate) version: GrantVersion,
}

/// Why a share is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unshared {
    /// The connection, or the one with this UID, is gone.
    ConnectionGone,
    /// It is private now, disconnected or being deleted.
    NotAsked,
    /// The workspace does not exist.
    WorkspaceGone,
    /// The owner is not, or no longer, a member of the workspace.
    OwnerRemoved,
    /// The workspace does not have this namespace, or the namespace is being deleted.
    NamespaceLeft,
    /// It is not named like its connection: the operator did not make it.
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
            Self::NamespaceLeft => "its workspace does not have this namespace".to_owned(),
            Self::WrongName => "shares are made by the operator alone".to_owned(),
        };
        format!(
            "Connection {id} was taken back from this namespace with its Secret: {why}. Running pods keep the token they have read until it expires."
        )
    }
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// What becomes of the Secret.
    pub(crate) publishing: Publishing,
    /// The share as it should be, where it is not.
    pub(crate) correction: Option<ConnectionShare>,
}

/// What becomes of the share's Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// Write it.
    Write,
    /// It is as it should be.
    Keep,
    /// What came has not been judged, or nothing can be read now: all stays as it is.
    Wait,
    /// What came since may not be published; what is there stays.
    Withhold,
    /// Remove it.
    Remove,
}

/// Decides; the error says why the share does not belong here.
pub(crate) fn decide(share: &ConnectionShare, observed: &Observed) -> Result<Plan, Unshared> {
    let source = observed.source.as_ref().ok_or(Unshared::ConnectionGone)?;
    let workspace = belongs(share, source)?;
    let wanted = sharing::share(&source.connection, workspace, &share.namespace().unwrap_or_default());
    Ok(Plan {
        publishing: publishing(share, observed, source),
        correction: (!is_like(share, &wanted)).then_some(wanted),
    })
}

/// Whether the share is in the computed set: the workspace it is there for, or why it is not.
fn belongs<'a>(share: &ConnectionShare, source: &'a Source) -> Result<&'a str, Unshared> {
    let of = &share.spec.connection;
    if share.name_any() != names::connection_id(&of.namespace, &of.name) {
        return Err(Unshared::WrongName);
    }
    match &source.shared {
        Shared::NotAsked => Err(Unshared::NotAsked),
        // Not decided then (see `World::knows_source_of`).
        Shared::Unknown { workspace } => Ok(workspace),
        Shared::WorkspaceNotFound { .. } => Err(Unshared::WorkspaceGone),
        Shared::OwnerNotMember { .. } => Err(Unshared::OwnerRemoved),
        Shared::In { workspace, .. } if source.shared.reaches(&share.namespace().unwrap_or_default()) => {
            Ok(workspace)
        }
        Shared::In { .. } => Err(Unshared::NamespaceLeft),
    }
}

/// Whether spec and our labels are as they should be; foreign labels may stay.
fn is_like(share: &ConnectionShare, wanted: &ConnectionShare) -> bool {
    share.spec == wanted.spec
        && wanted.labels().iter().all(|(name, value)| share.labels().get(name) == Some(value))
}

fn publishing(share: &ConnectionShare, observed: &Observed, source: &Source) -> Publishing {
    let connection = source.connection.as_ref();
    let withdrawn = connection.reason_of(ConditionType::SecretPublished) == Some(Reason::Withdrawn);
    let may = connection.may_be_published();
    if withdrawn
        || may == Publication::Nothing
        || source.held.as_ref().is_some_and(|held| held.grant.bound_to.owner != connection.spec.owner)
    {
        return Publishing::Remove;
    }
    let Some(held) = source.held.as_ref().filter(|held| judged(connection, held.version)) else {
        return Publishing::Wait;
    };
    let withheld = connection.reason_of(ConditionType::SecretPublished) == Some(Reason::Withheld);
    if as_it_should_be(share, observed, held.version) {
        Publishing::Keep
    } else if withheld || may == Publication::NothingNewer {
        Publishing::Withhold
    } else {
        Publishing::Write
    }
}

/// Whether the connection's controller has looked at this revision under the present spec: only it judges scopes and terms.
fn judged(connection: &IntegrationConnection, version: GrantVersion) -> bool {
    let told = connection.grant().map(|told| (told.id.clone(), told.revision));
    connection.status.as_ref().is_some_and(|status| {
        status.observed_generation == connection.metadata.generation
            && told == Some((version.id.to_string(), version.revision))
    })
}

/// Whether the Secret is the one last written, of this revision, and untouched since.
fn as_it_should_be(share: &ConnectionShare, observed: &Observed, version: GrantVersion) -> bool {
    let (Some(written), Some(seen)) = (&observed.written, &observed.secret) else { return false };
    written.grant == Some(version) && written.is_untouched(seen, &share.name_any())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
