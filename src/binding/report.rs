//! What is reported about a binding. Pure.

use bowline_api::ConsumerConfig;
use bowline_api::binding::{BindingPhase, PinnedConnection};
use bowline_api::condition::{ConditionType, Conditioned, Conditions, Truth};
use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{ConnectionBinding, ConnectionBindingStatus, IntegrationConnection};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::decide::{BindingPlan, ObservedBinding, effective_config, facts};
use crate::following::FollowerOutcome;
use crate::secret_plan::{SecretOutcome, SecretPlan};
use crate::world::Availability;

pub(super) fn status(
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    plan: &BindingPlan,
    outcome: &FollowerOutcome,
    now: Timestamp,
) -> ConnectionBindingStatus {
    let old = binding.status.clone().unwrap_or_default();
    let (reason, message) = ready(binding, observed, plan, outcome);
    let last_delivery = observed.delivery.told.as_ref().and_then(|told| told.last.clone());
    let base = ConnectionBindingStatus {
        phase: Some(phase(reason).into()),
        // Of what was bound it stays known, so that another connection of the same provider can be chosen.
        provider: observed
            .connection()
            .map(|connection| connection.spec.provider.clone())
            .or_else(|| old.provider.clone().filter(|_| binding.pinned().is_some())),
        last_used_at: last_delivery.as_ref().map(|last| last.at.clone()),
        last_delivery,
        observed_generation: binding.metadata.generation,
        conditions: conditions(&old, binding, observed, (reason, &message), now),
        ..old
    };
    match (&outcome.secret, plan.secret) {
        (SecretOutcome::Written, _) | (SecretOutcome::Untouched, SecretPlan::Keep) => {
            bound(base, binding, observed, now)
        }
        // The pin stays: whatever is there later is compared with it.
        (SecretOutcome::Withdrawn, _) => {
            ConnectionBindingStatus { secret_name: None, effective_config: ConsumerConfig::new(), ..base }
        }
        // The Secret is unchanged, and so is the status about it.
        _ => base,
    }
}

fn conditions(
    old: &ConnectionBindingStatus,
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    (reason, message): (Reason, &str),
    now: Timestamp,
) -> Vec<Condition> {
    let row = reason.row();
    let mut conditions = Conditions::after(&old.conditions, binding.metadata.generation, now);
    conditions.set(ConditionType::Ready, row.status, reason, message);
    if let Some(delivery) = &observed.delivery.told {
        let truth = delivery.reason.row().status;
        conditions.set(ConditionType::Delivered, truth, delivery.reason, delivery.message.as_str());
    }
    if row.stalled {
        conditions.set(ConditionType::Stalled, Truth::True, reason, message);
    }
    conditions.build()
}

/// The Secret holds the token of the connection that is there now: that one is pinned.
fn bound(
    base: ConnectionBindingStatus,
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    now: Timestamp,
) -> ConnectionBindingStatus {
    let pinned = binding.pinned();
    let is_same = |present: &PinnedConnection| pinned.is_some_and(|pinned| pinned.is_still(present));
    let since = base.bound_at.clone().filter(|_| observed.present().as_ref().is_some_and(is_same));
    // An account that the provider does not name now is still the one it named.
    let account = pinned.and_then(|pinned| pinned.account_id.clone());
    let present = observed.present().map(|present| PinnedConnection {
        account_id: present.account_id.clone().or(account.filter(|_| is_same(&present))),
        ..present
    });
    ConnectionBindingStatus {
        secret_name: Some(observed.name.clone()),
        effective_config: effective_config(binding, observed),
        connection: Some(binding.spec.connection.clone()),
        pinned: present,
        bound_at: Some(since.unwrap_or(Time(now))),
        ..base
    }
}

fn phase(reason: Reason) -> BindingPhase {
    match reason.row() {
        row if row.status == Truth::True => BindingPhase::Bound,
        row if row.stalled => BindingPhase::Error,
        _ => BindingPhase::Pending,
    }
}

fn ready(
    binding: &ConnectionBinding,
    observed: &ObservedBinding,
    plan: &BindingPlan,
    outcome: &FollowerOutcome,
) -> (Reason, String) {
    if let Some((reason, detail)) = &plan.obstacle {
        let told = reason.message(&MessageFacts { detail: detail.into(), ..facts(binding, observed) });
        return (*reason, told + not_removed(outcome).as_str());
    }
    if let SecretOutcome::Failed { reason, message } = &outcome.secret {
        return (*reason, message.clone());
    }
    let connection = observed.connection();
    let expired =
        connection.is_some_and(|it| it.reason_of(ConditionType::TokenFresh) == Some(Reason::TokenExpired));
    let there = || (Reason::Bound, Reason::Bound.message(&facts(binding, observed)));
    match (&outcome.secret, plan.secret) {
        // It is not known what is there; until then the condition stays as it was.
        _ if matches!(observed.availability, Availability::Unknown) => {
            let is_ready = binding.is(ConditionType::Ready);
            if is_ready {
                there()
            } else {
                (Reason::NotYet, Reason::NotYet.message(&facts(binding, observed)))
            }
        }
        (SecretOutcome::Withdrawn, _) => not_ready("Its Secret was removed.", binding, observed),
        _ if expired => not_ready("The token has expired.", binding, observed),
        (SecretOutcome::Written, _) | (SecretOutcome::Untouched, SecretPlan::Keep) => there(),
        (_, SecretPlan::Withhold) => not_ready("The newest token is not published.", binding, observed),
        // The write will follow; until then the condition stays as it was.
        _ if binding.is(ConditionType::Ready) => there(),
        _ => not_ready("Nothing is published yet.", binding, observed),
    }
}

/// That the Secret is still there although it must go, and why.
fn not_removed(outcome: &FollowerOutcome) -> String {
    match &outcome.secret {
        SecretOutcome::Failed { message, .. } => format!(" Its Secret could not be removed yet: {message}"),
        _ => String::new(),
    }
}

/// What is wrong here, and why the connection is not ready: its own condition may not be readable here.
fn not_ready(here: &str, binding: &ConnectionBinding, observed: &ObservedBinding) -> (Reason, String) {
    let why = observed.connection().and_then(IntegrationConnection::trouble);
    let detail = why.map_or_else(|| here.to_owned(), |why| format!("{here} The connection says {why}."));
    let known = MessageFacts { detail: detail.into(), ..facts(binding, observed) };
    (Reason::ConnectionNotReady, Reason::ConnectionNotReady.message(&known))
}

/// The Events, where Ready or Delivered turned to a reason that has one.
pub(super) fn news<'a>(
    binding: &ConnectionBinding,
    status: &'a ConnectionBindingStatus,
) -> Vec<(Reason, &'a str)> {
    let turned = |type_: ConditionType| {
        let now = status.conditions.condition(type_)?;
        let reason = Reason::parse(&now.reason)?;
        let is_new = binding.reason_of(type_) != Some(reason);
        (is_new && reason.row().event.is_some()).then_some((reason, now.message.as_str()))
    };
    [ConditionType::Ready, ConditionType::Delivered].into_iter().filter_map(turned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
