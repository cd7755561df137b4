//! May this grant be used, and may its token be published? A chain of questions; the first answer counts.

use std::time::Duration;

use bowline_api::{IntegrationConnection, reason};
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::awaiting::brought_in_vain;
use super::history::{History, Refusal};
use super::verdict::{Effect, Verdict};
use super::{awaiting, consent};
use crate::connection::observed::{Observed, Provider, RecordState};
use crate::grant::target::Scopes;

/// What the checks look at.
pub struct Input<'a> {
    /// The object.
    pub connection: &'a IntegrationConnection,
    /// What was gathered.
    pub observed: &'a Observed,
    /// What earlier attempts came to.
    pub history: &'a History,
    /// The time of the decision.
    pub now: Timestamp,
}

/// So long before a grant ends by itself, its owner is told (R14).
const WARNED_BEFORE: Duration = Duration::from_hours(14 * 24);

type Check = fn(&Input) -> Option<Verdict>;

/// In this order. What takes the token away comes before what only stops traffic, and that before what is waited for.
const CHECKS: &[Check] = &[
    owner_unverified,
    disconnected,
    not_allowed,
    provider_missing,
    parameters_invalid,
    record_tampered,
    record_unreadable,
    ruled_out,
    outcome_unknown,
    provider_not_ready,
    consent_outdated,
    awaiting::awaiting,
    unconfirmed,
    scopes_missing,
    scopes_extra,
];

/// The verdict on the grant.
pub fn authorized(input: &Input) -> Verdict {
    CHECKS.iter().find_map(|check| check(input)).unwrap_or_else(|| accepted(input))
}

fn owner_unverified(input: &Input) -> Option<Verdict> {
    let owner = &input.connection.spec.owner;
    (owner.is_empty() || owner.starts_with("system:")).then(|| {
        Verdict::no(
            reason::OWNER_UNVERIFIED,
            Effect::Withdraw,
            "spec.owner does not name a person. Set it to the user who consents.",
        )
    })
}

fn disconnected(input: &Input) -> Option<Verdict> {
    input.connection.spec.disconnect.unwrap_or_default().then(|| {
        let message = match input.observed.record {
            RecordState::Missing => "Disconnected: the grant is revoked and erased. Set spec.disconnect to false to connect again.",
            _ => "Disconnected: withdrawn everywhere, and being revoked at the provider.",
        };
        Verdict::no(reason::DISCONNECTED, Effect::End, message)
    })
}

fn not_allowed(input: &Input) -> Option<Verdict> {
    let target = input.observed.provider.target()?;
    let spec = &input.connection.spec;
    let refuse = |why: String| {
        Some(Verdict::no(
            reason::PROVIDER_NOT_ALLOWED,
            Effect::Withdraw,
            format!("{why} {}", target.whom_to_ask()),
        ))
    };
    if !target.allows_namespace(&input.observed.namespace_labels) {
        return refuse(format!(
            "Provider {} does not allow connections in this namespace.",
            target.provider()
        ));
    }
    if !target.allows_workspace(spec.workspace.as_deref()) {
        return refuse(format!("Provider {} does not allow this workspace.", target.provider()));
    }
    if spec.app.is_some() && !target.allows_own_app() {
        return refuse(format!(
            "Provider {} does not allow connections to bring their own app.",
            target.provider()
        ));
    }
    if let Some(method) = spec.method.filter(|method| !target.methods().contains(method)) {
        return refuse(format!("Provider {} does not offer the method {method:?}.", target.provider()));
    }
    let beyond = target.scopes_beyond_allowed(&spec.scopes);
    if !beyond.is_empty() {
        return refuse(format!(
            "Provider {} does not allow the scopes {}.",
            target.provider(),
            beyond.join(", ")
        ));
    }
    None
}

fn provider_missing(input: &Input) -> Option<Verdict> {
    matches!(input.observed.provider, Provider::NotFound).then(|| {
        let provider = &input.connection.spec.provider;
        Verdict::unknown(
            reason::PROVIDER_NOT_FOUND,
            format!("There is no IntegrationProvider {provider}. An administrator must apply it; then it goes on by itself."),
        )
    })
}

fn parameters_invalid(input: &Input) -> Option<Verdict> {
    match &input.observed.provider {
        Provider::ParametersInvalid { message } => {
            Some(Verdict::no(reason::PARAMETERS_INVALID, Effect::Coast, message.clone()))
        }
        _ => None,
    }
}

fn record_tampered(input: &Input) -> Option<Verdict> {
    matches!(input.observed.record, RecordState::Tampered).then(|| {
        Verdict::no(
            reason::RECORD_TAMPERED,
            Effect::Coast,
            "The sealed record was changed by somebody other than the operator. Nothing is sent with it; a security administrator must look, then the owner connects again.",
        )
    })
}

fn record_unreadable(input: &Input) -> Option<Verdict> {
    matches!(input.observed.record, RecordState::Unreadable).then(|| {
        Verdict::unknown(
            reason::RECORD_UNREADABLE,
            "The keyring has no key that opens the record. Nothing for the owner to do: an administrator must restore the keyring.",
        )
    })
}

/// What the provider has decided about the grant stands until a new grant comes.
fn ruled_out(input: &Input) -> Option<Verdict> {
    let ruling = input.history.ruling.as_ref()?;
    let effect = match (ruling.reason, ruling.is_final) {
        (reason::GRANT_REVOKED, _) => Effect::Withdraw,
        (_, true) => Effect::Coast,
        (_, false) => Effect::Serve,
    };
    Some(Verdict::no(ruling.reason, effect, ruling.message.clone()))
}

fn outcome_unknown(input: &Input) -> Option<Verdict> {
    let present = input.observed.record.present()?;
    (present.unknown_since.is_some() && present.grant.is_some() && !input.observed.busy).then(|| Verdict {
        effect: Effect::Serve,
        ..Verdict::unknown(
            reason::ROTATION_OUTCOME_UNKNOWN,
            "A refresh was sent and its answer never arrived. The published token still works; the stored refresh token is tried once more before that ends.",
        )
    })
}

fn provider_not_ready(input: &Input) -> Option<Verdict> {
    match &input.observed.provider {
        Provider::NotReady { message } => Some(Verdict::unknown(reason::PROVIDER_NOT_READY, message.clone())),
        Provider::Rejected { target, next_probe } => Some(Verdict {
            // One probe in five minutes may go out; the actor's registration book hands it to one connection.
            effect: if input.now >= *next_probe { Effect::Serve } else { Effect::Coast },
            ..Verdict::unknown(
                reason::PROVIDER_NOT_READY,
                format!(
                    "Provider {} refuses our app registration, not this grant. {}",
                    target.provider(),
                    target.whom_to_ask()
                ),
            )
        }),
        Provider::NotFound | Provider::ParametersInvalid { .. } | Provider::Ready(_) => None,
    }
}

/// A grant is bound to who consented to what: when that changes, nothing is spent.
fn consent_outdated(input: &Input) -> Option<Verdict> {
    let grant = input.observed.record.grant()?;
    let target = input.observed.provider.target()?;
    let own_app = input.observed.app_differs.then_some("client id of the app");
    let what = target.differs_from(&grant.bound_to, &input.connection.spec.owner).or(own_app)?;
    // Which client the own app names, the actor finds out by reading it, so it must be let look again.
    let effect = if own_app.is_some() { Effect::Withhold } else { Effect::Coast };
    Some(Verdict::no(
        reason::CONSENT_OUTDATED,
        effect,
        format!(
            "The {what} is not the one that was consented to. Nothing is sent; what is published stays until it expires. Put it back, or the owner must connect again."
        ),
    ))
}

/// Device flow cannot prove who finished it: the owner agrees to the account first.
fn unconfirmed(input: &Input) -> Option<Verdict> {
    let grant = input.observed.record.grant().filter(|grant| grant.consent.awaits_confirmation())?;
    let (id, name) = (consent::account_id(grant), input.connection.name_any());
    let account = grant.bound_to.account.as_ref();
    let shown = account.and_then(|account| account.name.as_deref()).unwrap_or(&id);
    Some(Verdict::no(
        reason::AWAITING_CONFIRMATION,
        Effect::Withhold,
        format!(
            "Somebody allowed access for the account {shown} with the code; nothing proves that it was {}. To agree: kubectl bowline connect {name} --accept-account {id}.",
            input.connection.spec.owner
        ),
    ))
}

/// More than was reviewed is not published before its owner says so.
fn scopes_extra(input: &Input) -> Option<Verdict> {
    let grant = input.observed.record.grant()?;
    let target = input.observed.provider.target()?;
    let scopes = Scopes::compare(target, &input.connection.spec.scopes, grant.scopes.as_deref());
    let extra = scopes.beyond_review(target, grant).join(", ");
    (!extra.is_empty()).then(|| {
        Verdict::no(
            reason::EXTRA_SCOPES,
            Effect::Withhold,
            format!(
                "The provider gave more than was asked for: {extra}. {} agrees, in the portal or by adding them to spec.scopes, or takes them back at the provider and connects again.",
                input.connection.spec.owner
            ),
        )
    })
}

fn scopes_missing(input: &Input) -> Option<Verdict> {
    let grant = input.observed.record.grant()?;
    let target = input.observed.provider.target()?;
    let scopes = Scopes::compare(target, &input.connection.spec.scopes, grant.scopes.as_deref());
    (!scopes.missing_required.is_empty()).then(|| {
        Verdict::no(
            reason::MISSING_SCOPES,
            Effect::Withhold,
            format!("The provider did not grant {}, which are required. The owner must connect again and agree to them.", scopes.missing_required.join(", ")),
        )
    })
}

/// The end that the provider names for the grant, if it is near and using the grant does not move it.
fn ends_soon(input: &Input) -> Option<Timestamp> {
    let grant = input.observed.record.grant()?;
    let ends = grant.refresh_expires_at.filter(|_| grant.refresh_end_moves == Some(false))?;
    (input.now < ends && later(input.now, WARNED_BEFORE) >= ends).then_some(ends)
}

fn accepted(input: &Input) -> Verdict {
    if let Some(Refusal { reason, message }) =
        brought_in_vain(input, "The earlier grant stays in use. Bring it again.")
    {
        return Verdict::yes(reason, message);
    }
    if let Some(ends) = ends_soon(input) {
        return Verdict::yes(
            reason::GRANT_EXPIRING_SOON,
            format!(
                "The grant ends by itself at {ends}. Until then all works; the owner must connect again before that."
            ),
        );
    }
    Verdict::yes(
        reason::AUTHORIZED,
        format!("{} consented and the provider honours it.", input.connection.spec.owner),
    )
}
