//! The proof that a Secret was written by whoever has the keyring: the sealed digest of everything in it. Pure.
//!
//! `record.json` is in clear, and decisions rest on it. Whoever may write Secrets but has no key can destroy such a Secret,
//! not change what it says.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use sha2::{Digest, Sha256};

use super::record::{Kept, RecordError};
use super::seal::{OpenError, SealError, SealPurpose, Sealer, length_prefixed};

/// Its key in the Secret.
const ENTRY: &str = "signature";

/// What was read with a Secret: verified at the first use, and then for as long as it is cached.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// We wrote it ourselves.
    Own,
    Claimed(Arc<Evidence>),
}

#[derive(Debug)]
pub(super) struct Evidence {
    signature: Option<Vec<u8>>,
    digest: [u8; 32],
    is_verified: OnceLock<()>,
}

/// Adds the signature. A Secret whose kind is bound to its object must have its uid already.
pub(super) fn sign<T: Kept>(sealer: &Sealer, kept: &T, secret: &mut Secret) -> Result<(), SealError> {
    let digest = digest::<T>(secret);
    let signature = sealer.seal(kept.place(), SealPurpose::Signature, kept.revision(), &digest)?;
    secret.data.get_or_insert_default().insert(ENTRY.to_owned(), ByteString(signature));
    Ok(())
}

impl Proof {
    pub(super) fn of<T: Kept>(secret: &Secret) -> Self {
        let signature = secret.data.as_ref().and_then(|data| data.get(ENTRY)).map(|entry| entry.0.clone());
        Self::Claimed(Arc::new(Evidence {
            signature,
            digest: digest::<T>(secret),
            is_verified: OnceLock::new(),
        }))
    }

    pub(super) fn verify<T: Kept>(&self, sealer: &Sealer, kept: &T) -> Result<(), RecordError> {
        let Self::Claimed(claim) = self else { return Ok(()) };
        if claim.is_verified.get().is_some() {
            return Ok(());
        }
        let signature = claim.signature.as_ref().ok_or(RecordError::Unsigned)?;
        let signed = sealer.open(kept.place(), SealPurpose::Signature, kept.revision(), signature);
        match signed {
            Ok(digest) if digest.as_slice() == claim.digest => {
                claim.is_verified.get_or_init(|| ());
                Ok(())
            }
            Err(OpenError::UnknownKey { .. } | OpenError::UnknownVersion) => Err(RecordError::NoKey),
            Ok(_) | Err(OpenError::Tampered | OpenError::NotAnEnvelope) => Err(RecordError::Tampered),
        }
    }
}

/// Of type, name, object if it is bound to that, and every entry but the signature.
fn digest<T: Kept>(secret: &Secret) -> [u8; 32] {
    let nothing = BTreeMap::new();
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let object = secret.metadata.uid.as_deref().filter(|_| T::BOUND_TO_OBJECT).unwrap_or_default();
    let mut parts = vec![T::TYPE.as_bytes(), name.as_bytes(), object.as_bytes()];
    let entries = secret.data.as_ref().unwrap_or(&nothing).iter().filter(|(key, _)| *key != ENTRY);
    for (key, value) in entries {
        parts.extend([key.as_bytes(), value.0.as_slice()]);
    }
    Sha256::digest(length_prefixed(&parts)).into()
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::keyring::fixtures::{SECOND, march, shared};
    use crate::vault::record::fixtures::{about_to_refresh, sealer};
    use crate::vault::record::{EndTerms, Ending, Record};

    fn signed<T: Kept>(kept: &T, object: &str) -> Secret {
        let mut secret = kept.to_secret().unwrap();
        secret.metadata.uid = Some(object.to_owned());
        sign(&sealer(), kept, &mut secret).unwrap();
        secret
    }

    fn verified<T: Kept>(secret: Secret) -> Result<(), RecordError> {
        let proof = Proof::of::<T>(&secret);
        proof.verify(&sealer(), &T::from_secret(secret)?)
    }

    fn ending() -> Ending {
        Ending::of(about_to_refresh(), "s1", march(), EndTerms::default())
    }

    type Change = fn(&mut BTreeMap<String, ByteString>);
    fn rewrite(data: &mut BTreeMap<String, ByteString>, from: &str, to: &str) {
        let clear = data.get_mut("record.json").unwrap();
        let text = String::from_utf8(clear.0.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *clear = ByteString(text.replace(from, to).into_bytes());
    }

    #[test]
    fn class_02_what_a_record_says_in_clear_is_believed_only_if_we_wrote_it() {
        assert_eq!(verified::<Record>(signed(&about_to_refresh(), "s1")), Ok(()));
        let changes: [(&str, Change); 4] = [
            ("the intent's holder", |data| rewrite(data, "pod-a", "pod-b")),
            ("which grant it is", |data| rewrite(data, r#""ordinal":1"#, r#""ordinal":9"#)),
            ("an entry more", |data| drop(data.insert("x".to_owned(), ByteString(vec![])))),
            ("another signature", |data| data.get_mut(ENTRY).unwrap().0[70] ^= 1),
        ];
        for (what, change) in changes {
            let mut secret = signed(&about_to_refresh(), "s1");
            change(secret.data.as_mut().unwrap());
            assert_eq!(verified::<Record>(secret), Err(RecordError::Tampered), "{what}");
        }
        let unsigned = about_to_refresh().to_secret().unwrap();
        assert_eq!(verified::<Record>(unsigned), Err(RecordError::Unsigned));
    }

    #[test]
    fn class_02_an_ending_is_believed_only_in_the_secret_that_it_was_written_into() {
        assert_eq!(verified::<Ending>(signed(&ending(), "s2")), Ok(()));
        let mut copied = signed(&ending(), "s2");
        copied.metadata.uid = Some("s3".to_owned());
        assert_eq!(verified::<Ending>(copied), Err(RecordError::Tampered));

        let record = signed(&about_to_refresh(), "s1");
        let mut fabricated = ending().to_secret().unwrap();
        let signature = record.data.unwrap().remove(ENTRY).unwrap();
        fabricated.metadata.uid = Some("s1".to_owned());
        fabricated.data.as_mut().unwrap().insert(ENTRY.to_owned(), signature);
        assert_eq!(verified::<Ending>(fabricated), Err(RecordError::Tampered));
    }

    #[test]
    fn a_missing_key_is_told_apart_from_tampering() {
        let secret = signed(&about_to_refresh(), "s1");
        let proof = Proof::of::<Record>(&secret);
        let record = Record::from_secret(secret).unwrap();
        let without = Sealer::new(shared(&[SECOND]));
        assert_eq!(proof.verify(&without, &record), Err(RecordError::NoKey));
        assert_eq!(proof.verify(&sealer(), &record), Ok(()));
    }
}
