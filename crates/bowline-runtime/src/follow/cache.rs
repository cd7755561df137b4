//! All objects of one kind, readable or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::{Lookup, LookupKey, Newest, ObjectVersion, Parsed, Source, Unlisted, Unreadable, project};

/// The objects of one kind: those that can be read, and by name those that cannot. Clones share them.
///
/// Each object is in place before its change is reported, also during a listing, so that whoever is woken by a change reads
/// the new state. It is never behind our own writes that were given to [`Cache::wrote`].
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    readable: Store<K>,
    inner: Arc<Mutex<Inner<K>>>,
    listed: watch::Sender<bool>,
}

struct Inner<K: Resource<DynamicType = ()> + Clone + 'static> {
    readable: Store<K>,
    writer: Writer<K>,
    newest: Newest<ObjectRef<K>, Aside>,
    lookup: Lookup<ObjectRef<K>, K>,
}

/// Why an object is not among the readable ones.
type Aside = Option<Arc<Unreadable>>;

/// A change of one object. The cache already shows it.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// It was created or changed. `before`: as it was, if it could be read.
    Applied { object: Arc<K>, before: Option<Arc<K>> },
    /// It does not parse, or no longer does. What it says is unknown.
    SetAside(Arc<Unreadable>),
    /// It is gone. `last`: as it was, if it could be read.
    Gone { metadata: Box<ObjectMeta>, last: Option<Arc<K>> },
}

impl<K: Resource> Change<K> {
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Applied { object, .. } => object.meta(),
            Self::SetAside(unreadable) => &unreadable.metadata,
            Self::Gone { metadata, .. } => metadata,
        }
    }

    /// Whether anything but status changed.
    pub fn matters(&self) -> bool {
        // Another object of the same name may begin with the same generation.
        let generation = |object: &K| {
            let meta = object.meta();
            (meta.uid.clone(), meta.generation, meta.deletion_timestamp.is_some())
        };
        match self {
            Self::Applied { object, before: Some(before) } => generation(object) != generation(before),
            Self::Applied { before: None, .. } | Self::SetAside(_) | Self::Gone { .. } => true,
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Default for Cache<K> {
    fn default() -> Self {
        Self::looked_up_by(|_| Vec::new())
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// An empty cache whose objects can be found by these keys of theirs ([`Cache::having`]).
    pub fn looked_up_by(keys: fn(&K) -> Vec<LookupKey>) -> Self {
        let (readable, mut writer) = reflector::store();
        // A store is ready, for its controller, after its first listing. This one is filled object by object.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let (newest, lookup) = (Newest::default(), Lookup::by(keys));
        let inner = Inner { readable: readable.clone(), writer, newest, lookup };
        Self { readable, inner: Arc::new(Mutex::new(inner)), listed: watch::Sender::new(false) }
    }

    /// Accepts an event of a watch.
    pub fn take(&self, event: Event<Parsed<K>>) -> Vec<Change<K>> {
        let mut inner = self.lock();
        match event {
            Event::Init => {
                inner.newest.listing_begins();
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => inner.put(object, Source::Watch),
            Event::Delete(object) => Vec::from_iter(inner.deleted(object.meta())),
            Event::InitDone => {
                let gone = inner.unlisted();
                self.listed.send_replace(true);
                gone
            }
        }
    }

    /// Accepts the answer to our own change of an object. Empty if that changes nothing here.
    pub fn wrote(&self, mut object: Parsed<K>) -> Vec<Change<K>> {
        project(&mut object);
        self.lock().put(object, Source::OwnWrite)
    }

    /// All that can be read.
    pub fn state(&self) -> Vec<Arc<K>> {
        self.readable.state()
    }

    /// Those that can be read and are `wanted`.
    pub fn state_filter(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.readable.state_filter(wanted)
    }

    /// Those that can be read and have this key. Visits no other object.
    pub fn having(&self, key: &LookupKey) -> Vec<Arc<K>> {
        let found: Vec<_> = self.lock().lookup.having(key).cloned().collect();
        found.iter().filter_map(|object| self.readable.get(object)).collect()
    }

    /// An object, if it can be read.
    pub fn get(&self, key: &ObjectRef<K>) -> Option<Arc<K>> {
        self.readable.get(key)
    }

    /// Those that can be read, for kube's controller: ready from the start, whatever was listed.
    pub fn store(&self) -> Store<K> {
        self.readable.clone()
    }

    /// Returns once all objects were listed.
    pub async fn wait_listed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// An object that exists and cannot be read.
    pub fn set_aside(&self, key: &ObjectRef<K>) -> Option<Arc<Unreadable>> {
        self.lock().newest.get(key)?.1.content.clone()
    }

    /// All objects that cannot be read.
    pub fn unreadable(&self) -> Vec<Arc<Unreadable>> {
        self.lock().newest.iter().filter_map(|(_, held)| held.content.clone()).collect()
    }

    // A panic elsewhere cannot leave it half changed, so a poisoned lock is as good as a healthy one.
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Inner<K> {
    fn put(&mut self, object: Parsed<K>, source: Source) -> Vec<Change<K>> {
        let Some(version) = ObjectVersion::of(object.meta()) else { return Vec::new() };
        let (key, uid) = (key(object.meta()), Arc::clone(&version.uid));
        let (readable, aside) = match object.0 {
            Ok(object) => (Some(object), None),
            Err(unreadable) => (None, Some(Arc::new(unreadable))),
        };
        let held =
            self.newest.get(&key).map(|(_, held)| (Arc::clone(&held.object.uid), held.content.clone()));
        if !self.newest.take(key.clone(), version, aside.clone(), source) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        // Deleted and created again while there was no watch: what was known of the former object has ended.
        let mut was_aside = held.as_ref().and_then(|(_, aside)| aside.clone());
        if held.as_ref().is_some_and(|(former, _)| *former != uid) {
            let metadata = was_aside.take().map(|aside| aside.metadata.clone());
            changes.push(self.replaced(&key, metadata));
        }
        changes.extend(self.show(&key, readable, aside, was_aside.as_deref()));
        changes
    }

    fn show(
        &mut self,
        key: &ObjectRef<K>,
        readable: Option<K>,
        aside: Option<Arc<Unreadable>>,
        was_aside: Option<&Unreadable>,
    ) -> Option<Change<K>> {
        let before = self.readable.get(key);
        if let Some(object) = readable {
            self.lookup.change(key, before.as_deref(), Some(&object));
            self.writer.apply_watcher_event(&Event::Apply(object));
            return Some(Change::Applied { object: self.readable.get(key)?, before });
        }
        self.take_out(before.as_deref());
        let fault = |unreadable: &Unreadable| (unreadable.field.clone(), unreadable.problem.clone());
        let is_news = was_aside.map(fault) != aside.as_deref().map(fault);
        aside.filter(|_| is_news).map(Change::SetAside)
    }

    /// The former object of this name is gone, without an event of its own.
    fn replaced(&mut self, key: &ObjectRef<K>, aside: Option<ObjectMeta>) -> Change<K> {
        let last = self.readable.get(key).map(|last| last.meta().clone());
        self.gone(key, last.or(aside).unwrap_or_default())
    }

    fn deleted(&mut self, metadata: &ObjectMeta) -> Option<Change<K>> {
        let (key, dead) = (key(metadata), ObjectVersion::of(metadata)?);
        self.newest.deleted(&key, &dead)?;
        Some(self.gone(&key, metadata.clone()))
    }

    /// What a complete listing lacks: it was deleted while there was no watch.
    fn unlisted(&mut self) -> Vec<Change<K>> {
        let Unlisted { mut gone, doubtful } = self.newest.listing_ends();
        for key in doubtful {
            // We only change what others created, so this was created before the listing, and is gone.
            let held = self.newest.get(&key).map(|(_, held)| held.object.clone());
            let aside = held.and_then(|held| self.newest.deleted(&key, &held));
            gone.extend(aside.map(|aside| (key, aside)));
        }
        let change = |(key, aside): (ObjectRef<K>, Aside)| {
            let metadata = match (self.readable.get(&key), aside) {
                (Some(object), _) => object.meta().clone(),
                (None, aside) => aside.map(|aside| aside.metadata.clone()).unwrap_or_default(),
            };
            self.gone(&key, metadata)
        };
        gone.into_iter().map(change).collect()
    }

    fn gone(&mut self, key: &ObjectRef<K>, metadata: ObjectMeta) -> Change<K> {
        let last = self.readable.get(key);
        self.take_out(last.as_deref());
        Change::Gone { metadata: Box::new(metadata), last }
    }

    fn take_out(&mut self, object: Option<&K>) {
        if let Some(object) = object {
            self.lookup.change(&key(object.meta()), Some(object), None);
            self.writer.apply_watcher_event(&Event::Delete(object.clone()));
        }
    }
}

fn key<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> ObjectRef<K> {
    let key = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
    match &metadata.namespace {
        Some(namespace) => key.within(namespace),
        None => key,
    }
}
