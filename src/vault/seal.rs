//! The envelope around everything secret that is written to the store. Pure: no Kubernetes, no clock.
//!
//! ```text
//! "BWLN" ‖ version (1) ‖ key id (16) ‖ salt (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag
//! ```
//!
//! The key is HKDF-SHA256 (RFC 5869) of the keyring's key and the salt, so two envelopes never share one and the random
//! nonce cannot repeat under it. The additional data is the length-prefixed list of: format tag, cluster, namespace, name,
//! UID, purpose, revision (8 bytes, big endian), provider. Bytes that are moved to another place do not open there.

use aes_gcm::aead::{Aead, Nonce, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use bowline_api::envelope::{MAGIC, VERSION};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::id::{KeyId, NoRandomBytes, random_bytes};
use super::keyring::{SealingKey, SharedKeyring};

const SALT_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;
const FORMAT_TAG: &[u8] = b"bowline.dev/record/v1";
const KEY_PURPOSE: &[u8] = b"bowline.dev/record-key/v1";

/// Where sealed bytes belong: one connection of one cluster, at one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// UID of the cluster's `kube-system` namespace.
    pub cluster: String,
    pub namespace: String,
    pub name: String,
    /// UID of the connection: the same name created again is another place.
    pub uid: String,
    pub provider: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    Grant,
    Candidate,
    /// The predecessor of the grant, kept for a grace window.
    Previous,
    /// What the operator stores about an attempt for itself; not part of a record.
    Attempt,
    /// The digest of a whole Secret of ours, which proves that we wrote it.
    Signature,
    /// An answer on disk, on its way into a record.
    Answer,
}

impl SealPurpose {
    /// Its name in the additional data and, for parts of a record, in the Secret.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Candidate => "candidate",
            Self::Previous => "previous",
            Self::Attempt => "attempt",
            Self::Signature => "signature",
            Self::Answer => "answer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    NoRandomBytes(#[from] NoRandomBytes),
    /// The text is longer than AES-GCM takes (64 GiB), or a key could not be derived.
    #[error("the cipher refused the text")]
    Refused,
}

/// Why sealed bytes did not open. Says nothing about their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are too short or do not begin as an envelope does.
    #[error("the bytes are not a sealed envelope")]
    NotAnEnvelope,
    #[error("the envelope has a version that this Bowline does not know")]
    UnknownVersion,
    #[error("the keyring has no key {id}")]
    UnknownKey { id: KeyId },
    /// Changed, or moved here from another purpose, revision, connection, namespace, provider or cluster.
    #[error("the sealed bytes were changed or belong to another place")]
    Tampered,
}

/// Seals with the keyring's primary key and opens with the key that sealed.
#[derive(Clone, Debug)]
pub struct Sealer {
    keyring: SharedKeyring,
}

impl Sealer {
    /// A sealer that always uses the keyring in use at the time of the call.
    pub fn new(keyring: SharedKeyring) -> Self {
        Self { keyring }
    }

    /// The key that seals.
    pub(crate) fn primary(&self) -> KeyId {
        *self.keyring.current().primary().id()
    }

    /// Seals `plaintext` for one purpose at one revision. Two calls never return the same bytes.
    pub fn seal(
        &self,
        place: &Place,
        purpose: SealPurpose,
        revision: i64,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (salt, nonce) = (random_bytes()?, random_bytes()?);
        let context = additional_data(place, purpose, revision);
        seal_with(self.keyring.current().primary(), &salt, &nonce, &context, plaintext)
    }

    /// Opens what [`Sealer::seal`] sealed for the same place, purpose and revision. Never panics, whatever the bytes.
    pub fn open(
        &self,
        place: &Place,
        purpose: SealPurpose,
        revision: i64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let envelope = sealed.strip_prefix(&MAGIC).ok_or(OpenError::NotAnEnvelope)?;
        let (version, rest) = envelope.split_first().ok_or(OpenError::NotAnEnvelope)?;
        if *version != VERSION {
            return Err(OpenError::UnknownVersion);
        }
        let (id, rest) = rest.split_first_chunk().ok_or(OpenError::NotAnEnvelope)?;
        let (salt, rest) = rest.split_first_chunk().ok_or(OpenError::NotAnEnvelope)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(OpenError::NotAnEnvelope)?;
        let (id, keyring) = (KeyId::from_bytes(*id), self.keyring.current());
        let key = keyring.key(&id).ok_or(OpenError::UnknownKey { id })?;
        // Deriving 32 bytes cannot fail: HKDF-SHA256 can derive up to 8160.
        let cipher = cipher(key, salt).ok_or(OpenError::Tampered)?;
        let payload = Payload { msg: ciphertext, aad: &additional_data(place, purpose, revision) };
        let nonce = Nonce::<Aes256Gcm>::from(*nonce);
        cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| OpenError::Tampered)
    }
}

fn seal_with(
    key: &SealingKey,
    salt: &[u8; SALT_LENGTH],
    nonce: &[u8; NONCE_LENGTH],
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let payload = Payload { msg: plaintext, aad: context };
    let ciphertext = cipher(key, salt)
        .and_then(|cipher| cipher.encrypt(&Nonce::<Aes256Gcm>::from(*nonce), payload).ok())
        .ok_or(SealError::Refused)?;
    Ok([&MAGIC[..], &[VERSION], key.id().as_bytes(), salt, nonce, &ciphertext].concat())
}

fn cipher(key: &SealingKey, salt: &[u8; SALT_LENGTH]) -> Option<Aes256Gcm> {
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), key.expose()).expand(KEY_PURPOSE, derived.as_mut_slice()).ok()?;
    Aes256Gcm::new_from_slice(derived.as_slice()).ok()
}

fn additional_data(place: &Place, purpose: SealPurpose, revision: i64) -> Vec<u8> {
    let Place { cluster, namespace, name, uid, provider } = place;
    length_prefixed(&[
        FORMAT_TAG,
        cluster.as_bytes(),
        namespace.as_bytes(),
        name.as_bytes(),
        uid.as_bytes(),
        purpose.name().as_bytes(),
        &revision.to_be_bytes(),
        provider.as_bytes(),
    ])
}

/// Each part with its length before it (8 bytes, big endian), in order.
///
/// Two different lists never result in the same bytes: `["ab", "c"]` and `["a", "bc"]` differ.
pub(super) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let framed = |part: &&[u8]| [&(part.len() as u64).to_be_bytes(), *part].concat();
    parts.iter().flat_map(framed).collect()
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vault::keyring::fixtures::{FIRST, SECOND, keyring, shared};
    use crate::vault::record::fixtures::{place, sealer};

    const TEXT: &[u8] = b"not a real token";
    /// Made with another implementation (HKDF and AES-GCM of Python's `cryptography`) from key 00…1f, salt 22…, nonce 33….
    const GOLDEN: &str = "42574c4e01a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\
        2222222222222222222222222222222222222222222222222222222222222222333333333333333333333333\
        ccb970f143ff72d9c0101aa8f303fd493470f6a529136299afc2bae003b86cba";

    fn sealed() -> Vec<u8> {
        sealer().seal(&place(), SealPurpose::Grant, 7, TEXT).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place() {
        let opened = sealer().open(&place(), SealPurpose::Grant, 7, &sealed()).unwrap();
        assert_eq!(opened.as_slice(), TEXT);
    }

    #[test]
    fn the_format_is_the_one_that_was_published() {
        let keyring = keyring(&[FIRST]);
        let context = additional_data(&place(), SealPurpose::Grant, 7);
        let bytes = seal_with(keyring.primary(), &[0x22; 32], &[0x33; 12], &context, TEXT).unwrap();
        assert_eq!(hex::encode(&bytes), GOLDEN);
        assert_eq!(sealer().open(&place(), SealPurpose::Grant, 7, &bytes).unwrap().as_slice(), TEXT);
    }

    #[test]
    fn two_envelopes_of_one_text_share_neither_salt_nor_nonce_nor_ciphertext() {
        let (one, other) = (sealed(), sealed());
        for part in [21..53, 53..65, 65..one.len()] {
            assert_ne!(one[part.clone()], other[part]);
        }
    }

    #[test]
    fn bytes_moved_to_another_place_do_not_open() {
        type Move = fn(&mut Place);
        let moves: [(&str, Move); 5] = [
            ("cluster", |place| place.cluster.push('x')),
            ("namespace", |place| place.namespace.push('x')),
            ("name", |place| place.name.push('x')),
            ("uid", |place| place.uid.push('x')),
            ("provider", |place| place.provider.push('x')),
        ];
        for (what, change) in moves {
            let mut elsewhere = place();
            change(&mut elsewhere);
            let opened = sealer().open(&elsewhere, SealPurpose::Grant, 7, &sealed());
            assert_eq!(opened.unwrap_err(), OpenError::Tampered, "{what}");
        }
        for (purpose, revision) in
            [(SealPurpose::Candidate, 7), (SealPurpose::Previous, 7), (SealPurpose::Grant, 6)]
        {
            let opened = sealer().open(&place(), purpose, revision, &sealed());
            assert_eq!(opened.unwrap_err(), OpenError::Tampered, "{purpose:?} {revision}");
        }
    }

    #[test]
    fn a_letter_moved_from_name_to_namespace_does_not_open() {
        let shifted = Place { namespace: "team-ag".into(), name: "ithub-work".into(), ..place() };
        let opened = sealer().open(&shifted, SealPurpose::Grant, 7, &sealed());
        assert_eq!(opened.unwrap_err(), OpenError::Tampered);
    }

    #[test]
    fn an_older_key_opens_and_the_primary_seals() {
        let rotated = Sealer::new(shared(&[SECOND, FIRST]));
        assert!(rotated.open(&place(), SealPurpose::Grant, 7, &sealed()).is_ok());

        let newly_sealed = rotated.seal(&place(), SealPurpose::Grant, 8, TEXT).unwrap();
        let id = KeyId::parse(SECOND).unwrap();
        let opened = sealer().open(&place(), SealPurpose::Grant, 8, &newly_sealed);
        assert_eq!(opened.unwrap_err(), OpenError::UnknownKey { id });
    }

    #[test]
    fn a_newer_version_is_named_as_such() {
        let mut sealed = sealed();
        sealed[4] = 2;
        let opened = sealer().open(&place(), SealPurpose::Grant, 7, &sealed);
        assert_eq!(opened.unwrap_err(), OpenError::UnknownVersion);
    }

    #[test]
    fn moving_a_letter_between_parts_changes_the_bytes() {
        assert_ne!(length_prefixed(&[b"ab", b"c"]), length_prefixed(&[b"a", b"bc"]));
        assert_ne!(length_prefixed(&[b"a", b""]), length_prefixed(&[b"a"]));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in proptest::collection::vec(any::<u8>(), 0..2000), revision: i64) {
            let sealed = sealer().seal(&place(), SealPurpose::Candidate, revision, &text).unwrap();
            let opened = sealer().open(&place(), SealPurpose::Candidate, revision, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), text);
        }

        #[test]
        fn any_changed_byte_keeps_it_shut(at: prop::sample::Index, flip in 1..=255_u8) {
            let mut sealed = sealed();
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert!(sealer().open(&place(), SealPurpose::Grant, 7, &sealed).is_err());
        }

        #[test]
        fn any_part_of_an_envelope_keeps_it_shut(length: prop::sample::Index) {
            let sealed = sealed();
            let cut = &sealed[..length.index(sealed.len())];
            prop_assert!(sealer().open(&place(), SealPurpose::Grant, 7, cut).is_err());
        }

        #[test]
        fn garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..300), headed: bool) {
            let bytes = if headed { [b"BWLN\x01".as_slice(), &garbage].concat() } else { garbage };
            prop_assert!(sealer().open(&place(), SealPurpose::Grant, 7, &bytes).is_err());
        }

        #[test]
        fn any_two_places_are_kept_apart(parts in proptest::collection::vec("[a-c.]{0,3}", 10)) {
            let place_of = |parts: &[String]| Place {
                cluster: parts[0].clone(),
                namespace: parts[1].clone(),
                name: parts[2].clone(),
                uid: parts[3].clone(),
                provider: parts[4].clone(),
            };
            let (one, other) = (place_of(&parts[..5]), place_of(&parts[5..]));
            let sealed = sealer().seal(&one, SealPurpose::Grant, 1, TEXT).unwrap();
            prop_assert_eq!(sealer().open(&other, SealPurpose::Grant, 1, &sealed).is_ok(), one == other);
        }
    }
}
