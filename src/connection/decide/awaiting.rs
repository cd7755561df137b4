//! No grant is in use yet: what is waited for, and whom.

use bowline_api::attempt;
use bowline_api::connection::Method;
use bowline_api::reason;
use kube::ResourceExt;

use super::checks::Input;
use super::consent;
use super::history::Refusal;
use super::verdict::{Effect, Verdict};
use crate::connection::observed::{RecordState, was_connected};
use crate::grant::target::Target;

/// The verdict while no grant is in use; `None` where one is.
pub fn awaiting(input: &Input) -> Option<Verdict> {
    if input.observed.record.grant().is_some() {
        return None;
    }
    if let Some(message) = consent::progress(&input.observed.attempts) {
        return Some(in_progress(&message));
    }
    if let Some(Refusal { reason, message }) =
        brought_in_vain(input, "It is tried again; should that be refused, bring a new one.")
    {
        return Some(Verdict::no(reason, Effect::Serve, message));
    }
    let target = input.observed.provider.target()?;
    if let Some(verdict) = on_record(input) {
        return Some(verdict);
    }
    if target.method(&input.connection.spec) == Method::ClientCredentials {
        return Some(in_progress("The first token is being minted from the app registration."));
    }
    Some(awaiting_person(input, target))
}

fn in_progress(message: &str) -> Verdict {
    Verdict::no(reason::AUTHORIZATION_IN_PROGRESS, Effect::Serve, message)
}

/// What the record says without a grant in use.
fn on_record(input: &Input) -> Option<Verdict> {
    match &input.observed.record {
        RecordState::Present(present) if present.ending => Some(in_progress(
            "The earlier grant is being revoked at the provider; then a new one can be brought.",
        )),
        RecordState::Present(present) if present.has_candidate => {
            Some(in_progress("A grant was brought and is being checked with the provider."))
        }
        RecordState::Missing if was_connected(input.connection.status.as_ref()) => Some(Verdict::no(
            reason::RECORD_MISSING,
            Effect::Serve,
            "The sealed record of the grant is gone. An administrator may restore it from a backup, or the owner connects again.",
        )),
        _ => None,
    }
}

/// Why what was brought last is not in use: no answer came for it, which is said with what follows from that, or it was refused.
pub fn brought_in_vain(input: &Input, what_next: &str) -> Option<Refusal> {
    let present = input.observed.record.present();
    let in_doubt = present.is_some_and(|present| present.doubted_since.is_some() && !present.ending);
    if in_doubt {
        let message =
            format!("What was brought was sent to the provider, and its answer never arrived. {what_next}");
        return Some(Refusal { reason: reason::INTAKE_OUTCOME_UNKNOWN, message });
    }
    input.history.intake_refused.clone()
}

fn awaiting_person(input: &Input, target: &Target) -> Verdict {
    let spec = &input.connection.spec;
    let name = input.connection.name_any();
    let owner = &spec.owner;
    if let (Some(credentials), None) = (&spec.credentials, &input.observed.credentials) {
        let secret = &credentials.secret_name;
        return Verdict::no(
            reason::CREDENTIALS_NOT_FOUND,
            Effect::Serve,
            format!(
                "There is no Secret {secret} of type bowline.dev/credential here. Whoever keeps it must apply it; then it goes on by itself."
            ),
        );
    }
    if let Some(how) = consent_from_person(input, target) {
        let message = format!("Waiting for {owner} to allow access at the provider: {how}.");
        return Verdict::no(reason::AWAITING_AUTHORIZATION, Effect::Serve, message);
    }
    let what = match target.method(spec) {
        Method::ApiKey => "the key",
        Method::BasicAuth => "user name and password",
        Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken | Method::ClientCredentials => {
            "the grant"
        }
    };
    Verdict::no(
        reason::AWAITING_AUTHORIZATION,
        Effect::Serve,
        format!("Waiting for {owner} to bring {what}: kubectl bowline import {name}."),
    )
}

/// How a person consents, where the provider asks persons and there is a way to it.
fn consent_from_person(input: &Input, target: &Target) -> Option<String> {
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
