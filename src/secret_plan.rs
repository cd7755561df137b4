//! What a controller decides about the Secret that a connection or share publishes, and the result.

use std::sync::Arc;

use bowline_api::reason::Reason;

use crate::publishing::PublishError;
use crate::vault::Grant;
use crate::vault::record::GrantVersion;

#[derive(Clone)]
pub(crate) struct GrantInUse {
    pub(crate) grant: Arc<Grant>,
    pub(crate) version: GrantVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretPlan {
    Write,
    /// It is as it should be.
    Keep,
    /// It stays as it is, and nothing newer is published.
    Withhold,
    /// There is nothing to publish, or it cannot be judged yet: all stays as it is.
    Nothing,
    Withdraw,
}

#[derive(Debug, Default)]
pub(crate) enum SecretOutcome {
    /// Neither written nor removed.
    #[default]
    Untouched,
    Written,
    Withdrawn,
    /// It could not be written or removed: what happened, what to do, who does it.
    Failed {
        reason: Reason,
        message: String,
    },
}

impl SecretOutcome {
    pub(crate) fn failed(error: &PublishError, reason: Reason, namespace: &str, name: &str) -> Self {
        Self::Failed { reason, message: error.message_as(reason, namespace, name) }
    }
}
