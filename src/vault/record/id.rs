//! Random names, so that two things are the same only if one was read from the other.

use std::fmt;
use std::marker::PhantomData;

use aes_gcm::aead::Generate;
use serde::{Deserialize, Serialize};

use crate::vault::framing::unhex;

/// 128 random bits that name one thing of its kind; as text 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RandomId<Kind: Clone> {
    bits: [u8; 16],
    #[serde(skip)]
    kind: PhantomData<Kind>,
}

/// Names one attempt to spend a refresh token.
pub type AttemptId = RandomId<OfAttempt>;
/// Names one grant, from when it is accepted until another replaces it.
pub type GrantId = RandomId<OfGrant>;

/// The kind of [`AttemptId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum OfAttempt {}
/// The kind of [`GrantId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum OfGrant {}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes for an id")]
pub struct NoRandomBytes;

/// A text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 lower-case hexadecimal digits")]
pub struct NotAnId;

impl<Kind: Clone> RandomId<Kind> {
    /// An id nobody has.
    pub fn generate() -> Result<Self, NoRandomBytes> {
        <[u8; 16]>::try_generate().map(Self::from_bits).map_err(|_| NoRandomBytes)
    }

    /// What stands for the id of a grant that was accepted before grants had one.
    pub(super) const UNNAMED: Self = Self::from_bits([0; 16]);

    pub(super) const fn from_bits(bits: [u8; 16]) -> Self {
        Self { bits, kind: PhantomData }
    }
}

impl<Kind: Clone> fmt::Display for RandomId<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bits))
    }
}

impl<Kind: Clone> fmt::Debug for RandomId<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<Kind: Clone> TryFrom<String> for RandomId<Kind> {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        unhex(&text).map(Self::from_bits).ok_or(NotAnId)
    }
}

impl<Kind: Clone> From<RandomId<Kind>> for String {
    fn from(id: RandomId<Kind>) -> Self {
        id.to_string()
    }
}
