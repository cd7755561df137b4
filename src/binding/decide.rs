//! What to do about a binding: pure, from the object and what was observed.

use std::sync::Arc;

use bowline_api::ConsumerConfig;
use bowline_api::binding::PinnedConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{ConnectionBinding, IntegrationConnection, names, shown};
use bowline_oauth::catalog::merge;
use bowline_runtime::follow::ObjectVersion;
use kube::ResourceExt;

use super::delivery::DeliveryReport;
use crate::following::decide::SecretFollower;
use crate::grant::target::Target;
use crate::kube_ext::coalesce::Coalesced;
use crate::publishing::{PublishedVersion, config_fault};
use crate::secret_plan::{GrantInUse, SecretPlan};
use crate::world::Availability;

pub(super) struct ObservedBinding {
    /// UID and namespace of the binding.
    pub(super) uid: String,
    pub(super) namespace: String,
    /// Name of the Secret that it wants.
    pub(super) name: String,
    pub(super) availability: Availability,
    pub(super) grant: Option<GrantInUse>,
    /// The Secret under that name, if there is one.
    pub(super) secret: Option<ObjectVersion>,
    pub(super) written: Option<PublishedVersion>,
    /// The provider, while it is known what settings its consumers have.
    pub(super) target: Option<Arc<Target>>,
    /// What status says next about its workload's deliveries.
    pub(super) delivery: Coalesced<DeliveryReport>,
    /// The name is the own name or the id of a connection, and the Secret there is not this binding's.
    pub(super) takes_anothers_name: bool,
}

impl ObservedBinding {
    pub(super) fn connection(&self) -> Option<&IntegrationConnection> {
        let Availability::Available(connection) = &self.availability else { return None };
        Some(connection)
    }

    /// The connection that is there now, as a binding pins it.
    pub(super) fn present(&self) -> Option<PinnedConnection> {
        let connection = self.connection()?;
        let of_grant =
            self.grant.as_ref().map(|it| it.grant.bound_to.account.as_ref().map(|account| &account.id));
        let known = of_grant.unwrap_or_else(|| connection.account().map(|account| &account.id));
        Some(PinnedConnection {
            uid: connection.uid()?,
            owner: connection.spec.owner.clone(),
            account_id: known.cloned(),
        })
    }

    pub(super) fn follower(&self, binding: &ConnectionBinding) -> SecretFollower<'_> {
        let is_told = binding.status.as_ref().is_some_and(|status| {
            status.observed_generation == binding.metadata.generation
                && status.effective_config == effective_config(binding, self)
        });
        let written = self.written.as_ref().and_then(|written| written.described);
        let now = self.target.as_ref().map(|target| target.description().publishing_digest());
        let is_as_described = written.zip(now).is_none_or(|(written, now)| written == now);
        SecretFollower {
            uid: &self.uid,
            namespace: &self.namespace,
            name: &self.name,
            seen: self.secret.as_ref(),
            written: self.written.as_ref(),
            // What could not be published for this spec is repeated until it can.
            has_content: is_told && is_as_described && binding.is(ConditionType::Ready),
            refused: Reason::FormatFailed,
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct BindingPlan {
    pub(super) secret: SecretPlan,
    /// Why the connection is not bound, and details for the message.
    pub(super) obstacle: Option<(Reason, String)>,
}

impl BindingPlan {
    fn stopped(secret: SecretPlan, reason: Reason, detail: String) -> Self {
        Self { secret, obstacle: Some((reason, detail)) }
    }
}

/// Looks for one thing that stands in the way.
type BindingCheck = fn(&ConnectionBinding, &ObservedBinding) -> Option<BindingPlan>;

/// The first that answers decides.
const CHECKS: &[BindingCheck] = &[not_available, another_connection, name_reserved, config_unfit];

pub(super) fn decide(binding: &ConnectionBinding, observed: &ObservedBinding) -> BindingPlan {
    let stopped = CHECKS.iter().find_map(|check| check(binding, observed));
    stopped.unwrap_or_else(|| BindingPlan {
        secret: observed.connection().map_or(SecretPlan::Nothing, |connection| {
            let is_checked = observed.target.is_some();
            observed.follower(binding).plan(connection, observed.grant.as_ref(), is_checked)
        }),
        obstacle: None,
    })
}

/// What does not exist and what is not shared give the same answer. Only what was shared with this namespace is named.
fn not_available(binding: &ConnectionBinding, observed: &ObservedBinding) -> Option<BindingPlan> {
    let Availability::Absent = observed.availability else { return None };
    let home = names::connection_of(&binding.spec.connection).map(|(home, _)| home);
    let reason = match binding.pinned() {
        None => Reason::ConnectionNotFound,
        Some(_) if home == Some(&observed.namespace) => Reason::ConnectionDeleted,
        Some(_) => Reason::ShareWithdrawn,
    };
    Some(BindingPlan::stopped(SecretPlan::Withdraw, reason, String::new()))
}

/// Nothing is inherited under an id: neither by another connection nor by another owner or account.
fn another_connection(binding: &ConnectionBinding, observed: &ObservedBinding) -> Option<BindingPlan> {
    let (pinned, present) = (binding.pinned()?, observed.present()?);
    let is_accepted = binding.spec.accept.as_ref() == Some(&present);
    if pinned.is_still(&present) || is_accepted {
        return None;
    }
    let account = |of: &PinnedConnection| match &of.account_id {
        Some(id) => format!("account {} of {}", shown::one_line(id), shown::one_line(&of.owner)),
        None => format!("an account of {}", shown::one_line(&of.owner)),
    };
    let detail = format!(
        "It was made with {}; there is now {}{}. To accept that, set spec.accept to {}",
        account(pinned),
        account(&present),
        if pinned.uid == present.uid { "" } else { ", in another connection" },
        serde_json::to_string(&present).unwrap_or_default(),
    );
    Some(BindingPlan::stopped(SecretPlan::Withdraw, Reason::ConnectionMismatch, detail))
}

fn name_reserved(_: &ConnectionBinding, observed: &ObservedBinding) -> Option<BindingPlan> {
    let plan = || BindingPlan::stopped(SecretPlan::Withhold, Reason::NameReserved, String::new());
    observed.takes_anothers_name.then(plan)
}

fn config_unfit(binding: &ConnectionBinding, observed: &ObservedBinding) -> Option<BindingPlan> {
    let config = effective_config(binding, observed);
    let fault = config_fault(&config, observed.target.as_ref()?.description())?;
    Some(BindingPlan::stopped(SecretPlan::Withhold, Reason::ConfigInvalid, fault))
}

/// The settings that are published: the binding's, laid over the connection's (RFC 7396).
pub(super) fn effective_config(binding: &ConnectionBinding, observed: &ObservedBinding) -> ConsumerConfig {
    let mut config = ConsumerConfig::new();
    for layer in [observed.connection().map(|it| &it.spec.config), Some(&binding.spec.config)] {
        merge(&mut config, layer.unwrap_or(&ConsumerConfig::new()));
    }
    config
}

/// What messages about the binding can name.
pub(super) fn facts<'a>(binding: &'a ConnectionBinding, observed: &'a ObservedBinding) -> MessageFacts<'a> {
    let known = observed.connection().map(IntegrationConnection::facts).unwrap_or_default();
    let here = binding.metadata.namespace.as_deref();
    MessageFacts { secret: Some(&observed.name), here, ..known }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
