//! The keyring's Secret under a KMS: every key is wrapped by the key that the KMS encrypts with now.
//!
//! What was in clear before is no secret any more, because backups of etcd may have it: so the first wrapped key is a new one, and
//! what the former keys sealed is sealed again in the background, as after any rotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::keyring::ROTATION_REQUESTED;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;

use super::stored::{StoredKey, StoredKeyring, unwrap};
use super::{Keyring, SealingKey};
use crate::vault::id::NoRandomBytes;
use crate::vault::kms::{Kms, KmsError};

/// How a KMS protects the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    pub(crate) kms: Kms,
    /// It only decrypts: the key that seals is in clear, so that the KMS can go once no record needs a wrapped key.
    pub(crate) decrypt_only: bool,
}

/// Why the keyring could not be wrapped. What is stored stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtectError {
    #[error(transparent)]
    Kms(#[from] KmsError),
    #[error(transparent)]
    NoRandomBytes(#[from] NoRandomBytes),
}

/// What to do with a keyring beside what it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyringRenewal {
    /// Add a key that seals from now on.
    pub(crate) rotate: bool,
    /// Have the KMS open every key, also those that are in memory: wrap again what it does not open.
    pub(crate) verify: bool,
}

/// The keyring's Secret at one time, and what is in it.
pub(crate) struct FoundKeyring {
    pub(super) secret: Secret,
    pub(super) stored: StoredKeyring,
    pub(super) keyring: Keyring,
    /// The key with which the KMS encrypts now, if it is to wrap.
    pub(super) wraps_with: Option<String>,
}

impl Protection {
    pub(crate) const fn new(kms: Kms, decrypt_only: bool) -> Self {
        Self { kms, decrypt_only }
    }

    /// Whether the key that seals has the form that it should have.
    pub(super) fn is_met_by(&self, stored: &StoredKeyring) -> bool {
        stored.is_primary_wrapped() != self.decrypt_only
    }
}

impl FoundKeyring {
    /// How many keys are in clear, or wrapped by another key than the KMS encrypts with now.
    pub(crate) fn stale(&self) -> usize {
        let Some(wraps_with) = &self.wraps_with else { return 0 };
        self.stored.keys.values().filter(|key| !is_under(key, wraps_with)).count()
    }

    /// The keyring as it should be stored, if that is something else than what is. Every key that is wrapped here was unwrapped
    /// again by the KMS.
    pub(super) async fn renewed(
        &self,
        protection: Option<&Protection>,
        renewal: KeyringRenewal,
        now: Timestamp,
    ) -> Result<Option<(StoredKeyring, Keyring)>, ProtectError> {
        let is_met = protection.is_none_or(|protection| protection.is_met_by(&self.stored));
        let is_requested = self.secret.metadata.annotations.as_ref();
        let is_requested = is_requested.is_some_and(|all| all.contains_key(ROTATION_REQUESTED));
        let rotates = renewal.rotate || is_requested || !is_met;
        let keyring = if rotates { self.keyring.clone().rotated(now)? } else { self.keyring.clone() };
        let (mut keys, mut changed) = (BTreeMap::new(), rotates);
        for (id, key) in &keyring.keys {
            let stored = self.stored.keys.get(id);
            let next = match (protection, &self.wraps_with) {
                (Some(protection), Some(wraps_with)) => {
                    self.rewrapped(key, wraps_with, &protection.kms, renewal.verify).await?
                }
                _ => None,
            };
            changed |= next.is_some();
            let kept = || stored.cloned().unwrap_or_else(|| StoredKey::Clear(Arc::clone(key)));
            keys.insert(*id, next.unwrap_or_else(kept));
        }
        let stored = StoredKeyring { primary: *keyring.primary().id(), keys };
        Ok(changed.then_some((stored, keyring)))
    }

    /// The key, wrapped now; `None` if it is wrapped well.
    async fn rewrapped(
        &self,
        key: &SealingKey,
        wraps_with: &str,
        kms: &Kms,
        verify: bool,
    ) -> Result<Option<StoredKey>, KmsError> {
        let stored = self.stored.keys.get(key.id()).filter(|stored| is_under(stored, wraps_with));
        if let Some(StoredKey::Wrapped { created, wrapped }) = stored {
            let opens =
                if verify { unwrap(*key.id(), *created, wrapped, kms).await.map(drop) } else { Ok(()) };
            match opens {
                Ok(()) => return Ok(None),
                Err(error) => {
                    tracing::warn!(%error, "a key of the keyring is wrapped again, while it is in memory");
                }
            }
        }
        StoredKey::wrap(key, kms).await.map(Some)
    }
}

fn is_under(key: &StoredKey, kms_key_id: &str) -> bool {
    matches!(key, StoredKey::Wrapped { wrapped, .. } if wrapped.kms_key_id == kms_key_id)
}
