//! What is reported about a share. Pure.

use bowline_api::condition::{ConditionType, Conditioned, Conditions};
use bowline_api::connection::AccountStatus;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::{ConnectionShare, ConnectionShareStatus, IntegrationConnection};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::decide::{ObservedShare, SharePlan};
use crate::following::FollowerOutcome;
use crate::secret_plan::{SecretOutcome, SecretPlan};
use crate::vault::Grant;

pub(super) fn status(
    share: &ConnectionShare,
    observed: &ObservedShare,
    plan: &SharePlan,
    outcome: &FollowerOutcome,
    now: Timestamp,
) -> ConnectionShareStatus {
    let old = share.status.clone().unwrap_or_default();
    let connection = observed.source.as_ref().map(|source| source.connection.as_ref());
    let owner = connection.map(|connection| connection.spec.owner.clone());
    let (reason, message) = ready(share, connection, plan, outcome);
    let mut conditions = Conditions::after(&old.conditions, share.metadata.generation, now);
    conditions.set(ConditionType::Ready, reason.row().status, reason, message);
    let since = old.shared_at.clone().filter(|_| old.shared_by == owner);
    let base = ConnectionShareStatus {
        provider: connection.map(|connection| connection.spec.provider.clone()),
        shared_at: Some(since.unwrap_or(Time(now))),
        shared_by: owner,
        observed_generation: share.metadata.generation,
        conditions: conditions.build(),
        ..ConnectionShareStatus::default()
    };
    match (&outcome.secret, plan.secret, observed.grant()) {
        (SecretOutcome::Withdrawn, ..) => base,
        (SecretOutcome::Written, _, Some(held))
        | (SecretOutcome::Untouched, SecretPlan::Keep, Some(held)) => {
            holding(base, &held.grant, share.name_any())
        }
        // The Secret is unchanged, and so is the status about it.
        _ => ConnectionShareStatus {
            account: old.account,
            expires_at: old.expires_at,
            last_refreshed_at: old.last_refreshed_at,
            secret_name: old.secret_name,
            ..base
        },
    }
}

/// The Secret holds the token of `grant`.
fn holding(base: ConnectionShareStatus, grant: &Grant, secret_name: String) -> ConnectionShareStatus {
    let account = grant.bound_to.account.as_ref();
    ConnectionShareStatus {
        account: account.map(|account| AccountStatus {
            id: account.id.clone(),
            name: account.name.clone(),
            email: account.email.clone(),
        }),
        expires_at: grant.expires_at.map(Time),
        last_refreshed_at: Some(Time(grant.obtained_at)),
        secret_name: Some(secret_name),
        ..base
    }
}

fn ready(
    share: &ConnectionShare,
    connection: Option<&IntegrationConnection>,
    plan: &SharePlan,
    outcome: &FollowerOutcome,
) -> (Reason, String) {
    if let SecretOutcome::Failed { reason, message } = &outcome.secret {
        return (*reason, message.clone());
    }
    let expired =
        connection.is_some_and(|it| it.reason_of(ConditionType::TokenFresh) == Some(Reason::TokenExpired));
    match (&outcome.secret, plan.secret) {
        (SecretOutcome::Withdrawn, _) => not_ready("Its Secret was removed.", connection),
        _ if expired => not_ready("The token has expired.", connection),
        (SecretOutcome::Written, _) | (SecretOutcome::Untouched, SecretPlan::Keep) => there(share),
        (_, SecretPlan::Withhold) => not_ready("The newest token is not published.", connection),
        // The write will follow; until then the condition stays as it was.
        _ if share.is(ConditionType::Ready) => there(share),
        _ => not_ready("Nothing is published yet.", connection),
    }
}

fn there(share: &ConnectionShare) -> (Reason, String) {
    let name = share.name_any();
    (
        Reason::Published,
        Reason::Published.message(&MessageFacts { secret: Some(&name), ..MessageFacts::default() }),
    )
}

/// What is wrong here, and the connection's message: users of this namespace may not be able to read the connection.
fn not_ready(here: &str, connection: Option<&IntegrationConnection>) -> (Reason, String) {
    let why = connection.and_then(IntegrationConnection::trouble);
    let detail = why.map_or_else(|| here.to_owned(), |why| format!("{here} The connection says {why}."));
    let facts = connection.map(IntegrationConnection::facts).unwrap_or_default();
    let message = Reason::ConnectionNotReady.message(&MessageFacts { detail: detail.into(), ..facts });
    (Reason::ConnectionNotReady, message)
}
