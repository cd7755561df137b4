//! What the caller may not read is said, not failed on.

use super::session::plain;

/// Something that the user may or may not read.
pub(super) enum Seen<T> {
    Yes(T),
    MayNot,
}

impl<T> Seen<T> {
    /// What was read, if it may be.
    pub fn yes(self) -> Option<T> {
        match self {
            Self::Yes(found) => Some(found),
            Self::MayNot => None,
        }
    }
}

/// What the user may not read is left out; any other failure is one.
pub(super) fn seen<T>(answer: Result<T, kube::Error>) -> anyhow::Result<Seen<T>> {
    match answer {
        Ok(found) => Ok(Seen::Yes(found)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Seen::MayNot),
        Err(error) => Err(plain(error)),
    }
}
