//! The newest known state of each object, and the rule by which news replaces it. Pure.
//!
//! News of one object has three sources, in no common order: answers to our own writes, live reads, and a watch that may lag
//! behind both. A decision must never be based on a state older than our own last write, so:
//!
//! 1. An object that was deleted stays dead, and so do its predecessors under that name: its UID never returns, and nothing
//!    older than its last known state comes back, whatever arrives late.
//! 2. The greater resourceVersion wins. Kubernetes declares them comparable as integers since 1.35; before that they were
//!    so in every API server over etcd.
//! 3. A live read wins over what was held when it began, whatever the numbers say: it is a quorum read.
//! 4. Where one is not an integer: our own write wins; a live read does not win over what arrived while it ran; the watch
//!    wins over what it said itself, and over what we wrote or read only with a higher revision of the same object.
//! 5. A complete listing removes what it lacks. What arrived otherwise while it ran may be younger than the listing, or gone
//!    before it: only a live read can tell.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Lookup, LookupKey};

/// How many deleted objects are remembered: news of an object is not expected after this many later deletions.
const DEAD_REMEMBERED: usize = 4096;

/// One state of one object at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    pub uid: Arc<str>,
    pub resource_version: Box<str>,
}

impl ObjectVersion {
    /// The version in the metadata of an object that the API server sent.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let uid = meta.uid.as_deref()?.into();
        let resource_version = meta.resource_version.as_deref()?.into();
        Some(Self { uid, resource_version })
    }

    /// `None` if they cannot be compared.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        let number = |version: &Self| version.resource_version.parse::<u64>().ok();
        Some(number(self)?.cmp(&number(other)?))
    }
}

/// The source of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The answer to our own write.
    OwnWrite,
    /// A quorum read, and the version that was cached when it began.
    LiveRead {
        over: Option<ObjectVersion>,
    },
    Watch,
}

/// A cached object.
#[derive(Debug)]
pub struct CacheEntry<V> {
    pub object: ObjectVersion,
    pub content: V,
    source: Source,
    /// The listing during or after which this state arrived.
    arrived: u64,
    /// The listing during or after which the watch last mentioned this object.
    watched: u64,
}

/// Objects that a complete listing lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Unlisted<K, V> {
    /// They are gone, and are no longer cached.
    pub gone: Vec<(K, V)>,
    /// They arrived while the listing ran, and are still cached: read them live.
    pub doubtful: Vec<K>,
}

/// The newest known state of each object, by key.
#[derive(Debug)]
pub struct Newest<K, V> {
    held: HashMap<K, CacheEntry<V>>,
    /// The last known state of the deleted object.
    dead: HashMap<K, ObjectVersion>,
    dead_in_order: VecDeque<K>,
    listing: u64,
    revision: fn(&V) -> i64,
    lookup: Lookup<K, V>,
}

impl<K: Hash + Eq + Clone, V> Default for Newest<K, V> {
    fn default() -> Self {
        Self::by_revision(|_| 0)
    }
}

impl<K: Hash + Eq + Clone, V> Newest<K, V> {
    /// Nothing is known yet. `revision` reads the number of our own writes from the content.
    pub fn by_revision(revision: fn(&V) -> i64) -> Self {
        let (held, dead, lookup) = (HashMap::new(), HashMap::new(), Lookup::by(|_| Vec::new()));
        Self { held, dead, dead_in_order: VecDeque::new(), listing: 0, revision, lookup }
    }

    /// The same, with keys by which entries can be found ([`Newest::having`]). Nothing may be known yet.
    #[must_use]
    pub fn looked_up_by(self, keys: fn(&V) -> Vec<LookupKey>) -> Self {
        Self { lookup: Lookup::by(keys), ..self }
    }
}

impl<K: Hash + Eq + Clone, V> Newest<K, V> {
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &CacheEntry<V>)>
    where
        K: Borrow<Q>,
    {
        self.held.get_key_value(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &CacheEntry<V>)> {
        self.held.iter()
    }

    /// The entries with this key. Visits no other.
    pub fn having(&self, key: &LookupKey) -> impl Iterator<Item = (&K, &CacheEntry<V>)> {
        self.lookup.having(key).filter_map(|name| self.held.get_key_value(name))
    }

    /// Accepts news unless the cached state is newer. Returns whether anything changed.
    pub fn take(&mut self, key: K, object: ObjectVersion, content: V, source: Source) -> bool {
        if self.dead.get(&key).is_some_and(|dead| is_dead_with(&object, dead)) {
            return false;
        }
        let arrived = self.listing;
        let held = self.held.get_mut(&key);
        let watched = match source {
            Source::Watch => self.listing,
            Source::OwnWrite | Source::LiveRead { .. } => held.as_ref().map_or(0, |held| held.watched),
        };
        let is_newer = |held: &CacheEntry<V>| {
            displaces(held, &object, &source, || (self.revision)(&content) > (self.revision)(&held.content))
        };
        if let Some(held) = held
            && !is_newer(held)
        {
            held.watched = watched;
            return false;
        }
        let before = self.held.get(&key).map(|held| &held.content);
        self.lookup.change(&key, before, Some(&content));
        self.held.insert(key, CacheEntry { object, content, source, arrived, watched });
        true
    }

    /// An object is deleted, last seen as `dead`. Returns its cached state.
    pub fn deleted(&mut self, key: &K, dead: &ObjectVersion) -> Option<V> {
        self.bury(key, dead);
        if self.held.get(key)?.object.uid != dead.uid {
            return None;
        }
        self.remove(key)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let held = self.held.remove(key)?;
        self.lookup.change(key, Some(&held.content), None);
        Some(held.content)
    }

    /// Call this before the API server is asked for the list.
    pub fn listing_begins(&mut self) {
        self.listing += 1;
    }

    pub fn listing_ends(&mut self) -> Unlisted<K, V> {
        let listing = self.listing;
        let unlisted = self.held.iter().filter(|(_, held)| held.watched < listing);
        let (doubtful, gone): (Vec<_>, Vec<_>) = unlisted
            .map(|(key, held)| (key.clone(), held.arrived))
            .partition(|(_, arrived)| *arrived == listing);
        let remove = |(key, _)| {
            let last = self.held.get(&key)?.object.clone();
            self.bury(&key, &last);
            self.remove(&key).map(|content| (key, content))
        };
        let gone = gone.into_iter().filter_map(remove).collect();
        Unlisted { gone, doubtful: doubtful.into_iter().map(|(key, _)| key).collect() }
    }

    fn bury(&mut self, key: &K, dead: &ObjectVersion) {
        if let Some(known) = self.dead.get_mut(key) {
            if dead.compare(known) != Some(Ordering::Less) {
                *known = dead.clone();
            }
            return;
        }
        self.dead.insert(key.clone(), dead.clone());
        self.dead_in_order.push_back(key.clone());
        if self.dead_in_order.len() > DEAD_REMEMBERED
            && let Some(forgotten) = self.dead_in_order.pop_front()
        {
            self.dead.remove(&forgotten);
        }
    }
}

fn is_dead_with(object: &ObjectVersion, dead: &ObjectVersion) -> bool {
    object.uid == dead.uid || object.compare(dead) == Some(Ordering::Less)
}

fn displaces<V>(
    held: &CacheEntry<V>,
    object: &ObjectVersion,
    source: &Source,
    has_higher_revision: impl Fn() -> bool,
) -> bool {
    if *object == held.object {
        return false;
    }
    if matches!(source, Source::LiveRead { over: Some(over) } if *over == held.object) {
        return true;
    }
    if let Some(order) = object.compare(&held.object) {
        return order == Ordering::Greater;
    }
    match source {
        Source::OwnWrite => true,
        Source::LiveRead { .. } => false,
        Source::Watch if held.source == Source::Watch => true,
        Source::Watch => object.uid == held.object.uid && has_higher_revision(),
    }
}

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;
