//! What every controller is given.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_api::connection::{IntegrationConnectionStatus, SecretStatus};
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use bowline_oauth::http::Clients;
use bowline_runtime::clock::Clock;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use url::Url;

use crate::grant::desk::Desk;
use crate::grant::schedule::Limits;
use crate::kube_ext::events::Events;
use crate::kube_ext::index::is_older;
use crate::metrics::{Metrics, PublishOutcome};
use crate::publishing::labels::LabelPrefixes;
use crate::publishing::{self, Desired, Known, PublishError};
use crate::vault::record::SealedField;
use crate::vault::{Sealer, Store};
use crate::world::World;

/// What every controller is given.
pub struct Context {
    /// The API server, without retries of its own.
    pub client: Client,
    /// What is known of the cluster.
    pub world: World,
    /// Grants at rest.
    pub store: Arc<Store>,
    /// What opens them.
    pub sealer: Sealer,
    /// Where work on grants is handed in.
    pub grants: Arc<Desk>,
    /// Requests to providers.
    pub clients: Clients,
    /// Tells people.
    pub events: Arc<Events>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
    /// Wakes objects.
    pub wakes: Wakes,
    /// What this process published last.
    pub written: Written,
    /// What this process said last.
    pub told: Told,
    /// What the administrator chose.
    pub settings: Settings,
}

impl Context {
    /// Publishes a Secret of a connection or share, and counts how that went. An older revision
    /// never replaces a newer one.
    pub async fn publish(
        &self,
        desired: &Desired,
        known: Option<&Known>,
    ) -> Result<publishing::Written, PublishError> {
        let newest = || self.newest_revision(&desired.connection_uid);
        let written = publishing::publish(&self.client, &self.world.published, desired, known, &newest).await;
        self.metrics.published(match &written {
            Ok(_) => PublishOutcome::Written,
            Err(PublishError::NameTaken) => PublishOutcome::NameTaken,
            Err(PublishError::QuotaExceeded(_)) => PublishOutcome::QuotaExceeded,
            Err(PublishError::Forbidden(_)) => PublishOutcome::Forbidden,
            Err(PublishError::Superseded) => PublishOutcome::Unchanged,
            Err(_) => PublishOutcome::Failed,
        });
        written
    }

    /// The revision of a connection's grant as the store has it now; 0 while there is none.
    pub fn newest_revision(&self, connection_uid: &str) -> i64 {
        let loaded = self.store.get(connection_uid).ok().flatten();
        loaded.and_then(|loaded| loaded.record.grant().map(SealedField::revision)).unwrap_or_default()
    }
}

/// What the administrator chose, as far as controllers care.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator: records, keyring, app registrations.
    pub namespace: String,
    /// The namespaces in which Secrets may be read and written; empty means all.
    pub secret_namespaces: BTreeSet<String>,
    /// How closely attempts on one grant may follow each other.
    pub limits: Limits,
    /// Whether providers may ask for `http://` and private addresses.
    pub allow_insecure_providers: bool,
    /// Namespace of the tries to connect.
    pub attempts_namespace: String,
    /// The portal's address, where there is one.
    pub portal: Option<Url>,
    /// Prefixes of labels that users may put on published Secrets.
    pub label_prefixes: LabelPrefixes,
}

/// What this process published last, by UID of the connection or share: status may be behind it for a moment.
#[derive(Default)]
pub struct Written(Mutex<HashMap<String, SecretStatus>>);

impl Written {
    /// What was published last for this owner.
    pub fn get(&self, owner_uid: &str) -> Option<SecretStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(owner_uid).cloned()
    }

    /// Puts in what was published.
    pub fn set(&self, owner_uid: &str, secret: SecretStatus) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(owner_uid.to_owned(), secret);
    }

    /// Forgets what was withdrawn, or whose owner is gone.
    pub fn forget(&self, owner_uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(owner_uid);
    }
}

/// Statuses we wrote that the cache may not hold yet, by UID. A decision is never taken below our own last write: else a
/// failure that status just told of would be tried again at once.
#[derive(Default)]
pub struct Told(Mutex<HashMap<String, (String, IntegrationConnectionStatus)>>);

impl Told {
    /// Remembers what was written, and the resourceVersion it got.
    pub fn set(&self, uid: &str, resource_version: String, status: IntegrationConnectionStatus) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(uid.to_owned(), (resource_version, status));
    }

    /// The status we wrote, if the object at hand is older than that. Forgets it once the cache has caught up.
    pub fn newer_than(&self, connection: &IntegrationConnection) -> Option<IntegrationConnectionStatus> {
        let uid = connection.metadata.uid.as_deref()?;
        let at_hand = connection.metadata.resource_version.as_deref().unwrap_or_default();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, status) = told.get(uid)?;
        if is_older(at_hand, written) {
            return Some(status.clone());
        }
        told.remove(uid);
        None
    }

    /// Forgets a connection that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Wakes objects of each kind. Sending never waits; nobody listens only while the process ends.
#[derive(Clone)]
pub struct Wakes {
    /// Connections.
    pub connections: UnboundedSender<ObjectRef<IntegrationConnection>>,
    /// Providers.
    pub providers: UnboundedSender<ObjectRef<IntegrationProvider>>,
    /// Workspaces.
    pub workspaces: UnboundedSender<ObjectRef<Workspace>>,
    /// Shares.
    pub shares: UnboundedSender<ObjectRef<ConnectionShare>>,
}

impl Wakes {
    /// Wakes a connection.
    pub fn connection(&self, namespace: &str, name: &str) {
        let _ = self.connections.send(ObjectRef::new(name).within(namespace));
    }

    /// Wakes a provider.
    pub fn provider(&self, name: &str) {
        let _ = self.providers.send(ObjectRef::new(name));
    }

    /// Wakes a workspace.
    pub fn workspace(&self, name: &str) {
        let _ = self.workspaces.send(ObjectRef::new(name));
    }

    /// Wakes a share.
    pub fn share(&self, namespace: &str, name: &str) {
        let _ = self.shares.send(ObjectRef::new(name).within(namespace));
    }
}
