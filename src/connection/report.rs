//! What is said about a connection: its next status, and Events for what is news. Pure.

mod authorization;

use bowline_api::connection::{
    AccountStatus, GrantStatus, IntegrationConnectionStatus, Method, Phase, SecretStatus, SharingStatus,
    TokenStatus,
};
use bowline_api::{IntegrationConnection, names, reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::act::{Outcome, SecretOutcome};
use super::decide::verdict::{Truth, Verdict};
use super::decide::{Plan, Publishing};
use super::observed::{Observed, RecordState};
use crate::grant::outcome::Origin;
use crate::grant::target::{Scopes, Target};
use crate::kube_ext::conditions::{self, Conditions};
use crate::sharing::Shared;
use crate::vault::{Credential, Grant};

/// The next status of `connection`.
pub fn status(
    connection: &IntegrationConnection,
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
    now: Timestamp,
) -> IntegrationConnectionStatus {
    let (old, history) = (connection.status.clone().unwrap_or_default(), &plan.history);
    let published = published(connection, plan, outcome, &old);
    let gone = plan.authorized.reason == reason::DISCONNECTED;
    let forget = gone || (matches!(observed.record, RecordState::Missing) && old.connected_at.is_none());
    let grant = observed.record.grant().filter(|_| !gone).map(AsRef::as_ref);
    let (connected_at, connected_by) = connected(&old, plan, grant, now).filter(|_| !forget).unzip();
    let mut next = IntegrationConnectionStatus {
        phase: None,
        id: Some(id(connection)),
        // A grant that can be read says whose it is, also when it says nothing.
        account: grant.map_or_else(|| old.account.clone().filter(|_| !forget), account),
        connected_at,
        connected_by,
        authorization: authorization::authorization(connection, observed, plan),
        scopes: scopes(connection, observed, grant).or_else(|| old.scopes.clone().filter(|_| !forget)),
        token: token(connection, observed, plan, grant, &old).filter(|_| !forget),
        grant: grant_end(grant).or_else(|| old.grant.clone().filter(|_| grant.is_none() && !forget)),
        secret: secret(observed, outcome, &old),
        sharing: sharing(connection, observed, &old, now),
        last_handled_refresh: plan.unanswerable.as_ref().or(history.handled_refresh.as_ref()).cloned(),
        last_handled_authorization: plan
            .unaskable
            .as_ref()
            .or(history.handled_authorization.as_ref())
            .cloned(),
        observed_generation: connection.metadata.generation,
        conditions: conditions_of(connection, &old, plan, &published, now),
    };
    next.phase = Some(phase(connection, &next));
    next
}

fn id(connection: &IntegrationConnection) -> String {
    names::connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any())
}

fn conditions_of(
    connection: &IntegrationConnection,
    old: &IntegrationConnectionStatus,
    plan: &Plan,
    published: &Verdict,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = ready(&plan.authorized, &plan.fresh, published);
    let verdicts = [
        ("Ready", &ready),
        ("Authorized", &plan.authorized),
        ("TokenFresh", &plan.fresh),
        ("SecretPublished", published),
        ("Shared", &plan.shared),
    ];
    let mut conditions = Conditions::after(&old.conditions, connection.metadata.generation, now);
    for (type_, verdict) in verdicts {
        conditions.set(type_, verdict.truth, verdict.reason, verdict.message.clone());
    }
    conditions.build()
}

/// The Secret as last published here.
fn secret(observed: &Observed, outcome: &Outcome, old: &IntegrationConnectionStatus) -> Option<SecretStatus> {
    match &outcome.secret {
        SecretOutcome::Written(secret) => Some(secret.clone()),
        SecretOutcome::Withdrawn => None,
        SecretOutcome::Untouched | SecretOutcome::Failed { .. } => {
            observed.written.clone().or(old.secret.clone())
        }
    }
}

/// The one summary. `Authorized` may be unknown while the published token lives: then nothing is wrong yet.
fn ready(authorized: &Verdict, fresh: &Verdict, published: &Verdict) -> Verdict {
    let works = fresh.truth == Truth::True && published.truth == Truth::True;
    let excused = authorized.truth == Truth::Unknown && works;
    let failing = [authorized, fresh, published]
        .into_iter()
        .find(|verdict| verdict.truth != Truth::True && !(excused && std::ptr::eq(*verdict, authorized)));
    match failing {
        Some(verdict) => verdict.clone(),
        None if excused => Verdict::yes(reason::CONNECTED, format!("Works for now. {}", authorized.message)),
        None => Verdict::yes(reason::CONNECTED, "The Secret holds a valid token."),
    }
}

fn published(
    connection: &IntegrationConnection,
    plan: &Plan,
    outcome: &Outcome,
    old: &IntegrationConnectionStatus,
) -> Verdict {
    use super::decide::verdict::Effect::Serve;
    let name = super::decide::secret_name(connection);
    let there = || Verdict::yes(reason::PUBLISHED, format!("Secret {name} holds the token."));
    match (&outcome.secret, plan.publishing) {
        (SecretOutcome::Failed { reason, message }, _) => Verdict::no(reason, Serve, message.clone()),
        (SecretOutcome::Withdrawn, _) => {
            Verdict::no(reason::WITHDRAWN, Serve, format!("Secret {name} was removed: see Authorized."))
        }
        (SecretOutcome::Written(_), _) | (SecretOutcome::Untouched, Publishing::Keep) => there(),
        // The write is still to come; until then what was said last stays said.
        (SecretOutcome::Untouched, Publishing::Write) => {
            remembered(old).unwrap_or_else(|| Verdict::no(reason::NOT_YET, Serve, "Being published."))
        }
        (SecretOutcome::Untouched, Publishing::Withhold) => {
            Verdict::no(reason::WITHHELD, Serve, "There is a token, but it is not published: see Authorized.")
        }
        (SecretOutcome::Untouched, Publishing::Withdraw) => {
            Verdict::no(reason::WITHDRAWN, Serve, "Nothing is published: see Authorized.")
        }
        (SecretOutcome::Untouched, Publishing::Nothing) => {
            Verdict::no(reason::NOT_YET, Serve, "There is nothing to publish yet.")
        }
    }
}

fn remembered(old: &IntegrationConnectionStatus) -> Option<Verdict> {
    let last = conditions::get(&old.conditions, "SecretPublished")?;
    (last.reason == reason::PUBLISHED).then(|| Verdict::yes(reason::PUBLISHED, last.message.clone()))
}

fn phase(connection: &IntegrationConnection, status: &IntegrationConnectionStatus) -> Phase {
    let spec = &connection.spec;
    let reason_of = |type_| {
        conditions::get(&status.conditions, type_)
            .map_or("", |condition: &Condition| condition.reason.as_str())
    };
    let (authorized, fresh) = (reason_of("Authorized"), reason_of("TokenFresh"));
    if spec.disconnect.unwrap_or_default() {
        Phase::Disconnected
    } else if spec.suspend.unwrap_or_default() {
        Phase::Suspended
    } else if conditions::is_true(&status.conditions, "Ready") {
        Phase::Active
    } else if authorized == reason::GRANT_REVOKED {
        Phase::Revoked
    } else if status.connected_at.is_none() {
        Phase::Pending
    } else if [reason::TOKEN_EXPIRED, reason::NOT_REFRESHABLE].contains(&fresh)
        && conditions::get(&status.conditions, "Authorized")
            .is_none_or(|condition| condition.status != "False")
    {
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
    let anew = plan.history.arrival == Some(Origin::Accepted);
    before.filter(|_| !anew).or_else(|| Some((Time(now), grant.bound_to.owner.clone())))
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
        .then(|| Scopes::compare(target, &connection.spec.scopes, grant.scopes.as_deref()).into_status())
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
        let (expires_at, last_refreshed_at, revision, refreshable) =
            (last.expires_at, last.last_refreshed_at, last.revision, last.refreshable);
        let token = TokenStatus { expires_at, last_refreshed_at, revision, refreshable, ..planned };
        return (token != TokenStatus::default()).then_some(token);
    };
    Some(TokenStatus {
        expires_at: grant.expires_at.map(Time),
        last_refreshed_at: Some(Time(grant.obtained_at)),
        revision: observed.record.revision(),
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

fn grant_end(grant: Option<&Grant>) -> Option<GrantStatus> {
    let ends = grant?.refresh_expires_at?;
    Some(GrantStatus { expires_at: Some(Time(ends)) })
}

fn sharing(
    connection: &IntegrationConnection,
    observed: &Observed,
    old: &IntegrationConnectionStatus,
    now: Timestamp,
) -> Option<SharingStatus> {
    let Shared::In { workspace, .. } = &observed.shared else { return None };
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
