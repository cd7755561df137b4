//! May this grant be used, and may its token be published? A chain of checks; the first answer counts.

use std::borrow::Borrow;

use bowline_api::connection::Method;
use bowline_api::open::Open;
use bowline_api::owner::{may_own, service_account};
use bowline_api::reason::{Effect, MessageFacts, Reason};
use kube::ResourceExt;

use super::ended::{self, revocation};
use super::input::Input;
use super::lifespan::{self, Reminder};
use super::verdict::ConditionVerdict;
use super::{awaiting, consent};
use crate::connection::observed::RecordState;
use crate::grant::target::{ScopeComparison, Target};
use crate::sharing::limits::ReachedLimit;
use crate::vault::{Credential, Grant, Mismatch};
use crate::world::{ProviderUse, UnusableProvider};

type Check = fn(&Input) -> Option<ConditionVerdict>;

/// The order: first what withdraws the token, then what withholds it, then what only stops requests, then what the connection
/// waits for. What its owner has not agreed to must not be published because something else is shown.
const CHECKS: &[Check] = &[
    owner_unverified,
    transferred,
    disconnected,
    reserved_namespace,
    not_allowed,
    limit_reached,
    provider_unusable,
    answer_unstored,
    record_unusable,
    ruled_out,
    consent_over,
    key_expired,
    consent_outdated,
    unconfirmed,
    scopes_missing,
    scopes_extra,
    outcome_unknown,
    provider_not_ready,
    awaiting::awaiting,
    grants_refused,
    scopes_proposed,
];

pub(crate) fn authorized(input: &Input) -> ConditionVerdict {
    CHECKS.iter().find_map(|check| check(input)).unwrap_or_else(|| accepted(input))
}

fn owner_unverified(input: &Input) -> Option<ConditionVerdict> {
    let spec = &input.connection.spec;
    let method = spec.method.as_ref().and_then(Open::known);
    let exchanges = method == Some(Method::TokenExchange);
    let namespace = input.connection.namespace();
    let is_foreign = service_account(&spec.owner).is_none_or(|(its, _)| Some(its) != namespace.as_deref());
    if exchanges && is_foreign {
        let detail =
            "With the method TokenExchange it must be a ServiceAccount of the connection's own namespace.";
        return Some(input.verdict(Reason::OwnerUnverified, detail));
    }
    (!may_own(&spec.owner, method, spec.credentials.is_some())).then(|| {
        let detail = "A ServiceAccount needs a method without a person's consent, such as ClientCredentials, or spec.credentials.";
        input.verdict(Reason::OwnerUnverified, detail)
    })
}

/// What the former owner allowed does not pass to another one. Once nothing of it is left, the new owner may connect.
fn transferred(input: &Input) -> Option<ConditionVerdict> {
    let former = ended::former_owner(input)?;
    let facts = MessageFacts { list: Some(former), detail: how_far(input).into(), ..input.facts() };
    Some(ConditionVerdict::of(Reason::OwnerChanged, &facts))
}

fn disconnected(input: &Input) -> Option<ConditionVerdict> {
    let so_far = || match ended::revokes_at(input) {
        Some(at) => format!(
            "Its Secrets are withdrawn. Its grant is revoked at {at}; kubectl bowline undo {} restores it until then, without another consent.",
            input.connection.name_any()
        ),
        None => how_far(input),
    };
    input.connection.is_disconnected().then(|| input.verdict(Reason::Disconnected, so_far()))
}

/// How far the end of the grant is. Nothing is called done before it is.
fn how_far(input: &Input) -> String {
    let observed = input.observed;
    let told = match (&observed.record, revocation(input)) {
        (RecordState::Unreadable | RecordState::Tampered, _) => {
            "The sealed record cannot be read, so the grant is not revoked at the provider.".to_owned()
        }
        (RecordState::Missing, Some(known)) => known.message,
        (RecordState::Missing, None) if observed.endings.is_empty() => {
            "No grant is on record, so there is none to revoke.".to_owned()
        }
        (_, _) => "The grant is being revoked at the provider.".to_owned(),
    };
    let shares = observed.shares.iter().filter(|share| share.metadata.deletion_timestamp.is_none());
    let left: Vec<_> = shares.filter_map(|share| share.namespace()).collect();
    if !left.is_empty() {
        return format!("{told} It is not withdrawn yet from {}.", left.join(", "));
    }
    told
}

fn reserved_namespace(input: &Input) -> Option<ConditionVerdict> {
    input.observed.is_reserved.then(|| input.verdict(Reason::ReservedNamespace, ""))
}

fn not_allowed(input: &Input) -> Option<ConditionVerdict> {
    match &input.observed.usage {
        ProviderUse::Allowed => None,
        ProviderUse::Refused(why) => Some(input.verdict(Reason::ProviderNotAllowed, why.as_str())),
        ProviderUse::Unknown(why) => Some(ConditionVerdict::said(Reason::ProviderNotReady, why.clone())),
    }
}

/// It has no grant, and gets none before its workspace has a place for it.
fn limit_reached(input: &Input) -> Option<ConditionVerdict> {
    let ReachedLimit { workspace, contact, detail } = input.observed.reached_limit.as_ref()?;
    let facts = MessageFacts {
        workspace: Some(workspace),
        keeper: contact.as_deref(),
        detail: detail.as_str().into(),
        ..input.facts()
    };
    Some(ConditionVerdict::of(Reason::LimitReached, &facts))
}

fn provider_unusable(input: &Input) -> Option<ConditionVerdict> {
    let (reason, detail) = match &input.observed.provider {
        Err(UnusableProvider::NotFound) => (Reason::ProviderNotFound, ""),
        Err(UnusableProvider::ParametersInvalid(why)) => (Reason::ParametersInvalid, why.as_str()),
        Ok(_) | Err(UnusableProvider::NotReady(_)) => return None,
    };
    Some(input.verdict(reason, detail))
}

fn record_unusable(input: &Input) -> Option<ConditionVerdict> {
    let reason = match input.observed.record {
        RecordState::Tampered => Reason::RecordTampered,
        RecordState::Unreadable => Reason::RecordUnreadable,
        // A token is minted again, after which it is newer than what was published.
        RecordState::RolledBack(_) if input.observed.is_minted(&input.connection.spec) => return None,
        RecordState::RolledBack(_) => Reason::RecordRolledBack,
        RecordState::Missing | RecordState::Present(_) => return None,
    };
    Some(input.verdict(reason, ""))
}

/// A commit that takes long is told, because nobody else sees it.
fn answer_unstored(input: &Input) -> Option<ConditionVerdict> {
    let since = input.observed.actor.unstored_since?.to_string();
    Some(ConditionVerdict::of(Reason::AnswerNotStored, &MessageFacts { at: Some(&since), ..input.facts() }))
}

/// The provider's decision about the grant is valid until there is a new grant.
fn ruled_out(input: &Input) -> Option<ConditionVerdict> {
    let ruling = input.history.ruling.as_ref()?;
    Some(input.verdict(ruling.reason.known()?, ruling.message.as_str()))
}

/// The provider said when the consent ends, and that time is past: nobody need ask it.
fn consent_over(input: &Input) -> Option<ConditionVerdict> {
    let ended = input.observed.record.grant()?.consent.ends_at.filter(|at| *at <= input.now)?;
    Some(input.verdict(Reason::GrantExpired, format!("The consent ended at {ended}, as the provider said.")))
}

/// Whoever provided a key knew when it expires, or the provider said so: nobody has to be asked again.
fn key_expired(input: &Input) -> Option<ConditionVerdict> {
    let grant = input.observed.record.grant()?;
    let is_key = matches!(grant.credential, Credential::ApiKey { .. } | Credential::Basic { .. });
    let at = grant.expires_at.filter(|at| is_key && *at <= input.now)?;
    Some(input.verdict(Reason::GrantExpired, format!("It expired at {at}.")))
}

fn outcome_unknown(input: &Input) -> Option<ConditionVerdict> {
    let present = input.observed.record.present()?;
    (present.unknown_since.is_some() && present.grant.is_some() && !input.observed.actor.busy).then(|| {
        let detail =
            if input.pending_refresh().is_some() { "The requested refresh waits for that." } else { "" };
        input.verdict(Reason::RotationOutcomeUnknown, detail)
    })
}

fn provider_not_ready(input: &Input) -> Option<ConditionVerdict> {
    if let Err(UnusableProvider::NotReady(message)) = &input.observed.provider {
        return Some(ConditionVerdict::said(Reason::ProviderNotReady, message.clone()));
    }
    let next_probe = input.observed.next_probe?;
    let verdict = input.verdict(Reason::ProviderNotReady, "It refuses our app registration, not this grant.");
    // One probe in five minutes may be sent; the registration book gives it to one connection.
    Some(ConditionVerdict {
        effect: if input.now >= next_probe { Effect::Serve } else { Effect::Coast },
        ..verdict
    })
}

/// Many grants are refused at once: that is not about this one. It waits for its turn to be a probe.
fn grants_refused(input: &Input) -> Option<ConditionVerdict> {
    input.observed.incident?;
    let is_refreshed =
        input.observed.record.grant().is_some() && !input.observed.is_minted(&input.connection.spec);
    is_refreshed.then(|| input.verdict(Reason::GrantsRefused, ""))
}

/// A grant is bound to its owner and what they consented to: when that changes, it is not used. Nobody consented to a minted
/// token: the next one is minted on the present terms, and the app Secret says where it may be sent.
fn consent_outdated(input: &Input) -> Option<ConditionVerdict> {
    let grant = input.observed.record.grant()?;
    let target = input.observed.target()?;
    if input.observed.is_minted(&input.connection.spec) && !grant.consent.is_ours() {
        return None;
    }
    let own_app = input.observed.actor.app_differs.then(|| Mismatch::Client.to_string());
    let differs = target.differs_from(&grant.bound_to, &input.connection.spec.owner);
    // Only the actor reads the client id of an own app, so it must be allowed to check again.
    let checked_again = own_app.is_some() && differs.is_none();
    let what = differs.or(own_app)?;
    let verdict =
        ConditionVerdict::of(Reason::ConsentOutdated, &MessageFacts { list: Some(&what), ..input.facts() });
    let effect = if checked_again { Effect::Withhold } else { verdict.effect };
    Some(ConditionVerdict { effect, ..verdict })
}

/// Device flow cannot prove who finished it: the owner confirms the account first.
fn unconfirmed(input: &Input) -> Option<ConditionVerdict> {
    let grant = input.observed.record.grant().filter(|grant| grant.consent.awaits_confirmation())?;
    let id = consent::account_id(grant);
    let account = grant.bound_to.account.as_ref();
    let shown = account.and_then(|account| account.name.as_deref()).unwrap_or(&id);
    let facts = MessageFacts { account: Some(shown), account_id: Some(&id), ..input.facts() };
    Some(ConditionVerdict::of(Reason::AwaitingConfirmation, &facts))
}

fn scopes_missing(input: &Input) -> Option<ConditionVerdict> {
    let (_, _, scopes) = scopes(input)?;
    listed(input, Reason::MissingScopes, &scopes.missing_required)
}

/// If more scopes were granted than reviewed, nothing is published before the owner agrees.
fn scopes_extra(input: &Input) -> Option<ConditionVerdict> {
    let (grant, target, scopes) = scopes(input)?;
    listed(input, Reason::ExtraScopes, &scopes.beyond_review(target, grant))
}

fn scopes<'a>(input: &Input<'a>) -> Option<(&'a Grant, &'a Target, ScopeComparison)> {
    let (grant, target) = (input.observed.record.grant()?, input.observed.target()?);
    let asked = input.observed.terms.scopes(input.connection);
    Some((grant, target, ScopeComparison::of(target, &asked, grant.scopes.as_deref())))
}

fn listed(input: &Input, reason: Reason, list: &[impl Borrow<str>]) -> Option<ConditionVerdict> {
    let facts = MessageFacts { list: Some(&list.join(", ")), ..input.facts() };
    (!list.is_empty()).then(|| ConditionVerdict::of(reason, &facts))
}

/// More scopes wait for the owner. Everything works on as it was.
fn scopes_proposed(input: &Input) -> Option<ConditionVerdict> {
    let terms = input.observed.terms.agreed()?;
    if !terms.proposed.requests_more_than(&terms.agreed) {
        return None;
    }
    let added = terms.proposed.added_scopes(&terms.agreed);
    let list = added.map_or_else(
        || "the provider's default scopes".to_owned(),
        |added| added.into_iter().collect::<Vec<_>>().join(", "),
    );
    let facts = MessageFacts { list: Some(&list), ..input.facts() };
    Some(ConditionVerdict::of(Reason::ScopeApprovalNeeded, &facts))
}

fn accepted(input: &Input) -> ConditionVerdict {
    let Some(Reminder { ends_at, is_unused, .. }) = lifespan::reminder(input) else {
        let issued = input.observed.record.grant().is_some_and(|grant| grant.issued_keys().is_some());
        return input.verdict(if issued { Reason::KeysIssued } else { Reason::Authorized }, "");
    };
    let detail = match (is_unused, input.connection.is_paused()) {
        (true, true) => {
            "The provider ends it because nobody uses it: remove spec.suspend before then, and it goes on."
        }
        (true, false) => "The provider ends it because no refresh has used it for long.",
        (false, _) => "",
    };
    let at = ends_at.to_string();
    let facts = MessageFacts { at: Some(&at), detail: detail.into(), ..input.facts() };
    ConditionVerdict::of(Reason::GrantExpiringSoon, &facts)
}
