//! What objects refer to. A change of that wakes them, found by one of these keys.

use std::collections::BTreeSet;
use std::iter;

use bowline_api::names::LABEL_ATTEMPT_CONNECTION;
use bowline_api::{
    ConnectionBinding, ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace,
};
use bowline_runtime::follow::LookupKey;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};

/// Objects in, or workspaces with, this namespace.
pub(crate) fn namespace(name: &str) -> LookupKey {
    ("namespace", name.to_owned())
}

/// Connections of this provider.
pub(crate) fn provider(name: &str) -> LookupKey {
    ("provider", name.to_owned())
}

/// Connections that name this workspace or are shared in it, and its shares.
pub(crate) fn workspace(name: &str) -> LookupKey {
    ("workspace", name.to_owned())
}

/// Shares of, or attempts to connect, the connection with this UID.
pub(crate) fn connection(uid: &str) -> LookupKey {
    ("connection", uid.to_owned())
}

/// Connections that name this Secret of their namespace, and providers that name one of the operator's.
pub(crate) fn secret(namespace: &str, name: &str) -> LookupKey {
    ("secret", format!("{namespace}/{name}"))
}

/// Bindings of the connection with this id.
pub(crate) fn id(id: &str) -> LookupKey {
    ("id", id.to_owned())
}

pub(super) fn connections(connection: &IntegrationConnection) -> Vec<LookupKey> {
    let (spec, home) = (&connection.spec, connection.meta().namespace.as_deref().unwrap_or_default());
    let mut keys = vec![namespace(home), provider(&spec.provider)];
    let own = spec.workspace.as_deref();
    let sharing = connection.status.as_ref().and_then(|status| status.sharing.as_ref());
    let is_in = sharing.map(|sharing| sharing.workspace.as_str());
    // The one that its owner agreed to counts while the spec names another.
    let agreed = connection.terms().and_then(|terms| terms.agreed.workspace.as_deref());
    let workspaces: BTreeSet<&str> = [own, is_in, agreed].into_iter().flatten().collect();
    keys.extend(workspaces.into_iter().map(workspace));
    let named = [&spec.credentials, &spec.app].into_iter().flatten();
    keys.extend(named.map(|reference| secret(home, &reference.secret_name)));
    keys
}

pub(super) fn shares(share: &ConnectionShare) -> Vec<LookupKey> {
    let home = share.meta().namespace.as_deref().unwrap_or_default();
    vec![namespace(home), workspace(&share.spec.workspace), connection(&share.spec.connection.uid)]
}

pub(super) fn bindings(binding: &ConnectionBinding) -> Vec<LookupKey> {
    let home = binding.meta().namespace.as_deref().unwrap_or_default();
    vec![namespace(home), id(&binding.spec.connection)]
}

pub(super) fn workspaces(workspace: &Workspace) -> Vec<LookupKey> {
    workspace.spec.namespaces.iter().map(|name| namespace(name)).collect()
}

/// The operator's namespace is the only one that providers can name Secrets of.
pub(super) fn providers(provider: &IntegrationProvider) -> Vec<LookupKey> {
    let app = provider.app_secret_name();
    let network = provider.spec.network.as_ref();
    let ca = network.and_then(|network| network.ca_secret_name.as_deref()).filter(|ca| *ca != app);
    iter::once(app.as_str()).chain(ca).map(|name| secret("", name)).collect()
}

pub(crate) fn attempts(attempt: &Secret) -> Vec<LookupKey> {
    attempt.labels().get(LABEL_ATTEMPT_CONNECTION).map(|uid| connection(uid)).into_iter().collect()
}

pub(crate) fn none<K>(_: &K) -> Vec<LookupKey> {
    Vec::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bowline_runtime::follow::{Cache, Parsed};
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn a_connection(name: &str, spec: Value) -> Parsed<IntegrationConnection> {
        let mut spec = spec;
        spec["owner"] = json!("alice");
        let metadata = json!({"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    static VISITED: AtomicUsize = AtomicUsize::new(0);

    fn counted(connection: &IntegrationConnection) -> Vec<LookupKey> {
        VISITED.fetch_add(1, Ordering::Relaxed);
        connections(connection)
    }

    #[test]
    fn class_14_a_change_visits_what_it_concerns_and_not_ten_thousand_others() {
        let cache = Cache::looked_up_by(counted);
        for number in 0..10_000 {
            let provider = format!("p{}", number % 1_000);
            cache.take(Event::Apply(a_connection(&format!("c{number}"), json!({"provider": provider}))));
        }
        VISITED.store(0, Ordering::Relaxed);
        assert_eq!(cache.having(&provider("p7")).len(), 10);
        assert_eq!(VISITED.load(Ordering::Relaxed), 0, "finding visits nothing");
        let mut moved = a_connection("c7", json!({"provider": "p8"}));
        moved.0.as_mut().unwrap().metadata.resource_version = Some("2".into());
        cache.take(Event::Apply(moved));
        assert!(VISITED.load(Ordering::Relaxed) <= 2, "the object before and after");
        assert_eq!((cache.having(&provider("p7")).len(), cache.having(&provider("p8")).len()), (9, 11));
    }

    #[test]
    fn class_14_a_connection_is_found_by_everything_whose_change_concerns_it() {
        let spec = json!({"provider": "github", "workspace": "new", "shared": true,
            "credentials": {"secretName": "key"}, "app": {"secretName": "own"}});
        let mut connection = a_connection("c", spec).0.unwrap();
        let sharing = json!({"workspace": "old", "sharedBy": "alice", "sharedAt": "2026-01-01T00:00:00Z"});
        connection.status = Some(serde_json::from_value(json!({"sharing": sharing})).unwrap());
        let expected = [
            namespace("team-a"),
            provider("github"),
            workspace("new"),
            workspace("old"),
            secret("team-a", "key"),
            secret("team-a", "own"),
        ];
        assert_eq!(connections(&connection), expected);
        connection.spec.shared = None;
        assert!(connections(&connection).contains(&workspace("new")), "as a member it may use a provider");
    }
}
