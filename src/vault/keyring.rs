//! The keys that seal records: several keys, one of them primary.
//!
//! A keyring is a flat map of names to bytes, the data of the Secret `bowline-keyring` or the files of a directory:
//!
//! ```text
//! primary          the id of the key that seals from now on
//! <id>.key         that key: exactly 32 random bytes, raw
//! <id>.created     when it was made: RFC 3339, e.g. 2026-03-01T00:00:00Z
//! ```
//!
//! An id is 32 lower-case hexadecimal digits (16 random bytes) and is never used again for another key. To rotate, add a
//! second `.key` and `.created`, point `primary` at it, and keep the old key until no record needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use super::id::{KeyId, NoRandomBytes, random_bytes};

pub(crate) mod directory;
pub(crate) mod secret;
mod shared;

pub(crate) use shared::KeyringFault;
pub use shared::SharedKeyring;

pub(crate) const KEY_LENGTH: usize = 32;
const PRIMARY: &str = "primary";
const KEY_SUFFIX: &str = "key";
const CREATED_SUFFIX: &str = "created";

/// One key of the keyring. Its `Debug` shows no key material, and the memory is wiped when it is dropped.
#[derive(Debug)]
pub(crate) struct SealingKey {
    id: KeyId,
    material: SecretBox<[u8; KEY_LENGTH]>,
    created: Timestamp,
}

impl SealingKey {
    pub(crate) const fn id(&self) -> &KeyId {
        &self.id
    }

    /// How old the key is at `now`; negative if the clocks disagree.
    pub(crate) fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.created)
    }

    pub(super) fn expose(&self) -> &[u8; KEY_LENGTH] {
        self.material.expose_secret()
    }
}

/// Why a keyring was refused: what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error(
        "the keyring holds no key: add <id>.key with 32 random bytes, <id>.created, and name the id in `primary`"
    )]
    NoKey,
    #[error("the keyring names no primary key: add the entry `primary` with the id of one of its keys")]
    NoPrimary,
    #[error("the keyring's entry `primary` is not a key id: write 32 lower-case hexadecimal digits")]
    PrimaryNotAnId,
    #[error(
        "the keyring's primary key {id} is missing: add {id}.key, or name a key that is there in `primary`"
    )]
    UnknownPrimary { id: KeyId },
    #[error(
        "key {id} has {length} bytes: it must be exactly 32, raw, with no line end and not encoded as text"
    )]
    WrongLength { id: KeyId, length: usize },
    #[error("key {id} does not say when it was made: add {id}.created with an RFC 3339 time")]
    NoCreated { id: KeyId },
    #[error("{id}.created is not an RFC 3339 time, such as 2026-03-01T00:00:00Z")]
    CreatedUnreadable { id: KeyId },
    #[error("{id}.created has no key beside it: add {id}.key or remove {id}.created")]
    CreatedWithoutKey { id: KeyId },
    /// A typing error must not hide a key.
    #[error("the keyring's entry {name:?} means nothing: entries are `primary`, <id>.key and <id>.created")]
    UnknownEntry { name: String },
}

/// One or more keys, one of them primary. Its `Debug` shows ids and ages only.
#[derive(Clone, Debug)]
pub struct Keyring {
    primary: Arc<SealingKey>,
    keys: BTreeMap<KeyId, Arc<SealingKey>>,
}

impl Keyring {
    /// A new keyring of one random key, made at `now`.
    pub(crate) fn generate(now: Timestamp) -> Result<Self, NoRandomBytes> {
        let id = KeyId::generate()?;
        let material = Zeroizing::new(random_bytes()?);
        let key = Arc::new(SealingKey { id, material: SecretBox::new(Box::new(*material)), created: now });
        Ok(Self { keys: BTreeMap::from([(key.id, Arc::clone(&key))]), primary: key })
    }

    /// The same with one more key, made at `now`, which is primary.
    pub(crate) fn rotated(mut self, now: Timestamp) -> Result<Self, NoRandomBytes> {
        let Self { primary, keys } = Self::generate(now)?;
        self.keys.extend(keys);
        Ok(Self { primary, keys: self.keys })
    }

    /// Reads a keyring from its entries (the module says which). Refuses the whole keyring for any fault in it.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, KeyringError> {
        let mut primary = None;
        let mut material = BTreeMap::new();
        let mut created = BTreeMap::new();
        for (name, value) in entries {
            if name == PRIMARY {
                primary = std::str::from_utf8(value).ok().and_then(|id| KeyId::parse(id.trim()));
                primary.ok_or(KeyringError::PrimaryNotAnId)?;
                continue;
            }
            let unknown = || KeyringError::UnknownEntry { name: name.to_owned() };
            let (id, suffix) = name.split_once('.').ok_or_else(unknown)?;
            let id = KeyId::parse(id).ok_or_else(unknown)?;
            match suffix {
                KEY_SUFFIX => drop(material.insert(id, parse_material(id, value)?)),
                CREATED_SUFFIX => drop(created.insert(id, parse_created(id, value)?)),
                _ => return Err(unknown()),
            }
        }
        let mut keys = BTreeMap::new();
        for (id, material) in material {
            let created = created.remove(&id).ok_or(KeyringError::NoCreated { id })?;
            keys.insert(id, Arc::new(SealingKey { id, material, created }));
        }
        if let Some(&id) = created.keys().next() {
            return Err(KeyringError::CreatedWithoutKey { id });
        }
        if keys.is_empty() {
            return Err(KeyringError::NoKey);
        }
        let id = primary.ok_or(KeyringError::NoPrimary)?;
        let primary = keys.get(&id).cloned().ok_or(KeyringError::UnknownPrimary { id })?;
        Ok(Self { primary, keys })
    }

    pub(super) fn to_entries(&self) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
        let mut entries = BTreeMap::from([(PRIMARY.to_owned(), entry(self.primary.id.to_string()))]);
        for (id, key) in &self.keys {
            entries.insert(format!("{id}.{KEY_SUFFIX}"), Zeroizing::new(key.expose().to_vec()));
            entries.insert(format!("{id}.{CREATED_SUFFIX}"), entry(key.created.to_string()));
        }
        entries
    }

    pub(crate) fn primary(&self) -> &SealingKey {
        &self.primary
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&SealingKey> {
        self.keys.get(id).map(AsRef::as_ref)
    }
}

fn parse_material(id: KeyId, value: &[u8]) -> Result<SecretBox<[u8; KEY_LENGTH]>, KeyringError> {
    let material = <&[u8; KEY_LENGTH]>::try_from(value);
    let material = material.map_err(|_| KeyringError::WrongLength { id, length: value.len() })?;
    Ok(SecretBox::init_with_mut(|key: &mut [u8; KEY_LENGTH]| key.copy_from_slice(material)))
}

fn parse_created(id: KeyId, value: &[u8]) -> Result<Timestamp, KeyringError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or(KeyringError::CreatedUnreadable { id })
}

fn entry(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;
