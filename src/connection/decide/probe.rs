//! When is the token in use checked with the provider, and what do these checks say?

use bowline_api::reason::Effect;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::input::Input;
use super::verdict::ConditionVerdict;
use crate::grant::probe::{CONFIRMED, ProbeView};
use crate::grant::schedule;

/// Whether a new token can be obtained without the owner.
fn is_refreshable(input: &Input) -> bool {
    let grant = input.observed.record.grant();
    grant.is_some_and(|grant| input.observed.is_refreshable(&input.connection.spec, grant))
}

/// The refusals that a second look has confirmed.
fn confirmed<'a>(input: &Input<'a>) -> Option<&'a ProbeView> {
    input.observed.probe.as_ref().filter(|view| view.refusals >= CONFIRMED)
}

/// When the provider's refusals of the token, which should live on, began to ask for another one.
pub(super) fn asks_for_a_refresh(input: &Input) -> Option<Timestamp> {
    confirmed(input).map(|view| view.since)
}

/// Whether the provider does not honor the token in use before its end. What it decided about a grant that cannot be refreshed
/// is about the token.
pub(super) fn is_refused(input: &Input) -> bool {
    confirmed(input).is_some() || input.history.condemned_since().is_some() && !is_refreshable(input)
}

/// What the provider said when it refused the token.
pub(super) fn refusal(input: &Input) -> Option<String> {
    Some(confirmed(input)?.refusal.as_ref()?.summary.clone())
}

/// When the token is checked next; `None` while that would say nothing new, or might disturb.
pub(super) fn next(input: &Input, authorized: &ConditionVerdict) -> Option<Timestamp> {
    let observed = input.observed;
    let (view, present) = (observed.probe.as_ref()?, observed.record.present()?);
    let lives = present.grant.as_ref()?.expires_at.is_none_or(|expires| expires > input.now);
    let is_troubled = observed.incident.is_some() || observed.next_probe.is_some();
    let looks_again = input.history.is_condemned_as(authorized.reason);
    let may_send = matches!(authorized.effect, Effect::Serve | Effect::Withhold) || looks_again;
    if !lives || is_troubled || present.unknown_since.is_some() || !may_send || input.connection.is_paused() {
        return None;
    }
    if is_refreshable(input) && is_being_settled(input) {
        return None;
    }
    if view.held_until.is_some() {
        return view.held_until;
    }
    let every = observed.target()?.description().probe.as_ref()?.every();
    // Whoever requests a refresh of what cannot be refreshed wants to know whether it still works.
    let asked = input.pending_refresh().filter(|_| !is_refreshable(input));
    let asked = asked.map(|_| later(view.since, input.policy.bounds.min_interval));
    let planned = match input.history.condemned_since() {
        Some(since) => schedule::after_verdict(view.since, since),
        None if view.refusals > 0 => schedule::after_refused_check(view.since, view.refusals, input.policy),
        None => schedule::next_check(view.since, every, view.is_first, input.jitter),
    };
    Some(asked.map_or(planned, |asked| asked.min(planned)))
}

/// Whether a refresh is at it: its answer says more.
fn is_being_settled(input: &Input) -> bool {
    let history = input.history;
    confirmed(input).is_some() || history.last_failure.is_some() || history.ruling.is_some()
}
