//! What the store believes, and the rule by which news displaces it. Pure.
//!
//! News of one record comes from three sides, in no common order: answers to our own writes, live reads, and a watch that
//! may lag behind both. A decision must never be taken below our own last write, so:
//!
//! 1. A Secret that was deleted stays dead, and so do its predecessors under that name: its UID never returns, and nothing
//!    older than its last known state comes back, whatever arrives late.
//! 2. The greater resourceVersion wins. Kubernetes declares them comparable as integers since 1.35; before that they are
//!    so in every API server over etcd, where they count etcd's revisions. This orders intents too, which do not count the
//!    record's own revision, and since that only grows, the higher revision wins with it.
//! 3. A live read wins over what was held when it began, whatever the numbers say: it is a quorum read.
//! 4. Where one is not an integer: our own write wins; a live read does not win over what arrived while it ran; the watch
//!    wins over what it said itself, and over what we wrote or read only with a higher revision of the same Secret.
//! 5. A complete listing removes what it lacks. What arrived otherwise while it ran may be younger than the listing, or gone
//!    before it: only a live read can tell.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use crate::vault::record::{Record, RecordError, uid_in_name};

/// How many dead records are remembered: news of one that comes later than this many deletions is not expected.
const DEAD_REMEMBERED: usize = 16_384;

/// One state of one Secret at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectVersion {
    pub(super) uid: Arc<str>,
    pub(super) resource_version: Box<str>,
}

impl ObjectVersion {
    pub(super) fn of(secret: &Secret) -> Option<Self> {
        let uid = secret.metadata.uid.as_deref()?.into();
        let resource_version = secret.metadata.resource_version.as_deref()?.into();
        Some(Self { uid, resource_version })
    }

    /// How this version's resourceVersion compares with another's; `None` if they cannot be compared.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        let number = |version: &Self| version.resource_version.parse::<u64>().ok();
        Some(number(self)?.cmp(&number(other)?))
    }
}

/// What is known of one connection's record: the record, or why its Secret could not be read.
pub(super) type Content = Result<Arc<Record>, RecordError>;

/// News of one record.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// UID of the connection.
    pub(super) uid: Arc<str>,
    pub(super) object: ObjectVersion,
    pub(super) content: Content,
}

impl Seen {
    /// Reads a Secret from the API server; `None` if its name is not a record's. The name decides whose record it is: a
    /// label could be copied to a second Secret.
    pub(super) fn of(secret: Secret) -> Option<Self> {
        let uid = uid_in_name(secret.metadata.name.as_deref()?)?.into();
        let object = ObjectVersion::of(&secret)?;
        Some(Self { uid, object, content: Record::from_secret(secret).map(Arc::new) })
    }
}

/// Which side news comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    OwnWrite,
    LiveRead {
        /// What was held when it began.
        over: Option<ObjectVersion>,
    },
    Watch,
}

#[derive(Debug)]
pub(super) struct Cached {
    pub(super) object: ObjectVersion,
    pub(super) content: Content,
    source: Source,
    /// The listing during or after which this state arrived.
    arrived: u64,
    /// The listing during or after which the watch last spoke of this record.
    watched: u64,
}

/// What a complete listing tells about records that are not in it, by UID of the connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unlisted {
    /// They are gone, and are not held any more.
    pub(super) gone: Vec<Arc<str>>,
    /// They arrived while the listing ran, and are still held: read them live.
    pub(super) doubtful: Vec<Arc<str>>,
}

/// All records, by UID of the connection.
#[derive(Debug, Default)]
pub(super) struct Cache {
    held: HashMap<Arc<str>, Cached>,
    /// The last known state of the deleted Secret, by UID of the connection.
    dead: HashMap<Arc<str>, ObjectVersion>,
    dead_in_order: VecDeque<Arc<str>>,
    listing: u64,
}

impl Cache {
    pub(super) fn get(&self, uid: &str) -> Option<(&Arc<str>, &Cached)> {
        self.held.get_key_value(uid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Cached)> {
        self.held.iter()
    }

    /// Takes news in, or passes over what is older than what is held. Says whether anything changed.
    pub(super) fn take(&mut self, seen: Seen, source: Source) -> bool {
        if self.dead.get(&seen.uid).is_some_and(|dead| is_dead_with(&seen.object, dead)) {
            return false;
        }
        let Seen { uid, object, content } = seen;
        let arrived = self.listing;
        let held = self.held.get(&uid);
        let watched = match source {
            Source::Watch => self.listing,
            Source::OwnWrite | Source::LiveRead { .. } => held.map_or(0, |held| held.watched),
        };
        if held.is_none_or(|held| displaces(held, &object, &content, &source)) {
            self.held.insert(uid, Cached { object, content, source, arrived, watched });
            return true;
        }
        if let Some(held) = self.held.get_mut(&uid) {
            held.watched = watched;
        }
        false
    }

    /// A Secret is deleted, last seen as `dead`: so says a watch event, a live read or our own erasing.
    pub(super) fn deleted(&mut self, uid: &str, dead: &ObjectVersion) -> bool {
        self.bury(uid, dead);
        let gone = self.held.get(uid).is_some_and(|held| held.object.uid == dead.uid);
        if gone {
            self.held.remove(uid);
        }
        gone
    }

    /// A listing begins: the API server has not been asked yet.
    pub(super) fn listing_begins(&mut self) {
        self.listing += 1;
    }

    /// The listing is complete.
    pub(super) fn listing_ends(&mut self) -> Unlisted {
        let listing = self.listing;
        let unlisted = self.held.iter().filter(|(_, held)| held.watched < listing);
        let (doubtful, gone): (Vec<_>, Vec<_>) = unlisted
            .map(|(uid, held)| (Arc::clone(uid), held.arrived))
            .partition(|(_, arrived)| *arrived == listing);
        let uids = |unlisted: Vec<(Arc<str>, u64)>| unlisted.into_iter().map(|(uid, _)| uid).collect();
        let unlisted = Unlisted { gone: uids(gone), doubtful: uids(doubtful) };
        for uid in &unlisted.gone {
            if let Some(held) = self.held.remove(uid) {
                self.bury(uid, &held.object);
            }
        }
        unlisted
    }

    fn bury(&mut self, uid: &str, dead: &ObjectVersion) {
        if let Some(known) = self.dead.get_mut(uid) {
            if dead.compare(known) != Some(Ordering::Less) {
                *known = dead.clone();
            }
            return;
        }
        let uid: Arc<str> = uid.into();
        self.dead.insert(Arc::clone(&uid), dead.clone());
        self.dead_in_order.push_back(uid);
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

fn displaces(held: &Cached, object: &ObjectVersion, content: &Content, source: &Source) -> bool {
    if *object == held.object {
        return false;
    }
    if matches!(source, Source::LiveRead { over: Some(over) } if *over == held.object) {
        return true;
    }
    if let Some(order) = object.compare(&held.object) {
        return order == Ordering::Greater;
    }
    let revision = |content: &Content| content.as_ref().map_or(-1, |record| record.revision());
    match source {
        Source::OwnWrite => true,
        Source::LiveRead { .. } => false,
        Source::Watch if held.source == Source::Watch => true,
        Source::Watch => object.uid == held.object.uid && revision(content) > revision(&held.content),
    }
}

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;
