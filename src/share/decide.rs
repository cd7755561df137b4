//! What to do about a share: pure, from the object and what was gathered.

use std::sync::Arc;

use bowline_api::connection::SecretStatus;
use bowline_api::{ConnectionShare, IntegrationConnection, names, reason};
use kube::ResourceExt;

use crate::kube_ext::conditions;
use crate::publishing::Known;
use crate::sharing::{self, Shared};
use crate::vault::Grant;

/// Verdicts on the grant under which nothing of it stays published.
const TAKEN_AWAY: &[&str] =
    &[reason::OWNER_UNVERIFIED, reason::PROVIDER_NOT_ALLOWED, reason::GRANT_REVOKED, reason::DISCONNECTED];

/// Everything a decision needs.
pub struct Observed {
    /// The connection, if it is still the one with the UID of the share's spec.
    pub source: Option<Source>,
    /// The Secret under the share's name, if there is one.
    pub secret: Option<Known>,
    /// What was published last: as this process remembers, or else as status says.
    pub written: Option<SecretStatus>,
}

/// The connection behind a share.
pub struct Source {
    /// The object.
    pub connection: Arc<IntegrationConnection>,
    /// Where it is to be shared.
    pub shared: Shared,
    /// Its grant, if it can be read.
    pub held: Option<Held>,
}

/// A grant on record.
#[derive(Clone)]
pub struct Held {
    /// The grant.
    pub grant: Arc<Grant>,
    /// Its revision.
    pub revision: i64,
}

/// Why a share is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshared {
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
    /// A constant of `api::reason`.
    pub fn reason(self) -> &'static str {
        if self == Self::OwnerRemoved { reason::OWNER_REMOVED } else { reason::UNSHARED }
    }

    /// Whether people in the namespace should look at it: nobody who knows the connection asked for it.
    pub fn warning(self) -> bool {
        self == Self::OwnerRemoved
    }

    /// What happened, in words for people in the share's namespace.
    pub fn note(self, share: &ConnectionShare) -> String {
        let of = &share.spec.connection;
        let id = names::connection_id(&of.namespace, &of.name);
        let (owner, workspace) = (&share.spec.owner, &share.spec.workspace);
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
pub struct Plan {
    /// What becomes of the Secret.
    pub publishing: Publishing,
    /// The share as it should be, where it is not.
    pub correction: Option<ConnectionShare>,
}

/// What becomes of the share's Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
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
pub fn decide(share: &ConnectionShare, observed: &Observed) -> Result<Plan, Unshared> {
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
    if says(connection, "SecretPublished", &[reason::WITHDRAWN])
        || says(connection, "Authorized", TAKEN_AWAY)
        || source.held.as_ref().is_some_and(|held| held.grant.bound_to.owner != connection.spec.owner)
    {
        return Publishing::Remove;
    }
    let Some(held) = source.held.as_ref().filter(|held| judged(connection, held.revision)) else {
        return Publishing::Wait;
    };
    if as_it_should_be(share, observed, held.revision) {
        Publishing::Keep
    } else if says(connection, "SecretPublished", &[reason::WITHHELD])
        || says(connection, "Authorized", &[reason::CONSENT_OUTDATED])
    {
        Publishing::Withhold
    } else {
        Publishing::Write
    }
}

/// Whether the connection's controller has looked at this revision under the present spec: only it judges scopes and terms.
fn judged(connection: &IntegrationConnection, revision: i64) -> bool {
    connection.status.as_ref().is_some_and(|status| {
        status.observed_generation == connection.metadata.generation
            && status.token.as_ref().and_then(|token| token.revision) == Some(revision)
    })
}

/// Whether the Secret is the one last written, of this revision, and untouched since.
fn as_it_should_be(share: &ConnectionShare, observed: &Observed, revision: i64) -> bool {
    let (Some(written), Some(seen)) = (&observed.written, &observed.secret) else { return false };
    written.revision == revision && seen.is_as_written(written, &share.name_any())
}

/// Whether a condition of the connection has one of these reasons.
pub fn says(connection: &IntegrationConnection, type_: &str, reasons: &[&str]) -> bool {
    let conditions = connection.status.as_ref().map(|status| status.conditions.as_slice());
    conditions
        .and_then(|conditions| conditions::get(conditions, type_))
        .is_some_and(|condition| reasons.contains(&condition.reason.as_str()))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
