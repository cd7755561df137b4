//! The keys that seal records: several keys, one of them primary. `bowline_api::keyring` says how they are stored.
//!
//! To rotate, add a second key, point `primary` at it, and keep the old key until no record needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::keyring::KEY_LENGTH;
use hkdf::Hkdf;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::id::{KeyId, NoRandomBytes, random_bytes};
use super::kms::KmsError;
use stored::StoredKeyring;

pub(crate) mod directory;
mod protection;
pub(crate) mod secret;
mod shared;
mod stored;

pub(crate) use protection::{KeyringRenewal, ProtectError, Protection};
pub(crate) use shared::KeyringFault;
pub use shared::SharedKeyring;

const CHECK_PURPOSE: &[u8] = b"bowline.dev/key-check/v1";

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

    /// Derived from the key and its id. Says nothing of the key, and no other key has it.
    fn check(&self) -> [u8; 32] {
        let mut check = [0; 32];
        let info = [CHECK_PURPOSE, self.id.as_bytes()];
        let derived = Hkdf::<Sha256>::new(None, self.expose()).expand_multi_info(&info, &mut check);
        debug_assert!(derived.is_ok(), "HKDF-SHA256 can derive up to 8160 bytes");
        check
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
    #[error("key {id} is there in clear and wrapped: remove {id}.key if {id}.wrapped is in use")]
    TwoForms { id: KeyId },
    #[error("{id}.wrapped is not a key that a KMS wrapped, or a later version wrote it")]
    WrappedUnreadable { id: KeyId },
    #[error(
        "key {id} is wrapped by a KMS and --kms-socket is not set: set it again; --kms-decrypt-only is the way to stop using a KMS"
    )]
    WrappedWithoutKms { id: KeyId },
    #[error(
        "key {id} could not be unwrapped: {cause}. If this keyring is from another cluster, it needs that cluster's KMS"
    )]
    NotUnwrapped { id: KeyId, cause: KmsError },
    #[error("key {id} does not say when it was made: add {id}.created with an RFC 3339 time")]
    NoCreated { id: KeyId },
    #[error("{id}.created is not an RFC 3339 time, such as 2026-03-01T00:00:00Z")]
    CreatedUnreadable { id: KeyId },
    #[error("{id}.created has no key beside it: add {id}.key or remove {id}.created")]
    CreatedWithoutKey { id: KeyId },
    /// A typing error must not hide a key.
    #[error(
        "the keyring's entry {name:?} means nothing: entries are `primary`, <id>.key, <id>.wrapped and <id>.created"
    )]
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
        let key = Arc::new(SealingKey { id, material: boxed(&material), created: now });
        Ok(Self { keys: BTreeMap::from([(key.id, Arc::clone(&key))]), primary: key })
    }

    /// The same with one more key, made at `now`, which is primary.
    pub(crate) fn rotated(mut self, now: Timestamp) -> Result<Self, NoRandomBytes> {
        let Self { primary, keys } = Self::generate(now)?;
        self.keys.extend(keys);
        Ok(Self { primary, keys: self.keys })
    }

    /// Reads a keyring of keys in clear from its entries. Refuses the whole keyring for any fault in it.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, KeyringError> {
        StoredKeyring::parse(entries)?.in_clear()
    }

    fn of(primary: KeyId, keys: BTreeMap<KeyId, Arc<SealingKey>>) -> Result<Self, KeyringError> {
        let primary = keys.get(&primary).cloned().ok_or(KeyringError::UnknownPrimary { id: primary })?;
        Ok(Self { primary, keys })
    }

    pub(super) fn to_entries(&self) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
        StoredKeyring::of(self).to_entries()
    }

    pub(crate) fn primary(&self) -> &SealingKey {
        &self.primary
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&SealingKey> {
        self.keys.get(id).map(AsRef::as_ref)
    }
}

fn boxed(material: &[u8; KEY_LENGTH]) -> SecretBox<[u8; KEY_LENGTH]> {
    SecretBox::init_with_mut(|key: &mut [u8; KEY_LENGTH]| key.copy_from_slice(material))
}

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;
