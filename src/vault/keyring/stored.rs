//! A keyring as it is stored: each key in clear, or wrapped by a KMS.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::keyring::{KEY_LENGTH, KeyEntry, PRIMARY, WrappedKey};
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Keyring, KeyringError, SealingKey, boxed};
use crate::vault::id::KeyId;
use crate::vault::kms::{Encrypted, Kms, KmsCall, KmsError, WrongAnswer};

/// One key, in one of two forms.
#[derive(Clone, Debug)]
pub(super) enum StoredKey {
    Clear(Arc<SealingKey>),
    Wrapped { created: Timestamp, wrapped: WrappedKey },
}

/// The entries of a keyring, read and not yet opened. Its `Debug` shows no key.
#[derive(Clone, Debug)]
pub(super) struct StoredKeyring {
    pub(super) primary: KeyId,
    pub(super) keys: BTreeMap<KeyId, StoredKey>,
}

impl StoredKey {
    pub(super) const fn is_wrapped(&self) -> bool {
        matches!(self, Self::Wrapped { .. })
    }

    /// Has the KMS wrap it with its key of this id.
    pub(super) async fn wrap(key: &SealingKey, kms: &Kms, key_id: &str) -> Result<Self, KmsError> {
        let Encrypted { key_id, ciphertext, annotations } = kms.encrypt(key.expose(), key_id).await?;
        let annotations = annotations.into_iter().map(|(name, value)| (name, ByteString(value)));
        let wrapped = WrappedKey {
            kms_key_id: key_id,
            ciphertext: ByteString(ciphertext),
            annotations: annotations.collect(),
            check: ByteString(key.check().to_vec()),
        };
        Ok(Self::Wrapped { created: key.created, wrapped })
    }

    fn created(&self) -> Timestamp {
        match self {
            Self::Clear(key) => key.created,
            Self::Wrapped { created, .. } => *created,
        }
    }
}

impl StoredKeyring {
    /// With every key in clear.
    pub(super) fn of(keyring: &Keyring) -> Self {
        let keys = keyring.keys.iter().map(|(id, key)| (*id, StoredKey::Clear(Arc::clone(key))));
        Self { primary: *keyring.primary().id(), keys: keys.collect() }
    }

    /// With every key wrapped.
    pub(super) async fn wrap(keyring: &Keyring, kms: &Kms) -> Result<Self, KmsError> {
        let (key_id, mut keys) = (kms.key_id().await?, BTreeMap::new());
        for (id, key) in &keyring.keys {
            keys.insert(*id, StoredKey::wrap(key, kms, &key_id).await?);
        }
        Ok(Self { primary: *keyring.primary().id(), keys })
    }

    /// Reads the entries. Refuses the whole keyring for any fault in them.
    pub(super) fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, KeyringError> {
        let (mut primary, mut read) = (None, BTreeMap::<KeyId, Entries<'_>>::new());
        for (name, value) in entries {
            if name == PRIMARY {
                primary = std::str::from_utf8(value).ok().and_then(|id| KeyId::parse(id.trim()));
                primary.ok_or(KeyringError::PrimaryNotAnId)?;
                continue;
            }
            let unknown = || KeyringError::UnknownEntry { name: name.to_owned() };
            let (id, entry) = KeyEntry::parse(name).ok_or_else(unknown)?;
            let of_key = read.entry(KeyId::parse(id).ok_or_else(unknown)?).or_default();
            match entry {
                KeyEntry::Clear => of_key.clear = Some(value),
                KeyEntry::Wrapped => of_key.wrapped = Some(value),
                KeyEntry::Created => of_key.created = Some(value),
            }
        }
        let keys = read.into_iter().map(|(id, entries)| Ok((id, entries.key(id)?)));
        let keys = keys.collect::<Result<BTreeMap<_, _>, KeyringError>>()?;
        if keys.is_empty() {
            return Err(KeyringError::NoKey);
        }
        let primary = primary.ok_or(KeyringError::NoPrimary)?;
        if !keys.contains_key(&primary) {
            return Err(KeyringError::UnknownPrimary { id: primary });
        }
        Ok(Self { primary, keys })
    }

    pub(super) fn to_entries(&self) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
        let mut entries = BTreeMap::from([(PRIMARY.to_owned(), text(&self.primary))]);
        for (id, key) in &self.keys {
            let id = id.to_string();
            entries.insert(KeyEntry::Created.of(&id), text(&key.created()));
            match key {
                StoredKey::Clear(key) => {
                    entries.insert(KeyEntry::Clear.of(&id), Zeroizing::new(key.expose().to_vec()))
                }
                StoredKey::Wrapped { wrapped, .. } => {
                    // Text and bytes only, so this cannot fail.
                    let json = serde_json::to_vec(wrapped).unwrap_or_default();
                    entries.insert(KeyEntry::Wrapped.of(&id), Zeroizing::new(json))
                }
            };
        }
        entries
    }

    pub(super) fn is_primary_wrapped(&self) -> bool {
        self.keys.get(&self.primary).is_some_and(StoredKey::is_wrapped)
    }

    /// The keyring, if no KMS is needed for it.
    pub(super) fn in_clear(self) -> Result<Keyring, KeyringError> {
        let keys = self.keys.into_iter().map(|(id, key)| match key {
            StoredKey::Clear(key) => Ok((id, key)),
            StoredKey::Wrapped { .. } => Err(KeyringError::WrappedWithoutKms { id }),
        });
        Keyring::of(self.primary, keys.collect::<Result<_, _>>()?)
    }

    /// The keyring; a KMS is asked for the keys that it wrapped, unless they are `known` already.
    pub(super) async fn open(
        &self,
        kms: Option<&Kms>,
        known: Option<&Keyring>,
    ) -> Result<Keyring, KeyringError> {
        let mut keys = BTreeMap::new();
        for (id, stored) in &self.keys {
            let key = match stored {
                StoredKey::Clear(key) => Arc::clone(key),
                StoredKey::Wrapped { created, wrapped } => {
                    let known = known.and_then(|known| known.keys.get(id));
                    let same = known.filter(|key| key.check() == wrapped.check.0.as_slice());
                    match (same, kms) {
                        (Some(key), Some(_)) => Arc::clone(key),
                        (None, Some(kms)) => Arc::new(unwrap(*id, *created, wrapped, kms).await?),
                        (_, None) => return Err(KeyringError::WrappedWithoutKms { id: *id }),
                    }
                }
            };
            keys.insert(*id, key);
        }
        Keyring::of(self.primary, keys)
    }
}

/// Asks the KMS for a key. Anything but the key that was wrapped is refused: what another key sealed could never be opened.
pub(super) async fn unwrap(
    id: KeyId,
    created: Timestamp,
    wrapped: &WrappedKey,
    kms: &Kms,
) -> Result<SealingKey, KeyringError> {
    let annotations = wrapped.annotations.iter().map(|(name, value)| (name.clone(), value.0.clone()));
    let encrypted = Encrypted {
        key_id: wrapped.kms_key_id.clone(),
        ciphertext: wrapped.ciphertext.0.clone(),
        annotations: annotations.collect(),
    };
    let not_unwrapped = |cause| KeyringError::NotUnwrapped { id, cause };
    let plaintext = kms.decrypt(&encrypted).await.map_err(not_unwrapped)?;
    let key = <&[u8; KEY_LENGTH]>::try_from(plaintext.as_slice()).ok();
    let key = key.map(|material| SealingKey { id, material: boxed(material), created });
    key.filter(|key| key.check() == wrapped.check.0.as_slice())
        .ok_or_else(|| not_unwrapped(kms.wrong(KmsCall::Decrypt, WrongAnswer::OtherSecret)))
}

/// What is stored of one key.
#[derive(Default)]
struct Entries<'a> {
    clear: Option<&'a [u8]>,
    wrapped: Option<&'a [u8]>,
    created: Option<&'a [u8]>,
}

impl Entries<'_> {
    fn key(self, id: KeyId) -> Result<StoredKey, KeyringError> {
        let created = self.created.map(|value| {
            let text = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            text.ok_or(KeyringError::CreatedUnreadable { id })
        });
        let created = || created.unwrap_or(Err(KeyringError::NoCreated { id }));
        match (self.clear, self.wrapped) {
            (Some(_), Some(_)) => Err(KeyringError::TwoForms { id }),
            (None, None) => Err(KeyringError::CreatedWithoutKey { id }),
            (Some(value), None) => {
                let wrong_length = |_| KeyringError::WrongLength { id, length: value.len() };
                let material = boxed(<&[u8; KEY_LENGTH]>::try_from(value).map_err(wrong_length)?);
                Ok(StoredKey::Clear(Arc::new(SealingKey { id, material, created: created()? })))
            }
            (None, Some(value)) => {
                let wrapped = serde_json::from_slice(value);
                let wrapped = wrapped.map_err(|_| KeyringError::WrappedUnreadable { id })?;
                Ok(StoredKey::Wrapped { created: created()?, wrapped })
            }
        }
    }
}

fn text(value: &impl ToString) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(value.to_string().into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fixtures::{Entries, FIRST, SECOND, entries, keyring};
    use super::*;

    fn parse(entries: &Entries) -> Result<StoredKeyring, KeyringError> {
        StoredKeyring::parse(entries.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }

    fn first() -> KeyId {
        KeyId::parse(FIRST).unwrap()
    }

    /// A keyring whose first key is wrapped; no KMS made this.
    fn wrapped() -> Entries {
        let mut entries = entries(&[FIRST, SECOND]);
        let check = ByteString(keyring(&[FIRST]).primary().check().to_vec());
        let wrapped = WrappedKey {
            kms_key_id: "k1".into(),
            ciphertext: ByteString(vec![1]),
            annotations: BTreeMap::new(),
            check,
        };
        entries[1] = (format!("{FIRST}.wrapped"), serde_json::to_vec(&wrapped).unwrap());
        entries
    }

    #[test]
    fn a_wrapped_key_is_read_as_it_is_written() {
        let read = parse(&wrapped()).unwrap();
        assert!(read.is_primary_wrapped() && !read.keys[&KeyId::parse(SECOND).unwrap()].is_wrapped());
        let written: BTreeMap<_, _> =
            wrapped().into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
        assert_eq!(read.to_entries(), written);
    }

    #[test]
    fn a_key_in_clear_beside_its_wrapped_form_and_one_that_cannot_be_read_are_refused() {
        let mut both = wrapped();
        both.push((format!("{FIRST}.key"), vec![0; 32]));
        assert_eq!(parse(&both).unwrap_err(), KeyringError::TwoForms { id: first() });
        let mut unreadable = wrapped();
        unreadable[1].1.pop();
        assert_eq!(parse(&unreadable).unwrap_err(), KeyringError::WrappedUnreadable { id: first() });
    }

    #[tokio::test]
    async fn without_a_kms_a_wrapped_key_is_refused_even_if_it_is_known() {
        let refused = KeyringError::WrappedWithoutKms { id: first() };
        let stored = parse(&wrapped()).unwrap();
        let known = keyring(&[FIRST]);
        assert_eq!(stored.open(None, Some(&known)).await.unwrap_err(), refused);
        assert_eq!(stored.in_clear().unwrap_err(), refused);
    }

    #[tokio::test]
    async fn a_kms_is_asked_only_for_keys_that_are_not_known() {
        let nobody = Kms::new("/nonexistent/kms.sock".into(), std::time::Duration::from_secs(9));
        let stored = parse(&wrapped()).unwrap();
        let opened = stored.open(Some(&nobody), Some(&keyring(&[FIRST]))).await.unwrap();
        assert_eq!(opened.primary().id(), &first());
        let other = Keyring::generate(super::super::fixtures::march()).unwrap();
        let error = stored.open(Some(&nobody), Some(&other)).await.unwrap_err().to_string();
        assert!(
            error.contains(FIRST) && error.contains("unix:///nonexistent/kms.sock cannot be reached"),
            "{error}"
        );
    }
}
