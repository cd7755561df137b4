//! The one writer of record Secrets, with a cache that is never behind its own writes.

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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
use super::record::{CLEAR_PART, Ending, Kept, Record, RecordError};
use super::seal::Sealer;
use super::signature::{Proof, sign};

mod error;
mod query;

pub(crate) use error::{CachedReadError, LiveReadError, WriteError};

/// How many changes a slow listener may be behind before it learns that it missed some.
const CHANGES_KEPT: usize = 16_384;

/// What is known of a Secret: its content and whether we wrote it, or why it could not be read.
type Cached<T> = Result<(Arc<T>, Proof), RecordError>;

/// All records by UID of the connection, or all endings by UID of the record's Secret.
///
/// [`Newest`] also orders intents, which do not increment the record's revision. As that only grows, a higher revision also
/// has the greater resourceVersion.
type RecordCache<T> = Newest<Arc<str>, Cached<T>>;

/// Reads and writes the records, or the endings, of one operator's namespace.
///
/// The client must not retry by itself (`Config::default_retry = false`): a write whose outcome is unknown is reported as
/// such, once, after 5 s at the latest. A write whose future is dropped midway also has an unknown outcome.
pub(crate) struct Store<T = Record> {
    secrets: Api<Secret>,
    cache: RwLock<RecordCache<T>>,
    changes: broadcast::Sender<StoreChange>,
    synced: watch::Sender<bool>,
    /// Signs and verifies. Nothing is read or written before it is there.
    sealer: OnceLock<Sealer>,
}

/// Something was written or deleted.
#[derive(Clone, Debug)]
pub(crate) struct StoreChange {
    /// UID of the connection, and its namespace and name if they are known.
    pub(crate) uid: Arc<str>,
    pub(crate) connection: Option<(String, String)>,
    /// Whether this process did it.
    pub(crate) is_own: bool,
}

/// The right to write once over one known state of one record. It cannot be copied: a write consumes it.
#[derive(Debug)]
#[must_use = "a record is written again only with its latest version"]
pub(crate) struct Version {
    key: Arc<str>,
    object: ObjectVersion,
}

impl Version {
    /// What was read, for a later comparison. It does not allow a write.
    pub(crate) fn read(&self) -> ObjectVersion {
        self.object.clone()
    }
}

#[derive(Debug)]
pub(crate) struct Loaded<T = Record> {
    /// Its transitions take it by value; clone it, that is cheap.
    pub(crate) record: Arc<T>,
    pub(crate) version: Version,
}

impl<T: Kept> Store<T> {
    /// A store for the Secrets in `namespace`. Knows none until [`Store::run`] has listed them.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            cache: RwLock::new(
                RecordCache::<T>::by_revision(|cached| {
                    cached.as_ref().map_or(-1, |(kept, _)| kept.revision())
                })
                .looked_up_by(query::keys),
            ),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            synced: watch::Sender::new(false),
            sealer: OnceLock::new(),
        }
    }

    /// Gives it the keyring, once.
    pub(crate) fn unlock(&self, sealer: Sealer) {
        self.sealer.get_or_init(|| sealer);
    }

    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let config = watcher::Config::default().fields(&format!("type={}", T::TYPE));
        let mut events = follow(self.secrets.clone(), config, &shutdown);
        while let Some(event) = events.next().await {
            for key in self.hear(event) {
                if let Err(error) = self.reread(&key).await {
                    tracing::warn!(uid = %key, %error, "a record written during a listing could not be checked");
                }
            }
        }
    }

    pub(crate) async fn wait_ready(&self) {
        // An error would mean that the sender is gone, but it lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.synced.borrow() && self.sealer.get().is_some()
    }

    /// What was changed or deleted, also by our own writes. A listener that falls behind gets `Lagged` and checks everything
    /// again.
    pub(crate) fn changes(&self) -> broadcast::Receiver<StoreChange> {
        self.changes.subscribe()
    }

    /// What is cached under this key. `Ok(None)` means that there certainly was nothing: before the Secrets are listed, or if
    /// one cannot be read or was not written by us, the answer is an error.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Loaded<T>>, CachedReadError> {
        if !self.is_ready() {
            return Err(CachedReadError::NotSynced);
        }
        Ok(self.cached(key)?)
    }

    /// The same as the API server has it now, or as we have written it since. Used to resolve a conflict or an unknown
    /// outcome, not in an ordinary reconcile.
    pub(crate) async fn reread(&self, key: &str) -> Result<Option<Loaded<T>>, LiveReadError> {
        let over = self.read().get(key).map(|(_, held)| held.object.clone());
        match (bounded(self.secrets.get_opt(&object_name::<T>(key))).await?, over) {
            (Some(secret), over) => self.take(secret, Source::LiveRead { over }),
            (None, Some(over)) => self.forget(key, &over, false),
            (None, None) => {}
        }
        Ok(self.cached(key)?)
    }

    /// Writes over exactly the state that `version` stands for, or not at all.
    pub(crate) async fn replace(&self, version: Version, next: T) -> Result<Version, WriteError> {
        if next.key() != &*version.key {
            return Err(WriteError::OtherRecord);
        }
        let mut secret = next.to_secret().map_err(|_| WriteError::NotSerializable)?;
        // Without these a PUT would overwrite whatever is stored.
        secret.metadata.uid = Some(version.object.uid.to_string());
        secret.metadata.resource_version = Some(version.object.resource_version.to_string());
        self.sign(&next, &mut secret)?;
        let name = object_name::<T>(next.key());
        let answer = bounded(self.secrets.replace(&name, &PostParams::default(), &secret)).await;
        self.written(next, &answer.map_err(WriteError::of_replace)?)
    }

    /// Deletes exactly the state that `version` stands for, or nothing. What is already gone counts as erased.
    pub(crate) async fn erase(&self, version: Version) -> Result<(), WriteError> {
        let preconditions = Preconditions {
            uid: Some(version.object.uid.to_string()),
            resource_version: Some(version.object.resource_version.to_string()),
        };
        let params = DeleteParams::default().preconditions(preconditions);
        let answer = bounded(self.secrets.delete(&object_name::<T>(&version.key), &params)).await;
        match answer.map_err(WriteError::of_replace) {
            Ok(_) | Err(WriteError::Gone) => {
                self.forget(&version.key, &version.object, true);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn sign(&self, kept: &T, secret: &mut Secret) -> Result<(), WriteError> {
        let sealer = self.sealer.get().ok_or(WriteError::NotSigned)?;
        sign(sealer, kept, secret).map_err(|_| WriteError::NotSigned)
    }

    fn written(&self, kept: T, answer: &Secret) -> Result<Version, WriteError> {
        let object = ObjectVersion::of(&answer.metadata);
        let object = object.ok_or(WriteError::OutcomeUnknown(CallError::Unversioned))?;
        let key: Arc<str> = kept.key().into();
        self.note(&key, object.clone(), Ok((Arc::new(kept), Proof::Own)), Source::OwnWrite);
        Ok(Version { key, object })
    }

    /// Applies an event. Returns the keys of what must be read live to know more.
    fn hear(&self, event: Event<Secret>) -> Vec<Arc<str>> {
        match event {
            Event::Init => self.write().listing_begins(),
            Event::InitApply(secret) | Event::Apply(secret) => self.take(secret, Source::Watch),
            Event::Delete(secret) => {
                if let Some((key, dead)) = identity::<T>(&secret.metadata) {
                    self.forget(&key, &dead, false);
                }
            }
            Event::InitDone => {
                let Unlisted { gone, doubtful } = self.write().listing_ends();
                for (key, was) in gone {
                    self.announce(&key, &was, false);
                }
                self.synced.send_replace(true);
                return doubtful;
            }
        }
        Vec::new()
    }

    fn take(&self, secret: Secret, source: Source) {
        let Some((key, object)) = identity::<T>(&secret.metadata) else {
            tracing::warn!(
                secret = secret.name_any(),
                "a Secret of the records' type is not named as a record"
            );
            return;
        };
        if is_draft(&secret) {
            return;
        }
        let proof = Proof::of::<T>(&secret);
        self.note(&key, object, T::from_secret(secret).map(|kept| (Arc::new(kept), proof)), source);
    }

    fn note(&self, key: &Arc<str>, object: ObjectVersion, content: Cached<T>, source: Source) {
        // Before the keyring is there, nothing can be verified yet.
        let unreadable = self.sealer.get().and_then(|_| self.believed(&content).err());
        let unreadable = content.as_ref().err().copied().or(unreadable);
        let (was, is_own) = (content.clone(), source == Source::OwnWrite);
        let changed = self.write().take(Arc::clone(key), object, content, source);
        if changed {
            if let Some(error) = unreadable {
                tracing::error!(uid = %key, %error, "a record cannot be read and is left as it is");
            }
            self.announce(key, &was, is_own);
        }
    }

    fn forget(&self, key: &str, dead: &ObjectVersion, is_own: bool) {
        let key = Arc::from(key);
        let held = self.write().deleted(&key, dead);
        if let Some(was) = held {
            self.announce(&key, &was, is_own);
        }
    }

    fn announce(&self, key: &Arc<str>, content: &Cached<T>, is_own: bool) {
        let place = content.as_ref().ok().map(|(kept, _)| kept.place());
        let change = StoreChange {
            uid: place.map_or_else(|| Arc::clone(key), |place| place.uid.as_str().into()),
            connection: place.map(|place| (place.namespace.clone(), place.name.clone())),
            is_own,
        };
        // An error means that there is no listener.
        let _ = self.changes.send(change);
    }

    fn cached(&self, key: &str) -> Result<Option<Loaded<T>>, RecordError> {
        self.read().get(key).map(|(key, held)| self.loaded(key, held)).transpose()
    }

    /// What is cached, if it is proved that we wrote it.
    fn believed(&self, cached: &Cached<T>) -> Result<Arc<T>, RecordError> {
        let (kept, proof) = cached.as_ref().map_err(|error| *error)?;
        proof.verify(self.sealer.get().ok_or(RecordError::NoKey)?, &**kept)?;
        Ok(Arc::clone(kept))
    }

    fn loaded(&self, key: &Arc<str>, held: &CacheEntry<Cached<T>>) -> Result<Loaded<T>, RecordError> {
        let record = self.believed(&held.content)?;
        Ok(Loaded { record, version: Version { key: Arc::clone(key), object: held.object.clone() } })
    }

    // A panic elsewhere cannot leave the cache half changed, so a poisoned lock is as good as a healthy one.
    fn read(&self) -> RwLockReadGuard<'_, RecordCache<T>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RecordCache<T>> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Erases a record that somebody else wrote: its owner has connected again, and a new one replaces it.
    pub(crate) async fn erase_untrusted(&self, uid: &str) -> Result<(), WriteError> {
        let held = self
            .read()
            .get(uid)
            .filter(|(_, held)| self.believed(&held.content).is_err())
            .map(|(key, held)| Version { key: Arc::clone(key), object: held.object.clone() });
        match held {
            Some(version) => self.erase(version).await,
            None => Ok(()),
        }
    }

    /// Writes the first record of a connection. `AlreadyExists` after an unknown outcome may be our own: read it again.
    pub(crate) async fn create(&self, record: Record) -> Result<Version, WriteError> {
        let mut secret = record.to_secret().map_err(|_| WriteError::NotSerializable)?;
        self.sign(&record, &mut secret)?;
        let answer = bounded(self.secrets.create(&PostParams::default(), &secret)).await;
        self.written(record, &answer.map_err(WriteError::of_create)?)
    }
}

impl Store<Ending> {
    /// Writes an ending over what this process knows of it, or as a new one: its name belongs to one record's Secret.
    ///
    /// An empty Secret is made first, because the ending is signed for the one it is in: a copy of it, made later by somebody
    /// without our keyring, is not believed.
    pub(crate) async fn put(&self, ending: Ending) -> Result<Version, WriteError> {
        let name = object_name::<Ending>(ending.key());
        let there = bounded(self.secrets.get_opt(&name)).await.map_err(WriteError::of_replace)?;
        let known = self.get(ending.key()).ok().flatten().map(|known| known.version.read());
        let object = if let Some(secret) = there {
            // Another process has written it meanwhile, perhaps an answer into it.
            if !is_draft(&secret) && ObjectVersion::of(&secret.metadata) != known {
                self.take(secret, Source::LiveRead { over: known });
                return Err(WriteError::Conflict);
            }
            secret
        } else {
            let mut draft = ending.to_secret().map_err(|_| WriteError::NotSerializable)?;
            draft.data = None;
            let made = bounded(self.secrets.create(&PostParams::default(), &draft)).await;
            made.map_err(WriteError::of_create)?
        };
        let object = ObjectVersion::of(&object.metadata);
        let object = object.ok_or(WriteError::OutcomeUnknown(CallError::Unversioned))?;
        self.replace(Version { key: ending.key().into(), object }, ending).await
    }
}

/// Whether it is the empty Secret that an ending is about to be written into.
fn is_draft(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(Ending::TYPE)
        && !secret.data.as_ref().is_some_and(|data| data.contains_key(CLEAR_PART))
}

fn object_name<T: Kept>(key: &str) -> String {
    format!("{}{key}", T::PREFIX)
}

/// The key of the Secret with this metadata, and which state of it; `None` if its name does not fit. The name decides: a label
/// could be copied to another Secret.
fn identity<T: Kept>(metadata: &ObjectMeta) -> Option<(Arc<str>, ObjectVersion)> {
    Some((metadata.name.as_deref()?.strip_prefix(T::PREFIX)?.into(), ObjectVersion::of(metadata)?))
}

#[cfg(test)]
mod tests;
