//! What every controller is given.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::reason::Reason;
use bowline_oauth::http::Clients;
use bowline_oauth::network::NetworkBounds;
use bowline_runtime::clock::Clock;
use bowline_runtime::follow::{Change, ObjectVersion};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::object::HasStatus;
use kube::runtime::controller::Action;
use serde::Serialize;
use url::Url;

use crate::grant::desk::Desk;
use crate::grant::schedule::RefreshBounds;
use crate::kinds::Registered;
use crate::kube_ext::apply::apply_status;
use crate::kube_ext::events::Events;
use crate::kube_ext::memory::Memory;
use crate::metrics::{Metrics, PassOutcome, PublishOutcome};
use crate::publishing::metadata::AllowedMetadata;
use crate::publishing::{self, Desired, PublishError, PublishedVersion};
use crate::vault::record::SealedField;
use crate::vault::{Sealer, Store};
use crate::world::World;

/// What every controller is given.
pub(crate) struct Context {
    /// The API server, without retries of its own.
    pub(crate) client: Client,
    /// What is known of the cluster.
    pub(crate) world: World,
    /// Grants at rest.
    pub(crate) store: Arc<Store>,
    /// What opens them.
    pub(crate) sealer: Sealer,
    /// Where work on grants is handed in.
    pub(crate) grants: Arc<Desk>,
    /// Requests to providers.
    pub(crate) clients: Clients,
    /// Tells people.
    pub(crate) events: Arc<Events>,
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
    /// What time it is.
    pub(crate) clock: Clock,
    /// The Secret that this process published last, by UID of the connection or share: status may be behind it for a moment.
    pub(crate) last_published: Memory<PublishedVersion>,
    /// What the administrator chose.
    pub(crate) settings: Settings,
}

impl Context {
    /// Publishes a Secret of a connection or share, and counts how that went. An older revision
    /// never replaces a newer one.
    pub(crate) async fn publish(
        &self,
        desired: &Desired,
        known: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion, PublishError> {
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

    /// Writes the status of an object if it changed, and has the cache show it at once: a decision is never based on less than
    /// our own last write. Whether the object is still there.
    pub(crate) async fn write_status<K>(&self, object: &K, status: &K::Status) -> Result<bool, kube::Error>
    where
        K: Kind + HasStatus,
        K::Status: Serialize + PartialEq,
    {
        if object.status() == Some(status) {
            return Ok(true);
        }
        match apply_status(&self.client, object, status).await {
            Ok(written) => {
                if let Some(change) = K::handle(&self.world.kinds).wrote(written) {
                    K::changed(self, &change);
                }
                Ok(true)
            }
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says on an object that it cannot be read, and why. Does not wait for the API server.
    pub(crate) fn report_unreadable(&self, object: ObjectReference, note: String) {
        let events = Arc::clone(&self.events);
        tokio::spawn(async move { events.publish(&object, Reason::Unreadable, "Read", &note).await });
    }

    /// The revision of a connection's grant as the store has it now; 0 while there is none.
    pub(crate) fn newest_revision(&self, connection_uid: &str) -> i64 {
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
    pub limits: RefreshBounds,
    /// What providers may be reached by.
    pub provider_bounds: NetworkBounds,
    /// Namespace of the tries to connect.
    pub attempts_namespace: String,
    /// The portal's address, where there is one.
    pub portal: Option<Url>,
    /// Labels and annotations that users may put on published Secrets.
    pub allowed_metadata: AllowedMetadata,
}

/// A kind of ours: what its folder says of it to the operator.
pub(crate) trait Kind: Registered {
    /// Names its controller in metrics.
    const LABEL: &'static str;

    /// Why a reconcile failed.
    type Error: std::error::Error + Send + 'static;

    /// Wakes whoever has to look again when an object changed. Read them as sentences.
    fn changed(ctx: &Context, change: &Change<Self>);

    /// Brings one object a step towards what its spec asks for; says how that ended and when to look again.
    fn reconcile(
        object: Arc<Self>,
        ctx: Arc<Context>,
    ) -> impl Future<Output = Result<Pass, Self::Error>> + Send;
}

/// How a reconcile ended, and when to look again.
pub(crate) type Pass = (PassOutcome, Action);
