//! Questions over all records. Each walks the cache once: well under a millisecond for 10,000 records.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Content, Store};
use crate::vault::record::{Record, SiblingKey};

/// How many records are in which state, for metrics. A record may count in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All record Secrets, readable or not.
    pub records: usize,
    /// Those that could not be read.
    pub unreadable: usize,
    /// Those with a grant.
    pub grants: usize,
    /// Those with an answer that is not judged yet.
    pub candidates: usize,
    /// Those with an attempt that has no answer on record.
    pub intents: usize,
    /// Those that wait for a revocation.
    pub endings: usize,
    /// Those whose connection is not known.
    pub orphans: usize,
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
                    counts.intents += usize::from(record.intent().is_some());
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
    pub fn iter(&self) -> impl Iterator<Item = Arc<Record>> + use<> {
        self.records_where(|_| true).into_iter()
    }

    /// Records whose grant is to be revoked and erased, the next due first.
    pub fn ending(&self) -> Vec<Arc<Record>> {
        let mut ending = self.records_where(|record| record.ending().is_some());
        ending.sort_by_key(|record| record.ending().map(|ending| ending.next_attempt_at));
        ending
    }

    /// Records of other connections that hold a grant of the same account, client and authority, and mean to keep it. Those
    /// that are being ended do not count: of two that end together, neither must wait for the other.
    pub fn siblings(&self, key: &SiblingKey, except_uid: &str) -> Vec<Arc<Record>> {
        self.records_where(|record| is_sibling(record, key, except_uid))
    }

    /// Records of connections that are not among `known`, and not being ended. Ask only with all connections listed.
    pub fn orphans(&self, known: &HashSet<&str>) -> Vec<Arc<Record>> {
        self.records_where(|record| record.ending().is_none() && !known.contains(record.uid()))
    }

    /// UIDs of connections whose record cannot be read, for doctor and for revocations that must know all siblings.
    pub fn unreadable(&self) -> Vec<Arc<str>> {
        let cache = self.read();
        cache.iter().filter(|(_, held)| held.content.is_err()).map(|(uid, _)| Arc::clone(uid)).collect()
    }

    /// How many records are in which state.
    pub fn counts(&self) -> Counts {
        Counts::of(self.read().iter().map(|(_, held)| &held.content))
    }

    fn records_where(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let cache = self.read();
        let records = cache.iter().filter_map(|(_, held)| held.content.as_ref().ok());
        records.filter(|record| wanted(record)).map(Arc::clone).collect()
    }
}

fn is_sibling(record: &Record, key: &SiblingKey, except_uid: &str) -> bool {
    record.sibling_key() == Some(key) && record.ending().is_none() && record.uid() != except_uid
}
