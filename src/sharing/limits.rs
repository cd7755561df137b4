//! What a workspace limits (`spec.limits`). Pure.
//!
//! The older connections have the places. Whoever is connected stays so: a limit decides about first grants and new shares.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::workspace::WorkspaceLimits;
use bowline_api::{IntegrationConnection, Workspace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::holder;

/// A limit that leaves no place for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReachedLimit {
    pub(crate) workspace: String,
    /// Who can change it.
    pub(crate) contact: Option<String>,
    /// Which limit it is, as a sentence.
    pub(crate) detail: String,
}

/// The namespaces of `workspace` that no older one has, given all that list one of them.
pub(crate) fn held(workspace: &Workspace, all: &[Arc<Workspace>]) -> BTreeSet<String> {
    let own = workspace.name_any();
    let is_held = |name: &&String| holder(name, all).is_some_and(|holder| holder.name_any() == own);
    workspace.spec.namespaces.iter().filter(is_held).cloned().collect()
}

/// Whether a connection counts towards the workspace that holds these namespaces. Naming one counts for its members alone:
/// nobody else can use up its places.
pub(crate) fn counts(
    connection: &IntegrationConnection,
    workspace: &Workspace,
    held: &BTreeSet<String>,
) -> bool {
    let spec = &connection.spec;
    let is_in_it = connection.metadata.namespace.as_ref().is_some_and(|home| held.contains(home));
    is_in_it
        || spec.workspace.as_deref() == workspace.metadata.name.as_deref()
            && workspace.spec.has_member(&spec.owner)
}

/// Why `workspace` has no place for `connection`, as a sentence. `counted` are the connections that count towards it.
pub(crate) fn reached(
    limits: &WorkspaceLimits,
    connection: &IntegrationConnection,
    counted: impl FnOnce() -> Vec<Arc<IntegrationConnection>>,
) -> Option<String> {
    beyond_providers(limits, connection).or_else(|| {
        let limit = limits.connections?;
        let own = age(connection);
        let older = counted().iter().filter(|other| age(other) < own).count();
        (older >= places(limit)).then(|| match limit {
            0 => "It takes no connections.".to_owned(),
            1 => "It takes one connection, and an older one has that place.".to_owned(),
            _ => format!("It takes {limit} connections, and older ones have all the places."),
        })
    })
}

/// The same for a share. What is shared with the workspace already keeps its place there, if `is_there`.
pub(crate) fn refuses_share(
    limits: &WorkspaceLimits,
    connection: &IntegrationConnection,
    is_there: bool,
    counted: impl FnOnce() -> Vec<Arc<IntegrationConnection>>,
) -> Option<String> {
    if limits.sharing == Some(false) {
        return Some("It takes no shared connections.".to_owned());
    }
    if is_there { beyond_providers(limits, connection) } else { reached(limits, connection, counted) }
}

/// What of the connections that count towards a workspace is beyond its limits, as sentences; `None` if nothing is.
pub(crate) fn exceeded(limits: &WorkspaceLimits, counted: &[Arc<IntegrationConnection>]) -> Option<String> {
    let is_over = |limit: i32| counted.len() > places(limit);
    let too_many = limits.connections.filter(|limit| is_over(*limit));
    let of_others = counted.iter().any(|connection| beyond_providers(limits, connection).is_some());
    let told = [
        too_many.map(|limit| format!("It has more connections than {limit}.")),
        of_others.then(|| "It has connections of providers that it does not list.".to_owned()),
    ];
    let told: Vec<_> = told.into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join(" "))
}

fn beyond_providers(limits: &WorkspaceLimits, connection: &IntegrationConnection) -> Option<String> {
    let listed = limits.providers.as_ref().filter(|listed| !listed.contains(&connection.spec.provider))?;
    Some(if listed.is_empty() {
        "It takes connections of no provider.".to_owned()
    } else {
        format!("It takes connections of these providers: {}.", listed.join(", "))
    })
}

fn places(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or_default()
}

/// Older is smaller, and no two are equally old.
fn age(connection: &IntegrationConnection) -> (Option<&Time>, Option<&str>, Option<&str>) {
    let meta = &connection.metadata;
    (meta.creation_timestamp.as_ref(), meta.namespace.as_deref(), meta.name.as_deref())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn limits(of: Value) -> WorkspaceLimits {
        serde_json::from_value(of).unwrap()
    }

    fn connection(namespace: &str, name: &str, second: u8) -> Arc<IntegrationConnection> {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"namespace": namespace, "name": name, "creationTimestamp": at},
                "spec": {"provider": "github", "owner": "alice", "workspace": "w"},
            }))
            .unwrap(),
        )
    }

    fn workspace(spec: &Value) -> Workspace {
        serde_json::from_value(json!({"metadata": {"name": "w"}, "spec": spec})).unwrap()
    }

    #[test]
    fn the_older_connections_have_the_places() {
        let all = [connection("b", "x", 1), connection("a", "x", 2), connection("a", "y", 2)];
        let waiting = |limit: i32| {
            let limits = limits(json!({"connections": limit}));
            let waits = |it: &&Arc<_>| reached(&limits, it, || all.to_vec()).is_some();
            all.iter().filter(waits).map(|it| it.id()).collect::<Vec<_>>()
        };
        assert_eq!(waiting(3), [] as [&str; 0]);
        assert_eq!(waiting(2), ["a.y"], "equally old ones count in the order of their names");
        assert_eq!(waiting(1), ["a.x", "a.y"]);
        assert_eq!(waiting(0), ["b.x", "a.x", "a.y"]);
    }

    #[test]
    fn each_limit_says_what_the_workspace_takes() {
        let own = connection("a", "x", 2);
        let full = || vec![connection("b", "x", 1), connection("b", "y", 1)];
        let rows = [
            (json!({}), None),
            (json!({"sharing": false}), None),
            (json!({"providers": ["slack", "github"]}), None),
            (json!({"providers": ["slack"]}), Some("these providers: slack.")),
            (json!({"providers": []}), Some("no provider")),
            (json!({"connections": 2}), Some("It takes 2 connections, and older ones")),
            (json!({"connections": 0, "providers": ["slack"]}), Some("these providers")),
        ];
        for (spec, told) in rows {
            let why = reached(&limits(spec.clone()), &own, full);
            assert_eq!(why.is_some(), told.is_some(), "{spec}");
            assert!(why.unwrap_or_default().contains(told.unwrap_or_default()), "{spec}");
        }
    }

    #[test]
    fn a_share_that_is_there_keeps_its_place_until_the_workspace_takes_no_such_shares() {
        let own = connection("a", "x", 2);
        let full = || vec![connection("b", "x", 1)];
        let refused = |spec: Value, is_there| refuses_share(&limits(spec), &own, is_there, full).is_some();
        let rows = [
            (json!({"connections": 1}), true, false),
            (json!({"connections": 2}), false, false),
            (json!({"sharing": false}), true, true),
            (json!({"sharing": true}), false, false),
            (json!({"providers": ["slack"]}), true, true),
        ];
        for (spec, newly, there) in rows {
            assert_eq!((refused(spec.clone(), false), refused(spec.clone(), true)), (newly, there), "{spec}");
        }
    }

    #[test]
    fn it_counts_towards_its_namespaces_workspace_and_towards_the_one_that_it_names_as_a_member() {
        let own = connection("a", "x", 1);
        let held = BTreeSet::from(["a".to_owned()]);
        let (members, nobody) = (workspace(&json!({"members": [{"name": "alice"}]})), workspace(&json!({})));
        assert!(counts(&own, &nobody, &held), "its namespace is in it");
        assert!(counts(&own, &members, &BTreeSet::new()), "its owner is a member");
        assert!(!counts(&own, &nobody, &BTreeSet::new()), "whoever names it uses up no place");
    }

    #[test]
    fn a_workspace_that_has_more_than_it_takes_says_so() {
        let all = [connection("a", "x", 1), connection("a", "y", 2)];
        let told = |spec: Value| exceeded(&limits(spec), &all);
        assert_eq!(told(json!({"connections": 2, "providers": ["github"], "sharing": false})), None);
        let both = told(json!({"connections": 1, "providers": ["slack"]})).unwrap();
        assert_eq!(
            both,
            "It has more connections than 1. It has connections of providers that it does not list."
        );
    }
}
