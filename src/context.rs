//! What every controller receives, and what each kind defines for its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{ConnectionShare, IntegrationConnection};
use bowline_oauth::http::Clients;
use bowline_oauth::network::NetworkBounds;
use bowline_runtime::clock::Clock;
use bowline_runtime::follow::{Change, ObjectVersion, Parsed};
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::core::object::HasStatus;
use kube::runtime::controller::Action;
use kube::runtime::finalizer;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use url::Url;

use crate::grant::desk::Desk;
use crate::grant::lifetime::Lifetimes;
use crate::grant::schedule::RefreshBounds;
use crate::kinds::Registered;
use crate::kube_ext::apply::{apply, apply_status};
use crate::kube_ext::events::Events;
use crate::kube_ext::memory::Memory;
use crate::metrics::{Metrics, PassOutcome, PublishOutcome};
use crate::notify::{Notifications, NotifySettings};
use crate::publishing::metadata::AllowedMetadata;
use crate::publishing::{self, Desired, Nudges, PublishError, PublishedVersion, Withdrawals, Withdrawn};
use crate::secret_plan::GrantInUse;
use crate::sharers::Sharer;
use crate::sharing::terms::{TermsInForce, TermsOnRecord};
use crate::vault::keyring::Protection;
use crate::vault::record::GrantVersion;
use crate::vault::{Sealer, Store};
use crate::world::World;

pub(crate) struct Context {
    /// The API server, without retries of its own.
    pub(crate) client: Client,
    pub(crate) world: World,
    pub(crate) store: Arc<Store>,
    pub(crate) sealer: Sealer,
    /// Takes work on grants.
    pub(crate) grants: Arc<Desk>,
    /// Requests to providers.
    pub(crate) clients: Clients,
    pub(crate) events: Arc<Events>,
    pub(crate) notifications: Notifications,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// The Secret that this process published last, by UID of the connection, share or binding.
    pub(crate) last_published: Memory<PublishedVersion>,
    /// When this process last changed `status.dependents`, by UID of the connection.
    pub(crate) dependents_told: Memory<Timestamp>,
    /// When this process last changed `lastDelivery` in status, by UID of the binding or connection.
    pub(crate) deliveries_told: Memory<Timestamp>,
    /// When tokens expire, whatever happens to the wall clock.
    pub(crate) lifetimes: Lifetimes,
    /// Withdrawals that follow each other.
    pub(crate) withdrawals: Withdrawals,
    /// Tells pods of new tokens.
    pub(crate) nudges: Arc<Nudges>,
    pub(crate) settings: OperatorSettings,
}

impl Context {
    /// Publishes a Secret of a connection, share or binding, remembers it, and counts the result. `seen` is the Secret under that
    /// name, `last` the one published last. Only the grant on record is published, at its present revision.
    pub(crate) async fn publish(
        &self,
        desired: &Desired,
        seen: Option<&ObjectVersion>,
        last: Option<&PublishedVersion>,
    ) -> Result<(), PublishError> {
        if self.world.published.is_unreadable(&desired.namespace) {
            return Err(PublishError::NamespaceUnreadable);
        }
        let known = seen.filter(|seen| last.is_some_and(|last| last.is_object(seen, &desired.name)));
        let newest = || self.grant_on_record(&desired.connection_uid);
        let written = publishing::publish(&self.client, &self.world.published, desired, known, &newest).await;
        self.metrics.published(written.as_ref().map_or_else(outcome, |_| PublishOutcome::Written));
        let ObjectVersion { uid, resource_version } = written?;
        let version = PublishedVersion {
            name: desired.name.clone(),
            uid: uid.to_string(),
            resource_version: Some(resource_version.into()),
            grant: Some(desired.grant),
            described: desired.described,
        };
        self.last_published.set(&desired.owner.uid, version);
        Ok(())
    }

    /// Remembers who shares a connection under its id. Returns whether that is stored.
    pub(crate) async fn remember_sharer(&self, sharer: &Sharer) -> bool {
        let secrets = Api::namespaced(self.client.clone(), &self.settings.namespace);
        let before = self.world.sharer_secret(&sharer.id);
        match sharer.remember(&secrets, before.as_deref()).await {
            Ok(secret) => {
                self.world.sharers.wrote(Parsed(Ok(secret)));
                true
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), id = sharer.id, "who shares this connection is not stored yet, so it is not shared");
                false
            }
        }
    }

    /// Removes a Secret of the object with this UID, and counts the result.
    pub(crate) async fn withdraw(
        &self,
        namespace: &str,
        name: &str,
        owner_uid: &str,
        written_uid: Option<&str>,
    ) -> Result<(), PublishError> {
        let index = &self.world.published;
        let removed =
            publishing::withdraw(&self.client, index, namespace, name, owner_uid, written_uid).await;
        let counted = |removed: &Withdrawn| match removed {
            Withdrawn::Gone => PublishOutcome::Withdrawn,
            Withdrawn::NotOurs => PublishOutcome::Unchanged,
        };
        self.metrics.published(removed.as_ref().map_or_else(outcome, counted));
        removed.map(drop)
    }

    /// Removes a share: first its Secret, then the share itself. Garbage collection is only a backstop.
    pub(crate) async fn take_back(&self, share: &ConnectionShare) -> Result<(), PublishError> {
        let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
        let has_secret = share.status.as_ref().is_some_and(|status| status.secret_name.is_some());
        if has_secret || self.world.published.may_have(&namespace, &name) {
            let uid = share.uid().unwrap_or_default();
            let written = self.last_published.get(&uid).filter(|written| written.name == name);
            self.withdraw(&namespace, &name, &uid, written.as_ref().map(|written| &*written.uid)).await?;
        }
        publishing::delete_share(&self.client, share).await
    }

    /// The Secret of this name that was published last for the object with this UID: as this process remembers,
    /// or otherwise as the Secret itself says.
    pub(crate) fn published(&self, owner_uid: &str, namespace: &str, name: &str) -> Option<PublishedVersion> {
        self.last_published
            .get(owner_uid)
            .or_else(|| PublishedVersion::found(&self.world.published.get(namespace, name)?, name, owner_uid))
    }

    /// Writes the status of an object if it changed, and puts it into the cache at once: a decision is never based on a
    /// state older than our own last write. Returns whether the object still exists.
    pub(crate) async fn write_status<K>(&self, object: &K, status: &K::Status) -> Result<bool, ReconcileError>
    where
        K: Controlled + HasStatus,
        K::Status: Serialize + PartialEq,
    {
        if object.status() == Some(status) {
            return Ok(true);
        }
        match apply_status(&self.client, object, status).await {
            Ok(written) => {
                for change in K::handle(&self.world.kinds).wrote(written) {
                    K::changed(self, &change);
                }
                Ok(true)
            }
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(false),
            Err(error) => Err(ReconcileError::Status(error)),
        }
    }

    /// Writes a share as it should be; returns whether that succeeded.
    pub(crate) async fn write_share(&self, share: &ConnectionShare) -> bool {
        let namespace = share.namespace().unwrap_or_default();
        let api: Api<ConnectionShare> = Api::namespaced(self.client.clone(), &namespace);
        let written = apply(&api, &share.name_any(), share).await;
        if let Err(error) = &written {
            tracing::warn!(error = %chain(error), share = share.name_any(), namespace, "a share could not be written yet");
        }
        written.is_ok()
    }

    /// Reports on an object that it cannot be read, and why. Does not wait for the API server.
    pub(crate) fn report_unreadable(&self, object: ObjectReference, note: String) {
        let events = Arc::clone(&self.events);
        tokio::spawn(async move { events.publish(&object, Reason::Unreadable, "Read", &note).await });
    }

    /// A reconcile of an object panicked: counts it and says so. The others go on.
    pub(crate) async fn report_panic(&self, controller: &'static str, object: &ObjectReference) {
        self.metrics.panicked(controller);
        let note = Reason::InternalError.message(&MessageFacts::default());
        self.events.publish(object, Reason::InternalError, "Reconcile", &note).await;
    }

    /// The connection's grant on record, if it can be read, is this connection's, and is not being ended; with the values beside
    /// the token that its provider publishes.
    pub(crate) fn grant_in_use(&self, connection: &IntegrationConnection) -> Option<GrantInUse> {
        let record = self.store.get(connection.metadata.uid.as_deref()?).ok()??.record;
        // What opens is bound to the place that the record names; we must check that this place is the connection's.
        if *record.place() != self.world.place(connection) {
            return None;
        }
        let grant = record.open_grant(&self.sealer).ok()??;
        let grant = GrantInUse { grant: Arc::new(grant), version: record.grant_version()? };
        let spec = &connection.spec;
        Some(match self.world.provider(&spec.provider, &spec.parameters) {
            Ok(target) => grant.published_by(target.description()),
            Err(_) => grant,
        })
    }

    /// The terms of a connection that are in force, by its record.
    pub(crate) fn terms(&self, connection: &IntegrationConnection) -> TermsInForce {
        let record = self.store.get(connection.metadata.uid.as_deref().unwrap_or_default());
        let on_record = match record.map(|loaded| loaded.map(|loaded| loaded.record)) {
            Ok(None) => TermsOnRecord::without(connection),
            Ok(Some(record)) if *record.place() == self.world.place(connection) => {
                match record.open_grant(&self.sealer) {
                    Ok(Some(grant)) => TermsOnRecord::of(&grant, connection),
                    Ok(None) => TermsOnRecord::without(connection),
                    Err(_) => TermsOnRecord::Unknown,
                }
            }
            Ok(Some(_)) | Err(_) => TermsOnRecord::Unknown,
        };
        self.world.terms(connection, on_record)
    }

    fn grant_on_record(&self, connection_uid: &str) -> Option<GrantVersion> {
        self.store.get(connection_uid).ok().flatten()?.record.grant_version()
    }
}

fn outcome(error: &PublishError) -> PublishOutcome {
    match error {
        PublishError::NameTaken => PublishOutcome::NameTaken,
        PublishError::QuotaExceeded(_) => PublishOutcome::QuotaExceeded,
        PublishError::Forbidden(_) => PublishOutcome::Forbidden,
        PublishError::Superseded => PublishOutcome::Unchanged,
        PublishError::NamespaceTerminating(_)
        | PublishError::NamespaceUnreadable
        | PublishError::NamespaceNotFound(_)
        | PublishError::Refused(_)
        | PublishError::TooLarge(_)
        | PublishError::BeingDeleted
        | PublishError::Contended
        | PublishError::Unanswered(_)
        | PublishError::Unavailable(_) => PublishOutcome::Failed,
    }
}

/// What the administrator chose.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// Namespace of the operator: records, keyring, app registrations.
    pub namespace: String,
    pub listen: SocketAddr,
    /// How many connections have series of their own.
    pub own_series: usize,
    /// The namespaces in which Secrets may be read and written; empty means all.
    pub secret_namespaces: BTreeSet<String>,
    pub portal: Option<Url>,
    pub attempts_namespace: String,
    pub allowed_metadata: AllowedMetadata,
    pub limits: RefreshBounds,
    /// How long a grant that was replaced is left alone before it is revoked.
    pub revoke_former_after: Duration,
    /// How long a disconnection can be undone before the grant is revoked.
    pub disconnect_pause: Duration,
    /// How long another process's intent is respected.
    pub intent_ttl: Duration,
    pub journal_dir: Option<PathBuf>,
    /// Where the keyring is, if not in its Secret.
    pub keyring_dir: Option<PathBuf>,
    /// The KMS that wraps the keyring, if there is one.
    pub protection: Option<Protection>,
    pub key_max_age: Duration,
    /// The age at which the operator makes another key; `None` if people do.
    pub key_rotate_after: Option<Duration>,
    pub record_retention: Duration,
    pub provider_bounds: NetworkBounds,
    /// Where notifications go, if anywhere.
    pub notify: Option<NotifySettings>,
    pub instance: String,
}

/// A kind that one of our controllers reconciles.
pub(crate) trait Controlled: Registered {
    /// Names its controller in metrics.
    const LABEL: &'static str;

    /// Wakes whatever has to be reconciled when an object changed.
    fn changed(ctx: &Context, change: &Change<Self>);

    /// Takes one step towards what the object's spec requests; returns the result and when to reconcile again.
    fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> impl Future<Output = Reconciled> + Send;
}

/// How a reconcile ended, and when to look again.
pub(crate) type Reconciled = Result<(PassOutcome, Action), ReconcileError>;

/// Reconciles again at that time, if there is one, and with every change. At least a second later: times are whole seconds,
/// and a wait that ends within the same second would find nothing due.
pub(crate) fn look_again(at: Option<Timestamp>, now: Timestamp) -> Action {
    let Some(at) = at else { return Action::await_change() };
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Action::requeue(wait.max(Duration::from_secs(1)))
}

/// Errors of the API server. Mistakes of a provider or a person are conditions, never this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("the status could not be written")]
    Status(#[source] kube::Error),
    /// A connection that does not parse could not be read field by field either.
    #[error("the connection could not be read")]
    Read(#[source] kube::Error),
    /// The grant of a connection that goes is not on record as ending.
    #[error("the grant is not being ended yet")]
    End,
    /// What a connection has published still exists, and that is not on record.
    #[error("what was published is not withdrawn yet")]
    Withdraw,
    /// A share or its Secret still exists.
    #[error("the share is not taken back yet")]
    TakeBack(#[source] PublishError),
    /// A fault of this program.
    #[error("it panicked: the lines before this one say where")]
    Panicked,
    #[error("the finalizer could not be changed")]
    Finalizer(#[source] Box<finalizer::Error<ReconcileError>>),
}
