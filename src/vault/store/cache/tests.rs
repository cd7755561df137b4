#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::vault::record::fixtures::{about_to_refresh, authorized, grant, intent, opened, place, sealer};
use crate::vault::record::{RECORD_TYPE, Slot};

const CONNECTION: &str = "u1";

fn object(secret_uid: &str, resource_version: &str) -> ObjectVersion {
    ObjectVersion { uid: secret_uid.into(), resource_version: resource_version.into() }
}

/// UID of the Secret, resourceVersion, record, source.
type News = (&'static str, &'static str, Record, Source);

fn seen(secret_uid: &str, resource_version: &str, record: Record) -> Seen {
    Seen {
        uid: CONNECTION.into(),
        object: object(secret_uid, resource_version),
        content: Ok(Arc::new(record)),
    }
}

/// A record at revision 3.
fn refreshed() -> Record {
    let record = about_to_refresh();
    let spent = opened(&record, Slot::InUse);
    record.answered(&sealer(), &spent, Some(intent(1)), &grant("r2"), None).unwrap()
}

fn holding(seen: Seen, source: Source) -> Cache {
    let mut cache = Cache::default();
    assert!(cache.take(seen, source));
    cache
}

fn version(cache: &Cache) -> Option<&str> {
    cache.get(CONNECTION).map(|(_, held)| held.object.resource_version.as_ref())
}

fn list(cache: &mut Cache, listed: Vec<Seen>) -> Unlisted {
    cache.listing_begins();
    for seen in listed {
        cache.take(seen, Source::Watch);
    }
    cache.listing_ends()
}

#[test]
fn the_rule_of_displacement() {
    use Source::{OwnWrite, Watch};
    let live = |version: &str| Source::LiveRead { over: Some(object("s", version)) };
    let same = authorized;
    #[rustfmt::skip]
    let table: Vec<(&str, News, News, bool)> = vec![
        ("a late event below our commit",        ("s", "10", refreshed(), OwnWrite), ("s", "9", same(), Watch), false),
        ("a late event below our intent",        ("s", "10", about_to_refresh(), OwnWrite), ("s", "9", same(), Watch), false),
        ("the event of our own write",           ("s", "10", same(), OwnWrite), ("s", "10", same(), Watch), false),
        ("somebody's later write",               ("s", "10", same(), OwnWrite), ("s", "11", about_to_refresh(), Watch), true),
        ("versions count as numbers, not text",  ("s", "9", same(), OwnWrite), ("s", "10", same(), Watch), true),
        ("our write answered after its event's successor", ("s", "12", same(), Watch), ("s", "11", same(), OwnWrite), false),
        ("our next write",                       ("s", "10", same(), OwnWrite), ("s", "11", about_to_refresh(), OwnWrite), true),
        ("a live read of what is held",          ("s", "10", same(), Watch), ("s", "10", same(), live("10")), false),
        ("a live read that is newer",            ("s", "10", same(), Watch), ("s", "12", same(), live("10")), true),
        ("a live read overtaken by our write",   ("s", "12", same(), OwnWrite), ("s", "11", same(), live("10")), false),
        ("a live read after etcd was set back",  ("s", "10", refreshed(), OwnWrite), ("s", "5", same(), live("10")), true),
        ("a record made again",                  ("s", "10", refreshed(), OwnWrite), ("t", "11", same(), Watch), true),
        ("the record before it was made again",  ("t", "11", same(), OwnWrite), ("s", "10", refreshed(), Watch), false),
        // Where versions are no numbers.
        ("opaque: our next write",               ("s", "a", same(), OwnWrite), ("s", "b", same(), OwnWrite), true),
        ("opaque: the watch after itself",       ("s", "a", same(), Watch), ("s", "b", same(), Watch), true),
        ("opaque: the watch repeating itself",   ("s", "a", same(), Watch), ("s", "a", same(), Watch), false),
        ("opaque: an event below our commit",    ("s", "b", refreshed(), OwnWrite), ("s", "a", same(), Watch), false),
        ("opaque: an event beside our intent",   ("s", "b", about_to_refresh(), OwnWrite), ("s", "a", same(), Watch), false),
        ("opaque: a commit above our intent",    ("s", "a", about_to_refresh(), OwnWrite), ("s", "b", refreshed(), Watch), true),
        ("opaque: an earlier Secret's commit",   ("t", "b", same(), OwnWrite), ("s", "a", refreshed(), Watch), false),
        ("opaque: a live read",                  ("s", "a", same(), OwnWrite), ("s", "b", same(), live("a")), true),
        ("opaque: a live read overtaken",        ("s", "c", same(), OwnWrite), ("s", "b", same(), live("a")), false),
    ];
    for (what, (uid, rv, record, source), (new_uid, new_rv, new_record, new_source), wins) in table {
        let mut cache = holding(seen(uid, rv, record), source);
        assert_eq!(cache.take(seen(new_uid, new_rv, new_record), new_source), wins, "{what}");
        assert_eq!(version(&cache), Some(if wins { new_rv } else { rv }), "{what}");
    }
}

#[test]
fn events_that_come_after_the_deletion_do_not_bring_a_record_back() {
    let mut cache = holding(seen("s", "10", authorized()), Source::OwnWrite);
    assert!(cache.deleted(CONNECTION, &object("s", "10")));
    for source in [Source::Watch, Source::LiveRead { over: None }] {
        assert!(!cache.take(seen("s", "10", authorized()), source));
    }
    assert_eq!(version(&cache), None);
}

#[test]
fn a_late_deletion_does_not_take_the_record_made_since() {
    let mut cache = holding(seen("s", "10", authorized()), Source::OwnWrite);
    assert!(cache.deleted(CONNECTION, &object("s", "10")));
    assert!(cache.take(seen("t", "12", authorized()), Source::OwnWrite));
    assert!(!cache.deleted(CONNECTION, &object("s", "10")));
    assert_eq!(version(&cache), Some("12"));
}

#[test]
fn a_listing_removes_what_it_lacks() {
    let mut cache = holding(seen("s", "10", authorized()), Source::Watch);
    assert_eq!(list(&mut cache, vec![seen("s", "10", authorized())]), Unlisted::default());
    assert_eq!(list(&mut cache, vec![]).gone, [CONNECTION.into()]);
    assert_eq!(version(&cache), None);
    assert!(!cache.take(seen("s", "10", authorized()), Source::Watch), "it is dead");
}

#[test]
fn a_listing_does_not_remove_a_record_written_while_it_ran_but_asks_for_a_live_read() {
    let mut cache = Cache::default();
    cache.listing_begins();
    assert!(cache.take(seen("s", "10", authorized()), Source::OwnWrite));
    assert_eq!(cache.listing_ends(), Unlisted { gone: vec![], doubtful: vec![CONNECTION.into()] });
    assert_eq!(version(&cache), Some("10"));
}

#[test]
fn a_listing_that_is_older_than_our_write_neither_removes_nor_undoes_it() {
    let mut cache = holding(seen("s", "10", refreshed()), Source::OwnWrite);
    assert_eq!(list(&mut cache, vec![seen("s", "9", authorized())]), Unlisted::default());
    assert_eq!(version(&cache), Some("10"));
}

#[test]
fn an_erased_record_does_not_return_with_a_listing_that_began_before() {
    let mut cache = holding(seen("s", "10", authorized()), Source::Watch);
    cache.listing_begins();
    assert!(cache.deleted(CONNECTION, &object("s", "10")));
    assert!(!cache.take(seen("s", "10", authorized()), Source::Watch));
    assert_eq!(cache.listing_ends(), Unlisted::default());
    assert_eq!(version(&cache), None);
}

#[test]
fn a_predecessor_does_not_appear_after_the_record_that_followed_it_was_erased() {
    let mut cache = holding(seen("t", "12", authorized()), Source::OwnWrite);
    assert!(cache.deleted(CONNECTION, &object("t", "12")));
    assert!(!cache.take(seen("s", "10", authorized()), Source::Watch));
    assert!(cache.take(seen("u", "14", authorized()), Source::Watch), "a successor is news");
}

#[test]
fn the_memory_of_the_dead_is_bounded() {
    let mut cache = Cache::default();
    for number in 0..DEAD_REMEMBERED + 10 {
        let number = number.to_string();
        cache.deleted(&number, &object(&number, "10"));
    }
    assert_eq!((cache.dead.len(), cache.dead_in_order.len()), (DEAD_REMEMBERED, DEAD_REMEMBERED));
}

fn from_the_server(record: &Record) -> Secret {
    let mut secret = record.to_secret().unwrap();
    secret.metadata.uid = Some("s".into());
    secret.metadata.resource_version = Some("10".into());
    secret
}

#[test]
fn a_record_that_does_not_parse_is_held_as_unreadable() {
    let mut secret = from_the_server(&authorized());
    secret.data = None;
    let cache = holding(Seen::of(secret).unwrap(), Source::Watch);
    let (_, held) = cache.get(CONNECTION).unwrap();
    assert_eq!(held.content, Err(RecordError::NoClearPart));
}

#[test]
fn a_mended_record_takes_the_unreadable_ones_place() {
    let mut secret = from_the_server(&authorized());
    secret.data = None;
    let mut cache = holding(Seen::of(secret).unwrap(), Source::Watch);
    assert!(cache.take(seen("s", "11", authorized()), Source::Watch));
    assert!(cache.get(CONNECTION).unwrap().1.content.is_ok());
}

#[test]
fn the_name_decides_whose_record_it_is_and_labels_do_not() {
    let mut copy = from_the_server(&authorized());
    copy.metadata.name = Some("copy-of-record-u1".into());
    assert!(Seen::of(copy).is_none());

    let read = Seen::of(from_the_server(&Record::new(place()))).unwrap();
    assert_eq!((read.uid.as_ref(), read.object), (CONNECTION, object("s", "10")));
    assert_eq!(from_the_server(&authorized()).type_.as_deref(), Some(RECORD_TYPE));
}
