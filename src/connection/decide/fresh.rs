//! Is the token fresh, and when is the next attempt due?

use bowline_api::connection::Method;
use bowline_api::reason;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::checks::Input;
use super::verdict::{Effect, Verdict};
use crate::grant::schedule::{self, Policy};
use crate::grant::target::Target;
use crate::vault::{Credential, Grant};

/// The verdict on the published token.
pub fn fresh(input: &Input, next_attempt: Option<Timestamp>) -> Verdict {
    if input.connection.spec.suspend.unwrap_or_default() {
        return Verdict::no(
            reason::SUSPENDED,
            Effect::Coast,
            "Suspended: nothing is sent to the provider, and what is published stays until it expires.",
        );
    }
    let Some(token) = Token::of(input) else {
        return Verdict::unknown(reason::NOT_YET, "There is no token.");
    };
    let next = next_attempt.map_or_else(String::new, |at| format!(" Next attempt at {at}."));
    let Some(ends) = token.expires_at else {
        return Verdict::yes(reason::NEVER_EXPIRES, "The provider names no end for it.");
    };
    if ends <= input.now { ended(input, &token, ends, &next) } else { alive(input, &token, ends, &next) }
}

/// Why the last attempt failed, if it failed.
fn failure<'a>(input: &Input<'a>) -> Option<&'a str> {
    input.history.last_failure.as_ref().map(|failure| failure.message.as_str())
}

fn ended(input: &Input, token: &Token, ends: Timestamp, next: &str) -> Verdict {
    if !token.refreshable {
        return Verdict::no(
            reason::NOT_REFRESHABLE,
            Effect::Serve,
            format!(
                "The token ended at {ends} and the grant has no refresh token. The owner must connect again."
            ),
        );
    }
    let why = failure(input).unwrap_or("It was not refreshed in time.");
    Verdict::no(reason::TOKEN_EXPIRED, Effect::Serve, format!("The token ended at {ends}. {why}{next}"))
}

fn alive(input: &Input, token: &Token, ends: Timestamp, next: &str) -> Verdict {
    if input.history.stopped() {
        let why = failure(input).unwrap_or("The provider refuses to refresh.");
        return Verdict::no(
            reason::REFRESH_REFUSED,
            Effect::Serve,
            format!(
                "Refused {} times in a row. {why} Tried daily, on request, and when the app changes.{next}",
                input.history.refusals
            ),
        );
    }
    if let Some(why) = failure(input) {
        return Verdict::yes(
            reason::REFRESH_FAILING,
            format!("The token is good until {ends}, but: {why}{next}"),
        );
    }
    if !token.refreshable {
        return Verdict::yes(
            reason::NOT_REFRESHABLE,
            format!(
                "The token is good until {ends} and cannot be refreshed: the owner must connect again before that."
            ),
        );
    }
    Verdict::yes(reason::FRESH, "The token is good and is refreshed before it ends.")
}

/// The token that is in use.
struct Token {
    expires_at: Option<Timestamp>,
    refreshable: bool,
}

impl Token {
    /// From the grant, or from status where the record cannot be read now.
    fn of(input: &Input) -> Option<Self> {
        if let Some(grant) = input.observed.record.grant() {
            return Some(Self { expires_at: grant.expires_at, refreshable: refreshable(grant, input) });
        }
        let present = input.observed.record.present().is_some();
        let status = input.connection.status.as_ref()?.token.as_ref().filter(|_| !present)?;
        status.revision?;
        Some(Self {
            expires_at: status.expires_at.as_ref().map(|time| time.0),
            refreshable: status.refreshable.unwrap_or_default(),
        })
    }
}

/// Whether a new token can be had without the owner.
pub fn refreshable(grant: &Grant, input: &Input) -> bool {
    match &grant.credential {
        Credential::OAuth { refresh_token: Some(_), .. } => true,
        Credential::OAuth { refresh_token: None, .. } => input
            .observed
            .provider
            .target()
            .is_some_and(|target| target.method(&input.connection.spec) == Method::ClientCredentials),
        Credential::ApiKey { .. } | Credential::Basic { .. } => false,
    }
}

/// When the next attempt to get a token is due; `None` where none is planned.
pub fn next_attempt(input: &Input, target: &Target, policy: &Policy, jitter: f64) -> Option<Timestamp> {
    let history = input.history;
    if history.ruling.as_ref().is_some_and(|ruling| ruling.is_final) {
        return None;
    }
    let minted = target.method(&input.connection.spec) == Method::ClientCredentials;
    let Some(grant) = input.observed.record.grant() else {
        // What is being revoked is waited for: a token minted meanwhile would go with it.
        if !minted || input.observed.record.present().is_some_and(|present| present.ending) {
            return None;
        }
        // A time that stays the same, or status would differ at each look.
        let since = input.connection.metadata.creation_timestamp.as_ref().map(|time| time.0);
        return Some(history.retry_at.or(since).unwrap_or(input.now));
    };
    if !refreshable(grant, input) {
        return None;
    }
    if let Some(at) = history.retry_at {
        let floor = tried_again_at(input, grant, target);
        return Some(at.max(floor.unwrap_or(at)));
    }
    if let Some(probe) = tried_again_at(input, grant, target) {
        return Some(probe);
    }
    let ends = grant.expires_at?;
    Some(schedule::next_refresh(grant.obtained_at, ends, jitter, Some(grant.obtained_at), policy))
}

/// After an unknown outcome: when the stored token is tried again. Within a grace window the old one still works.
fn tried_again_at(input: &Input, grant: &Grant, target: &Target) -> Option<Timestamp> {
    let since = input.observed.record.present()?.unknown_since?;
    let graced = target.grace().is_some_and(|window| later(since, window) > input.now);
    if graced {
        return Some(input.now);
    }
    Some(schedule::probe_at(input.now, grant.obtained_at, grant.expires_at, target.refresh_ends_access()))
}
