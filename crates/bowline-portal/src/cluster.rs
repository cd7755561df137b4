//! What the portal knows of the cluster: one watch per kind, and a word to whoever waits for a connection to change.

use std::fmt::Debug;
use std::sync::Arc;

use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use bowline_runtime::follow::{Cache, Change, Parsed, follow};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Who is slower than this misses words, and looks again.
const BACKLOG: usize = 1024;

/// The caches.
pub(crate) struct Cluster {
    /// All connections.
    pub(crate) connections: Cache<IntegrationConnection>,
    /// All provider objects.
    pub(crate) providers: Cache<IntegrationProvider>,
    /// All workspaces.
    pub(crate) workspaces: Cache<Workspace>,
    /// All shares.
    pub(crate) shares: Cache<ConnectionShare>,
    /// Names of all namespaces.
    pub(crate) namespaces: Cache<PartialObjectMeta<Namespace>>,
    changed: broadcast::Sender<String>,
}

impl Cluster {
    /// Starts the watches; they end with `stop`.
    pub(crate) fn watch(client: &Client, stop: &CancellationToken) -> Arc<Self> {
        let (changed, _) = broadcast::channel(BACKLOG);
        Arc::new(Self {
            connections: filled(client, Some((changed.clone(), id)), stop),
            providers: filled(client, None, stop),
            workspaces: filled(client, None, stop),
            shares: filled(client, Some((changed.clone(), shared)), stop),
            namespaces: filled(client, None, stop),
            changed,
        })
    }

    /// Returns when every cache was filled once.
    pub(crate) async fn wait_ready(&self) {
        self.connections.wait_listed().await;
        self.providers.wait_listed().await;
        self.workspaces.wait_listed().await;
        self.shares.wait_listed().await;
        self.namespaces.wait_listed().await;
    }

    /// A provider object by its name.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<IntegrationProvider>> {
        self.providers.get(&ObjectRef::new(name))
    }

    /// A workspace by its name.
    pub(crate) fn workspace(&self, name: &str) -> Option<Arc<Workspace>> {
        self.workspaces.get(&ObjectRef::new(name))
    }

    /// A connection as last seen.
    pub(crate) fn connection(&self, namespace: &str, name: &str) -> Option<Arc<IntegrationConnection>> {
        self.connections.get(&ObjectRef::new(name).within(namespace))
    }

    /// Ids of the connections that change from now on, or that are shared elsewhere.
    pub(crate) fn changes(&self) -> broadcast::Receiver<String> {
        self.changed.subscribe()
    }
}

/// Whom to tell of changes, and which connection an object is about.
type Tell = (broadcast::Sender<String>, fn(&ObjectMeta) -> String);

/// A cache of one kind, filled until `stop`.
fn filled<K>(client: &Client, tell: Option<Tell>, stop: &CancellationToken) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let cache = Cache::default();
    let mut events = follow(Api::<Parsed<K>>::all(client.clone()), watcher::Config::default(), stop);
    let filling = cache.clone();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            for change in filling.take(event) {
                if let Change::SetAside(unreadable) = &change {
                    let name = unreadable.metadata.name.as_deref();
                    tracing::warn!(kind = %K::kind(&()), name, "set aside: {}", unreadable.problem);
                }
                if let Some((tell, id)) = &tell {
                    // An error means that nobody listens.
                    let _ = tell.send(id(change.meta()));
                }
            }
        }
    });
    cache
}

fn id(connection: &ObjectMeta) -> String {
    let (namespace, name) = (connection.namespace.as_deref(), connection.name.as_deref());
    connection_id(namespace.unwrap_or_default(), name.unwrap_or_default())
}

/// The connection that a share is of, for its page says where it is published: the share is named by its id.
fn shared(share: &ObjectMeta) -> String {
    share.name.clone().unwrap_or_default()
}
