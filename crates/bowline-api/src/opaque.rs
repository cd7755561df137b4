//! What proves that a callback belongs to an attempt: 256 random bits, stored as a digest.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// 256 random bits as 43 letters that need no escaping in an address.
pub fn random_text() -> Result<SecretString, NoRandomness> {
    Ok(SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>()?)))
}

pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// SHA-256 of something, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    pub fn of(text: &str) -> Self {
        Self(hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// The digest of a person at a sign-in provider; it stays the same when the name changes (`OpenID` Connect Core §5.7).
    pub fn of_person(issuer: &str, subject: &str) -> Self {
        // The length prevents two different pairs from giving the same text.
        Self::of(&format!("person:{}:{issuer}{subject}", issuer.len()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one that somebody else wrote has the form of a digest.
    pub fn is_well_formed(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The first 40 digits: short enough for a label, and nobody finds a second text with the same ones.
    pub fn short(&self) -> &str {
        self.0.get(..40).unwrap_or(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", self.0.get(..8).unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn two_states_differ_and_need_no_escaping() {
        let (one, other) = (random_text().unwrap(), random_text().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), 43);
        assert!(one.expose_secret().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }
}
