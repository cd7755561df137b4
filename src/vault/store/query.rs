//! Queries over many records. Those that a change or a single grant causes visit only the records they concern.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use bowline_runtime::follow::LookupKey;

use super::{Cached, Loaded, Store};
use crate::vault::record::{Ending, Kept, Record, SiblingKey};
use crate::vault::seal::Place;

/// How many Secrets are in which state, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All of them, readable or not.
    pub(crate) records: usize,
    pub(crate) unreadable: usize,
}

/// What they are found by.
pub(super) fn keys<T: Kept>(cached: &Cached<T>) -> Vec<LookupKey> {
    let Ok((kept, _)) = cached else { return Vec::new() };
    let siblings = kept.sibling_key().map(siblings);
    siblings.into_iter().chain([connection(&kept.place().uid), named(kept.place())]).collect()
}

/// Of all objects that ever had this name.
fn named(Place { namespace, name, .. }: &Place) -> LookupKey {
    ("named", format!("{namespace}/{name}"))
}

fn siblings(key: &SiblingKey) -> LookupKey {
    ("siblings", key.clone().into())
}

fn connection(uid: &str) -> LookupKey {
    ("connection", uid.to_owned())
}

impl<T: Kept> Store<T> {
    /// All that can be read, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<T>> + use<T> {
        let records = self.read();
        let readable: Vec<_> =
            records.iter().filter_map(|(_, held)| self.believed(&held.content).ok()).collect();
        readable.into_iter()
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, held) in self.read().iter() {
            counts.records += 1;
            counts.unreadable += usize::from(self.believed(&held.content).is_err());
        }
        counts
    }

    /// Whether something cannot be read: then not all siblings or endings are known.
    pub(crate) fn has_unreadable(&self) -> bool {
        !self.is_ready() || self.read().iter().any(|(_, held)| self.believed(&held.content).is_err())
    }

    fn loaded_where(&self, wanted: impl Fn(&T) -> bool) -> Vec<Loaded<T>> {
        let records = self.read();
        let readable = records.iter().filter_map(|(key, held)| self.loaded(key, held).ok());
        readable.filter(|loaded| wanted(&loaded.record)).collect()
    }
}

impl Store {
    /// The records of connections that live on a grant of the same account, client and authority. One of which nothing works
    /// any more does not count, nor what is being ended: of two that end together, neither must wait for the other.
    pub(crate) fn siblings(&self, key: &SiblingKey) -> Vec<Arc<Record>> {
        let (records, key) = (self.read(), siblings(key));
        let found = records.having(&key).filter_map(|(_, held)| self.believed(&held.content).ok());
        found.filter(|record| record.is_alive()).collect()
    }

    /// Records of connections that are not among `known`. Call it only when all connections are listed.
    pub(crate) fn orphans(&self, known: &HashSet<&str>) -> Vec<Loaded> {
        self.loaded_where(|record| !known.contains(record.uid()))
    }

    /// The records of former objects with the name of this one, at the same provider: the connection was restored, or moved here
    /// from another cluster. The last one first.
    pub(crate) fn formers(&self, place: &Place) -> Vec<Loaded> {
        let (records, key) = (self.read(), named(place));
        let readable = records.having(&key).filter_map(|(key, held)| self.loaded(key, held).ok());
        let is_former = |record: &Record| {
            record.uid() != place.uid && record.place().provider == place.provider && record.grant().is_some()
        };
        let mut formers: Vec<_> = readable.filter(|loaded| is_former(&loaded.record)).collect();
        formers.sort_by_key(|loaded| Reverse(loaded.record.revision()));
        formers
    }

    /// Whether the record's Secret with this UID exists, readable or not.
    pub(crate) fn has_object(&self, uid: &str, object: &str) -> bool {
        self.read().get(uid).is_some_and(|(_, held)| *held.object.uid == *object)
    }
}

impl Store<Ending> {
    /// The keys of all endings, the next due first.
    pub(crate) fn in_order(&self) -> Vec<Arc<str>> {
        let mut endings = self.loaded_where(|_| true);
        endings.sort_by_key(|loaded| loaded.record.progress().not_before);
        endings.into_iter().map(|loaded| loaded.version.key).collect()
    }

    /// The endings of a connection, by its UID.
    pub(crate) fn of(&self, uid: &str) -> Vec<Loaded<Ending>> {
        let (endings, key) = (self.read(), connection(uid));
        endings.having(&key).filter_map(|(key, held)| self.loaded(key, held).ok()).collect()
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use bowline_runtime::follow::{ObjectVersion, Source};
    use kube::Client;

    use super::*;
    use crate::vault::keyring::fixtures::march;
    use crate::vault::record::Bookkeeping;
    use crate::vault::record::fixtures::{authorized_as, binding, minutes, place, sealer};
    use crate::vault::record::{EndTerms, RecordError};
    use crate::vault::signature::Proof;

    fn store<T: Kept>(contents: impl IntoIterator<Item = Result<T, RecordError>>) -> Store<T> {
        let store = Store::new(Client::new(axum::Router::new(), "default"), "default");
        store.unlock(sealer());
        store.synced.send_replace(true);
        for content in contents {
            let key: Arc<str> = content.as_ref().map_or("unreadable", T::key).into();
            let object = ObjectVersion { uid: Arc::clone(&key), resource_version: "1".into() };
            store.note(&key, object, content.map(|kept| (Arc::new(kept), Proof::Own)), Source::Watch);
        }
        store
    }

    fn holding(records: impl IntoIterator<Item = Record>) -> Store {
        store(records.into_iter().map(Ok))
    }

    fn due_at(uid: &str, minute: i64) -> Ending {
        let ending = Ending::of(authorized_as(uid), uid, march(), EndTerms::default());
        ending.postponed(minutes(minute), "no answer", None)
    }

    #[tokio::test]
    async fn the_next_due_ending_comes_first() {
        let store = store([("a", 9), ("c", 3)].map(|(uid, minute)| Ok(due_at(uid, minute))));
        assert_eq!(store.in_order().iter().map(|key| &**key).collect::<Vec<_>>(), ["c", "a"]);
        assert_eq!(store.of("a").len(), 1);
    }

    #[tokio::test]
    async fn siblings_are_the_others_that_hold_the_same_grant() {
        let key = SiblingKey::of(&binding()).unwrap();
        let dead = authorized_as("b");
        let bookkeeping =
            Bookkeeping { dead: dead.grant_version().map(|version| version.id), ..Bookkeeping::default() };
        let store = holding([authorized_as("a"), dead.with_bookkeeping(bookkeeping)]);
        let uids = |key: &SiblingKey| -> Vec<_> {
            store.siblings(key).iter().map(|record| record.uid().to_owned()).collect()
        };
        assert_eq!(uids(&key), ["a"], "the dead one holds nothing");

        let mut stranger = binding();
        stranger.client_id = None;
        assert!(uids(&SiblingKey::of(&stranger).unwrap()).is_empty());
    }

    #[tokio::test]
    async fn orphans_are_the_unknown() {
        let store = holding([authorized_as("a"), authorized_as("b")]);
        let orphans = store.orphans(&HashSet::from(["a"]));
        assert_eq!(orphans.iter().map(|loaded| loaded.record.uid()).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test]
    async fn a_former_object_has_the_name_and_the_provider_and_another_uid() {
        let store = holding([authorized_as("a")]);
        let found = |change: fn(&mut Place)| -> Vec<String> {
            let mut place = Place { uid: "b".to_owned(), ..place() };
            change(&mut place);
            store.formers(&place).iter().map(|loaded| loaded.record.uid().to_owned()).collect()
        };
        assert_eq!(found(|_| {}), ["a"]);
        assert_eq!(found(|place| place.cluster = "another".to_owned()), ["a"]);
        for change in [
            (|place| place.uid = "a".to_owned()) as fn(&mut Place),
            |place| place.name.push('x'),
            |place| place.namespace.push('x'),
            |place| place.provider.push('x'),
        ] {
            assert_eq!(found(change), [""; 0]);
        }
    }

    #[tokio::test]
    async fn every_state_is_counted() {
        let store = store([Ok(authorized_as("a")), Err(RecordError::NoClearPart)]);
        assert_eq!(store.counts(), Counts { records: 2, unreadable: 1 });
        assert!(store.has_unreadable());
    }
}
