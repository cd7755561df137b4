//! The keyring in use, shared by all code that seals and opens, and replaced without a restart.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Keyring, KeyringError};
use crate::vault::id::KeyId;

/// What is wrong with the keyring's source. The keyring in use stays in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyringFault {
    #[error("the new keyring was refused and the old one stays in force: {0}")]
    Refused(#[source] KeyringError),
    #[error(
        "the keyring is gone; put it back from a backup before the operator restarts, or all grants are lost"
    )]
    Gone,
    #[error("the keyring cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    #[error(
        "keys were taken out of the keyring: {ids:?}; put them back unless no record needs them any more"
    )]
    KeysTakenOut { ids: Vec<KeyId> },
}

impl KeyringFault {
    /// Whether a KMS has to be asked again: nobody will write the keyring because of it.
    pub(super) const fn is_of_kms(&self) -> bool {
        matches!(self, Self::Refused(KeyringError::NotUnwrapped { .. }))
    }
}

/// Tells when the source of the keyring has a new version.
pub(crate) struct KeyringVersions(watch::Receiver<InForce>);

impl KeyringVersions {
    /// Returns once there is a version that came after the one that was told last.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody has the keyring any more.
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone, Debug)]
struct InForce {
    keyring: Arc<Keyring>,
    fault: Option<KeyringFault>,
}

/// A handle on the keyring in use; clones share it.
#[derive(Clone, Debug)]
pub struct SharedKeyring {
    in_force: Arc<watch::Sender<InForce>>,
}

impl SharedKeyring {
    pub fn new(keyring: Keyring) -> Self {
        let in_force = InForce { keyring: Arc::new(keyring), fault: None };
        Self { in_force: Arc::new(watch::Sender::new(in_force)) }
    }

    pub(crate) fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.in_force.borrow().keyring)
    }

    /// Its versions from now on.
    pub(crate) fn versions(&self) -> KeyringVersions {
        KeyringVersions(self.in_force.subscribe())
    }

    /// What is wrong with the source, if anything: for readiness, metrics and the log.
    pub(crate) fn fault(&self) -> Option<KeyringFault> {
        self.in_force.borrow().fault.clone()
    }

    /// Takes a new version of the source: uses it, or keeps the old one and remembers why.
    ///
    /// Keys that the new version lacks go on opening in this process: a key left out by mistake must not lose the
    /// grants it sealed, and each refresh seals again with the primary key. Returns what is wrong with the source now.
    pub(crate) fn offer(&self, offered: Result<Keyring, KeyringFault>) -> Option<KeyringFault> {
        self.in_force.send_modify(|in_force| match offered {
            Ok(mut keyring) => {
                let mut ids = Vec::new();
                for (id, key) in &in_force.keyring.keys {
                    keyring.keys.entry(*id).or_insert_with(|| {
                        ids.push(*id);
                        Arc::clone(key)
                    });
                }
                in_force.keyring = Arc::new(keyring);
                in_force.fault = (!ids.is_empty()).then_some(KeyringFault::KeysTakenOut { ids });
            }
            Err(fault) => in_force.fault = Some(fault),
        });
        self.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{FIRST, SECOND, keyring, shared};
    use super::*;

    #[test]
    fn a_new_version_is_in_force_at_once_for_every_clone() {
        let keyring_handle = shared(&[FIRST]);
        let clone = keyring_handle.clone();
        keyring_handle.offer(Ok(keyring(&[SECOND, FIRST])));
        assert_eq!(clone.current().primary().id().to_string(), SECOND);
        assert_eq!(clone.fault(), None);
    }

    #[test]
    fn a_bad_version_keeps_the_old_keyring_and_says_so_until_it_is_fixed() {
        let shared = shared(&[FIRST]);
        for fault in [KeyringFault::Refused(KeyringError::NoKey), KeyringFault::Gone] {
            assert_eq!(shared.offer(Err(fault.clone())).as_ref(), Some(&fault));
            assert_eq!(shared.current().primary().id().to_string(), FIRST);
            assert_eq!(shared.fault(), Some(fault));
        }
        shared.offer(Ok(keyring(&[FIRST])));
        assert_eq!(shared.fault(), None);
    }

    #[test]
    fn a_key_taken_out_still_opens_here_and_is_reported() {
        let shared = shared(&[FIRST]);
        let taken_out = *shared.current().primary().id();
        shared.offer(Ok(keyring(&[SECOND])));
        assert!(shared.current().key(&taken_out).is_some());
        assert_eq!(shared.fault(), Some(KeyringFault::KeysTakenOut { ids: vec![taken_out] }));
    }
}
