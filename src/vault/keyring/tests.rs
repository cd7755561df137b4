#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::fixtures::*;
use super::*;

fn first() -> KeyId {
    KeyId::parse(FIRST).unwrap()
}

fn second() -> KeyId {
    KeyId::parse(SECOND).unwrap()
}

#[test]
fn a_generated_keyring_reads_back_as_itself() {
    let made = Keyring::generate(march()).unwrap();
    let entries = made.to_entries();
    let read = Keyring::parse(entries.iter().map(|(name, value)| (name.as_str(), value.as_slice()))).unwrap();

    assert_eq!(read.primary().id(), made.primary().id());
    assert_eq!(read.primary().expose(), made.primary().expose());
    assert_eq!(read.primary().created, march());
    assert_eq!(read.keys.len(), 1);
}

#[test]
fn two_generated_keyrings_share_neither_id_nor_key() {
    let (one, other) = (Keyring::generate(march()).unwrap(), Keyring::generate(march()).unwrap());
    assert_ne!(one.primary().id(), other.primary().id());
    assert_ne!(one.primary().expose(), other.primary().expose());
}

#[test]
fn the_named_key_is_primary_and_the_others_still_open() {
    let keyring = keyring(&[SECOND, FIRST]);
    assert_eq!(keyring.primary().id(), &second());
    assert!(keyring.key(&first()).is_some());
}

#[test]
fn line_ends_around_text_entries_are_forgiven() {
    let mut entries = entries(&[FIRST]);
    for (name, value) in &mut entries {
        if name == "primary" || name.contains(".created") {
            value.push(b'\n');
        }
    }
    assert_eq!(parse(&entries).unwrap().primary().id(), &first());
}

#[test]
fn a_faulty_keyring_is_refused_with_what_to_do() {
    type Change = fn(&mut Entries);
    let table: &[(Change, KeyringError)] = &[
        (Vec::clear, KeyringError::NoKey),
        (|e| e.truncate(1), KeyringError::NoKey),
        (|e| drop(e.remove(0)), KeyringError::NoPrimary),
        (|e| e[0].1 = b"first".to_vec(), KeyringError::PrimaryNotAnId),
        (|e| e[0].1 = vec![0xff; 32], KeyringError::PrimaryNotAnId),
        (|e| e[0].1 = SECOND.as_bytes().to_vec(), KeyringError::UnknownPrimary { id: second() }),
        (|e| e[1].1.truncate(31), KeyringError::WrongLength { id: first(), length: 31 }),
        (|e| e[1].1.push(b'\n'), KeyringError::WrongLength { id: first(), length: 33 }),
        (|e| e[1].1.clear(), KeyringError::WrongLength { id: first(), length: 0 }),
        (|e| drop(e.remove(2)), KeyringError::NoCreated { id: first() }),
        (|e| e[2].1 = b"in March".to_vec(), KeyringError::CreatedUnreadable { id: first() }),
        (
            |e| e.push((format!("{SECOND}.created"), e[2].1.clone())),
            KeyringError::CreatedWithoutKey { id: second() },
        ),
        (|e| e[1].0 = "first.key".into(), KeyringError::UnknownEntry { name: "first.key".into() }),
        (|e| e.push(("key".into(), vec![])), KeyringError::UnknownEntry { name: "key".into() }),
    ];
    for (change, expected) in table {
        let mut entries = entries(&[FIRST]);
        change(&mut entries);
        assert_eq!(&parse(&entries).unwrap_err(), expected);
    }
}

#[test]
fn the_age_of_a_key_is_counted_from_its_making() {
    let keyring = keyring(&[FIRST]);
    let now = march() + SignedDuration::from_hours(24 * 90);
    assert_eq!(keyring.primary().age(now), SignedDuration::from_hours(24 * 90));
}

#[test]
fn debug_shows_ids_and_no_key() {
    let shown = format!("{:?}", keyring(&[FIRST, SECOND]));
    assert!(shown.contains(FIRST) && shown.contains("REDACTED"), "{shown}");
    assert!(!shown.contains("0, 1, 2, 3"), "{shown}");
}
