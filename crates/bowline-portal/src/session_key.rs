//! The session key: read from a file or from a Secret that the first replica creates, and used to encrypt cookies. Every
//! replica with the same key can decrypt them.
//!
//! ```text
//! base64url( salt (16) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag )
//! ```
//!
//! The key of a cookie is derived from the session key, the salt and the purpose (HKDF-SHA256, RFC 5869), so a cookie of one
//! kind is not accepted as another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aes_gcm::aead::{Aead, Generate, Nonce};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bowline_api::opaque::{NoRandomness, random_text};
use hkdf::Hkdf;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::settings::PortalSettings;

pub const SECRET: &str = "bowline-portal-session";
const ENTRY: &str = "key";

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the session key from {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the session key has less than {KEY_BYTES} bytes: make one with `openssl rand -base64 32`")]
    TooShort,
    #[error("cannot read or make the Secret {SECRET}, which holds the session key")]
    Secret(#[source] kube::Error),
    #[error("the Secret {SECRET} has no entry {ENTRY}")]
    NoEntry,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// No random bytes, or not serializable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal")]
pub struct CannotSeal;

/// Reads the key, or creates it.
pub(crate) async fn obtain(client: &Client, settings: &PortalSettings) -> Result<SessionKey, KeyError> {
    if let Some(path) = &settings.server.session_key_file {
        let bytes = std::fs::read(path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        return SessionKey::new(&bytes);
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.server.namespace);
    if let Some(secret) = secrets.get_opt(SECRET).await.map_err(KeyError::Secret)? {
        return from_secret(&secret);
    }
    match secrets.create(&PostParams::default(), &new_secret()?).await {
        Ok(secret) => from_secret(&secret),
        // Another replica was faster: its key counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            from_secret(&secrets.get(SECRET).await.map_err(KeyError::Secret)?)
        }
        Err(error) => Err(KeyError::Secret(error)),
    }
}

fn new_secret() -> Result<Secret, NoRandomness> {
    let key = random_text()?.expose_secret().as_bytes().to_vec();
    Ok(Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(key))])),
        ..Secret::default()
    })
}

fn from_secret(secret: &Secret) -> Result<SessionKey, KeyError> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(ENTRY)).ok_or(KeyError::NoEntry)?;
    SessionKey::new(&bytes.0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Session,
    /// State before sign-in.
    SignIn,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Session => b"bowline.dev/portal-session/v1",
            Self::SignIn => b"bowline.dev/portal-sign-in/v1",
        }
    }
}

pub struct SessionKey(Zeroizing<Vec<u8>>);

impl SessionKey {
    /// At least 32 bytes, without surrounding white space.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < KEY_BYTES {
            Err(KeyError::TooShort)
        } else {
            Ok(Self(Zeroizing::new(bytes.to_vec())))
        }
    }

    fn cipher(&self, purpose: Purpose, salt: &[u8]) -> Option<Aes256Gcm> {
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(Some(salt), &self.0).expand(purpose.info(), derived.as_mut_slice()).ok()?;
        Aes256Gcm::new_from_slice(derived.as_slice()).ok()
    }

    pub fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Result<String, CannotSeal> {
        let clear = Zeroizing::new(serde_json::to_vec(value).map_err(|_| CannotSeal)?);
        let salt = <[u8; SALT_BYTES]>::try_generate().map_err(|_| CannotSeal)?;
        let nonce = <[u8; NONCE_BYTES]>::try_generate().map_err(|_| CannotSeal)?;
        let cipher = self.cipher(purpose, &salt).ok_or(CannotSeal)?;
        let sealed =
            cipher.encrypt(&Nonce::<Aes256Gcm>::from(nonce), clear.as_slice()).map_err(|_| CannotSeal)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&salt[..], &nonce[..], &sealed[..]].concat()))
    }

    /// Decrypts a value of this purpose; `None` for anything else.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
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
    use super::*;

    fn key(byte: u8) -> SessionKey {
        SessionKey::new(&[byte; 32]).unwrap()
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
        assert!(matches!(SessionKey::new(b"  short \n"), Err(KeyError::TooShort)));
    }
}
