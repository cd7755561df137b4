//! Where the connection is shared, as a verdict.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::ConnectionShare;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::{MessageFacts, Reason};
use kube::ResourceExt;

use super::input::Input;
use super::verdict::ConditionVerdict;
use crate::sharers::Sharer;
use crate::sharing::Shared;

/// How many namespaces a message names.
const SHOWN_NAMESPACES: usize = 10;

/// The verdict on sharing; `None` if sharing is not requested. It is information: it never makes a connection unready.
pub(super) fn shared(input: &Input) -> Option<ConditionVerdict> {
    if let Some(waiting) = waiting(input) {
        return Some(waiting);
    }
    let detail = match &input.observed.shared {
        Shared::NotAllowed(detail) => detail.as_str(),
        _ => "",
    };
    let reason = match &input.observed.shared {
        Shared::NotAsked => return None,
        Shared::WorkspaceNotFound => Reason::WorkspaceNotFound,
        Shared::Unknown => Reason::WorkspaceUnreadable,
        Shared::OwnerNotMember => Reason::OwnerNotMember,
        Shared::Replaced { former_owner } => {
            let facts = MessageFacts { list: Some(former_owner), ..asking_its_keeper(input, "") };
            return Some(ConditionVerdict::of(Reason::ConnectionReplaced, &facts));
        }
        Shared::NotAllowed(_) => Reason::SharingNotAllowed,
        Shared::In { namespaces, .. } => return Some(within(input, namespaces)),
    };
    Some(ConditionVerdict::of(reason, &asking_its_keeper(input, detail)))
}

/// More is asked for than the owner agreed to. What is shared under the terms in force stays shared.
fn waiting(input: &Input) -> Option<ConditionVerdict> {
    let terms = input.observed.terms.agreed()?;
    let asks = terms.proposed.shared && terms.proposed.shares_more_than(&terms.agreed);
    // What is wrong with the sharing in force is told first.
    if !asks || !matches!(input.observed.shared, Shared::NotAsked | Shared::In { .. }) {
        return None;
    }
    let added: Vec<_> = terms.proposed.added_namespaces(&terms.agreed).into_iter().collect();
    let shown = added.iter().take(SHOWN_NAMESPACES).copied().collect::<Vec<_>>().join(", ");
    let more = if added.len() > SHOWN_NAMESPACES { ", and others" } else { "" };
    let workspace = terms.proposed.workspace.as_deref().unwrap_or_default();
    let list = format!("workspace {workspace} with the namespaces {shown}{more}");
    let by = input.connection.terms_by_another();
    let detail = by.map_or_else(String::new, |by| format!("The spec was changed by {by}."));
    let facts = MessageFacts { list: Some(&list), detail: detail.into(), ..input.facts() };
    Some(ConditionVerdict::of(Reason::OwnerApprovalNeeded, &facts))
}

/// What messages can name, with who can change the workspace.
fn asking_its_keeper<'a>(input: &Input<'a>, detail: &'a str) -> MessageFacts<'a> {
    let keeper = input.observed.workspace_contact.as_deref();
    MessageFacts { keeper, detail: detail.into(), ..input.facts() }
}

fn within(input: &Input, namespaces: &BTreeSet<String>) -> ConditionVerdict {
    let shares = input.observed.shares.iter();
    let published: BTreeSet<_> =
        shares.filter(|share| share.is(ConditionType::Ready)).filter_map(|share| share.namespace()).collect();
    let lacking: Vec<_> =
        namespaces.iter().filter(|namespace| !published.contains(*namespace)).map(String::as_str).collect();
    if lacking.is_empty() {
        return input.verdict(Reason::Shared, "");
    }
    ConditionVerdict::of(
        Reason::PartiallyPublished,
        &MessageFacts { list: Some(&lacking.join(", ")), ..input.facts() },
    )
}

/// What is to be remembered, before the first share, about who shares under this id. Where a workspace has accepted another
/// owner, the first one stays remembered.
pub(super) fn sharer(input: &Input) -> Option<Sharer> {
    let now = Sharer::of(input.connection);
    let before = input.observed.sharer.as_ref();
    let is_news = before.is_none_or(|before| *before != now && !before.was_replaced_by(&now));
    (is_news && matches!(input.observed.shared, Shared::In { .. })).then_some(now)
}

/// Namespaces that should have a share and have none.
pub(super) fn missing(wanted: &Shared, shares: &[Arc<ConnectionShare>]) -> BTreeSet<String> {
    let Shared::In { namespaces, .. } = wanted else { return BTreeSet::new() };
    let live = shares.iter().filter(|share| share.metadata.deletion_timestamp.is_none());
    let there: BTreeSet<_> = live.filter_map(|share| share.namespace()).collect();
    namespaces.difference(&there).cloned().collect()
}
