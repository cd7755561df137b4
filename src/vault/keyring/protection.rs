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
        StoredKey::wrap(key, kms, wraps_with).await.map(Some)
    }
}

fn is_under(key: &StoredKey, kms_key_id: &str) -> bool {
    matches!(key, StoredKey::Wrapped { wrapped, .. } if wrapped.kms_key_id == kms_key_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fixtures::{FIRST, SECOND, keyring, march};
    use super::*;
    use crate::vault::id::KeyId;

    fn found(stored: StoredKeyring) -> FoundKeyring {
        let keyring = keyring(&[FIRST, SECOND]);
        FoundKeyring { secret: Secret::default(), stored, keyring, wraps_with: None }
    }

    fn in_clear() -> StoredKeyring {
        StoredKeyring::of(&keyring(&[FIRST, SECOND]))
    }

    /// The first key wrapped; no KMS made this.
    fn wrapped() -> StoredKeyring {
        let mut stored = in_clear();
        let wrapped =
            serde_json::from_str(r#"{"kmsKeyId":"k1","ciphertext":"AQ==","check":"AQ=="}"#).unwrap();
        stored.keys.insert(stored.primary, StoredKey::Wrapped { created: march(), wrapped });
        stored
    }

    /// Nobody listens: an error shows that the KMS was asked.
    fn protection(decrypt_only: bool) -> Protection {
        let kms = Kms::new("/nonexistent/kms.sock".into(), std::time::Duration::from_secs(9));
        Protection::new(kms, decrypt_only)
    }

    async fn renewed(found: &FoundKeyring, protection: Option<&Protection>) -> Option<StoredKeyring> {
        let renewed = found.renewed(protection, KeyringRenewal::default(), march()).await.unwrap();
        renewed.map(|(stored, keyring)| {
            assert_eq!((stored.primary, stored.keys.len()), (*keyring.primary().id(), keyring.keys.len()));
            stored
        })
    }

    #[tokio::test]
    async fn a_keyring_that_is_as_it_should_be_is_not_written() {
        assert!(renewed(&found(in_clear()), None).await.is_none());
        assert!(renewed(&found(in_clear()), Some(&protection(true))).await.is_none());
        let well = FoundKeyring { wraps_with: Some("k1".to_owned()), ..found(wrapped()) };
        assert_eq!(well.stale(), 1, "the second key is in clear");
        assert!(well.renewed(Some(&protection(false)), KeyringRenewal::default(), march()).await.is_err());
    }

    #[tokio::test]
    async fn a_rotation_that_somebody_asked_for_adds_a_key() {
        let mut asked = found(in_clear());
        asked.secret.metadata.annotations = Some([(ROTATION_REQUESTED.to_owned(), String::new())].into());
        let stored = renewed(&asked, None).await.unwrap();
        assert!(stored.keys.len() == 3 && ![FIRST, SECOND].contains(&stored.primary.to_string().as_str()));
    }

    #[tokio::test]
    async fn a_kms_that_is_to_go_leaves_what_it_wrapped_and_another_key_in_clear_seals() {
        let stored = renewed(&found(wrapped()), Some(&protection(true))).await.unwrap();
        assert!(!stored.is_primary_wrapped() && stored.keys.len() == 3);
        assert!(stored.keys[&KeyId::parse(FIRST).unwrap()].is_wrapped());
    }
}
