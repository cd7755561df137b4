//! The one writer of record Secrets, with a cache that is never behind its own writes.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bowline_runtime::follow::{CacheEntry, Newest, ObjectVersion, Source, Unlisted, follow};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::call::{CallError, bounded};
use super::record::{RECORD_TYPE, Record, RecordError, record_name, uid_in_name};

mod error;
mod query;

pub(crate) use error::{CachedReadError, LiveReadError, WriteError};

/// How many changes a slow listener may be behind before it learns that it missed some.
const CHANGES_KEPT: usize = 16_384;

/// What is known of a connection's record: the record, or why its Secret could not be read.
type StoredRecord = Result<Arc<Record>, RecordError>;

/// All records, by UID of the connection.
///
/// [`Newest`] also orders intents, which do not increment the record's revision. As that only grows, a higher revision also
/// has the greater resourceVersion.
type RecordCache = Newest<Arc<str>, StoredRecord>;

/// Reads and writes the records of one operator's namespace.
///
/// The client must not retry by itself (`Config::default_retry = false`): a write whose outcome is unknown is reported as
/// such, once, after 5 s at the latest. A write whose future is dropped midway also has an unknown outcome.
pub(crate) struct Store {
    secrets: Api<Secret>,
    cache: RwLock<RecordCache>,
    changes: broadcast::Sender<Arc<str>>,
    synced: watch::Sender<bool>,
}

/// The right to write once over one known state of one record. It cannot be copied: a write consumes it.
#[derive(Debug)]
#[must_use = "a record is written again only with its latest version"]
pub(crate) struct Version {
    uid: Arc<str>,
    object: ObjectVersion,
}

impl Version {
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    /// What was read, for a later comparison. It does not allow a write.
    pub(crate) fn read(&self) -> ObjectVersion {
        self.object.clone()
    }
}

#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its transitions take it by value; clone it, that is cheap.
    pub(crate) record: Arc<Record>,
    pub(crate) version: Version,
}

impl Store {
    /// A store for the records in `namespace`. Knows none until [`Store::run`] has listed them.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            cache: RwLock::new(
                RecordCache::by_revision(|stored| stored.as_ref().map_or(-1, |it| it.revision()))
                    .looked_up_by(query::keys),
            ),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            synced: watch::Sender::new(false),
        }
    }

    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let config = watcher::Config::default().fields(&format!("type={RECORD_TYPE}"));
        let mut events = follow(self.secrets.clone(), config, &shutdown);
        while let Some(event) = events.next().await {
            for uid in self.hear(event) {
                if let Err(error) = self.reread(&uid).await {
                    tracing::warn!(%uid, %error, "a record written during a listing could not be checked");
                }
            }
        }
    }

    pub(crate) async fn wait_ready(&self) {
        // An error would mean that the sender is gone, but it lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.synced.borrow()
    }

    /// UIDs of connections whose record was changed or deleted, also by our own writes. A listener that falls behind gets
    /// `Lagged` and checks all records again.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }

    /// The record of the connection with this UID, as cached. `Ok(None)` means that there certainly was none: before the
    /// records are listed, or if a Secret cannot be read, the answer is an error.
    pub(crate) fn get(&self, uid: &str) -> Result<Option<Loaded>, CachedReadError> {
        if !self.is_ready() {
            return Err(CachedReadError::NotSynced);
        }
        Ok(self.cached(uid)?)
    }

    /// The record as the API server has it now, or as we have written it since. Used to resolve a conflict or an unknown
    /// outcome, not in a reconcile.
    pub(crate) async fn reread(&self, uid: &str) -> Result<Option<Loaded>, LiveReadError> {
        let over = self.read().get(uid).map(|(_, held)| held.object.clone());
        match (bounded(self.secrets.get_opt(&record_name(uid))).await?, over) {
            (Some(secret), over) => self.take(secret, Source::LiveRead { over }),
            (None, Some(over)) => self.forget(uid, &over),
            (None, None) => {}
        }
        Ok(self.cached(uid)?)
    }

    /// Writes the first record of a connection. `AlreadyExists` after an unknown outcome may be our own: read it again.
    pub(crate) async fn create(&self, record: Record) -> Result<Version, WriteError> {
        let secret = record.to_secret().map_err(|_| WriteError::NotSerializable)?;
        let answer = bounded(self.secrets.create(&PostParams::default(), &secret)).await;
        self.written(record, &answer.map_err(WriteError::of_create)?)
    }

    /// Writes over exactly the state that `version` stands for, or not at all.
    pub(crate) async fn replace(&self, version: Version, record: Record) -> Result<Version, WriteError> {
        if record.uid() != version.uid() {
            return Err(WriteError::OtherRecord);
        }
        let mut secret = record.to_secret().map_err(|_| WriteError::NotSerializable)?;
        // Without these a PUT would overwrite whatever is stored.
        secret.metadata.uid = Some(version.object.uid.to_string());
        secret.metadata.resource_version = Some(version.object.resource_version.to_string());
        let name = record_name(record.uid());
        let answer = bounded(self.secrets.replace(&name, &PostParams::default(), &secret)).await;
        self.written(record, &answer.map_err(WriteError::of_replace)?)
    }

    /// Deletes exactly the state that `version` stands for, or nothing. A record that is already gone counts as erased.
    pub(crate) async fn erase(&self, version: Version) -> Result<(), WriteError> {
        let preconditions = Preconditions {
            uid: Some(version.object.uid.to_string()),
            resource_version: Some(version.object.resource_version.to_string()),
        };
        let params = DeleteParams::default().preconditions(preconditions);
        let answer = bounded(self.secrets.delete(&record_name(version.uid()), &params)).await;
        match answer.map_err(WriteError::of_replace) {
            Ok(_) | Err(WriteError::Gone) => {
                self.forget(version.uid(), &version.object);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn written(&self, record: Record, answer: &Secret) -> Result<Version, WriteError> {
        let object = ObjectVersion::of(&answer.metadata);
        let object = object.ok_or(WriteError::OutcomeUnknown(CallError::Unversioned))?;
        let uid: Arc<str> = record.uid().into();
        self.note(Arc::clone(&uid), object.clone(), Ok(Arc::new(record)), Source::OwnWrite);
        Ok(Version { uid, object })
    }

    /// Applies an event. Returns the connections whose records must be read live to know more.
    fn hear(&self, event: Event<Secret>) -> Vec<Arc<str>> {
        match event {
            Event::Init => self.write().listing_begins(),
            Event::InitApply(secret) | Event::Apply(secret) => self.take(secret, Source::Watch),
            Event::Delete(secret) => {
                if let Some((uid, dead)) = identity(&secret.metadata) {
                    self.forget(&uid, &dead);
                }
            }
            Event::InitDone => {
                let Unlisted { gone, doubtful } = self.write().listing_ends();
                for (uid, _) in gone {
                    self.announce(uid);
                }
                self.synced.send_replace(true);
                return doubtful;
            }
        }
        Vec::new()
    }

    fn take(&self, secret: Secret, source: Source) {
        let Some((uid, object)) = identity(&secret.metadata) else {
            tracing::warn!(
                secret = secret.name_any(),
                "a Secret of the records' type is not named as a record"
            );
            return;
        };
        self.note(uid, object, Record::from_secret(secret).map(Arc::new), source);
    }

    fn note(&self, uid: Arc<str>, object: ObjectVersion, content: StoredRecord, source: Source) {
        let unreadable = content.as_ref().err().copied();
        let changed = self.write().take(Arc::clone(&uid), object, content, source);
        if changed {
            if let Some(error) = unreadable {
                tracing::error!(%uid, %error, "a record cannot be read and is left as it is");
            }
            self.announce(uid);
        }
    }

    fn forget(&self, uid: &str, dead: &ObjectVersion) {
        let uid = Arc::from(uid);
        let held = self.write().deleted(&uid, dead);
        if held.is_some() {
            self.announce(uid);
        }
    }

    fn announce(&self, uid: Arc<str>) {
        // An error means that there is no listener.
        let _ = self.changes.send(uid);
    }

    fn cached(&self, uid: &str) -> Result<Option<Loaded>, RecordError> {
        self.read().get(uid).map(|(uid, held)| loaded(uid, held)).transpose()
    }

    // A panic elsewhere cannot leave the cache half changed, so a poisoned lock is as good as a healthy one.
    fn read(&self) -> RwLockReadGuard<'_, RecordCache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RecordCache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn loaded(uid: &Arc<str>, held: &CacheEntry<StoredRecord>) -> Result<Loaded, RecordError> {
    let record = held.content.clone()?;
    Ok(Loaded { record, version: Version { uid: Arc::clone(uid), object: held.object.clone() } })
}

/// Whose record the Secret with this metadata is, and which state of it; `None` if its name is not a record's. The name
/// decides: a label could be copied to another Secret.
fn identity(metadata: &ObjectMeta) -> Option<(Arc<str>, ObjectVersion)> {
    Some((uid_in_name(metadata.name.as_deref()?)?.into(), ObjectVersion::of(metadata)?))
}

#[cfg(test)]
mod tests;
