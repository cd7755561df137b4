//! What is reported about a workspace. Pure.

use std::sync::Arc;

use bowline_api::condition::{ConditionType, Conditions};
use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{IntegrationConnection, Workspace, WorkspaceStatus};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::sharing;
use crate::sharing::limits::exceeded;

/// The next status of `workspace`, given all workspaces and which namespaces exist or are reserved.
///
/// A namespace that is missing, taken or reserved does not stop the others.
pub(super) fn status(
    workspace: &Workspace,
    all: &[Arc<Workspace>],
    namespace_exists: impl Fn(&str) -> bool,
    is_reserved: impl Fn(&str) -> bool,
    counted: impl FnOnce() -> Vec<Arc<IntegrationConnection>>,
    now: Timestamp,
) -> WorkspaceStatus {
    let generation = workspace.metadata.generation;
    let last = workspace.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let limits = workspace.spec.limits.as_ref();
    let exceeded = limits.and_then(|limits| exceeded(limits, &counted()));
    let unusable = unusable(workspace, all, namespace_exists, is_reserved);
    let reason = match (&unusable, &exceeded) {
        (Some((reason, _)), _) => *reason,
        (None, Some(_)) => Reason::LimitExceeded,
        (None, None) => Reason::Ready,
    };
    let detail = unusable.map(|(_, detail)| detail).into_iter().chain(exceeded).collect::<Vec<_>>().join(" ");
    let name = workspace.name_any();
    let message = reason.message(&MessageFacts {
        workspace: Some(&name),
        keeper: workspace.spec.contact.as_deref(),
        detail: detail.into(),
        ..MessageFacts::default()
    });
    let mut conditions = Conditions::after(last, generation, now);
    conditions.set(ConditionType::Ready, reason.row().status, reason, message);
    WorkspaceStatus { observed_generation: generation, conditions: conditions.build() }
}

/// Why a namespace of it cannot be used, and details for the message.
fn unusable(
    workspace: &Workspace,
    all: &[Arc<Workspace>],
    namespace_exists: impl Fn(&str) -> bool,
    is_reserved: impl Fn(&str) -> bool,
) -> Option<(Reason, String)> {
    let reserved = reserved(workspace, is_reserved);
    let missing = missing(workspace, namespace_exists);
    let taken = taken(workspace, all);
    let reason = match (&reserved, &missing, &taken) {
        (Some(_), ..) => Reason::NamespaceReserved,
        (None, Some(_), _) => Reason::NamespaceMissing,
        (None, None, Some(_)) => Reason::NamespaceInOtherWorkspace,
        (None, None, None) => return None,
    };
    Some((reason, [reserved, missing, taken].into_iter().flatten().collect::<Vec<_>>().join(" ")))
}

fn reserved(workspace: &Workspace, is_reserved: impl Fn(&str) -> bool) -> Option<String> {
    let listed = workspace.spec.namespaces.iter().map(String::as_str);
    let reserved: Vec<_> = listed.filter(|namespace| is_reserved(namespace)).collect();
    (!reserved.is_empty()).then(|| format!("Nothing is shared in {}.", reserved.join(", ")))
}

fn missing(workspace: &Workspace, namespace_exists: impl Fn(&str) -> bool) -> Option<String> {
    let listed = workspace.spec.namespaces.iter().map(String::as_str);
    let missing: Vec<_> = listed.filter(|namespace| !namespace_exists(namespace)).collect();
    (!missing.is_empty())
        .then(|| format!("There is no namespace {}. Nothing is shared there.", missing.join(", ")))
}

fn taken(workspace: &Workspace, all: &[Arc<Workspace>]) -> Option<String> {
    let own = workspace.name_any();
    let taken: Vec<_> = workspace
        .spec
        .namespaces
        .iter()
        .filter_map(|namespace| {
            let holder = sharing::holder(namespace, all)?.name_any();
            (holder != own).then(|| format!("{namespace} belongs to the older Workspace {holder}"))
        })
        .collect();
    (!taken.is_empty()).then(|| {
        format!(
            "Namespace {}. Nothing is shared there from here; remove it from spec.namespaces of one of the two.",
            taken.join(", ")
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(name: &str, made: i64, namespaces: &[&str]) -> Arc<Workspace> {
        let made = Timestamp::from_second(made).unwrap();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "creationTimestamp": made, "generation": 4},
                "spec": {"namespaces": namespaces},
            }))
            .unwrap(),
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_namespace_that_cannot_be_used_is_named() {
        let older = workspace("older", 10, &["x"]);
        let is_reserved = |namespace: &str| namespace == "ours";
        let table: &[(&[&str], &str, &str, &[&str])] = &[
            (&[], "True", "Ready", &[]),
            (&["a", "b"], "True", "Ready", &[]),
            (&["a", "gone"], "False", "NamespaceMissing", &["There is no namespace gone."]),
            (&["a", "x"], "False", "NamespaceInOtherWorkspace", &["x belongs to the older Workspace older"]),
            (&["x", "gone"], "False", "NamespaceMissing", &["no namespace gone", "x belongs to"]),
            (
                &["a", "ours", "gone"],
                "False",
                "NamespaceReserved",
                &["Nothing is shared in ours.", "no namespace gone"],
            ),
        ];
        for (namespaces, verdict, reason, said) in table {
            let own = workspace("w", 20, namespaces);
            let all = [Arc::clone(&own), Arc::clone(&older)];
            let status = status(&own, &all, |namespace| namespace != "gone", is_reserved, Vec::new, at(30));
            let ready = &status.conditions[0];
            assert_eq!((ready.status.as_str(), ready.reason.as_str()), (*verdict, *reason), "{namespaces:?}");
            for part in *said {
                assert!(ready.message.contains(part), "{}", ready.message);
            }
            assert_eq!(status.observed_generation, Some(4));
        }
    }

    #[test]
    fn the_older_workspace_hears_nothing_of_a_newer_that_lists_its_namespace() {
        let all = [workspace("w", 20, &["x"]), workspace("older", 10, &["x"])];
        let status = status(&all[1], &all, |_| true, |_| false, Vec::new, at(30));
        assert_eq!(status.conditions[0].reason, "Ready");
    }

    #[test]
    fn what_is_beyond_its_limits_is_told_and_leaves_it_ready() {
        let mut own = Arc::unwrap_or_clone(workspace("w", 20, &["a"]));
        let connection =
            json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {"provider": "p", "owner": "o"}});
        let counted = || vec![Arc::new(serde_json::from_value(connection.clone()).unwrap())];
        let ready = |own: &Workspace, exists: bool| {
            let status = status(own, &[], |_| exists, |_| false, counted, at(30));
            (status.conditions[0].reason.clone(), status.conditions[0].message.clone())
        };
        assert_eq!(ready(&own, true).0, "Ready");
        own.spec.limits = serde_json::from_value(json!({"connections": 0})).unwrap();
        own.spec.contact = Some("dana@example.com".into());
        let (reason, message) = ready(&own, true);
        assert_eq!(reason, "LimitExceeded");
        assert!(message.contains("more connections than 0. Ask dana@example.com to"), "{message}");
        let (reason, message) = ready(&own, false);
        assert!(reason == "NamespaceMissing" && message.contains("more connections than 0"), "{message}");
    }

    #[test]
    fn saying_the_same_again_is_an_equal_status() {
        let mut own = Arc::unwrap_or_clone(workspace("w", 20, &["a"]));
        let first = status(&own, &[], |_| true, |_| false, Vec::new, at(30));
        own.status = Some(first.clone());
        assert_eq!(status(&own, &[], |_| true, |_| false, Vec::new, at(99)), first);
        assert_ne!(status(&own, &[], |_| false, |_| false, Vec::new, at(99)), first);
    }
}
