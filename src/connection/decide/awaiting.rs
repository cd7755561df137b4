//! No grant is in use: what is waited for, and whom.

use bowline_api::attempt;
use bowline_api::connection::{AttemptResult, Method};
use bowline_api::open::Open;
use bowline_api::reason::{Facts, Reason};
use kube::ResourceExt;

use super::consent;
use super::input::Input;
use super::verdict::Verdict;
use crate::connection::observed::RecordState;
use crate::grant::target::Target;

/// The verdict while no grant is in use; `None` where one is.
pub(super) fn awaiting(input: &Input) -> Option<Verdict> {
    if input.observed.record.grant().is_some() {
        return None;
    }
    if let Some(message) = consent::progress(&input.observed.attempts) {
        return Some(input.verdict(Reason::AuthorizationInProgress, message));
    }
    if let Some(verdict) = failed_attempt(input) {
        return Some(verdict);
    }
    let target = input.observed.target()?;
    if let Some(verdict) = on_record(input) {
        return Some(verdict);
    }
    if target.method(&input.connection.spec) == Method::ClientCredentials {
        let detail = "The first token is being requested with the app registration.";
        return Some(input.verdict(Reason::AuthorizationInProgress, detail));
    }
    Some(awaiting_person(input, target))
}

/// Why the last attempt led to no grant.
fn failed_attempt(input: &Input) -> Option<Verdict> {
    let attempt = input.attempt.as_ref()?;
    // One that ended beside a grant says nothing about why there is none now.
    if attempt.grant_in_use.is_some() || attempt.result.is(AttemptResult::Succeeded) {
        return None;
    }
    let reason = attempt.reason.as_ref().and_then(Open::known)?;
    Some(Verdict::said(reason, attempt.message.clone()))
}

/// What the record says without a grant in use.
fn on_record(input: &Input) -> Option<Verdict> {
    match &input.observed.record {
        RecordState::Present(present) if present.ending => Some(input.verdict(
            Reason::AuthorizationInProgress,
            "The earlier grant is being revoked at the provider; then a new one is accepted.",
        )),
        RecordState::Present(present) if present.doubted_since.is_some() => {
            Some(input.verdict(Reason::IntakeOutcomeUnknown, ""))
        }
        RecordState::Present(present) if present.has_candidate => Some(
            input.verdict(Reason::AuthorizationInProgress, "The grant is being checked with the provider."),
        ),
        RecordState::Missing if input.connection.was_connected() => {
            Some(input.verdict(Reason::RecordMissing, ""))
        }
        _ => None,
    }
}

fn awaiting_person(input: &Input, target: &Target) -> Verdict {
    let spec = &input.connection.spec;
    if let (Some(credentials), None) = (&spec.credentials, &input.observed.credentials) {
        let facts = Facts { secret: Some(&credentials.secret_name), ..input.facts() };
        return Verdict::of(Reason::CredentialsNotFound, &facts);
    }
    let how = how_to_connect(input, target)
        .unwrap_or_else(|| format!("kubectl bowline import {}", input.connection.name_any()));
    Verdict::of(Reason::AwaitingAuthorization, &Facts { how: Some(&how), ..input.facts() })
}

/// How a person consents, where the provider asks persons and there is a way to it.
fn how_to_connect(input: &Input, target: &Target) -> Option<String> {
    let name = input.connection.name_any();
    let method = target.method(&input.connection.spec);
    let by_code = target.methods().contains(&Method::DeviceCode) && target.allows_device_flow();
    if !matches!(method, Method::AuthorizationCode | Method::DeviceCode) {
        return None;
    }
    match &input.observed.portal {
        Some(portal) => {
            let namespace = input.connection.namespace().unwrap_or_default();
            let page = attempt::connection_page(portal, &namespace, &name);
            Some(format!("kubectl bowline connect {name}, or {page}"))
        }
        None => by_code.then(|| format!("kubectl bowline connect {name} --device")),
    }
}
