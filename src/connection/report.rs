//! What is reported about a connection: its next status, with one condition that summarizes the others. Pure.

mod authorization;

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned, Conditions, Truth};
use bowline_api::connection::{
    AccountStatus, GrantStatus, IntegrationConnectionStatus, IssuedKeyStatus, Phase, ReminderStatus,
    RulingStatus, ScopesStatus, SecretStatus, SharingStatus, TokenStatus,
};
use bowline_api::reason::{MessageFacts, Reason};
use bowline_api::terms::{ConnectionTerms, TermsStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::act::ConnectionOutcome;
use super::decide::ConnectionPlan;
use super::decide::verdict::ConditionVerdict;
use super::observed::{ObservedConnection, RecordState};
use crate::grant::target::ScopeComparison;
use crate::members::MembersOutcome;
use crate::secret_plan::{SecretOutcome, SecretPlan};
use crate::sharing::Shared;
use crate::sharing::terms::AgreedTerms;
use crate::vault::record::IssuedKeys;
use crate::vault::{Credential, Grant};

pub(super) fn status(
    connection: &IntegrationConnection,
    observed: &ObservedConnection,
    plan: &ConnectionPlan,
    outcome: &ConnectionOutcome,
    now: Timestamp,
) -> IntegrationConnectionStatus {
    let old = connection.status.clone().unwrap_or_default();
    // Until all is withdrawn, status remembers whose grant it was.
    let is_withdrawn = !outcome.unfinished && !outcome.refused;
    let gone = match plan.authorized.reason {
        // Until then it can be undone.
        Reason::Disconnected => plan.revokes_at.is_none(),
        Reason::OwnerChanged => is_withdrawn,
        _ => false,
    };
    let grant = observed.record.grant().filter(|_| !gone).map(AsRef::as_ref);
    Report { connection, observed, plan, outcome, old: &old, grant, gone, now }.status()
}

struct Report<'a> {
    connection: &'a IntegrationConnection,
    observed: &'a ObservedConnection,
    plan: &'a ConnectionPlan,
    outcome: &'a ConnectionOutcome,
    old: &'a IntegrationConnectionStatus,
    grant: Option<&'a Grant>,
    /// Whether the owner has disconnected it, or it was transferred: nothing is said of its grant any more.
    gone: bool,
    now: Timestamp,
}

impl Report<'_> {
    // long: a line for each field, in their order.
    fn status(&self) -> IntegrationConnectionStatus {
        let Self { connection, observed, plan, old, grant, gone, .. } = *self;
        let history = &plan.history;
        let never_was = matches!(observed.record, RecordState::Missing) && old.connected_at.is_none();
        let keep = !(gone || never_was);
        let (connected_at, connected_by) = self.connected().filter(|_| keep).unzip();
        let version = observed.record.version().filter(|_| !gone);
        let mut next = IntegrationConnectionStatus {
            phase: None,
            id: Some(connection.id()),
            // A readable grant decides, even if it names no account.
            account: grant.map_or_else(|| old.account.clone().filter(|_| keep), account),
            connected_at,
            connected_by,
            authorization: authorization::authorization(connection, observed, plan),
            scopes: self.scopes().or_else(|| old.scopes.clone().filter(|_| keep)),
            // Of a first token that was refused only this remembers when to ask again.
            token: self.token().filter(|_| keep || never_was && !gone && history.last_failure.is_some()),
            key_prefix: self.key_prefix(),
            issued_keys: grant
                .map_or_else(|| if keep { old.issued_keys.clone() } else { Vec::new() }, issued_keys),
            grant: self.grant().or_else(|| old.grant.clone().filter(|_| grant.is_none() && keep)),
            ruling: history.ruling.clone().filter(|_| !gone).map(|ruling| RulingStatus {
                grant: version.map(|version| version.id.to_string()),
                ..ruling
            }),
            revocation: plan.revocation.clone(),
            revokes_at: plan.revokes_at.map(Time),
            last_attempt: plan.last_attempt.clone(),
            history: old.history.clone(),
            secret: self.secret(),
            sharing: self.sharing(),
            terms: self.terms().filter(|_| keep),
            dependents: observed.dependents.told.clone(),
            last_used_at: observed.delivery.told.as_ref().map(|last| last.at.clone()),
            last_delivery: observed.delivery.told.clone(),
            last_handled_refresh: plan.unanswerable.clone().or(history.handled_refresh.clone()),
            last_handled_authorization: plan.unaskable.clone().or(history.handled_authorization.clone()),
            observed_generation: connection.metadata.generation,
            conditions: self.conditions(),
        };
        next.phase = Some(phase(connection, &next).into());
        next
    }

    fn conditions(&self) -> Vec<Condition> {
        let published = self.published();
        let (ready, members) = (self.ready(&published), self.members());
        let verdicts = [
            (ConditionType::Ready, Some(&ready)),
            (ConditionType::Authorized, Some(&self.plan.authorized)),
            (ConditionType::TokenFresh, Some(&self.plan.fresh)),
            (ConditionType::SecretPublished, Some(&published)),
            (ConditionType::Shared, self.plan.shared.as_ref()),
            (ConditionType::Members, members.as_ref()),
        ];
        let generation = self.connection.metadata.generation;
        let mut conditions = Conditions::after(&self.old.conditions, generation, self.now);
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

    fn members(&self) -> Option<ConditionVerdict> {
        let facts = self.connection.facts();
        let (reason, facts) = match &self.outcome.members {
            MembersOutcome::Nobody => return None,
            MembersOutcome::Waiting => (Reason::MembersWait, facts),
            MembersOutcome::InForce => (Reason::MembersInForce, facts),
            MembersOutcome::Taken(what) => (Reason::RoleTaken, MessageFacts { list: Some(what), ..facts }),
            MembersOutcome::Failed(why) => {
                (Reason::MembersNotWritten, MessageFacts { detail: why.into(), ..facts })
            }
        };
        Some(ConditionVerdict::of(reason, &facts))
    }

    fn secret(&self) -> Option<SecretStatus> {
        let name = match (&self.outcome.secret, self.plan.secret) {
            (SecretOutcome::Written, _) | (SecretOutcome::Untouched, SecretPlan::Keep) => {
                Some(self.connection.secret_name())
            }
            (SecretOutcome::Withdrawn, _) => None,
            _ => self.observed.written.as_ref().map(|written| written.name.clone()),
        };
        name.map(|name| SecretStatus { name })
    }

    /// The summary. While the published token is valid, `Authorized` may be unknown: nothing has stopped working yet.
    fn ready(&self, published: &ConditionVerdict) -> ConditionVerdict {
        let ConnectionPlan { authorized, fresh, .. } = self.plan;
        let works = fresh.is_true() && published.is_true();
        let excused = authorized.truth() == Truth::Unknown && works;
        let failing = [authorized, fresh, published]
            .into_iter()
            .find(|verdict| !(verdict.is_true() || excused && std::ptr::eq(*verdict, authorized)));
        let detail = if excused { authorized.message.as_str() } else { "" };
        let facts = MessageFacts { detail: detail.into(), ..self.connection.facts() };
        failing.cloned().unwrap_or_else(|| ConditionVerdict::of(Reason::Connected, &facts))
    }

    fn published(&self) -> ConditionVerdict {
        let said = self.old.conditions.reason_of(ConditionType::SecretPublished);
        let reason = match (&self.outcome.secret, self.plan.secret) {
            (SecretOutcome::Failed { reason, message }, _) => {
                return ConditionVerdict::said(*reason, message.clone());
            }
            (SecretOutcome::Withdrawn, _) | (SecretOutcome::Untouched, SecretPlan::Withdraw) => {
                Reason::Withdrawn
            }
            (SecretOutcome::Written, _) | (SecretOutcome::Untouched, SecretPlan::Keep) => Reason::Published,
            // The write will follow; until then the condition stays as it was.
            (SecretOutcome::Untouched, SecretPlan::Write) if said == Some(Reason::Published) => {
                Reason::Published
            }
            (SecretOutcome::Untouched, SecretPlan::Withhold) => Reason::Withheld,
            (SecretOutcome::Untouched, SecretPlan::Write | SecretPlan::Nothing) => Reason::NotYet,
        };
        let name = self.connection.secret_name();
        ConditionVerdict::of(reason, &MessageFacts { secret: Some(&name), ..self.connection.facts() })
    }

    /// When, and by whom, the present grant was accepted.
    fn connected(&self) -> Option<(Time, String)> {
        let before = self.old.connected_at.clone().zip(self.old.connected_by.clone());
        let Some(grant) = self.grant else { return before };
        // Until its owner confirms the account, nothing is connected.
        if grant.consent.awaits_confirmation() {
            return None;
        }
        // Another key belongs to the same grant.
        let is_first = self.observed.record.version().is_none_or(|version| version.revision == 1);
        let is_new = self.plan.history.accepted && is_first;
        before.filter(|_| !is_new).or_else(|| Some((Time(self.now), grant.bound_to.owner.clone())))
    }

    fn scopes(&self) -> Option<ScopesStatus> {
        let (grant, target) = (self.grant?, self.observed.target()?);
        let asked = self.observed.terms.scopes(self.connection);
        matches!(grant.credential, Credential::OAuth { .. })
            .then(|| ScopeComparison::of(target, &asked, grant.scopes.as_deref()).into_status())
    }

    fn token(&self) -> Option<TokenStatus> {
        let history = &self.plan.history;
        let some = |count: i32| (count > 0).then_some(count);
        let planned = TokenStatus {
            next_refresh_at: self.plan.next_attempt.map(Time),
            requested_refresh_at: self.plan.request_at.filter(|at| *at > self.now).map(Time),
            consecutive_failures: some(history.failures),
            consecutive_refusals: some(history.refusals),
            last_failure: history.last_failure.clone(),
            ..TokenStatus::default()
        };
        let Some(grant) = self.grant else {
            // The record cannot be read now: keep the times, and show what is planned.
            let TokenStatus { expires_at, last_refreshed_at, refreshable, .. } =
                self.old.token.clone().unwrap_or_default();
            let token = TokenStatus { expires_at, last_refreshed_at, refreshable, ..planned };
            return (token != TokenStatus::default()).then_some(token);
        };
        Some(TokenStatus {
            expires_at: grant.expires_at.map(Time),
            last_refreshed_at: Some(Time(grant.obtained_at)),
            refreshable: Some(self.observed.is_refreshable(&self.connection.spec, grant)),
            ..planned
        })
    }

    fn grant(&self) -> Option<GrantStatus> {
        let (grant, version) = (self.grant?, self.observed.record.version()?);
        Some(GrantStatus {
            id: version.id.to_string(),
            revision: version.revision,
            ordinal: Some(version.ordinal).filter(|ordinal| *ordinal > 0),
            obtained_at: Time(grant.obtained_at),
            expires_at: self.plan.lifespan.ends_at.or(grant.refresh_expires_at).map(Time),
            reminder: self
                .plan
                .lifespan
                .reminder
                .map(|reminder| ReminderStatus { ends_at: Time(reminder.ends_at), days: reminder.days }),
        })
    }

    /// While the provider cannot be used, it is the one that was known.
    fn key_prefix(&self) -> Option<String> {
        let Some(target) = self.observed.target() else { return self.old.key_prefix.clone() };
        let rules = target.description().issued_key.as_ref()?;
        self.observed.issues_keys(&self.connection.spec).then(|| rules.prefix.clone())
    }

    fn terms(&self) -> Option<TermsStatus> {
        let AgreedTerms { agreed, proposed, to_seal } = self.observed.terms.agreed()?;
        let generation = self.connection.metadata.generation;
        let told = self.old.terms.as_ref().and_then(|told| told.observed_generation);
        let waiting = Some(proposed).filter(|proposed| proposed.is_wider_than(agreed));
        Some(TermsStatus {
            agreed: agreed.clone(),
            proposed: waiting.cloned(),
            digest: waiting.map(ConnectionTerms::digest),
            by: waiting.and(self.connection.terms_by_another()).map(ToOwned::to_owned),
            observed_generation: if to_seal.is_some() { told } else { generation },
        })
    }

    fn sharing(&self) -> Option<SharingStatus> {
        let workspace = match &self.observed.shared {
            Shared::In { workspace, .. } => workspace,
            Shared::Unknown => return self.old.sharing.clone(),
            Shared::NotAsked
            | Shared::WorkspaceNotFound
            | Shared::OwnerNotMember
            | Shared::Replaced { .. }
            | Shared::NotAllowed(_) => return None,
        };
        let before = self.old.sharing.as_ref().filter(|sharing| sharing.workspace == *workspace);
        Some(SharingStatus {
            workspace: workspace.clone(),
            shared_by: self.connection.spec.owner.clone(),
            shared_at: before.map_or(Time(self.now), |sharing| sharing.shared_at.clone()),
        })
    }
}

fn issued_keys(grant: &Grant) -> Vec<IssuedKeyStatus> {
    let keys = grant.issued_keys().into_iter().flat_map(IssuedKeys::iter);
    let status = keys.map(|key| IssuedKeyStatus {
        id: key.id.clone(),
        created_at: Time(key.created_at),
        created_by: key.created_by.clone(),
        expires_at: key.expires_at.map(Time),
    });
    status.collect()
}

fn account(grant: &Grant) -> Option<AccountStatus> {
    let account = grant.bound_to.account.as_ref()?;
    Some(AccountStatus { id: account.id.clone(), name: account.name.clone(), email: account.email.clone() })
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
    } else if matches!(
        fresh,
        Some(Reason::TokenExpired | Reason::TokenRefused | Reason::NotRefreshable | Reason::NoValidKey)
    ) && !refused
    {
        Phase::Expired
    } else {
        Phase::Error
    }
}
