//! When does the grant end by itself, who is reminded of that, and what keeps it?

use std::time::Duration;

use bowline_api::provider::Rotation;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::ended;
use super::input::Input;
use crate::grant::schedule;
use crate::grant::target::Target;
use crate::vault::{Credential, Grant};

/// How long after its time a refresh that keeps a grant counts as prevented.
const OVERDUE_AFTER: Duration = Duration::from_hours(24);

/// Nobody is reminded of the end of a token that lives no longer.
const FOR_HOURS: Duration = Duration::from_hours(24);

/// Answers within this time are one.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(10);

/// The end of a grant that nobody withdraws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GrantEnd {
    at: Timestamp,
    /// When what ends began, if that is known.
    begun: Option<Timestamp>,
}

/// The owner is to know that the grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reminder {
    pub(crate) ends_at: Timestamp,
    /// How many days ahead this was told first.
    pub(crate) days: i32,
    /// Whether it would live on if it were used.
    pub(crate) is_unused: bool,
}

/// When the grant ends by itself, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifespan {
    /// When it ends whatever we do with it.
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) reminder: Option<Reminder>,
    /// When the reminder changes.
    pub(crate) changes_at: Option<Timestamp>,
    /// Whether nothing of it works any more.
    pub(crate) is_over: bool,
}

pub(super) fn lifespan(input: &Input) -> Lifespan {
    let ends_at = ends(input, false).map(|end| end.at).min();
    let (changes_at, is_over) = (next_reminder(input), ended::is_dead(input));
    Lifespan { ends_at, reminder: reminder(input), changes_at, is_over }
}

/// The reminder that is due; the last one stays until the end.
pub(super) fn reminder(input: &Input) -> Option<Reminder> {
    let (end, is_unused) = next_end(input)?;
    let passed = schedule::reminders(end.begun, end.at).filter(|(_, at)| *at <= input.now);
    passed.map(|(days, _)| Reminder { ends_at: end.at, days, is_unused }).last()
}

/// When that changes.
fn next_reminder(input: &Input) -> Option<Timestamp> {
    let (end, _) = next_end(input)?;
    let times = schedule::reminders(end.begun, end.at).map(|(_, at)| at);
    times.chain([end.at]).filter(|at| *at > input.now).min()
}

/// When a refresh keeps the grant, if it would end unused.
pub(super) fn kept_alive_at(input: &Input) -> Option<Timestamp> {
    let used_at = input.observed.record.grant()?.obtained_at;
    ends(input, true).map(|end| schedule::keep_alive(used_at, end.at)).min()
}

/// The nearest end, and whether only using the grant would move it.
fn next_end(input: &Input) -> Option<(GrantEnd, bool)> {
    if input.history.condemned_since().is_some() {
        return None;
    }
    let is_kept = kept_alive_at(input).is_some_and(|at| later(at, OVERDUE_AFTER) > input.now);
    let unused = ends(input, true).filter(|_| !is_kept || input.connection.is_paused());
    let all = ends(input, false).map(|end| (end, false)).chain(unused.map(|end| (end, true)));
    all.filter(|(end, _)| end.at > input.now).min_by_key(|(end, _)| end.at)
}

/// When the grant ends: unless it is used, or whether or not it is.
fn ends(input: &Input, if_unused: bool) -> impl Iterator<Item = GrantEnd> {
    let found = || {
        let (grant, target) = (input.observed.record.grant()?, input.observed.target()?);
        let refreshes = input.observed.is_refreshable(&input.connection.spec, grant);
        let is_token = matches!(grant.credential, Credential::OAuth { .. });
        Some(match (refreshes && !input.observed.is_minted(&input.connection.spec), refreshes) {
            (true, _) if if_unused => if_not_refreshed(grant, target),
            (true, _) => in_any_case(grant, target),
            (false, false) if !if_unused => {
                let consent = is_token.then(|| consent_end(grant, target)).flatten();
                [consent, token_end(grant), None]
            }
            _ => [None; 3],
        })
    };
    found().into_iter().flatten().flatten()
}

fn in_any_case(grant: &Grant, target: &Target) -> [Option<GrantEnd>; 3] {
    let begun = grant.refresh_issued_at.or(grant.consent.given_at);
    let told = grant.refresh_expires_at.filter(|_| grant.refresh_end_moves == Some(false));
    let told = told.map(|at| GrantEnd { at, begun });
    [
        told,
        consent_end(grant, target),
        refresh_token_end(grant, target).filter(|_| !is_replaced(grant, target)),
    ]
}

fn if_not_refreshed(grant: &Grant, target: &Target) -> [Option<GrantEnd>; 3] {
    let begun = Some(grant.obtained_at);
    let told = grant.refresh_expires_at.filter(|_| grant.refresh_end_moves != Some(false));
    let idle = target.description().grant.idle_limit().map(|limit| later(grant.obtained_at, limit));
    let [told, idle] = [told, idle].map(|at| at.map(|at| GrantEnd { at, begun }));
    [told, idle, refresh_token_end(grant, target).filter(|_| is_replaced(grant, target))]
}

/// Of a token or key that cannot be refreshed. Nobody knows when one began that was imported, but a token for hours is none
/// that people think of as theirs.
fn token_end(grant: &Grant) -> Option<GrantEnd> {
    let at = grant.expires_at.filter(|at| *at > later(grant.obtained_at, FOR_HOURS))?;
    let is_known = grant.consent.is_ours() || grant.issued_keys().is_some();
    Some(GrantEnd { at, begun: Some(grant.obtained_at).filter(|_| is_known) })
}

/// As the provider said, or by the entry.
fn consent_end(grant: &Grant, target: &Target) -> Option<GrantEnd> {
    let begun = grant.consent.given_at;
    if let Some(at) = grant.consent.ends_at {
        return Some(GrantEnd { at, begun });
    }
    Some(GrantEnd { at: later(begun?, target.description().grant.consent_lives()?), begun })
}

/// By the entry, where the provider does not say.
fn refresh_token_end(grant: &Grant, target: &Target) -> Option<GrantEnd> {
    let begun = grant.refresh_issued_at.filter(|_| grant.refresh_expires_at.is_none())?;
    Some(GrantEnd { at: later(begun, target.description().grant.refresh_token_lives()?), begun: Some(begun) })
}

/// Whether a refresh gives another refresh token, as far as the last one shows.
fn is_replaced(grant: &Grant, target: &Target) -> bool {
    let kept = grant.refresh_issued_at.is_some_and(|at| grant.obtained_at.duration_since(at) > AT_ONCE);
    target.description().grant.rotation != Rotation::None && !kept
}
