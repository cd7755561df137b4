//! Random names, so that two things are the same only if one was copied from the other.

use std::fmt;

use aes_gcm::aead::Generate;
use serde::{Deserialize, Serialize};

/// 128 random bits; as text 32 lower-case hexadecimal digits. `KIND` keeps ids of different things apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RandomId<const KIND: char>([u8; 16]);

/// Names one request that spends a refresh token.
pub(crate) type IntentId = RandomId<'i'>;
/// Names one grant, from when it is accepted until another replaces it.
pub(crate) type GrantId = RandomId<'g'>;
pub(crate) type KeyId = RandomId<'k'>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomBytes;

pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomBytes> {
    Generate::try_generate().map_err(|_| NoRandomBytes)
}

impl<const KIND: char> RandomId<KIND> {
    pub(crate) fn generate() -> Result<Self, NoRandomBytes> {
        random_bytes().map(Self::from_bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        text.bytes().all(|byte| !byte.is_ascii_uppercase()).then_some(Self(bytes))
    }
}

impl<const KIND: char> fmt::Display for RandomId<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const KIND: char> fmt::Debug for RandomId<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const KIND: char> TryFrom<String> for RandomId<KIND> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text).ok_or("an id is 32 lower-case hexadecimal digits")
    }
}

impl<const KIND: char> From<RandomId<KIND>> for String {
    fn from(id: RandomId<KIND>) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_it_is_read_and_nothing_else_is_one() {
        let text = "000102030405060708090a0b0c0d0eff";
        assert_eq!(KeyId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        for wrong in
            ["", "00", &text.to_uppercase(), &format!("{text}00"), "zz0102030405060708090a0b0c0d0eff"]
        {
            assert_eq!(KeyId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_ids_are_never_the_same() {
        assert_ne!(IntentId::generate(), IntentId::generate());
    }
}
