//! What the portal knows of the cluster: one watch per kind, and a word to whoever waits for a connection to change.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use bowline_runtime::telemetry::chain;

/// Who is slower than this misses words, and looks again.
const BACKLOG: usize = 1024;

/// The caches.
pub(crate) struct Cluster {
    /// All connections, without managed fields.
    pub(crate) connections: Store<IntegrationConnection>,
    /// All provider objects.
    pub(crate) providers: Store<IntegrationProvider>,
    /// All workspaces.
    pub(crate) workspaces: Store<Workspace>,
    /// All shares.
    pub(crate) shares: Store<ConnectionShare>,
    /// Names of all namespaces.
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
    changed: broadcast::Sender<Changed>,
}

/// What may not be any more as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The connection of this id, or where it is shared.
    Connection(String),
    /// Any of them: a watch had a gap, and was read anew as a whole.
    Anything,
}

impl Cluster {
    /// Starts the watches; they end with `stop`.
    pub(crate) fn watch(client: &Client, stop: &CancellationToken) -> Arc<Self> {
        let (connections, connections_in) = store();
        let (providers, providers_in) = store();
        let (workspaces, workspaces_in) = store();
        let (shares, shares_in) = store();
        let (namespaces, namespaces_in) = store();
        let (changed, _) = broadcast::channel(BACKLOG);
        follow(client, connections_in, Some((changed.clone(), id)), stop);
        follow(client, providers_in, None, stop);
        follow(client, workspaces_in, None, stop);
        follow(client, shares_in, Some((changed.clone(), shared)), stop);
        follow(client, namespaces_in, None, stop);
        Arc::new(Self { connections, providers, workspaces, shares, namespaces, changed })
    }

    /// Returns when every cache was filled once.
    pub(crate) async fn wait_ready(&self) {
        // An error means that the writer is gone, which it is only when the process ends.
        let _ = tokio::join!(
            self.connections.wait_until_ready(),
            self.providers.wait_until_ready(),
            self.workspaces.wait_until_ready(),
            self.shares.wait_until_ready(),
            self.namespaces.wait_until_ready(),
        );
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

    /// What changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }
}

/// Whom to tell of changes, and which connection an object is about.
type Tell<K> = (broadcast::Sender<Changed>, fn(&K) -> String);

/// Follows one kind until `stop`; failures of the watch are logged and tried again with growing pauses.
fn follow<K>(client: &Client, mut writer: Writer<K>, tell: Option<Tell<K>>, stop: &CancellationToken)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut events =
        watcher::watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().boxed();
    let stop = stop.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let event = without_managed_fields(event);
                    writer.apply_watcher_event(&event);
                    let Some((tell, id)) = &tell else { continue };
                    let changed = match &event {
                        Event::Apply(object) | Event::Delete(object) => Changed::Connection(id(object)),
                        Event::InitDone => Changed::Anything,
                        Event::Init | Event::InitApply(_) => continue,
                    };
                    // An error means that nobody listens.
                    let _ = tell.send(changed);
                }
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), error = %chain(&error), "a watch failed and starts again");
                }
            }
        }
    }));
}

fn id(connection: &IntegrationConnection) -> String {
    connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any())
}

/// The connection that a share is of: its page says where it is published.
fn shared(share: &ConnectionShare) -> String {
    connection_id(&share.spec.connection.namespace, &share.spec.connection.name)
}

fn without_managed_fields<K: Resource>(event: Event<K>) -> Event<K> {
    let strip = |mut object: K| {
        object.meta_mut().managed_fields = None;
        object
    };
    match event {
        Event::Apply(object) => Event::Apply(strip(object)),
        Event::InitApply(object) => Event::InitApply(strip(object)),
        other => other,
    }
}
