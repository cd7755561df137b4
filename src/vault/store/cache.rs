//! What the store believes, and the rule by which news displaces it. Pure.
//!
//! News of one record comes from three sides, in no common order: answers to our own writes, live reads, and a watch that
//! may lag behind both. A decision must never be taken below our own last write, so:
//!
//! 1. A Secret that was deleted stays dead: its UID never returns, whatever arrives late about it.
//! 2. The greater resourceVersion wins. Kubernetes declares them comparable as integers since 1.35; before that they are
//!    so in every API server over etcd, where they count etcd's revisions. This orders intents too, which do not count the
//!    record's own revision, and since that only grows, the higher revision wins with it.
//! 3. A live read wins over what was held when it began, whatever the numbers say: it is a quorum read.
//! 4. Where one is not an integer: our own write wins; a live read does not win over what arrived while it ran; the watch
//!    wins over what it said itself, and over what we wrote or read only with a higher revision of the same Secret.
//! 5. A complete listing removes what it lacks, except what arrived after it began: that may be younger than the listing.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use crate::vault::record::{Record, RecordError, uid_in_name};

/// How many dead UIDs are remembered: news of one that comes later than this many deletions is not expected.
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
pub(super) struct Held {
    pub(super) object: ObjectVersion,
    pub(super) content: Content,
    source: Source,
    /// The listing during or after which this was last heard of.
    listing: u64,
}

/// All records, by UID of the connection.
#[derive(Debug, Default)]
pub(super) struct Cache {
    held: HashMap<Arc<str>, Held>,
    dead: HashSet<Arc<str>>,
    dead_in_order: VecDeque<Arc<str>>,
    listing: u64,
}

impl Cache {
    pub(super) fn get(&self, uid: &str) -> Option<(&Arc<str>, &Held)> {
        self.held.get_key_value(uid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.held.iter()
    }

    /// Takes news in, or passes over what is older than what is held. Says whether anything changed.
    pub(super) fn take(&mut self, seen: Seen, source: Source) -> bool {
        let listing = self.listing;
        if self.dead.contains(&seen.object.uid) {
            return false;
        }
        let Seen { uid, object, content } = seen;
        match self.held.get_mut(&uid) {
            Some(held) => {
                held.listing = listing;
                if !displaces(held, &object, &content, &source) {
                    return false;
                }
                *held = Held { object, content, source, listing };
            }
            None => drop(self.held.insert(uid, Held { object, content, source, listing })),
        }
        true
    }

    /// The Secret with this UID is deleted, as a watch event, a live read or our own erasing says.
    pub(super) fn deleted(&mut self, uid: &str, secret_uid: &Arc<str>) -> bool {
        self.bury(secret_uid);
        let gone = self.held.get(uid).is_some_and(|held| held.object.uid == *secret_uid);
        if gone {
            self.held.remove(uid);
        }
        gone
    }

    /// A listing begins: the API server has not been asked yet.
    pub(super) fn listing_begins(&mut self) {
        self.listing += 1;
    }

    /// The listing is complete. Returns the connections whose records it shows to be gone.
    pub(super) fn listing_ends(&mut self) -> Vec<Arc<str>> {
        let listing = self.listing;
        let gone = self.held.extract_if(|_, held| held.listing < listing);
        let gone: Vec<_> = gone.map(|(uid, held)| (uid, held.object.uid)).collect();
        gone.into_iter()
            .map(|(uid, secret_uid)| {
                self.bury(&secret_uid);
                uid
            })
            .collect()
    }

    fn bury(&mut self, secret_uid: &Arc<str>) {
        if self.dead.insert(Arc::clone(secret_uid)) {
            self.dead_in_order.push_back(Arc::clone(secret_uid));
        }
        if self.dead_in_order.len() > DEAD_REMEMBERED
            && let Some(forgotten) = self.dead_in_order.pop_front()
        {
            self.dead.remove(&forgotten);
        }
    }
}

fn displaces(held: &Held, object: &ObjectVersion, content: &Content, source: &Source) -> bool {
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
mod tests;
