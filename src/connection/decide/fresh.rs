//! Is the token fresh, and when is the next refresh due?

use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::input::Input;
use super::verdict::ConditionVerdict;
use super::{lifespan, probe};
use crate::grant::schedule;
use crate::grant::target::Target;
use crate::vault::Grant;

pub(crate) fn fresh(input: &Input, next_attempt: Option<Timestamp>) -> ConditionVerdict {
    if input.connection.is_paused() {
        return input.verdict(Reason::Suspended, "");
    }
    let keys = input.observed.record.grant().and_then(|grant| grant.issued_keys());
    if keys.is_some_and(|keys| keys.valid_at(input.now).is_empty()) {
        return input.verdict(Reason::NoValidKey, "");
    }
    let Some((expires_at, refreshable)) = token_in_use(input) else {
        return input.verdict(Reason::NoToken, "");
    };
    let Some(expires_at) = expires_at else { return endless(input) };
    let reason = reason(input, expires_at, refreshable);
    let (at, refusals) = (expires_at.to_string(), input.history.refusals.to_string());
    let list = (reason == Reason::RefreshRefused).then_some(refusals.as_str());
    let detail = detail(input, reason, next_attempt);
    ConditionVerdict::of(
        reason,
        &MessageFacts { at: Some(&at), list, detail: detail.into(), ..input.facts() },
    )
}

/// A token without a known end, which the provider may have ended all the same.
fn endless(input: &Input) -> ConditionVerdict {
    let reason = if probe::is_refused(input) { Reason::TokenRefused } else { Reason::NeverExpires };
    input.verdict(reason, probe::refusal(input).unwrap_or_default())
}

fn reason(input: &Input, expires_at: Timestamp, refreshable: bool) -> Reason {
    let failing = input.history.last_failure.is_some();
    match (expires_at <= input.now, refreshable) {
        (true, false) => Reason::NotRefreshable,
        (true, true) => Reason::TokenExpired,
        (false, _) if probe::is_refused(input) => Reason::TokenRefused,
        (false, _) if input.history.stopped() => Reason::RefreshRefused,
        (false, _) if failing => Reason::RefreshFailing,
        (false, false) => Reason::ValidUntilExpiry,
        (false, true) => Reason::Fresh,
    }
}

fn detail(input: &Input, reason: Reason, next_attempt: Option<Timestamp>) -> String {
    let short = short_lived(input);
    if let Some(refusal) = probe::refusal(input).filter(|_| reason == Reason::TokenRefused) {
        return refusal;
    }
    if !matches!(
        reason,
        Reason::TokenExpired | Reason::RefreshRefused | Reason::RefreshFailing | Reason::NotRefreshable
    ) {
        return short;
    }
    let why = input.history.last_failure.as_ref().map_or("", |failure| failure.message.as_str());
    let next = next_attempt.map_or_else(String::new, |at| format!("The next refresh is due at {at}."));
    [why, &next, &short].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A token that expires as soon as it is there is not refreshed all the time.
fn short_lived(input: &Input) -> String {
    let grant = input.observed.record.grant();
    let Some(lifetime) = grant.and_then(|grant| schedule::lifetime(grant.obtained_at, grant.expires_at))
    else {
        return String::new();
    };
    let least = input.policy.least_interval(Some(lifetime));
    if least == input.policy.bounds.min_interval {
        return String::new();
    }
    let (lifetime, least) = (lifetime.as_secs(), least.as_secs());
    format!(
        "The provider's tokens live for {lifetime} s, so they are refreshed only every {least} s: ask the provider for tokens that live for minutes."
    )
}

/// When the token in use expires, and whether it can be refreshed: from the grant, or from status where the record cannot be
/// read now.
fn token_in_use(input: &Input) -> Option<(Option<Timestamp>, bool)> {
    if let Some(grant) = input.observed.record.grant() {
        let refreshable = input.observed.is_refreshable(&input.connection.spec, grant);
        return Some((grant.expires_at, refreshable));
    }
    input.connection.grant()?;
    let token = input.connection.token().filter(|_| input.observed.record.present().is_none())?;
    Some((token.expires_at.as_ref().map(|time| time.0), token.refreshable.unwrap_or_default()))
}

/// When the next refresh is due; `None` where none is planned.
pub(crate) fn next_attempt(input: &Input, target: &Target) -> Option<Timestamp> {
    if input.is_ruled_out_for_good() {
        return None;
    }
    let (spec, retry_at) = (&input.connection.spec, input.history.retry_at);
    let Some(grant) = input.observed.record.grant() else {
        // A first token is a new grant.
        if !input.observed.is_minted(spec) || !input.observed.missing_policies.is_empty() {
            return None;
        }
        // A fixed time, because otherwise the status would change with every reconcile.
        let since = input.connection.metadata.creation_timestamp.as_ref().map(|time| time.0);
        return Some(retry_at.or(since).unwrap_or(input.now));
    };
    if !input.observed.is_refreshable(spec, grant) {
        return None;
    }
    if input.observed.is_minted(spec) && target.differs_from(&grant.bound_to, &spec.owner).is_some() {
        // Another token replaces it; until then this one is no reason to wait.
        return Some(retry_at.unwrap_or(grant.obtained_at));
    }
    let looked_at_again = input.history.looked_at_again();
    // The latest of them; `None` is before every time.
    if let Some(at) = retry_at.max(tried_again_at(input, grant, target)).max(looked_at_again) {
        return Some(at);
    }
    let obtained_at = grant.obtained_at;
    let before =
        |end| schedule::next_refresh(obtained_at, end, input.jitter, Some(obtained_at), input.policy);
    let least = input.policy.least_interval(schedule::lifetime(obtained_at, grant.expires_at));
    let sooner = [lifespan::kept_alive_at(input), probe::asks_for_a_refresh(input)].into_iter().flatten();
    let sooner = sooner.map(|at| at.max(later(obtained_at, least)));
    grant.expires_at.map(before).into_iter().chain(sooner).min()
}

/// After an unknown outcome: when the stored token is sent again, whoever asks for it sooner. Within a grace window the old one
/// still works.
pub(super) fn tried_again_at(input: &Input, grant: &Grant, target: &Target) -> Option<Timestamp> {
    let since = input.observed.record.present()?.unknown_since?;
    let graced = target.grace().is_some_and(|window| later(since, window) > input.now);
    if graced {
        return Some(input.now);
    }
    Some(schedule::probe_at(input.now, grant.obtained_at, grant.expires_at, target.refresh_ends_access()))
}
