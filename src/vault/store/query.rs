//! Questions over all records. Each walks the cache once: well under a millisecond for 10,000 records.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_runtime::follow::CacheEntry;

use super::cache::{Cache, Content};
use super::{Loaded, Store, Version};
use crate::vault::record::{Record, SiblingKey};

/// How many records are in which state, for metrics. A record may count in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All record Secrets, readable or not.
    pub(crate) records: usize,
    /// Those that could not be read.
    pub(crate) unreadable: usize,
    /// Those with a grant.
    pub(crate) grants: usize,
    /// Those with an answer that is not judged yet.
    pub(crate) candidates: usize,
    /// Those with a request that has no answer on record.
    pub(crate) intents: usize,
    /// Those that wait for a revocation.
    pub(crate) endings: usize,
    /// Those whose connection is not known.
    pub(crate) orphans: usize,
}

impl Counts {
    fn of<'a>(contents: impl Iterator<Item = &'a Content>) -> Self {
        let mut counts = Self::default();
        for content in contents {
            counts.records += 1;
            match content {
                Ok(record) => {
                    counts.grants += usize::from(record.grant().is_some());
                    counts.candidates += usize::from(record.candidate().is_some());
                    counts.intents += usize::from(record.intents().next().is_some());
                    counts.endings += usize::from(record.ending().is_some());
                    counts.orphans += usize::from(record.orphaned_since().is_some());
                }
                Err(_) => counts.unreadable += 1,
            }
        }
        counts
    }
}

impl Store {
    /// All records that can be read, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<Record>> + use<> {
        self.read().records_where(|_| true).into_iter()
    }

    /// Records whose grant is to be revoked and erased, the next due first.
    pub(crate) fn ending(&self) -> Vec<Loaded> {
        self.read().ending()
    }

    /// Records of other connections that hold a grant of the same account, client and authority, and mean to keep it. Those
    /// that are being ended do not count: of two that end together, neither must wait for the other.
    pub(crate) fn siblings(&self, key: &SiblingKey, except_uid: &str) -> Vec<Arc<Record>> {
        self.read().siblings(key, except_uid)
    }

    /// Records of connections that are not among `known`, and not being ended. Ask only with all connections listed.
    pub(crate) fn orphans(&self, known: &HashSet<&str>) -> Vec<Loaded> {
        self.read().orphans(known)
    }

    /// UIDs of connections whose record cannot be read, for doctor and for revocations that must know all siblings.
    pub(crate) fn unreadable(&self) -> Vec<Arc<str>> {
        self.read().unreadable()
    }

    /// How many records are in which state.
    pub(crate) fn counts(&self) -> Counts {
        self.read().counts()
    }
}

impl Cache {
    fn ending(&self) -> Vec<Loaded> {
        let mut ending = self.loaded_where(|record| record.ending().is_some());
        ending.sort_by_key(|loaded| loaded.record.ending().map(|ending| ending.not_before));
        ending
    }

    fn siblings(&self, key: &SiblingKey, except_uid: &str) -> Vec<Arc<Record>> {
        self.records_where(|record| {
            record.sibling_key() == Some(key) && record.ending().is_none() && record.uid() != except_uid
        })
    }

    fn orphans(&self, known: &HashSet<&str>) -> Vec<Loaded> {
        self.loaded_where(|record| record.ending().is_none() && !known.contains(record.uid()))
    }

    fn unreadable(&self) -> Vec<Arc<str>> {
        self.0.iter().filter(|(_, held)| held.content.is_err()).map(|(uid, _)| Arc::clone(uid)).collect()
    }

    fn counts(&self) -> Counts {
        Counts::of(self.0.iter().map(|(_, held)| &held.content))
    }

    fn loaded_where(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Loaded> {
        let loaded = |(uid, held): (&Arc<str>, &CacheEntry<Content>)| {
            let record = held.content.as_ref().ok().filter(|record| wanted(record))?;
            let version = Version { uid: Arc::clone(uid), object: held.object.clone() };
            Some(Loaded { record: Arc::clone(record), version })
        };
        self.0.iter().filter_map(loaded).collect()
    }

    fn records_where(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let records = self.0.iter().filter_map(|(_, held)| held.content.as_ref().ok());
        records.filter(|record| wanted(record)).map(Arc::clone).collect()
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use bowline_runtime::follow::{ObjectVersion, Source};

    use super::*;
    use crate::vault::keyring::fixtures::march;
    use crate::vault::record::fixtures::{about_to_refresh, authorized_as, binding, grant, minutes, sealer};
    use crate::vault::record::{EndReason, EndTerms, RecordError};

    fn cache(contents: impl IntoIterator<Item = (&'static str, Content)>) -> Cache {
        let mut cache = Cache::default();
        for (uid, content) in contents {
            let object = ObjectVersion { uid: uid.into(), resource_version: "1".into() };
            cache.0.take(uid.into(), object, content, Source::Watch);
        }
        cache
    }

    fn holding(records: impl IntoIterator<Item = (&'static str, Record)>) -> Cache {
        cache(records.into_iter().map(|(uid, record)| (uid, Ok(Arc::new(record)))))
    }

    fn uids(records: &[Arc<Record>]) -> Vec<&str> {
        let mut uids: Vec<_> = records.iter().map(|record| record.uid()).collect();
        uids.sort_unstable();
        uids
    }

    fn due_at(record: Record, minute: i64) -> Record {
        let ending = record.with_ending(EndReason::Deleted, march(), EndTerms::default());
        ending.ending_postponed(minutes(minute), "no answer").unwrap()
    }

    #[test]
    fn the_next_due_ending_comes_first() {
        let cache = holding([
            ("a", due_at(authorized_as("a"), 9)),
            ("b", authorized_as("b")),
            ("c", due_at(authorized_as("c"), 3)),
        ]);
        let ending = cache.ending();
        let in_order: Vec<_> = ending.iter().map(|loaded| loaded.record.uid()).collect();
        assert_eq!(in_order, ["c", "a"]);
    }

    #[test]
    fn siblings_are_the_others_that_mean_to_keep_the_same_grant() {
        let cache = holding([
            ("a", authorized_as("a")),
            ("b", authorized_as("b")),
            ("c", due_at(authorized_as("c"), 1)),
        ]);
        let key = SiblingKey::of(&binding()).unwrap();
        assert_eq!(uids(&cache.siblings(&key, "a")), ["b"]);
        assert_eq!(uids(&cache.siblings(&key, "c")), ["a", "b"]);

        let mut stranger = binding();
        stranger.client_id = None;
        assert!(cache.siblings(&SiblingKey::of(&stranger).unwrap(), "a").is_empty());
    }

    #[test]
    fn orphans_are_the_unknown_that_are_not_ending_anyway() {
        let cache = holding([
            ("a", authorized_as("a")),
            ("b", authorized_as("b")),
            ("c", due_at(authorized_as("c"), 1)),
        ]);
        let orphans = cache.orphans(&HashSet::from(["a"]));
        assert_eq!(orphans.iter().map(|loaded| loaded.record.uid()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn every_state_is_counted() {
        let busy = about_to_refresh().with_candidate(&sealer(), &grant("r2")).unwrap().orphaned(march());
        let cache = cache([
            ("u1", Ok(Arc::new(busy))),
            ("c", Ok(Arc::new(due_at(authorized_as("c"), 1)))),
            ("d", Err(RecordError::NoClearPart)),
        ]);
        let expected = Counts {
            records: 3,
            unreadable: 1,
            grants: 2,
            candidates: 1,
            intents: 1,
            endings: 1,
            orphans: 1,
        };
        assert_eq!(cache.counts(), expected);
        assert_eq!(cache.unreadable(), ["d".into()]);
    }
}
