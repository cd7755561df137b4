//! Carries a plan out: Kubernetes writes only.

use std::time::Duration;

use bowline_api::ConnectionShare;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::telemetry::chain;
use kube::ResourceExt;

use super::build;
use super::decide::{ObservedShare, SharePlan};
use crate::context::Context;
use crate::publishing::PublishError;
use crate::secret_plan::{GrantInUse, SecretOutcome, SecretPlan};

/// When to repeat what a temporary cause stopped.
const SOON: Duration = Duration::from_secs(10);
/// When to repeat what somebody must fix first, if their fix does not wake us.
const LATER: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct ShareOutcome {
    pub(crate) secret: SecretOutcome,
    /// When to repeat what is left.
    pub(crate) try_again: Option<Duration>,
}

impl From<SecretOutcome> for ShareOutcome {
    fn from(secret: SecretOutcome) -> Self {
        Self { secret, try_again: None }
    }
}

/// Carries the plan out. Removals go first.
pub(super) async fn act(
    ctx: &Context,
    share: &ConnectionShare,
    observed: &ObservedShare,
    plan: &SharePlan,
) -> ShareOutcome {
    let mut outcome = match (plan.secret, observed.grant()) {
        (SecretPlan::Write, Some(grant)) => publish(ctx, share, observed, grant).await,
        (SecretPlan::Withdraw, _) => withdraw(ctx, share, observed).await,
        _ => ShareOutcome::default(),
    };
    if let Some(wanted) = &plan.correction
        && !ctx.write_share(wanted).await
    {
        outcome.try_again = Some(SOON);
    }
    outcome
}

async fn publish(
    ctx: &Context,
    share: &ConnectionShare,
    observed: &ObservedShare,
    grant: &GrantInUse,
) -> ShareOutcome {
    let desired = match build::secret(share, grant) {
        Ok(desired) => desired,
        Err(error) => {
            let message = error
                .reason()
                .message(&MessageFacts { detail: error.to_string().into(), ..MessageFacts::default() });
            return SecretOutcome::Failed { reason: error.reason(), message }.into();
        }
    };
    match ctx.publish(&desired, observed.secret.as_ref(), observed.written.as_ref()).await {
        Ok(()) => SecretOutcome::Written.into(),
        // A newer revision is on record: it is published after the connection has judged it.
        Err(PublishError::Superseded) => {
            ShareOutcome { secret: SecretOutcome::Untouched, try_again: Some(SOON) }
        }
        Err(error) => failed(share, &error),
    }
}

/// Removes the share's Secret, if there is or was one of ours; the share stays and says why.
async fn withdraw(ctx: &Context, share: &ConnectionShare, observed: &ObservedShare) -> ShareOutcome {
    let (namespace, uid) = (share.namespace().unwrap_or_default(), share.uid().unwrap_or_default());
    if observed.written.is_none() && !ctx.world.published.may_have(&namespace, &share.name_any()) {
        return SecretOutcome::Withdrawn.into();
    }
    let written = observed.written.as_ref().map(|written| written.uid.as_str());
    match ctx.withdraw(&namespace, &share.name_any(), &uid, written).await {
        Ok(()) => {
            ctx.last_published.forget(&uid);
            SecretOutcome::Withdrawn.into()
        }
        Err(error) => ShareOutcome { try_again: Some(SOON), ..failed(share, &error) },
    }
}

fn failed(share: &ConnectionShare, error: &PublishError) -> ShareOutcome {
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    tracing::warn!(error = %chain(error), namespace, secret = name, "a share's Secret is not as it should be");
    ShareOutcome {
        secret: SecretOutcome::failed(error, reason(error), &namespace, &name),
        try_again: try_again(error),
    }
}

/// A failure whose end we do not watch is retried; the end of the others wakes the share.
fn try_again(error: &PublishError) -> Option<Duration> {
    match error {
        error if error.is_transient() => Some(SOON),
        PublishError::NameTaken | PublishError::QuotaExceeded(_) | PublishError::Forbidden(_) => Some(LATER),
        _ => None,
    }
}

/// A share has no `spec.secret` that anybody could change.
fn reason(error: &PublishError) -> Reason {
    match error.reason() {
        Reason::FormatFailed => Reason::SecretRefused,
        reason => reason,
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
