//! One call to the API server: with a time limit, and never repeated here.

use std::time::Duration;

/// How long one call may take. The client itself has no time-out, and its retries are switched off.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why a call to the API server returned no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer within 5 s. A write may have happened.
    #[error("the API server did not answer within 5 s")]
    TimedOut,
    /// The API server refused it, or could not be reached.
    #[error("the call to the API server failed")]
    Failed(#[source] Box<kube::Error>),
    /// The answer is an object without uid or resourceVersion, so it is not known what was written.
    #[error("the API server's answer carries no uid or no resourceVersion")]
    Unversioned,
}

impl CallError {
    /// What the API server answered, if it answered.
    pub(super) fn status(&self) -> Option<&kube::core::Status> {
        let Self::Failed(error) = self else { return None };
        if let kube::Error::Api(status) = error.as_ref() { Some(status) } else { None }
    }
}

/// Whether an object is larger than the API server or etcd accepts. It never will be accepted, whatever the status code says.
pub(crate) fn is_too_large(status: &kube::core::Status) -> bool {
    status.code == 413
        || status.message.contains("request is too large")
        // The API server's own limit on the data of a Secret.
        || status.code == 422 && status.message.contains("Too long: ")
}

pub(super) async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(CallError::Failed(Box::new(error))),
        Err(_) => Err(CallError::TimedOut),
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_never_answered_ends_after_five_seconds() {
        let begun = tokio::time::Instant::now();
        let call = std::future::pending::<Result<(), kube::Error>>();
        assert!(matches!(bounded(call).await.unwrap_err(), CallError::TimedOut));
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
