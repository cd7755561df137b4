//! All objects of one kind, readable or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::{Newest, ObjectVersion, Parsed, Source, Unlisted, Unreadable, strip};

/// The objects of one kind: those that can be read, and by name those that cannot. Clones share them.
///
/// It is never behind our own writes that were given to [`Cache::wrote`].
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
        let (readable, mut writer) = reflector::store();
        // A store is ready, for its controller, after its first listing. This one is filled object by object.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let inner = Inner { readable: readable.clone(), writer, newest: Newest::default() };
        Self { readable, inner: Arc::new(Mutex::new(inner)), listed: watch::Sender::new(false) }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// Accepts an event of a watch.
    pub fn take(&self, event: Event<Parsed<K>>) -> Vec<Change<K>> {
        let mut inner = self.lock();
        match event {
            Event::Init => {
                inner.newest.listing_begins();
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                Vec::from_iter(inner.put(object, Source::Watch))
            }
            Event::Delete(object) => Vec::from_iter(inner.deleted(object.meta())),
            Event::InitDone => {
                let gone = inner.unlisted();
                self.listed.send_replace(true);
                gone
            }
        }
    }

    /// Accepts the answer to our own change of an object. `None` if that changes nothing here.
    pub fn wrote(&self, mut object: Parsed<K>) -> Option<Change<K>> {
        strip(&mut object);
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
    fn put(&mut self, object: Parsed<K>, source: Source) -> Option<Change<K>> {
        let (key, version) = (key(object.meta()), ObjectVersion::of(object.meta())?);
        let (readable, aside) = match object.0 {
            Ok(object) => (Some(object), None),
            Err(unreadable) => (None, Some(Arc::new(unreadable))),
        };
        let was_aside = self.newest.get(&key).and_then(|(_, held)| held.content.clone());
        if !self.newest.take(key.clone(), version, aside.clone(), source) {
            return None;
        }
        let before = self.readable.get(&key);
        if let Some(object) = readable {
            self.writer.apply_watcher_event(&Event::Apply(object));
            return Some(Change::Applied { object: self.readable.get(&key)?, before });
        }
        self.take_out(before.as_deref());
        let fault = |unreadable: &Unreadable| (unreadable.field.clone(), unreadable.problem.clone());
        let is_news = was_aside.as_deref().map(fault) != aside.as_deref().map(fault);
        aside.filter(|_| is_news).map(Change::SetAside)
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
