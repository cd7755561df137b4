//! What is said about a share. Pure.

use bowline_api::connection::{AccountStatus, SecretStatus};
use bowline_api::share::SharePhase;
use bowline_api::{ConnectionShare, ConnectionShareStatus, IntegrationConnection, reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::act::{Outcome, SecretOutcome};
use super::decide::{Observed, Plan, Publishing, says};
use crate::kube_ext::conditions::{self, Conditions, Verdict};
use crate::vault::Grant;

/// The next status of `share`.
pub fn status(
    share: &ConnectionShare,
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
    now: Timestamp,
) -> ConnectionShareStatus {
    let old = share.status.clone().unwrap_or_default();
    let connection = observed.source.as_ref().map(|source| source.connection.as_ref());
    let owner = connection.map(|connection| connection.spec.owner.clone());
    let (verdict, reason, message) = ready(connection, plan, outcome, &old);
    let mut conditions = Conditions::after(&old.conditions, share.metadata.generation, now);
    conditions.set("Ready", verdict, reason, message);
    let since = old.shared_at.clone().filter(|_| old.shared_by == owner);
    let base = ConnectionShareStatus {
        phase: Some(if verdict == Verdict::True { SharePhase::Published } else { SharePhase::NotReady }),
        shared_at: Some(since.unwrap_or(Time(now))),
        shared_by: owner,
        observed_generation: share.metadata.generation,
        conditions: conditions.build(),
        ..ConnectionShareStatus::default()
    };
    let held = observed.source.as_ref().and_then(|source| source.held.as_ref());
    match (&outcome.secret, plan.publishing, held) {
        (SecretOutcome::Removed, ..) => base,
        (SecretOutcome::Written(secret), _, Some(held)) => holding(base, &held.grant, Some(secret.clone())),
        (SecretOutcome::Untouched, Publishing::Keep, Some(held)) => {
            holding(base, &held.grant, observed.written.clone())
        }
        // The Secret is as it was, and so is what is said of it.
        _ => ConnectionShareStatus {
            account: old.account,
            expires_at: old.expires_at,
            last_refreshed_at: old.last_refreshed_at,
            secret_name: old.secret_name,
            secret: observed.written.clone(),
            ..base
        },
    }
}

/// The Secret holds the token of `grant`.
fn holding(
    base: ConnectionShareStatus,
    grant: &Grant,
    secret: Option<SecretStatus>,
) -> ConnectionShareStatus {
    let account = grant.bound_to.account.as_ref();
    ConnectionShareStatus {
        account: account.map(|account| AccountStatus {
            id: account.id.clone(),
            name: account.name.clone(),
            email: account.email.clone(),
        }),
        expires_at: grant.expires_at.map(Time),
        last_refreshed_at: Some(Time(grant.obtained_at)),
        secret_name: secret.as_ref().map(|secret| secret.name.clone()),
        secret,
        ..base
    }
}

type Ready = (Verdict, &'static str, String);

fn ready(
    connection: Option<&IntegrationConnection>,
    plan: &Plan,
    outcome: &Outcome,
    old: &ConnectionShareStatus,
) -> Ready {
    if let SecretOutcome::Failed { reason, message } = &outcome.secret {
        return (Verdict::False, reason, message.clone());
    }
    match (&outcome.secret, plan.publishing) {
        (SecretOutcome::Removed, _) => not_ready("Its Secret was removed.", connection),
        _ if connection
            .is_some_and(|connection| says(connection, "TokenFresh", &[reason::TOKEN_EXPIRED])) =>
        {
            not_ready("The token has ended.", connection)
        }
        (SecretOutcome::Written(_), _) | (SecretOutcome::Untouched, Publishing::Keep) => there(),
        (_, Publishing::Withhold) => not_ready("The newest token is not published.", connection),
        // The write is still to come; until then what was said last stays said.
        _ if conditions::is_true(&old.conditions, "Ready") => there(),
        _ => not_ready("There is nothing to publish yet.", connection),
    }
}

fn there() -> Ready {
    (Verdict::True, reason::PUBLISHED, "The Secret holds the connection's token.".to_owned())
}

/// What is wrong here, and what the connection says of it: people here may not be able to read the connection.
fn not_ready(here: &str, connection: Option<&IntegrationConnection>) -> Ready {
    let why = connection
        .and_then(|connection| connection.status.as_ref())
        .and_then(|status| {
            ["Authorized", "TokenFresh"]
                .into_iter()
                .filter_map(|type_| conditions::get(&status.conditions, type_))
                .find(|condition| condition.status != "True")
        })
        .map(|condition| format!(" The connection says {}: its owner can mend it.", condition.reason));
    (
        Verdict::False,
        reason::CONNECTION_NOT_READY,
        format!("{here}{}", why.unwrap_or_else(|| " It goes on by itself.".to_owned())),
    )
}
