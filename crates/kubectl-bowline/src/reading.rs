//! What the caller may not read is said; it is no failure.

use crate::session::plain;

/// Something that the user may or may not read.
pub(crate) enum Seen<T> {
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

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Yes(found) => Seen::Yes(change(found)),
            Self::MayNot => Seen::MayNot,
        }
    }
}

/// What the user may not read is left out; any other failure is one.
pub(crate) fn seen<T>(answer: Result<T, kube::Error>) -> anyhow::Result<Seen<T>> {
    match answer {
        Ok(found) => Ok(Seen::Yes(found)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Seen::MayNot),
        Err(error) => Err(plain(error)),
    }
}
