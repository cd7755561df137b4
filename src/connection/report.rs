//! What is said about a connection: its next status, and Events for what is news. Pure.

mod authorization;

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned, Conditions, Truth};
use bowline_api::connection::{
    AccountStatus, GrantStatus, IntegrationConnectionStatus, Method, Phase, SecretStatus, SharingStatus,
    TokenStatus,
};
use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::act::{Outcome, SecretOutcome};
use super::decide::verdict::Verdict;
use super::decide::{Plan, Publishing};
use super::observed::{Observed, RecordState};
use crate::grant::target::{ScopeComparison, Target};
use crate::sharing::Shared;
use crate::vault::record::GrantVersion;
use crate::vault::{Credential, Grant};

/// The next status of `connection`.
pub(super) fn status(
    connection: &IntegrationConnection,
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
    now: Timestamp,
) -> IntegrationConnectionStatus {
    let (old, history) = (connection.status.clone().unwrap_or_default(), &plan.history);
    let published = published(connection, plan, outcome, &old);
    let gone = plan.authorized.reason == Reason::Disconnected;
    let forget = gone || (matches!(observed.record, RecordState::Missing) && old.connected_at.is_none());
    let grant = observed.record.grant().filter(|_| !gone).map(AsRef::as_ref);
    let (connected_at, connected_by) = connected(&old, plan, grant, now).filter(|_| !forget).unzip();
    let version = observed.record.present().and_then(|present| present.version).filter(|_| !gone);
    let mut next = IntegrationConnectionStatus {
        phase: None,
        id: Some(connection.id()),
        // A grant that can be read says whose it is, also when it says nothing.
        account: grant.map_or_else(|| old.account.clone().filter(|_| !forget), account),
        connected_at,
        connected_by,
        authorization: authorization::authorization(connection, observed, plan),
        scopes: scopes(connection, observed, grant).or_else(|| old.scopes.clone().filter(|_| !forget)),
        token: token(connection, observed, plan, grant, &old).filter(|_| !forget),
        grant: grant_status(grant, version)
            .or_else(|| old.grant.clone().filter(|_| grant.is_none() && !forget)),
        ruling: history.ruling.as_ref().filter(|_| !gone).map(|ruling| ruling.status(version)),
        last_attempt: plan.last_attempt.clone(),
        secret: secret(connection, observed, plan, outcome),
        sharing: sharing(connection, observed, &old, now),
        last_handled_refresh: plan.unanswerable.clone().or_else(|| history.handled_refresh.clone()),
        last_handled_authorization: plan.unaskable.clone().or_else(|| history.handled_authorization.clone()),
        observed_generation: connection.metadata.generation,
        conditions: conditions_of(connection, &old, plan, &published, now),
    };
    next.phase = Some(phase(connection, &next).into());
    next
}

fn conditions_of(
    connection: &IntegrationConnection,
    old: &IntegrationConnectionStatus,
    plan: &Plan,
    published: &Verdict,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = ready(connection, &plan.authorized, &plan.fresh, published);
    let verdicts = [
        (ConditionType::Ready, Some(&ready)),
        (ConditionType::Authorized, Some(&plan.authorized)),
        (ConditionType::TokenFresh, Some(&plan.fresh)),
        (ConditionType::SecretPublished, Some(published)),
        (ConditionType::Shared, plan.shared.as_ref()),
    ];
    let mut conditions = Conditions::after(&old.conditions, connection.metadata.generation, now);
    for (type_, verdict) in verdicts {
        if let Some(verdict) = verdict {
            conditions.set(type_, verdict.truth(), verdict.reason, verdict.message.clone());
        }
    }
    if ready.reason.row().stalled {
        conditions.set(ConditionType::Stalled, Truth::True, ready.reason, ready.message);
    }
    conditions.build()
}

/// The Secret that is published here.
fn secret(
    connection: &IntegrationConnection,
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
) -> Option<SecretStatus> {
    let name = match (&outcome.secret, plan.publishing) {
        (SecretOutcome::Written(written), _) => Some(written.name.clone()),
        (SecretOutcome::Untouched, Publishing::Keep) => Some(connection.secret_name()),
        (SecretOutcome::Withdrawn, _) => None,
        _ => observed.written.as_ref().map(|written| written.name.clone()),
    };
    name.map(|name| SecretStatus { name })
}

/// The one summary. `Authorized` may be unknown while the published token lives: then nothing is wrong yet.
fn ready(
    connection: &IntegrationConnection,
    authorized: &Verdict,
    fresh: &Verdict,
    published: &Verdict,
) -> Verdict {
    let works = fresh.is_true() && published.is_true();
    let excused = authorized.truth() == Truth::Unknown && works;
    let failing = [authorized, fresh, published]
        .into_iter()
        .find(|verdict| !(verdict.is_true() || excused && std::ptr::eq(*verdict, authorized)));
    let detail = if excused { authorized.message.as_str() } else { "" };
    let facts = MessageFacts { detail: detail.into(), ..connection.facts() };
    failing.cloned().unwrap_or_else(|| Verdict::of(Reason::Connected, &facts))
}

fn published(
    connection: &IntegrationConnection,
    plan: &Plan,
    outcome: &Outcome,
    old: &IntegrationConnectionStatus,
) -> Verdict {
    let name = connection.secret_name();
    let say = |reason| Verdict::of(reason, &MessageFacts { secret: Some(&name), ..connection.facts() });
    match (&outcome.secret, plan.publishing) {
        (SecretOutcome::Failed { reason, message }, _) => Verdict::said(*reason, message.clone()),
        (SecretOutcome::Withdrawn, _) | (SecretOutcome::Untouched, Publishing::Withdraw) => {
            say(Reason::Withdrawn)
        }
        (SecretOutcome::Written(_), _) | (SecretOutcome::Untouched, Publishing::Keep) => {
            say(Reason::Published)
        }
        // The write is still to come; until then what was said last stays said.
        (SecretOutcome::Untouched, Publishing::Write)
            if old.conditions.reason_of(ConditionType::SecretPublished) == Some(Reason::Published) =>
        {
            say(Reason::Published)
        }
        (SecretOutcome::Untouched, Publishing::Withhold) => say(Reason::Withheld),
        (SecretOutcome::Untouched, Publishing::Write | Publishing::Nothing) => say(Reason::NotYet),
    }
}

fn phase(connection: &IntegrationConnection, status: &IntegrationConnectionStatus) -> Phase {
    let authorized = status.conditions.reason_of(ConditionType::Authorized);
    let fresh = status.conditions.reason_of(ConditionType::TokenFresh);
    let refused = authorized.is_some_and(|reason| reason.row().status == Truth::False);
    if connection.is_disconnected() {
        Phase::Disconnected
    } else if connection.is_paused() {
        Phase::Suspended
    } else if status.conditions.is(ConditionType::Ready) {
        Phase::Active
    } else if authorized == Some(Reason::GrantRevoked) {
        Phase::Revoked
    } else if status.connected_at.is_none() {
        Phase::Pending
    } else if matches!(fresh, Some(Reason::TokenExpired | Reason::NotRefreshable)) && !refused {
        Phase::Expired
    } else {
        Phase::Error
    }
}

/// Since when, and by whom, the present grant is in place.
fn connected(
    old: &IntegrationConnectionStatus,
    plan: &Plan,
    grant: Option<&Grant>,
    now: Timestamp,
) -> Option<(Time, String)> {
    let before = old.connected_at.clone().zip(old.connected_by.clone());
    let Some(grant) = grant else { return before };
    // Until its owner agrees to the account, nothing is connected.
    if grant.consent.awaits_confirmation() {
        return None;
    }
    before.filter(|_| !plan.history.new_grant).or_else(|| Some((Time(now), grant.bound_to.owner.clone())))
}

fn account(grant: &Grant) -> Option<AccountStatus> {
    let account = grant.bound_to.account.as_ref()?;
    Some(AccountStatus { id: account.id.clone(), name: account.name.clone(), email: account.email.clone() })
}

fn scopes(
    connection: &IntegrationConnection,
    observed: &Observed,
    grant: Option<&Grant>,
) -> Option<bowline_api::connection::ScopesStatus> {
    let (grant, target) = (grant?, observed.provider.target()?);
    matches!(grant.credential, Credential::OAuth { .. })
        .then(|| ScopeComparison::of(target, &connection.spec.scopes, grant.scopes.as_deref()).into_status())
}

fn token(
    connection: &IntegrationConnection,
    observed: &Observed,
    plan: &Plan,
    grant: Option<&Grant>,
    old: &IntegrationConnectionStatus,
) -> Option<TokenStatus> {
    let history = &plan.history;
    let some = |count: i32| (count > 0).then_some(count);
    let planned = TokenStatus {
        next_refresh_at: plan.next_attempt.map(Time),
        consecutive_failures: some(history.failures),
        consecutive_refusals: some(history.refusals),
        last_failure: history.last_failure.clone(),
        ..TokenStatus::default()
    };
    let Some(grant) = grant else {
        // Not readable now: times stay as they were, what is planned is told.
        let last = old.token.clone().unwrap_or_default();
        let (expires_at, last_refreshed_at, refreshable) =
            (last.expires_at, last.last_refreshed_at, last.refreshable);
        let token = TokenStatus { expires_at, last_refreshed_at, refreshable, ..planned };
        return (token != TokenStatus::default()).then_some(token);
    };
    Some(TokenStatus {
        expires_at: grant.expires_at.map(Time),
        last_refreshed_at: Some(Time(grant.obtained_at)),
        refreshable: Some(refreshable(connection, observed, grant)),
        ..planned
    })
}

fn refreshable(connection: &IntegrationConnection, observed: &Observed, grant: &Grant) -> bool {
    let minted = |target: &Target| target.method(&connection.spec) == Method::ClientCredentials;
    match &grant.credential {
        Credential::OAuth { refresh_token, .. } => {
            refresh_token.is_some() || observed.provider.target().is_some_and(|target| minted(target))
        }
        Credential::ApiKey { .. } | Credential::Basic { .. } => false,
    }
}

fn grant_status(grant: Option<&Grant>, version: Option<GrantVersion>) -> Option<GrantStatus> {
    let (grant, version) = (grant?, version?);
    Some(GrantStatus {
        id: version.id.to_string(),
        revision: version.revision,
        obtained_at: Time(grant.obtained_at),
        expires_at: grant.refresh_expires_at.map(Time),
    })
}

fn sharing(
    connection: &IntegrationConnection,
    observed: &Observed,
    old: &IntegrationConnectionStatus,
    now: Timestamp,
) -> Option<SharingStatus> {
    let workspace = match &observed.shared {
        Shared::In { workspace, .. } => workspace,
        Shared::Unknown { .. } => return old.sharing.clone(),
        Shared::NotAsked | Shared::WorkspaceNotFound { .. } | Shared::OwnerNotMember { .. } => return None,
    };
    let since = old
        .sharing
        .as_ref()
        .filter(|sharing| sharing.workspace == *workspace)
        .map(|sharing| sharing.shared_at.clone());
    Some(SharingStatus {
        workspace: workspace.clone(),
        shared_by: connection.spec.owner.clone(),
        shared_at: since.unwrap_or(Time(now)),
    })
}
