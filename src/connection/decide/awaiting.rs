//! No grant is in use: what the connection waits for.

use bowline_api::attempt;
use bowline_api::connection::{AttemptResult, Method};
use bowline_api::open::Open;
use bowline_api::reason::{Effect, MessageFacts, Reason};
use kube::ResourceExt;

use super::input::Input;
use super::verdict::ConditionVerdict;
use super::{adoption, consent};
use crate::connection::observed::RecordState;
use crate::grant::target::Target;
use crate::vault::GrantId;

/// The verdict while no grant is in use; `None` where one is.
pub(super) fn awaiting(input: &Input) -> Option<ConditionVerdict> {
    if input.observed.record.grant().is_some() {
        return None;
    }
    if let Some(unprotected) = input.unprotected() {
        return Some(unprotected);
    }
    let target = input.observed.target();
    let adoption = || adoption::offered(input, target?);
    in_progress(input).or_else(adoption).or_else(|| failed_attempt(input)).or_else(|| {
        let target = target?;
        Some(on_record(input).unwrap_or_else(|| awaiting_first(input, target)))
    })
}

fn in_progress(input: &Input) -> Option<ConditionVerdict> {
    let progress = consent::progress(&input.observed.attempts)?;
    Some(input.verdict(Reason::AuthorizationInProgress, progress))
}

fn failed_attempt(input: &Input) -> Option<ConditionVerdict> {
    let attempt = input.attempt.as_ref()?;
    // An attempt that ended beside a grant does not explain why there is none now.
    if attempt.grant_in_use.is_some() || attempt.result.is(AttemptResult::Succeeded) {
        return None;
    }
    let reason =
        attempt.reason.as_ref().and_then(Open::known).filter(|reason| !is_said_by_a_check(*reason))?;
    Some(ConditionVerdict::said(reason, attempt.message.clone()))
}

/// Whether an attempt with this reason failed because none could be taken in then. While that lasts a check says it, and after
/// that it must not keep the connection from being connected.
fn is_said_by_a_check(reason: Reason) -> bool {
    matches!(reason.row().effect, Effect::Coast | Effect::Withdraw | Effect::End)
}

fn on_record(input: &Input) -> Option<ConditionVerdict> {
    let (reason, detail) = match &input.observed.record {
        RecordState::Present(present) if present.doubted_since.is_some() => {
            (Reason::IntakeOutcomeUnknown, "")
        }
        RecordState::Present(present) if present.has_candidate => {
            (Reason::AuthorizationInProgress, "The grant is being checked with the provider.")
        }
        // A grant that is being ended is not missed.
        RecordState::Missing if input.connection.was_connected() && !is_ending(input) => {
            (Reason::RecordMissing, "")
        }
        _ => return None,
    };
    Some(input.verdict(reason, detail))
}

/// Whether the grant that status shows is being ended.
fn is_ending(input: &Input) -> bool {
    let shown = input.connection.grant();
    let is_it = |id: GrantId| shown.is_none_or(|shown| shown.id == id.to_string());
    input.observed.endings.iter().filter_map(|ending| ending.grant).any(is_it)
}

fn awaiting_first(input: &Input, target: &Target) -> ConditionVerdict {
    let spec = &input.connection.spec;
    if input.observed.is_minted(spec) {
        return awaiting_mint(input);
    }
    if let (Some(credentials), None) = (&spec.credentials, &input.observed.credentials) {
        let facts = MessageFacts { secret: Some(&credentials.secret_name), ..input.facts() };
        let unknown = input.observed.namespace_unreadable;
        let reason = if unknown { Reason::NamespaceUnreadable } else { Reason::CredentialsNotFound };
        return ConditionVerdict::of(reason, &facts);
    }
    let how = how_to_connect(input, target)
        .unwrap_or_else(|| format!("kubectl bowline import {}", input.connection.name_any()));
    ConditionVerdict::of(Reason::AwaitingAuthorization, &MessageFacts { how: Some(&how), ..input.facts() })
}

/// The first token is minted without anybody's doing, so nobody but this condition says why there is none.
fn awaiting_mint(input: &Input) -> ConditionVerdict {
    let Some(failure) = &input.history.last_failure else {
        let detail = "The first token is being requested with the app registration.";
        return input.verdict(Reason::AuthorizationInProgress, detail);
    };
    let next =
        input.history.retry_at.map_or_else(String::new, |at| format!(" The next request is due at {at}."));
    input.verdict(Reason::MintFailed, format!("{}.{next}", failure.message))
}

/// How a person consents or has a key issued, if there is a way.
fn how_to_connect(input: &Input, target: &Target) -> Option<String> {
    let name = input.connection.name_any();
    let method = target.method(&input.connection.spec);
    let by_code = target.methods().contains(&Method::DeviceCode) && target.allows_device_flow();
    let command = match method {
        Method::AuthorizationCode | Method::DeviceCode | Method::LinkSession => "connect",
        Method::IssuedKey => "issue",
        _ => return None,
    };
    match &input.observed.portal {
        Some(portal) => {
            let namespace = input.connection.namespace().unwrap_or_default();
            let page = attempt::connection_page(portal, &namespace, &name);
            Some(format!("kubectl bowline {command} {name}, or {page}"))
        }
        None if method == Method::IssuedKey => Some(format!("kubectl bowline issue {name}")),
        None => by_code.then(|| format!("kubectl bowline connect {name} --device")),
    }
}
