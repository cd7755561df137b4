//! Caches of the cluster's objects, one watch per kind, and a signal to pages that wait for a connection to change.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use bowline_api::names::connection_id;
use bowline_api::{
    ConnectionBinding, ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace,
};
use bowline_runtime::follow::{Cache, Change, LookupKey, Parsed, follow};
use bowline_runtime::tasks::Tasks;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use crate::view::key_of;

/// A page that falls behind by more misses changes, and compares versions instead.
const BACKLOG: usize = 1024;

pub(crate) struct Cluster {
    pub(crate) connections: Cache<IntegrationConnection>,
    pub(crate) providers: Cache<IntegrationProvider>,
    pub(crate) workspaces: Cache<Workspace>,
    pub(crate) shares: Cache<ConnectionShare>,
    /// Found by the id of their connection ([`Cluster::bindings_of`]).
    bindings: Cache<ConnectionBinding>,
    pub(crate) namespaces: Cache<PartialObjectMeta<Namespace>>,
    changed: broadcast::Sender<String>,
}

impl Cluster {
    /// Starts the watches, which the process owns.
    pub(crate) fn watch(client: &Client, tasks: &Tasks) -> Arc<Self> {
        let (changed, _) = broadcast::channel(BACKLOG);
        Arc::new(Self {
            connections: filled(client, Cache::default(), Some((changed.clone(), of_connection)), tasks),
            providers: filled(client, Cache::default(), None, tasks),
            workspaces: filled(client, Cache::default(), None, tasks),
            shares: filled(client, Cache::default(), Some((changed.clone(), of_share)), tasks),
            bindings: filled(client, Cache::looked_up_by(bound), Some((changed.clone(), bound_to)), tasks),
            namespaces: filled(client, Cache::default(), None, tasks),
            changed,
        })
    }

    /// Returns when every cache was filled once.
    pub(crate) async fn wait_ready(&self) {
        self.connections.wait_listed().await;
        self.providers.wait_listed().await;
        self.workspaces.wait_listed().await;
        self.shares.wait_listed().await;
        self.bindings.wait_listed().await;
        self.namespaces.wait_listed().await;
    }

    pub(crate) fn provider(&self, name: &str) -> Option<Arc<IntegrationProvider>> {
        self.providers.get(&ObjectRef::new(name))
    }

    pub(crate) fn workspace(&self, name: &str) -> Option<Arc<Workspace>> {
        self.workspaces.get(&ObjectRef::new(name))
    }

    pub(crate) fn connection(&self, namespace: &str, name: &str) -> Option<Arc<IntegrationConnection>> {
        self.connections.get(&ObjectRef::new(name).within(namespace))
    }

    /// The bindings that name the connection with this id, whoever may see them.
    pub(crate) fn bindings_of(&self, id: &str) -> Vec<Arc<ConnectionBinding>> {
        self.bindings.having(&by_id(id))
    }

    /// The shares of a connection.
    pub(crate) fn shares_of(&self, connection: &IntegrationConnection) -> Vec<Arc<ConnectionShare>> {
        let uid = connection.metadata.uid.as_deref().unwrap_or_default();
        let mut shares = self.shares.state();
        shares.retain(|share| share.spec.connection.uid == uid);
        shares
    }

    /// Ids of the connections that change from now on, or whose shares or bindings do.
    pub(crate) fn changes(&self) -> broadcast::Receiver<String> {
        self.changed.subscribe()
    }
}

/// Where changes are announced, and which connection an object is about.
type Announce<K> = (broadcast::Sender<String>, fn(&Change<K>) -> Vec<String>);

/// A cache of one kind, filled until the process ends.
fn filled<K>(client: &Client, cache: Cache<K>, announce: Option<Announce<K>>, tasks: &Tasks) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut events = follow(Api::<Parsed<K>>::all(client.clone()), watcher::Config::default(), tasks.stop());
    let filling = cache.clone();
    tasks.own(format!("the watch of {}", K::kind(&())), async move {
        while let Some(event) = events.next().await {
            for change in filling.take(event) {
                if let Change::SetAside(unreadable) = &change {
                    let name = unreadable.metadata.name.as_deref();
                    tracing::warn!(kind = %K::kind(&()), name, "set aside: {}", unreadable.problem);
                }
                if let Some((changed, ids)) = &announce {
                    for id in ids(&change) {
                        // An error means that nobody listens.
                        let _ = changed.send(id);
                    }
                }
            }
        }
    });
    cache
}

fn of_connection(change: &Change<IntegrationConnection>) -> Vec<String> {
    let (namespace, name) = key_of(change.meta());
    vec![connection_id(namespace, name)]
}

/// The connection of a share, which is named by that connection's id: its page says where it is published.
fn of_share(change: &Change<ConnectionShare>) -> Vec<String> {
    change.meta().name.clone().into_iter().collect()
}

/// The connections that a binding names, and named before: their pages list it.
fn bound_to(change: &Change<ConnectionBinding>) -> Vec<String> {
    let (now, before) = match change {
        Change::Applied { object, before } => (Some(object), before.as_ref()),
        Change::Gone { last, .. } => (None, last.as_ref()),
        Change::SetAside(_) => (None, None),
    };
    let ids = [before, now].into_iter().flatten().map(|binding| binding.spec.connection.clone());
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What a binding is found by.
fn bound(binding: &ConnectionBinding) -> Vec<LookupKey> {
    vec![by_id(&binding.spec.connection)]
}

fn by_id(id: &str) -> LookupKey {
    ("id", id.to_owned())
}
