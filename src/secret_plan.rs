//! What a controller decides about the Secret that a connection or share publishes, and the result.

use std::sync::Arc;

use bowline_api::reason::Reason;
use bowline_oauth::catalog::Description;

use crate::publishing::PublishError;
use crate::vault::record::GrantVersion;
use crate::vault::{Credential, Grant};

#[derive(Clone)]
pub(crate) struct GrantInUse {
    pub(crate) grant: Arc<Grant>,
    pub(crate) version: GrantVersion,
}

impl GrantInUse {
    /// Without the values beside a token that the provider's description no longer publishes: an overlay can take them back. What
    /// belongs to a key was imported with it.
    pub(crate) fn published_by(mut self, description: &Description) -> Self {
        let is_kept = |key: &str| description.publishes(key);
        let is_token = matches!(self.grant.credential, Credential::OAuth { .. });
        if is_token && !self.grant.published_extras.keys().all(|key| is_kept(key)) {
            Arc::make_mut(&mut self.grant).published_extras.retain(|key, _| is_kept(key));
        }
        self
    }
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
