//! Where the connection is shared, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::share::SharePhase;
use bowline_api::{ConnectionShare, reason};
use kube::ResourceExt;

use super::verdict::{Effect, Verdict};
use crate::sharing::Shared;

/// The verdict on sharing. It is information: it never makes a connection unready.
pub fn shared(wanted: &Shared, shares: &[Arc<ConnectionShare>]) -> Verdict {
    match wanted {
        Shared::NotAsked => Verdict::no(reason::NOT_SHARED, Effect::Serve, "Only its own namespace has it."),
        Shared::WorkspaceNotFound { workspace } => Verdict::no(
            reason::WORKSPACE_NOT_FOUND,
            Effect::Serve,
            format!(
                "There is no Workspace {workspace}. An administrator must apply it; then it is shared by itself."
            ),
        ),
        Shared::OwnerNotMember { workspace } => Verdict::no(
            reason::OWNER_NOT_MEMBER,
            Effect::Serve,
            format!(
                "The owner is not a member of workspace {workspace}. Who keeps the workspace can add them; then it is shared by itself."
            ),
        ),
        Shared::In { workspace, namespaces } => within(workspace, namespaces, shares),
    }
}

fn within(workspace: &str, namespaces: &BTreeSet<String>, shares: &[Arc<ConnectionShare>]) -> Verdict {
    let published: BTreeSet<_> = shares
        .iter()
        .filter(|share| {
            share.status.as_ref().is_some_and(|status| status.phase == Some(SharePhase::Published))
        })
        .filter_map(|share| share.namespace())
        .collect();
    let lacking: Vec<_> =
        namespaces.iter().filter(|namespace| !published.contains(*namespace)).map(String::as_str).collect();
    if lacking.is_empty() {
        return Verdict::yes(
            reason::SHARED,
            format!("Published in every other namespace of workspace {workspace}."),
        );
    }
    Verdict::no(
        reason::PARTIALLY_PUBLISHED,
        Effect::Serve,
        format!("Not yet published in {}. The ConnectionShare there says why.", lacking.join(", ")),
    )
}

/// Namespaces that should have a share and have none.
pub fn missing(wanted: &Shared, shares: &[Arc<ConnectionShare>]) -> BTreeSet<String> {
    let Shared::In { namespaces, .. } = wanted else { return BTreeSet::new() };
    let there: BTreeSet<_> = shares
        .iter()
        .filter(|share| share.metadata.deletion_timestamp.is_none())
        .filter_map(|share| share.namespace())
        .collect();
    namespaces.difference(&there).cloned().collect()
}
