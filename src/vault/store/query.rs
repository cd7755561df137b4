//! Queries over many records. Those that a change or a single grant causes visit only the records they concern.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_runtime::follow::LookupKey;

use super::{Loaded, Store, StoredRecord, loaded};
use crate::vault::record::{Record, SiblingKey};

/// How many records are in which state, for metrics. A record may count in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All record Secrets, readable or not.
    pub(crate) records: usize,
    pub(crate) unreadable: usize,
    /// Those that wait for a revocation.
    pub(crate) endings: usize,
}

/// What records are found by.
pub(super) fn keys(stored: &StoredRecord) -> Vec<LookupKey> {
    let Ok(record) = stored else { return vec![unreadable()] };
    let ending = record.ending().map(|_| ending());
    ending.into_iter().chain(record.sibling_key().map(siblings)).collect()
}

fn unreadable() -> LookupKey {
    ("unreadable", String::new())
}

fn ending() -> LookupKey {
    ("ending", String::new())
}

fn siblings(key: &SiblingKey) -> LookupKey {
    ("siblings", key.clone().into())
}

impl Store {
    /// All readable records, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<Record>> + use<> {
        let records = self.read();
        let readable: Vec<_> = records.iter().filter_map(|(_, held)| held.content.clone().ok()).collect();
        readable.into_iter()
    }

    /// Records whose grant is to be revoked and erased, the next due first.
    pub(crate) fn ending(&self) -> Vec<Loaded> {
        let (records, key) = (self.read(), ending());
        let marked = records.having(&key);
        let mut ending: Vec<_> = marked.filter_map(|(uid, held)| loaded(uid, held).ok()).collect();
        ending.sort_by_key(|loaded| loaded.record.ending().map(|ending| ending.not_before));
        ending
    }

    /// Whether other connections hold a grant of the same account, client and authority, and will keep it. Those that are
    /// being ended do not count: of two that end together, neither must wait for the other.
    pub(crate) fn has_siblings(&self, key: &SiblingKey, except_uid: &str) -> bool {
        let (records, key) = (self.read(), siblings(key));
        let mut found = records.having(&key).filter_map(|(_, held)| held.content.as_ref().ok());
        found.any(|record| record.ending().is_none() && record.uid() != except_uid)
    }

    /// Records of connections that are not among `known`, and not being ended. Call it only when all connections are listed.
    pub(crate) fn orphans(&self, known: &HashSet<&str>) -> Vec<Loaded> {
        self.loaded_where(|record| record.ending().is_none() && !known.contains(record.uid()))
    }

    /// Whether some record cannot be read: then not all siblings are known.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.read().having(&unreadable()).next().is_some()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, held) in self.read().iter() {
            counts.records += 1;
            match &held.content {
                Ok(record) => counts.endings += usize::from(record.ending().is_some()),
                Err(_) => counts.unreadable += 1,
            }
        }
        counts
    }

    fn loaded_where(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Loaded> {
        let records = self.read();
        let wanted = records.iter().filter(|(_, held)| held.content.as_ref().is_ok_and(|it| wanted(it)));
        wanted.filter_map(|(uid, held)| loaded(uid, held).ok()).collect()
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use bowline_runtime::follow::{ObjectVersion, Source};
    use kube::Client;

    use super::*;
    use crate::vault::keyring::fixtures::march;
    use crate::vault::record::fixtures::{authorized_as, binding, minutes};
    use crate::vault::record::{EndReason, EndTerms, RecordError};
    use crate::vault::store::StoredRecord;

    fn store(contents: impl IntoIterator<Item = (&'static str, StoredRecord)>) -> Store {
        let store = Store::new(Client::new(axum::Router::new(), "default"), "default");
        for (uid, content) in contents {
            let object = ObjectVersion { uid: uid.into(), resource_version: "1".into() };
            store.note(uid.into(), object, content, Source::Watch);
        }
        store
    }

    fn holding(records: impl IntoIterator<Item = (&'static str, Record)>) -> Store {
        store(records.into_iter().map(|(uid, record)| (uid, Ok(Arc::new(record)))))
    }

    fn due_at(record: Record, minute: i64) -> Record {
        let ending = record.with_ending(EndReason::Deleted, march(), EndTerms::default());
        ending.ending_postponed(minutes(minute), "no answer").unwrap()
    }

    #[tokio::test]
    async fn the_next_due_ending_comes_first() {
        let store = holding([
            ("a", due_at(authorized_as("a"), 9)),
            ("b", authorized_as("b")),
            ("c", due_at(authorized_as("c"), 3)),
        ]);
        let ending = store.ending();
        let in_order: Vec<_> = ending.iter().map(|loaded| loaded.record.uid()).collect();
        assert_eq!(in_order, ["c", "a"]);
    }

    #[tokio::test]
    async fn siblings_are_the_others_that_mean_to_keep_the_same_grant() {
        let key = SiblingKey::of(&binding()).unwrap();
        let store = holding([("a", authorized_as("a")), ("c", due_at(authorized_as("c"), 1))]);
        assert!(!store.has_siblings(&key, "a"));
        assert!(store.has_siblings(&key, "c"));

        let mut stranger = binding();
        stranger.client_id = None;
        assert!(!store.has_siblings(&SiblingKey::of(&stranger).unwrap(), "c"));
    }

    #[tokio::test]
    async fn orphans_are_the_unknown_that_are_not_ending_anyway() {
        let store = holding([
            ("a", authorized_as("a")),
            ("b", authorized_as("b")),
            ("c", due_at(authorized_as("c"), 1)),
        ]);
        let orphans = store.orphans(&HashSet::from(["a"]));
        assert_eq!(orphans.iter().map(|loaded| loaded.record.uid()).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test]
    async fn every_state_is_counted() {
        let store = store([
            ("a", Ok(Arc::new(authorized_as("a")))),
            ("c", Ok(Arc::new(due_at(authorized_as("c"), 1)))),
            ("d", Err(RecordError::NoClearPart)),
        ]);
        assert_eq!(store.counts(), Counts { records: 3, unreadable: 1, endings: 1 });
        assert!(store.has_unreadable());
    }
}
