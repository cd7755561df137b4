//! What the caller may not read is said; it is no failure.

use crate::session::plain;

/// Something that the user may or may not read.
pub(crate) enum Readable<T> {
    Yes(T),
    MayNot,
}

impl<T> Readable<T> {
    /// What was read, if it may be.
    pub(crate) fn yes(self) -> Option<T> {
        match self {
            Self::Yes(found) => Some(found),
            Self::MayNot => None,
        }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Readable<U> {
        match self {
            Self::Yes(found) => Readable::Yes(change(found)),
            Self::MayNot => Readable::MayNot,
        }
    }
}

/// What the user may not read is left out; any other failure is one.
pub(crate) fn seen<T>(answer: Result<T, kube::Error>) -> anyhow::Result<Readable<T>> {
    match answer {
        Ok(found) => Ok(Readable::Yes(found)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Readable::MayNot),
        Err(error) => Err(plain(error)),
    }
}
