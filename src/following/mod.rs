//! The Secret of an object that follows a connection's grant: a share's or a binding's.
//!
//! - [`decide`]: what becomes of it; pure. Here it is carried out: Kubernetes writes only.

pub(crate) mod decide;

use std::time::Duration;

use bowline_api::reason::Reason;
use bowline_runtime::telemetry::chain;

use self::decide::SecretFollower;
use crate::context::Context;
use crate::publishing::{Desired, PublishError};
use crate::secret_plan::SecretOutcome;

/// When to repeat what a temporary cause stopped.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// When to repeat what somebody must fix first, if their fix does not wake us.
const LATER: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(crate) struct FollowerOutcome {
    pub(crate) secret: SecretOutcome,
    /// When to repeat what is left.
    pub(crate) try_again: Option<Duration>,
}

impl From<SecretOutcome> for FollowerOutcome {
    fn from(secret: SecretOutcome) -> Self {
        Self { secret, try_again: None }
    }
}

impl SecretFollower<'_> {
    /// Writes the Secret; after a rename the former one goes once the new one is there.
    pub(crate) async fn publish(&self, ctx: &Context, desired: &Desired) -> FollowerOutcome {
        match ctx.publish(desired, self.seen, self.written).await {
            Ok(()) => {
                let former = self.written.map(|written| &*written.name).filter(|former| *former != self.name);
                let left = match former {
                    Some(former) => self.withdraw_named(ctx, former).await.err(),
                    None => None,
                };
                FollowerOutcome { secret: SecretOutcome::Written, try_again: left.map(|_| SOON) }
            }
            // A newer revision is on record: it is published after the connection has judged it.
            Err(PublishError::Superseded) => {
                FollowerOutcome { secret: SecretOutcome::Untouched, try_again: Some(SOON) }
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Removes what was published, if there is or was something of ours; the object itself stays and says why.
    pub(crate) async fn withdraw(&self, ctx: &Context) -> FollowerOutcome {
        let former = self.written.map(|written| &*written.name).filter(|former| *former != self.name);
        for name in former.into_iter().chain([self.name]) {
            if let Err(error) = self.withdraw_named(ctx, name).await {
                return FollowerOutcome { try_again: Some(SOON), ..self.failed(&error) };
            }
        }
        ctx.last_published.forget(self.uid);
        SecretOutcome::Withdrawn.into()
    }

    /// If no Secret of that name was ever written or can be there, no request is needed.
    async fn withdraw_named(&self, ctx: &Context, name: &str) -> Result<(), PublishError> {
        let written = self.written.filter(|written| written.name == name).map(|written| &*written.uid);
        if written.is_none() && !ctx.world.published.may_have(self.namespace, name) {
            return Ok(());
        }
        ctx.withdraw(self.namespace, name, self.uid, written).await
    }

    fn failed(&self, error: &PublishError) -> FollowerOutcome {
        let Self { namespace, name, .. } = *self;
        tracing::warn!(error = %chain(error), namespace, secret = name, "a Secret is not as it should be");
        let reason = if error.reason() == Reason::FormatFailed { self.refused } else { error.reason() };
        FollowerOutcome {
            secret: SecretOutcome::failed(error, reason, namespace, name),
            try_again: try_again(error),
        }
    }
}

/// A failure whose end we do not watch is retried; the end of the others wakes the object.
fn try_again(error: &PublishError) -> Option<Duration> {
    match error {
        error if error.is_transient() => Some(SOON),
        PublishError::NameTaken | PublishError::QuotaExceeded(_) | PublishError::Forbidden(_) => Some(LATER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_soon_and_what_somebody_must_fix_later() {
        assert_eq!(try_again(&PublishError::Contended), Some(SOON));
        assert_eq!(try_again(&PublishError::BeingDeleted), Some(SOON));
        assert_eq!(try_again(&PublishError::NameTaken), Some(LATER));
    }
}
