//! Carries a plan out: Kubernetes writes only.

use std::time::Duration;

use bowline_api::ConnectionShare;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::telemetry::chain;
use kube::{Api, ResourceExt};

use super::build::{self, BuildError};
use super::decide::{Held, Observed, Plan, Publishing};
use crate::context::Context;
use crate::kube_ext::apply;
use crate::publishing::{self, PublishError, PublishedVersion};

/// How soon is tried again what a passing cause stopped.
const SOON: Duration = Duration::from_secs(10);
/// How soon is tried again what somebody must mend first, where their mending does not wake us.
const LATER: Duration = Duration::from_mins(1);

/// What carrying out came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What became of the Secret.
    pub(crate) secret: SecretOutcome,
    /// When to try again what is left.
    pub(crate) try_again: Option<Duration>,
}

/// What became of the Secret.
#[derive(Debug, Default)]
pub(super) enum SecretOutcome {
    /// Nothing was tried.
    #[default]
    Untouched,
    /// It was written.
    Written,
    /// It is gone.
    Removed,
    /// It could not be written or removed: reason and sentence.
    Failed {
        /// Why.
        reason: Reason,
        /// What happened, what to do, who.
        message: String,
    },
}

/// Carries the plan out. What is taken away goes first.
pub(super) async fn act(ctx: &Context, share: &ConnectionShare, observed: &Observed, plan: &Plan) -> Outcome {
    let held = observed.source.as_ref().and_then(|source| source.held.as_ref());
    let mut outcome = match (plan.publishing, held) {
        (Publishing::Write, Some(held)) => publish(ctx, share, observed, held).await,
        (Publishing::Remove, _) => remove(ctx, share, observed).await,
        _ => Outcome::default(),
    };
    if let Some(wanted) = &plan.correction
        && !correct(ctx, wanted).await
    {
        outcome.try_again = Some(SOON);
    }
    outcome
}

async fn publish(ctx: &Context, share: &ConnectionShare, observed: &Observed, held: &Held) -> Outcome {
    let desired = match build::secret(share, held) {
        Ok(desired) => desired,
        Err(error) => return unbuilt(&error),
    };
    let known = observed.secret.as_ref().filter(|seen| {
        // Whose it is, the publisher judges by its controller or by what we wrote ourselves.
        observed.written.as_ref().is_some_and(|written| written.is_object(seen, &desired.name))
    });
    match ctx.publish(&desired, known).await {
        Ok(written) => {
            let secret = PublishedVersion {
                name: desired.name,
                uid: written.uid.to_string(),
                resource_version: Some(written.resource_version.into()),
                grant: Some(held.version),
            };
            ctx.last_published.set(&share.uid().unwrap_or_default(), secret.clone());
            Outcome { secret: SecretOutcome::Written, try_again: None }
        }
        // A newer revision is on record: it is published when the connection has judged it.
        Err(PublishError::Superseded) => Outcome { secret: SecretOutcome::Untouched, try_again: Some(SOON) },
        Err(error) => failed(share, &error),
    }
}

fn unbuilt(error: &BuildError) -> Outcome {
    let reason = match error {
        BuildError::Content(_) => Reason::SecretRefused,
        BuildError::NoToken => Reason::NotYet,
    };
    let message =
        reason.message(&MessageFacts { detail: error.to_string().into(), ..MessageFacts::default() });
    Outcome { secret: SecretOutcome::Failed { reason, message }, try_again: None }
}

/// Removes the share's Secret, where there is or was one of ours; the share stays and says why.
async fn remove(ctx: &Context, share: &ConnectionShare, observed: &Observed) -> Outcome {
    let uid = share.uid().unwrap_or_default();
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    if observed.written.is_none() && observed.secret.is_none() {
        return Outcome { secret: SecretOutcome::Removed, try_again: None };
    }
    let written = observed.written.as_ref().map(|written| written.uid.as_str());
    let index = &ctx.world.published;
    match publishing::withdraw(&ctx.client, index, &namespace, &name, &uid, written).await {
        Ok(_) => {
            ctx.last_published.forget(&uid);
            Outcome { secret: SecretOutcome::Removed, try_again: None }
        }
        Err(error) => Outcome { try_again: Some(SOON), ..failed(share, &error) },
    }
}

fn failed(share: &ConnectionShare, error: &PublishError) -> Outcome {
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    tracing::warn!(error = %chain(error), namespace, secret = name, "a share's Secret is not as it should be");
    Outcome {
        secret: SecretOutcome::Failed {
            reason: reason(error),
            message: error.message_as(reason(error), &namespace, &name),
        },
        try_again: try_again(error),
    }
}

/// What nobody will tell us of is looked at again; the rest comes with a change of what we watch.
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

/// Puts spec and labels back; whether that is done. The change wakes the share again.
async fn correct(ctx: &Context, wanted: &ConnectionShare) -> bool {
    let api: Api<ConnectionShare> =
        Api::namespaced(ctx.client.clone(), &wanted.namespace().unwrap_or_default());
    match apply::apply(&api, &wanted.name_any(), wanted).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(error = %chain(&error), share = wanted.name_any(), "a share could not be put right yet");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_soon_and_what_somebody_must_mend_later() {
        assert_eq!(try_again(&PublishError::Contended), Some(SOON));
        assert_eq!(try_again(&PublishError::BeingDeleted), Some(SOON));
        assert_eq!(try_again(&PublishError::NameTaken), Some(LATER));
    }
}
