//! The session keys, with which cookies are encrypted. Every replica with the same keys can decrypt them.
//!
//! ```text
//! base64url( salt (16) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag )
//! ```
//!
//! The key of a cookie is derived from a session key, the salt and the purpose (HKDF-SHA256, RFC 5869), so a cookie of one
//! kind is not accepted as another. One key seals; all open, so that keys can be replaced while people are signed in.

use std::sync::{Arc, PoisonError, RwLock};

use aes_gcm::aead::{Aead, Generate, Nonce};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Of a marked text: as many random ones as the salt has, and a tag.
const TAG_BYTES: usize = 16;

/// No random bytes, or not serializable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal")]
pub struct CannotSeal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session key has less than {KEY_BYTES} bytes: make one with `openssl rand -base64 32`")]
pub struct KeyTooShort;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Session,
    /// State before sign-in.
    SignIn,
    /// The `state` of an attempt to connect.
    State,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Session => b"bowline.dev/portal-session/v1",
            Self::SignIn => b"bowline.dev/portal-sign-in/v1",
            Self::State => b"bowline.dev/portal-state/v1",
        }
    }
}

/// All session keys; the first one seals.
pub struct SessionKeys(RwLock<Arc<[SessionKey]>>);

impl SessionKeys {
    /// One key of at least 32 bytes, without surrounding white space.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        Ok(Self::of([SessionKey::new(bytes)?].into()))
    }

    pub(crate) fn of(keys: Arc<[SessionKey]>) -> Self {
        Self(RwLock::new(keys))
    }

    pub(crate) fn replace(&self, keys: Arc<[SessionKey]>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn all(&self) -> Arc<[SessionKey]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Result<String, CannotSeal> {
        self.all().first().ok_or(CannotSeal)?.seal(purpose, value)
    }

    /// Decrypts a value of this purpose; `None` for anything else.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        self.all().iter().find_map(|key| key.open(purpose, &bytes))
    }

    /// 128 random bits and a tag that only these keys make, as 43 letters that need no escaping in an address.
    pub(crate) fn marked(&self) -> Result<SecretString, CannotSeal> {
        let random = <[u8; SALT_BYTES]>::try_generate().map_err(|_| CannotSeal)?;
        let tag = self.all().first().and_then(|key| key.tag(&random)).ok_or(CannotSeal)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&random[..], &tag[..]].concat()).into())
    }

    /// Whether one of these keys made this text, which is known without asking anybody.
    pub(crate) fn has_marked(&self, text: &str) -> bool {
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(text) else { return false };
        let Some((random, tag)) = bytes.split_at_checked(SALT_BYTES) else { return false };
        let is_of = |key: &SessionKey| key.tag(random).is_some_and(|ours| are_same(&ours, tag));
        self.all().iter().any(is_of)
    }
}

/// In constant time.
fn are_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

pub(crate) struct SessionKey(Zeroizing<Vec<u8>>);

impl SessionKey {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < KEY_BYTES { Err(KeyTooShort) } else { Ok(Self(Zeroizing::new(bytes.to_vec()))) }
    }

    fn derive(&self, purpose: Purpose, salt: &[u8], derived: &mut [u8]) -> Option<()> {
        Hkdf::<Sha256>::new(Some(salt), &self.0).expand(purpose.info(), derived).ok()
    }

    fn cipher(&self, purpose: Purpose, salt: &[u8]) -> Option<Aes256Gcm> {
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        self.derive(purpose, salt, derived.as_mut_slice())?;
        Aes256Gcm::new_from_slice(derived.as_slice()).ok()
    }

    fn tag(&self, random: &[u8]) -> Option<[u8; TAG_BYTES]> {
        let mut tag = [0; TAG_BYTES];
        self.derive(Purpose::State, random, &mut tag)?;
        Some(tag)
    }

    fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Result<String, CannotSeal> {
        let clear = Zeroizing::new(serde_json::to_vec(value).map_err(|_| CannotSeal)?);
        let salt = <[u8; SALT_BYTES]>::try_generate().map_err(|_| CannotSeal)?;
        let nonce = <[u8; NONCE_BYTES]>::try_generate().map_err(|_| CannotSeal)?;
        let cipher = self.cipher(purpose, &salt).ok_or(CannotSeal)?;
        let sealed =
            cipher.encrypt(&Nonce::<Aes256Gcm>::from(nonce), clear.as_slice()).map_err(|_| CannotSeal)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&salt[..], &nonce[..], &sealed[..]].concat()))
    }

    fn open<T: DeserializeOwned>(&self, purpose: Purpose, bytes: &[u8]) -> Option<T> {
        let (salt, rest) = bytes.split_at_checked(SALT_BYTES)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let cipher = self.cipher(purpose, salt)?;
        let clear = Zeroizing::new(cipher.decrypt(&Nonce::<Aes256Gcm>::from(nonce), sealed).ok()?);
        serde_json::from_slice(&clear).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn key(byte: u8) -> SessionKeys {
        SessionKeys::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_purpose_alone() {
        let sealed = key(b'a').seal(Purpose::Session, &"alice").unwrap();
        assert_eq!(key(b'a').open::<String>(Purpose::Session, &sealed).unwrap(), "alice");
        assert_eq!(key(b'b').open::<String>(Purpose::Session, &sealed), None);
        assert_eq!(key(b'a').open::<String>(Purpose::SignIn, &sealed), None);
    }

    #[test]
    fn nothing_that_was_changed_or_cut_opens() {
        let sealed = key(b'a').seal(Purpose::Session, &"alice").unwrap();
        for at in 0..sealed.len() - 1 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(key(b'a').open::<String>(Purpose::Session, &changed), None, "at {at}");
            assert_eq!(key(b'a').open::<String>(Purpose::Session, &sealed[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(matches!(SessionKeys::new(b"  short \n"), Err(KeyTooShort)));
    }

    #[test]
    fn what_an_older_key_sealed_still_opens_and_the_first_one_seals() {
        let one = |byte| SessionKey::new(&[byte; 32]).unwrap();
        let keys = SessionKeys::of([one(b'b'), one(b'a')].into());
        let old = key(b'a').seal(Purpose::Session, &"alice").unwrap();
        assert_eq!(keys.open::<String>(Purpose::Session, &old).unwrap(), "alice");
        let new = keys.seal(Purpose::Session, &"alice").unwrap();
        assert_eq!(key(b'b').open::<String>(Purpose::Session, &new).unwrap(), "alice");
        keys.replace([one(b'b')].into());
        assert_eq!(keys.open::<String>(Purpose::Session, &old), None, "a key that is removed opens nothing");
    }

    #[test]
    fn only_these_keys_make_a_marked_text() {
        let (ours, theirs) = (key(b'a'), key(b'b'));
        let state = ours.marked().unwrap();
        let text = state.expose_secret();
        assert_eq!(text.len(), 43);
        assert!(ours.has_marked(text) && !theirs.has_marked(text));
        for made_up in ["", "x", &text[..42], &"A".repeat(43), &format!("B{}", &text[1..])] {
            assert!(!ours.has_marked(made_up) || made_up == text, "{made_up}");
        }
    }
}
