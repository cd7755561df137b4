//! Carries a plan out: Kubernetes writes only.

use bowline_api::ConnectionShare;
use bowline_api::reason::MessageFacts;

use super::build;
use super::decide::{ObservedShare, SharePlan};
use crate::context::Context;
use crate::following::decide::SecretFollower;
use crate::following::{FollowerOutcome, SOON};
use crate::secret_plan::{GrantInUse, SecretOutcome, SecretPlan};

/// Carries the plan out. Removals go first.
pub(super) async fn act(
    ctx: &Context,
    share: &ConnectionShare,
    observed: &ObservedShare,
    plan: &SharePlan,
) -> FollowerOutcome {
    let follower = observed.follower();
    let mut outcome = match (plan.secret, observed.grant()) {
        (SecretPlan::Write, Some(grant)) => publish(ctx, share, &follower, grant).await,
        (SecretPlan::Withdraw, _) => follower.withdraw(ctx).await,
        _ => FollowerOutcome::default(),
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
    follower: &SecretFollower<'_>,
    grant: &GrantInUse,
) -> FollowerOutcome {
    match build::secret(share, grant) {
        Ok(desired) => follower.publish(ctx, &desired).await,
        Err(error) => {
            let message = error
                .reason()
                .message(&MessageFacts { detail: error.to_string().into(), ..MessageFacts::default() });
            SecretOutcome::Failed { reason: error.reason(), message }.into()
        }
    }
}
