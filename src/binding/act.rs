//! Carries a plan out: Kubernetes writes only.

use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{ConnectionBinding, IntegrationConnection};
use bowline_oauth::catalog::Description;
use kube::Resource;

use super::build;
use super::decide::{BindingPlan, ObservedBinding, effective_config, facts};
use crate::context::Context;
use crate::following::FollowerOutcome;
use crate::metrics::PublishOutcome;
use crate::secret_plan::{GrantInUse, SecretOutcome, SecretPlan};

pub(super) async fn act(
    ctx: &Context,
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    plan: &BindingPlan,
) -> FollowerOutcome {
    let held = observed.grant.as_ref().zip(observed.target.as_deref());
    match (plan.secret, observed.connection(), held) {
        (SecretPlan::Write, Some(connection), Some((grant, target))) => {
            publish(ctx, binding, observed, connection, (grant, target.description())).await
        }
        (SecretPlan::Withdraw, ..) => observed.follower(binding).withdraw(ctx).await,
        _ => FollowerOutcome::default(),
    }
}

async fn publish(
    ctx: &Context,
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    connection: &IntegrationConnection,
    (grant, provider): (&GrantInUse, &Description),
) -> FollowerOutcome {
    let config = effective_config(binding, observed);
    match build::secret(binding, connection, grant, &config, provider, &ctx.settings.allowed_metadata) {
        Ok(desired) => {
            let outcome = observed.follower(binding).publish(ctx, &desired).await;
            if binding.nudges() && matches!(outcome.secret, SecretOutcome::Written) {
                ctx.nudges.published(binding.object_ref(&()), &desired.name);
            }
            outcome
        }
        Err(error) => {
            ctx.metrics.published(PublishOutcome::NotRenderable);
            // Why a token is withheld is the connection's to say.
            let reason = match error.reason() {
                Reason::Withheld => Reason::ConnectionNotReady,
                reason => reason,
            };
            let known = MessageFacts { detail: error.to_string().into(), ..facts(binding, observed) };
            SecretOutcome::Failed { reason, message: reason.message(&known) }.into()
        }
    }
}
