//! Errors of writing and deleting a published Secret.

use std::time::Duration;

use bowline_api::reason::{MessageFacts, Reason};

use crate::vault::is_too_large;

const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why the Secret was not written. What was there before is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("a Secret of that name belongs to somebody else")]
    NameTaken,
    /// A newer revision is published or about to be; there is nothing to fix.
    #[error("a newer revision is there")]
    Superseded,
    #[error("the namespace's quota is exceeded")]
    QuotaExceeded(#[source] kube::Error),
    /// RBAC or an admission policy refuses it.
    #[error("the API server forbids the write")]
    Forbidden(#[source] kube::Error),
    #[error("the namespace is being deleted")]
    NamespaceTerminating(#[source] kube::Error),
    #[error("the namespace does not exist")]
    NamespaceNotFound(#[source] kube::Error),
    /// What is there is not known, so nothing was requested.
    #[error("the Secrets of the namespace cannot be listed")]
    NamespaceUnreadable,
    #[error("the API server refuses the Secret")]
    Refused(#[source] kube::Error),
    #[error("the Secret is larger than the API server accepts")]
    TooLarge(#[source] kube::Error),
    #[error("the Secret is being deleted")]
    BeingDeleted,
    #[error("the Secret kept changing")]
    Contended,
    /// No answer within five seconds; it may have been written.
    #[error("no answer from the API server")]
    Unanswered(#[source] tokio::time::error::Elapsed),
    /// Overload, an outage or a broken connection.
    #[error("the API server could not be asked")]
    Unavailable(#[source] kube::Error),
}

impl PublishError {
    /// Whether a later write is tried soon: it may succeed without anybody acting, or costs no request.
    pub fn is_transient(&self) -> bool {
        use PublishError::{BeingDeleted, Contended, NamespaceUnreadable, Unanswered, Unavailable};
        matches!(self, BeingDeleted | Contended | NamespaceUnreadable | Unanswered(_) | Unavailable(_))
    }

    /// Whether the same Secret will be refused again: asking again soon is of no use.
    pub(crate) fn is_refused_for_good(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooLarge(_))
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::NameTaken => Reason::NameTaken,
            Self::QuotaExceeded(_) => Reason::QuotaExceeded,
            Self::Forbidden(_) => Reason::Forbidden,
            Self::Refused(_) | Self::TooLarge(_) => Reason::FormatFailed,
            Self::NamespaceUnreadable => Reason::NamespaceUnreadable,
            _ => Reason::NotYet,
        }
    }

    /// What happened, what to do, and who does it.
    pub fn message(&self, namespace: &str, name: &str) -> String {
        self.message_as(self.reason(), namespace, name)
    }

    pub fn message_as(&self, reason: Reason, namespace: &str, name: &str) -> String {
        let secret = format!("{namespace}/{name}");
        let facts =
            MessageFacts { secret: Some(&secret), namespace: Some(namespace), ..MessageFacts::default() };
        reason.message(&MessageFacts { detail: self.detail(&secret, namespace).into(), ..facts })
    }

    fn detail(&self, secret: &str, namespace: &str) -> String {
        match self {
            Self::NameTaken | Self::QuotaExceeded(_) | Self::Forbidden(_) | Self::NamespaceUnreadable => {
                String::new()
            }
            Self::Refused(_) => format!("The API server does not accept Secret {secret}."),
            Self::TooLarge(_) => format!(
                "Secret {secret} is larger than the API server accepts: make the template shorter, or have the provider issue shorter tokens."
            ),
            Self::NamespaceTerminating(_) => format!("Namespace {namespace} is being deleted."),
            Self::NamespaceNotFound(_) => format!("Namespace {namespace} does not exist."),
            Self::BeingDeleted => format!("Secret {secret} is being deleted and a finalizer holds it."),
            Self::Superseded | Self::Contended => {
                format!("Secret {secret} was changed by somebody else meanwhile.")
            }
            Self::Unanswered(_) | Self::Unavailable(_) => {
                format!("The API server did not accept Secret {secret}.")
            }
        }
    }
}

/// Runs one request with a time limit. The caller evaluates the API server's answer.
pub(super) async fn call<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, PublishError> {
    tokio::time::timeout(CALL_LIMIT, request).await.map_err(PublishError::Unanswered)
}

pub(super) fn refusal(error: kube::Error) -> PublishError {
    let kube::Error::Api(status) = &error else { return PublishError::Unavailable(error) };
    if is_too_large(status) {
        return PublishError::TooLarge(error);
    }
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    match status.code {
        403 if causes.any(|cause| cause.reason == "NamespaceTerminating") => {
            PublishError::NamespaceTerminating(error)
        }
        403 if status.message.contains("exceeded quota") => PublishError::QuotaExceeded(error),
        403 => PublishError::Forbidden(error),
        404 => PublishError::NamespaceNotFound(error),
        400 | 422 => PublishError::Refused(error),
        _ => PublishError::Unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use kube::core::response::{StatusCause, StatusDetails};

    fn refused(code: u16, message: &str, cause: &str) -> PublishError {
        let causes = vec![StatusCause { reason: cause.into(), message: String::new(), field: String::new() }];
        let details = StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        };
        refusal(kube::Error::Api(Status::failure(message, "R").with_code(code).with_details(details).boxed()))
    }

    #[test]
    fn each_refusal_has_its_reason_and_says_whether_time_helps() {
        let rows = [
            (
                "quota",
                refused(403, "secrets \"x\" is forbidden: exceeded quota: q, requested: secrets=1", ""),
                Reason::QuotaExceeded,
                false,
            ),
            ("RBAC", refused(403, "cannot create resource", ""), Reason::Forbidden, false),
            (
                "namespace goes",
                refused(403, "because it is being terminated", "NamespaceTerminating"),
                Reason::NotYet,
                false,
            ),
            ("no namespace", refused(404, "namespaces \"x\" not found", ""), Reason::NotYet, false),
            ("invalid", refused(422, "invalid", ""), Reason::FormatFailed, false),
            ("too large", refused(413, "limit is 3145728", ""), Reason::FormatFailed, false),
            (
                "too large for etcd",
                refused(500, "etcdserver: request is too large", ""),
                Reason::FormatFailed,
                false,
            ),
            ("overload", refused(429, "too many", ""), Reason::NotYet, true),
            ("outage", refused(500, "etcd", ""), Reason::NotYet, true),
            ("taken", PublishError::NameTaken, Reason::NameTaken, false),
        ];
        for (row, error, reason, transient) in rows {
            assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{row}");
            assert!(error.message("team-a", "github").contains("team-a"), "{row}");
        }
    }
}
