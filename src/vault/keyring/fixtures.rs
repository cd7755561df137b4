#![allow(clippy::unwrap_used)]

use k8s_openapi::jiff::Timestamp;

use super::{Keyring, SharedKeyring};

pub(crate) const FIRST: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
pub(crate) const SECOND: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// Entries of a keyring with these keys, the first of them primary; key material differs by id.
pub(crate) fn entries(ids: &[&str]) -> Entries {
    let mut entries = vec![("primary".to_owned(), ids[0].as_bytes().to_vec())];
    for id in ids {
        let first: u8 = if *id == FIRST { 0 } else { 100 };
        entries.push((format!("{id}.key"), (first..first + 32).collect()));
        entries.push((format!("{id}.created"), b"2026-03-01T00:00:00Z".to_vec()));
    }
    entries
}

pub(crate) fn parse(entries: &Entries) -> Result<Keyring, super::KeyringError> {
    Keyring::parse(entries.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

pub(crate) fn keyring(ids: &[&str]) -> Keyring {
    parse(&entries(ids)).unwrap()
}

pub(crate) fn shared(ids: &[&str]) -> SharedKeyring {
    SharedKeyring::new(keyring(ids))
}

pub(crate) fn march() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}
