#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const KEY: &str = "u1";

/// Revisions: as it was, with an intent that counts nothing, with a commit.
const SAME: i64 = 2;
const INTENT: i64 = 2;
const COMMIT: i64 = 3;

fn object(uid: &str, resource_version: &str) -> ObjectVersion {
    ObjectVersion { uid: uid.into(), resource_version: resource_version.into() }
}

type Cache = Newest<&'static str, i64>;

/// UID of the object, resourceVersion, revision, source.
type News = (&'static str, &'static str, i64, Source);

fn take(cache: &mut Cache, (uid, version, revision, source): News) -> bool {
    cache.take(KEY, object(uid, version), revision, source)
}

fn holding(news: News) -> Cache {
    let mut cache = Cache::by_revision(|revision| *revision);
    assert!(take(&mut cache, news));
    cache
}

fn version(cache: &Cache) -> Option<&str> {
    cache.get(KEY).map(|(_, held)| held.object.resource_version.as_ref())
}

fn list(cache: &mut Cache, listed: Option<(&'static str, &'static str)>) -> Unlisted<&'static str, i64> {
    cache.listing_begins();
    if let Some((uid, version)) = listed {
        take(cache, (uid, version, SAME, Source::Watch));
    }
    cache.listing_ends()
}

fn nothing() -> Unlisted<&'static str, i64> {
    Unlisted { gone: vec![], doubtful: vec![] }
}

#[test]
fn the_rule_of_displacement() {
    use Source::{OwnWrite, Watch};
    let live = |version: &str| Source::LiveRead { over: Some(object("s", version)) };
    #[rustfmt::skip]
    let table: Vec<(&str, News, News, bool)> = vec![
        ("a late event below our commit",        ("s", "10", COMMIT, OwnWrite), ("s", "9", SAME, Watch), false),
        ("a late event below our intent",        ("s", "10", INTENT, OwnWrite), ("s", "9", SAME, Watch), false),
        ("the event of our own write",           ("s", "10", SAME, OwnWrite), ("s", "10", SAME, Watch), false),
        ("somebody's later write",               ("s", "10", SAME, OwnWrite), ("s", "11", INTENT, Watch), true),
        ("versions count as numbers, not text",  ("s", "9", SAME, OwnWrite), ("s", "10", SAME, Watch), true),
        ("our write answered after its event's successor", ("s", "12", SAME, Watch), ("s", "11", SAME, OwnWrite), false),
        ("our next write",                       ("s", "10", SAME, OwnWrite), ("s", "11", INTENT, OwnWrite), true),
        ("a live read of what is held",          ("s", "10", SAME, Watch), ("s", "10", SAME, live("10")), false),
        ("a live read that is newer",            ("s", "10", SAME, Watch), ("s", "12", SAME, live("10")), true),
        ("a live read overtaken by our write",   ("s", "12", SAME, OwnWrite), ("s", "11", SAME, live("10")), false),
        ("a live read after etcd was set back",  ("s", "10", COMMIT, OwnWrite), ("s", "5", SAME, live("10")), true),
        ("an object made again",                 ("s", "10", COMMIT, OwnWrite), ("t", "11", SAME, Watch), true),
        ("the object before it was made again",  ("t", "11", SAME, OwnWrite), ("s", "10", COMMIT, Watch), false),
        // Where versions are no numbers.
        ("opaque: our next write",               ("s", "a", SAME, OwnWrite), ("s", "b", SAME, OwnWrite), true),
        ("opaque: the watch after itself",       ("s", "a", SAME, Watch), ("s", "b", SAME, Watch), true),
        ("opaque: the watch repeating itself",   ("s", "a", SAME, Watch), ("s", "a", SAME, Watch), false),
        ("opaque: an event below our commit",    ("s", "b", COMMIT, OwnWrite), ("s", "a", SAME, Watch), false),
        ("opaque: an event beside our intent",   ("s", "b", INTENT, OwnWrite), ("s", "a", SAME, Watch), false),
        ("opaque: a commit above our intent",    ("s", "a", INTENT, OwnWrite), ("s", "b", COMMIT, Watch), true),
        ("opaque: an earlier object's commit",   ("t", "b", SAME, OwnWrite), ("s", "a", COMMIT, Watch), false),
        ("opaque: a live read",                  ("s", "a", SAME, OwnWrite), ("s", "b", SAME, live("a")), true),
        ("opaque: a live read overtaken",        ("s", "c", SAME, OwnWrite), ("s", "b", SAME, live("a")), false),
    ];
    for (what, first, second, wins) in table {
        let (before, after) = (first.1, second.1);
        let mut cache = holding(first);
        assert_eq!(take(&mut cache, second), wins, "{what}");
        assert_eq!(version(&cache), Some(if wins { after } else { before }), "{what}");
    }
}

#[test]
fn events_that_come_after_the_deletion_do_not_bring_an_object_back() {
    let mut cache = holding(("s", "10", SAME, Source::OwnWrite));
    assert_eq!(cache.deleted(&KEY, &object("s", "10")), Some(SAME));
    for source in [Source::Watch, Source::LiveRead { over: None }] {
        assert!(!take(&mut cache, ("s", "10", SAME, source)));
    }
    assert_eq!(version(&cache), None);
}

#[test]
fn a_late_deletion_does_not_take_the_object_made_since() {
    let mut cache = holding(("s", "10", SAME, Source::OwnWrite));
    assert_eq!(cache.deleted(&KEY, &object("s", "10")), Some(SAME));
    assert!(take(&mut cache, ("t", "12", SAME, Source::OwnWrite)));
    assert_eq!(cache.deleted(&KEY, &object("s", "10")), None);
    assert_eq!(version(&cache), Some("12"));
}

#[test]
fn a_listing_removes_what_it_lacks() {
    let mut cache = holding(("s", "10", SAME, Source::Watch));
    assert_eq!(list(&mut cache, Some(("s", "10"))), nothing());
    assert_eq!(list(&mut cache, None).gone, [(KEY, SAME)]);
    assert_eq!(version(&cache), None);
    assert!(!take(&mut cache, ("s", "10", SAME, Source::Watch)), "it is dead");
}

#[test]
fn a_listing_does_not_remove_what_was_written_while_it_ran_but_asks_for_a_live_read() {
    let mut cache = Cache::default();
    cache.listing_begins();
    assert!(take(&mut cache, ("s", "10", SAME, Source::OwnWrite)));
    assert_eq!(cache.listing_ends(), Unlisted { gone: vec![], doubtful: vec![KEY] });
    assert_eq!(version(&cache), Some("10"));
}

#[test]
fn a_listing_that_is_older_than_our_write_neither_removes_nor_undoes_it() {
    let mut cache = holding(("s", "10", COMMIT, Source::OwnWrite));
    assert_eq!(list(&mut cache, Some(("s", "9"))), nothing());
    assert_eq!(version(&cache), Some("10"));
}

#[test]
fn what_we_deleted_does_not_return_with_a_listing_that_began_before() {
    let mut cache = holding(("s", "10", SAME, Source::Watch));
    cache.listing_begins();
    assert_eq!(cache.deleted(&KEY, &object("s", "10")), Some(SAME));
    assert!(!take(&mut cache, ("s", "10", SAME, Source::Watch)));
    assert_eq!(cache.listing_ends(), nothing());
    assert_eq!(version(&cache), None);
}

#[test]
fn a_predecessor_does_not_appear_after_the_object_that_followed_it_was_deleted() {
    let mut cache = holding(("t", "12", SAME, Source::OwnWrite));
    assert_eq!(cache.deleted(&KEY, &object("t", "12")), Some(SAME));
    assert!(!take(&mut cache, ("s", "10", SAME, Source::Watch)));
    assert!(take(&mut cache, ("u", "14", SAME, Source::Watch)), "a successor is news");
}

#[test]
fn the_memory_of_the_dead_is_bounded() {
    let mut cache = Newest::<String, ()>::default();
    for number in 0..DEAD_REMEMBERED + 10 {
        let number = number.to_string();
        cache.deleted(&number, &object(&number, "10"));
    }
    assert_eq!((cache.dead.len(), cache.dead_in_order.len()), (DEAD_REMEMBERED, DEAD_REMEMBERED));
}
