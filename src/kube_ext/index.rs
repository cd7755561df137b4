//! Which Secrets there are, without their data.
//!
//! Fed by watches on metadata and by our own writes. Watches run behind: an event that is older than what we wrote
//! ourselves is ignored, so that a decision is never taken below our own last write.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use bowline_api::names::{LABEL_CONNECTION_UID, LABEL_MANAGED_BY, MANAGED_BY, TYPE_CREDENTIAL};

/// Namespace and name.
pub type Key = (String, String);

/// What is known of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// UID of the Secret.
    pub uid: Box<str>,
    /// Its resourceVersion.
    pub resource_version: Box<str>,
    /// Its controller, if it has one.
    pub owner: Option<Box<Owner>>,
    /// Label with the connection's UID.
    pub connection_uid: Option<Box<str>>,
}

/// The controller of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
}

/// A Secret was changed, made or deleted, as far as the index can tell by somebody else.
///
/// A write of ours whose watch event overtakes its own answer is told as well: look at the Secret's version, not at the
/// fact that you were woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its controller now; where it has none any more, the last one known. Wake this one.
    pub owner: Option<Box<Owner>>,
}

/// An index of Secrets by namespace and name. Clones share it.
#[derive(Clone)]
pub struct SecretIndex {
    shared: Arc<Shared>,
}

struct Shared {
    selector: watcher::Config,
    known: Mutex<HashMap<Key, Held>>,
    on_change: Box<dyn Fn(Change) + Send + Sync>,
    unsynced: watch::Sender<usize>,
}

struct Held {
    entry: Entry,
    /// Seen in the list that is being read, or written by us since the last one.
    fresh: bool,
}

/// One watch that feeds the index: of one namespace, or of all.
pub struct Feed {
    index: SecretIndex,
    namespace: Option<String>,
    synced: bool,
}

impl SecretIndex {
    /// Index of the Secrets that the operator wrote (label managed-by).
    pub fn published(on_change: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self::new(watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}")), on_change)
    }

    /// Index of the Secrets of type `bowline.dev/credential`, by field selector.
    pub fn credentials(on_change: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self::new(watcher::Config::default().fields(&format!("type={TYPE_CREDENTIAL}")), on_change)
    }

    fn new(selector: watcher::Config, on_change: impl Fn(Change) + Send + Sync + 'static) -> Self {
        let shared = Shared {
            selector: selector.any_semantic(),
            known: Mutex::default(),
            on_change: Box::new(on_change),
            unsynced: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a watch of one namespace, or of all. [`Self::wait_ready`] waits for it from now on.
    pub fn feed(&self, namespace: Option<&str>) -> Feed {
        self.shared.unsynced.send_modify(|waiting| *waiting += 1);
        Feed { index: self.clone(), namespace: namespace.map(str::to_owned), synced: false }
    }

    /// Returns when every watch has delivered its first list.
    pub async fn wait_ready(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.shared.unsynced.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// Whether every watch has delivered its first list.
    pub fn is_ready(&self) -> bool {
        *self.shared.unsynced.borrow() == 0
    }

    /// What is known of a Secret.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Entry> {
        let key = (namespace.to_owned(), name.to_owned());
        self.known().get(&key).map(|held| held.entry.clone())
    }

    /// The Secrets whose controller has this UID. Walks the whole index.
    pub fn owned_by(&self, owner_uid: &str) -> Vec<Key> {
        let owned = |held: &Held| held.entry.owner.as_ref().is_some_and(|owner| &*owner.uid == owner_uid);
        self.known().iter().filter(|(_, held)| owned(held)).map(|(key, _)| key.clone()).collect()
    }

    /// How many Secrets are known.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Puts in what we wrote ourselves, at once. A watch event of this version or an older one then wakes nobody.
    pub fn wrote(&self, meta: &ObjectMeta) {
        let Some((key, entry)) = read(meta) else { return };
        let mut known = self.known();
        if known.get(&key).is_none_or(|held| !is_older(&entry.resource_version, &held.entry.resource_version))
        {
            known.insert(key, Held { entry, fresh: true });
        }
    }

    /// Takes out what we deleted ourselves, if it is still that object.
    pub fn deleted(&self, namespace: &str, name: &str, uid: &str) {
        if let Slot::Occupied(slot) = self.known().entry((namespace.to_owned(), name.to_owned()))
            && &*slot.get().entry.uid == uid
        {
            slot.remove();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, (namespace, name): Key, owner: Option<Box<Owner>>) {
        (self.shared.on_change)(Change { namespace, name, owner });
    }
}

impl Feed {
    /// Watches until dropped. Errors are logged and retried with backoff, 800 ms to 30 s.
    pub async fn run(mut self, client: Client) {
        let api = match &self.namespace {
            Some(namespace) => Api::<PartialObjectMeta<Secret>>::namespaced(client, namespace),
            None => Api::all(client),
        };
        let selector = self.index.shared.selector.clone();
        let mut events = watcher::watcher(api, selector).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.observe(event),
                Err(error) => {
                    let namespace = self.namespace.as_deref().unwrap_or("(all)");
                    tracing::warn!(namespace, %error, "the watch of Secrets failed and starts again");
                }
            }
        }
    }

    /// Takes in one event of the watch.
    pub fn observe(&mut self, event: Event<PartialObjectMeta<Secret>>) {
        match event {
            Event::Init => self.mark_all_stale(),
            Event::InitApply(object) | Event::Apply(object) => self.apply(&object.metadata),
            Event::Delete(object) => self.delete(&object.metadata),
            Event::InitDone => self.drop_stale(),
        }
    }

    fn apply(&self, meta: &ObjectMeta) {
        let Some((key, entry)) = read(meta) else { return };
        let owner = {
            let mut known = self.index.known();
            let last = known.get_mut(&key);
            if let Some(held) = last {
                held.fresh = true;
                if held.entry.resource_version == entry.resource_version
                    || is_older(&entry.resource_version, &held.entry.resource_version)
                {
                    return;
                }
            }
            let owner = entry.owner.clone();
            let last = known.insert(key.clone(), Held { entry, fresh: true });
            owner.or_else(|| last.and_then(|held| held.entry.owner))
        };
        self.index.tell(key, owner);
    }

    fn delete(&self, meta: &ObjectMeta) {
        let Some((key, entry)) = read(meta) else { return };
        let removed = match self.index.known().entry(key.clone()) {
            Slot::Occupied(slot)
                if !is_older(&entry.resource_version, &slot.get().entry.resource_version) =>
            {
                Some(slot.remove())
            }
            _ => None,
        };
        if let Some(held) = removed {
            self.index.tell(key, held.entry.owner);
        }
    }

    fn mark_all_stale(&self) {
        for (key, held) in self.index.known().iter_mut() {
            if self.covers(key) {
                held.fresh = false;
            }
        }
    }

    /// Drops what the finished list does not have, unless we wrote it while the list was read.
    fn drop_stale(&mut self) {
        let gone: Vec<_> =
            self.index.known().extract_if(|key, held| self.covers(key) && !held.fresh).collect();
        for (key, held) in gone {
            self.index.tell(key, held.entry.owner);
        }
        if !self.synced {
            self.synced = true;
            self.index.shared.unsynced.send_modify(|waiting| *waiting -= 1);
        }
    }

    fn covers(&self, (namespace, _): &Key) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }
}

impl From<&OwnerReference> for Owner {
    fn from(reference: &OwnerReference) -> Self {
        let OwnerReference { kind, name, uid, .. } = reference;
        Self { kind: kind.as_str().into(), name: name.as_str().into(), uid: uid.as_str().into() }
    }
}

/// The controller among the owners of an object.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn read(meta: &ObjectMeta) -> Option<(Key, Entry)> {
    let entry = Entry {
        uid: meta.uid.as_deref()?.into(),
        resource_version: meta.resource_version.as_deref()?.into(),
        owner: controller_of(meta).map(|owner| Box::new(owner.into())),
        connection_uid: meta
            .labels
            .iter()
            .flatten()
            .find(|(k, _)| *k == LABEL_CONNECTION_UID)
            .map(|(_, v)| v.as_str().into()),
    };
    Some(((meta.namespace.clone()?, meta.name.clone()?), entry))
}

/// Whether one resourceVersion is older than another. They are numbers that only grow (KEP-5504); any that is not a
/// number counts as news.
pub fn is_older(version: &str, than: &str) -> bool {
    matches!((version.parse::<u64>(), than.parse::<u64>()), (Ok(version), Ok(than)) if version < than)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kube::core::PartialObjectMetaExt;

    fn secret(namespace: &str, uid: &str, version: u64) -> PartialObjectMeta<Secret> {
        let owner = OwnerReference {
            kind: "IntegrationConnection".into(),
            name: "github".into(),
            uid: "c1".into(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some("github".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        }
        .into_response_partial()
    }

    fn index() -> (SecretIndex, Arc<Mutex<Vec<Change>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = told.clone();
        (SecretIndex::published(move |change| listener.lock().unwrap().push(change)), told)
    }

    fn version(index: &SecretIndex) -> Option<String> {
        index.get("a", "github").map(|entry| entry.resource_version.to_string())
    }

    #[test]
    fn a_late_event_never_undoes_our_own_write() {
        let (index, told) = index();
        let mut feed = index.feed(None);
        index.wrote(&secret("a", "u2", 9).metadata);
        feed.observe(Event::Apply(secret("a", "u1", 7)));
        feed.observe(Event::Delete(secret("a", "u1", 8)));
        feed.observe(Event::Apply(secret("a", "u2", 9)));
        assert_eq!(version(&index).as_deref(), Some("9"));
        assert!(told.lock().unwrap().is_empty(), "our own write wakes nobody");
    }

    #[test]
    fn an_edit_and_a_deletion_wake_the_owner() {
        let (index, told) = index();
        let mut feed = index.feed(None);
        index.wrote(&secret("a", "u", 9).metadata);
        let mut stripped = secret("a", "u", 10);
        stripped.metadata.owner_references = None;
        feed.observe(Event::Apply(stripped));
        feed.observe(Event::Apply(secret("a", "u", 11)));
        feed.observe(Event::Delete(secret("a", "u", 12)));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|change| change.owner.as_ref().is_some_and(|owner| &*owner.uid == "c1")));
        assert!(index.is_empty());
    }

    #[test]
    fn a_new_list_drops_what_is_gone_in_its_namespace_only_and_keeps_what_we_wrote_meanwhile() {
        let (index, told) = index();
        let (mut a, mut b) = (index.feed(Some("a")), index.feed(Some("b")));
        b.observe(Event::InitApply(secret("b", "b", 1)));
        a.observe(Event::InitApply(secret("a", "u", 2)));
        told.lock().unwrap().clear();
        a.observe(Event::Init);
        index.wrote(&secret("a", "u", 5).metadata);
        a.observe(Event::InitDone);
        assert_eq!((version(&index).as_deref(), index.len()), (Some("5"), 2));
        a.observe(Event::Init);
        a.observe(Event::InitDone);
        assert_eq!((version(&index), index.len()), (None, 1));
        assert_eq!(told.lock().unwrap().len(), 1);
    }

    #[test]
    fn it_is_ready_when_every_watch_had_its_first_list() {
        let (index, _) = index();
        let (mut a, mut b) = (index.feed(Some("a")), index.feed(Some("b")));
        a.observe(Event::InitDone);
        a.observe(Event::InitDone);
        assert!(!index.is_ready());
        b.observe(Event::InitDone);
        assert!(index.is_ready());
    }

    #[test]
    fn our_own_deletion_removes_only_that_object() {
        let (index, _) = index();
        index.wrote(&secret("a", "u2", 9).metadata);
        index.deleted("a", "github", "u1");
        assert_eq!(index.len(), 1);
        index.deleted("a", "github", "u2");
        assert!(index.is_empty());
    }
}
