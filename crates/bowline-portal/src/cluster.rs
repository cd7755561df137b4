//! Caches of the cluster, one watch per kind, and notifications when a connection changes.

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

/// A slower receiver misses notifications, and reads the cache again.
const BACKLOG: usize = 1024;

/// The caches, without managed fields.
pub(crate) struct Cluster {
    pub(crate) connections: Store<IntegrationConnection>,
    pub(crate) providers: Store<IntegrationProvider>,
    pub(crate) workspaces: Store<Workspace>,
    pub(crate) shares: Store<ConnectionShare>,
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
    changed: broadcast::Sender<Changed>,
}

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The connection with this id, or one of its shares.
    Connection(String),
    /// Any of them: a watch had a gap and listed everything again.
    Anything,
}

impl Cluster {
    /// Starts the watches, which run until `stop`.
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

    /// Waits until every cache has been filled once.
    pub(crate) async fn wait_ready(&self) {
        // An error means that the writer is gone, so the process is ending.
        let _ = tokio::join!(
            self.connections.wait_until_ready(),
            self.providers.wait_until_ready(),
            self.workspaces.wait_until_ready(),
            self.shares.wait_until_ready(),
            self.namespaces.wait_until_ready(),
        );
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

    /// Changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }
}

/// Receivers of changes, and the id of the connection that an object belongs to.
type Tell<K> = (broadcast::Sender<Changed>, fn(&K) -> String);

/// Watches one kind until `stop`. A failed watch is logged and restarted with backoff.
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

/// A share is shown on the page of its connection.
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
