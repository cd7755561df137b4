//! Errors of reading and writing records.

use super::CallError;
use crate::vault::call::is_too_large;
use crate::vault::record::RecordError;

/// Why a cached record is not available. Never means that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CachedReadError {
    #[error("the records are not listed yet")]
    NotSynced,
    #[error(transparent)]
    Unreadable(#[from] RecordError),
}

/// Why a live read returned no answer. Never means that there is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveReadError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Unreadable(#[from] RecordError),
}

/// Why a write did not succeed. Nothing is written, except where the outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The record has changed: read it and decide again.
    #[error("the record changed meanwhile")]
    Conflict,
    #[error("the connection has a record already")]
    AlreadyExists,
    #[error("the record is gone")]
    Gone,
    #[error("the version belongs to another connection's record")]
    OtherRecord,
    /// Not written.
    #[error("the record cannot be written as JSON")]
    NotSerializable,
    /// Not written.
    #[error("the record could not be signed")]
    NotSigned,
    /// The API server refused it, or the request was never sent.
    #[error("the API server refused the write")]
    Refused(#[source] Box<kube::Error>),
    /// Larger than the API server accepts. Not written, and it never will be.
    #[error("the record is larger than the API server accepts")]
    TooLarge(#[source] Box<kube::Error>),
    /// May or may not be written: read it again.
    #[error("whether the record was written is unknown")]
    OutcomeUnknown(#[source] CallError),
}

impl WriteError {
    /// Interprets the failure of a POST. What it does not find is the namespace.
    pub(super) fn of_create(error: CallError) -> Self {
        match error.status() {
            Some(status) if status.is_already_exists() => Self::AlreadyExists,
            Some(_) | None => Self::refused_or_unknown(error),
        }
    }

    /// Interprets the failure of a PUT or DELETE.
    pub(super) fn of_replace(error: CallError) -> Self {
        match error.status() {
            Some(status) if status.is_conflict() => Self::Conflict,
            Some(status) if status.is_not_found() => Self::Gone,
            Some(_) | None => Self::refused_or_unknown(error),
        }
    }

    fn refused_or_unknown(error: CallError) -> Self {
        let too_large = error.status().is_some_and(is_too_large);
        match error {
            CallError::Failed(error) if too_large => Self::TooLarge(error),
            CallError::Failed(error) if is_certain(&error) => Self::Refused(error),
            error => Self::OutcomeUnknown(error),
        }
    }
}

/// Whether the write certainly did not happen. A 5xx may come after etcd accepted it; 4xx comes before, except for a
/// time-out (408) and a status that the API server did not send (0).
fn is_certain(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => (400..500).contains(&status.code) && status.code != 408,
        kube::Error::BuildRequest(_) | kube::Error::Auth(_) => true,
        _ => false,
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, reason: &str) -> CallError {
        let status = Status { code, reason: reason.to_owned(), ..Status::default() };
        CallError::Failed(Box::new(kube::Error::Api(Box::new(status))))
    }

    #[test]
    fn failures_of_a_replacement_are_told_apart() {
        let read = |code, reason| WriteError::of_replace(answer(code, reason));
        assert!(matches!(read(409, "Conflict"), WriteError::Conflict));
        assert!(matches!(read(404, "NotFound"), WriteError::Gone));
        assert!(matches!(read(403, "Forbidden"), WriteError::Refused(_)));
        assert!(matches!(read(413, "RequestEntityTooLarge"), WriteError::TooLarge(_)));
        assert!(matches!(read(429, "TooManyRequests"), WriteError::Refused(_)));
    }

    #[test]
    fn failures_of_a_creation_are_told_apart() {
        let read = |code, reason| WriteError::of_create(answer(code, reason));
        assert!(matches!(read(409, "AlreadyExists"), WriteError::AlreadyExists));
        assert!(matches!(read(404, "NotFound"), WriteError::Refused(_)), "the namespace is missing");
    }

    #[test]
    fn whatever_may_come_after_the_write_is_unknown() {
        for code in [0, 408, 500, 502, 503, 504] {
            let error = WriteError::of_replace(answer(code, ""));
            assert!(matches!(error, WriteError::OutcomeUnknown(_)), "{code}");
        }
        let lost = kube::Error::Service(std::io::Error::other("connection reset").into());
        for error in [CallError::TimedOut, CallError::Failed(Box::new(lost)), CallError::Unversioned] {
            assert!(matches!(WriteError::of_create(error), WriteError::OutcomeUnknown(_)));
        }
    }
}
