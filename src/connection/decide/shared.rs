//! Where the connection is shared, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::ConnectionShare;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::{Facts, Reason};
use kube::ResourceExt;

use super::input::Input;
use super::verdict::Verdict;
use crate::sharing::Shared;

/// The verdict on sharing; `None` where it is not requested. It is information: it never makes a connection unready.
pub(super) fn shared(input: &Input) -> Option<Verdict> {
    match &input.observed.shared {
        Shared::NotAsked => None,
        Shared::WorkspaceNotFound => Some(input.verdict(Reason::WorkspaceNotFound, "")),
        Shared::Unknown => Some(input.verdict(Reason::WorkspaceUnreadable, "")),
        Shared::OwnerNotMember => Some(input.verdict(Reason::OwnerNotMember, "")),
        Shared::In { namespaces, .. } => Some(within(input, namespaces)),
    }
}

fn within(input: &Input, namespaces: &BTreeSet<String>) -> Verdict {
    let shares = input.observed.shares.iter();
    let published: BTreeSet<_> =
        shares.filter(|share| share.is(ConditionType::Ready)).filter_map(|share| share.namespace()).collect();
    let lacking: Vec<_> =
        namespaces.iter().filter(|namespace| !published.contains(*namespace)).map(String::as_str).collect();
    if lacking.is_empty() {
        return input.verdict(Reason::Shared, "");
    }
    Verdict::of(Reason::PartiallyPublished, &Facts { list: Some(&lacking.join(", ")), ..input.facts() })
}

/// Namespaces that should have a share and have none.
pub(super) fn missing(wanted: &Shared, shares: &[Arc<ConnectionShare>]) -> BTreeSet<String> {
    let Shared::In { namespaces, .. } = wanted else { return BTreeSet::new() };
    let there: BTreeSet<_> = shares
        .iter()
        .filter(|share| share.metadata.deletion_timestamp.is_none())
        .filter_map(|share| share.namespace())
        .collect();
    namespaces.difference(&there).cloned().collect()
}
