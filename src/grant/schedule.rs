//! When to refresh: pure arithmetic over instants, nothing else.

use std::time::Duration;

use bowline_oauth::catalog::percentage::Percentage;
use bowline_runtime::clock::{earlier, later};
use k8s_openapi::jiff::Timestamp;

/// How long a mounted Secret may take to reach a pod: kubelet syncs within this time.
pub(crate) const MOUNT_DELAY: Duration = Duration::from_secs(90);

/// The default of `spec.refresh.before` of a provider: how long before it expires a token is refreshed.
pub(crate) const DEFAULT_BEFORE: Duration = Duration::from_mins(10);

/// So many refusals that do not say what they are about end a grant of which no token works any more.
pub(crate) const AMBIGUOUS_REFUSALS: i32 = 3;

/// How soon a verdict that came of such refusals is looked at again: they may be about something that passes.
const AFTER_AMBIGUITY: Duration = Duration::from_hours(1);

/// After this many refusals in a row the provider is asked only once a day.
pub(crate) const REFUSALS_TO_STOP: i32 = 10;

/// The longest least time between two refreshes of a token that lives too short to be kept fresh.
const LONGEST_INTERVAL: Duration = Duration::from_mins(10);

/// How long a final verdict is looked at again once a day; after that, once a week.
const LOOKED_AT_DAILY: Duration = Duration::from_hours(7 * 24);

/// How long after ten refusals the next refresh waits.
pub(crate) const AFTER_STOPPING: Duration = Duration::from_hours(24);

/// The administrator's default for how long a first `invalid_grant` is doubted.
pub(crate) const SECOND_OPINION_AFTER: Duration = Duration::from_mins(1);

const DAY: Duration = Duration::from_hours(24);

/// So many days before a grant ends by itself its owner is reminded.
const REMINDERS: [i32; 3] = [30, 7, 1];

/// How long before it would end a grant is used to keep it.
const LONGEST_SPARE: Duration = Duration::from_hours(30 * 24);

/// The pause after a first refusal of another kind.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);

/// What the administrator chose for the refreshes of every grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshBounds {
    /// The least time between two refreshes.
    pub min_interval: Duration,
    /// How long a first `invalid_grant` is doubted before a second one is believed.
    pub second_opinion_after: Duration,
}

impl Default for RefreshBounds {
    fn default() -> Self {
        Self { min_interval: Duration::from_secs(10), second_opinion_after: SECOND_OPINION_AFTER }
    }
}

/// What determines the time of the next refresh, besides the token itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// How long before it expires a token should be replaced.
    pub(crate) before: Duration,
    /// Whether a refresh ends the access token in use: then it is as late as a mounted Secret allows.
    pub(crate) ends_access: bool,
    /// The share of a token's lifetime before which the provider refuses to refresh.
    pub(crate) not_before: Option<Percentage>,
    pub(crate) bounds: RefreshBounds,
}

impl Policy {
    /// The policy of a provider that sets none.
    pub(crate) fn plain(bounds: RefreshBounds) -> Self {
        Self { before: DEFAULT_BEFORE, ends_access: false, not_before: None, bounds }
    }
}

impl Policy {
    /// The least time between two refreshes of a token that lives this long.
    ///
    /// A token that lives shorter than twice the administrator's least interval cannot be kept fresh anyhow: the shorter it
    /// lives, the more rarely it is refreshed, because each refresh is written wherever it is published.
    pub(crate) fn least_interval(&self, lifetime: Option<Duration>) -> Duration {
        let least = self.bounds.min_interval;
        let enough = least.saturating_mul(2).as_secs_f64();
        match lifetime.map(|lifetime| lifetime.as_secs_f64().max(1.0)) {
            Some(lifetime) if lifetime < enough => {
                least.mul_f64(enough / lifetime).min(LONGEST_INTERVAL).max(least)
            }
            _ => least,
        }
    }
}

/// How long a token lives that was obtained and expires at these times.
pub(crate) fn lifetime(obtained_at: Timestamp, expires_at: Option<Timestamp>) -> Option<Duration> {
    Some(Duration::try_from(expires_at?.duration_since(obtained_at)).unwrap_or_default())
}

/// How long before it expires a token of `lifetime` is replaced:
/// `min(max(before, 20 % of lifetime, 90 s), lifetime / 2)`; 90 s at most where the refresh ends the token in use.
pub(crate) fn margin(lifetime: Duration, policy: &Policy) -> Duration {
    let wanted =
        if policy.ends_access { MOUNT_DELAY } else { policy.before.max(lifetime / 5).max(MOUNT_DELAY) };
    wanted.min(lifetime / 2)
}

/// When a token that was obtained and expires at these times is to be replaced.
///
/// `jitter` in `0.0..1.0` moves it up to a tenth of the margin earlier, so that tokens obtained together do not stay
/// together. Never earlier than [`Policy::least_interval`] after the last refresh.
pub(crate) fn next_refresh(
    obtained_at: Timestamp,
    expires_at: Timestamp,
    jitter: f64,
    last_refresh: Option<Timestamp>,
    policy: &Policy,
) -> Timestamp {
    let lifetime = Duration::try_from(expires_at.duration_since(obtained_at)).unwrap_or_default();
    let margin = margin(lifetime, policy);
    let due = earlier(expires_at, margin + margin.mul_f64(0.1 * jitter.clamp(0.0, 1.0)));
    let due = policy.not_before.map_or(due, |share| due.max(later(obtained_at, share.of(lifetime))));
    match last_refresh {
        Some(at) => due.max(later(at, policy.least_interval(Some(lifetime)))),
        None => due,
    }
}

/// When to refresh after `failures` temporary failures in a row: 5 s doubling to 5 minutes, up to a fifth earlier by jitter,
/// and not before the provider's own `Retry-After`.
pub(crate) fn after_outage(
    now: Timestamp,
    failures: i32,
    retry_after: Option<Duration>,
    jitter: f64,
    policy: &Policy,
) -> Timestamp {
    let base = Duration::from_secs(5)
        .saturating_mul(1 << failures.clamp(1, 7).saturating_sub(1))
        .min(Duration::from_mins(5));
    let wait = base.mul_f64(1.0 - 0.2 * jitter.clamp(0.0, 1.0)).max(policy.bounds.min_interval);
    later(now, wait.max(retry_after.unwrap_or_default()))
}

/// When to refresh after `refusals` refusals in a row: a minute, doubling to an hour; daily after ten.
pub(crate) fn after_refusal(now: Timestamp, refusals: i32) -> Timestamp {
    if refusals >= REFUSALS_TO_STOP {
        return later(now, AFTER_STOPPING);
    }
    let wait = AFTER_REFUSAL.saturating_mul(1 << refusals.clamp(1, 7).saturating_sub(1));
    later(now, wait.min(Duration::from_hours(1)))
}

/// When to refresh after `refusals` refusals that do not say whether they are about the grant: as after other refusals, but at
/// the latest when a twentieth of the token's lifetime is left, because some providers refuse until the end is near.
pub(crate) fn after_ambiguity(
    now: Timestamp,
    refusals: i32,
    obtained_at: Timestamp,
    expires_at: Timestamp,
    policy: &Policy,
) -> Timestamp {
    let lifetime = Duration::try_from(expires_at.duration_since(obtained_at)).unwrap_or_default();
    let (last, usual) = (earlier(expires_at, lifetime / 20), after_refusal(now, refusals));
    if last > now { usual.min(last) } else { usual.min(later(now, policy.bounds.second_opinion_after)) }
}

/// When a grant that was refused at `last`, and is given up since `since`, is looked at again: the provider may have been
/// wrong, and its answer costs one request.
pub(crate) fn after_verdict(last: Timestamp, since: Timestamp) -> Timestamp {
    let days = if last < later(since, LOOKED_AT_DAILY) { 1 } else { 7 };
    later(last, AFTER_STOPPING * days)
}

/// When a verdict that came of refusals without words is looked at again: every hour of the first day, then as every verdict.
pub(crate) fn after_vague_verdict(last: Timestamp, since: Timestamp) -> Timestamp {
    let is_new = last < later(since, AFTER_STOPPING);
    if is_new { later(last, AFTER_AMBIGUITY) } else { after_verdict(last, since) }
}

/// When the one probe after an unknown outcome is due: as late as the published token allows, because an early probe may
/// trigger the provider's reuse detection and end a live token; at once if no token is valid.
pub(crate) fn probe_at(
    now: Timestamp,
    obtained_at: Timestamp,
    expires_at: Option<Timestamp>,
    ends_access: bool,
) -> Timestamp {
    match expires_at {
        Some(end) if end > now && !ends_access => {
            let lifetime = Duration::try_from(end.duration_since(obtained_at)).unwrap_or_default();
            earlier(end, MOUNT_DELAY.min(lifetime / 4)).max(now)
        }
        _ => now,
    }
}

/// When a token or key that is checked so often is checked next, after what happened at `since`. The first check of a token
/// comes sooner, by jitter, so that those that were obtained or seen together do not stay together.
pub(crate) fn next_check(since: Timestamp, every: Duration, is_first: bool, jitter: f64) -> Timestamp {
    let share = if is_first { 1.0 - 0.5 * jitter.clamp(0.0, 1.0) } else { 1.0 };
    later(since, every.mul_f64(share))
}

/// When a token or key is looked at again that was refused so often in a row, each time later.
pub(crate) fn after_refused_check(since: Timestamp, refusals: u32, policy: &Policy) -> Timestamp {
    let doubt = policy.bounds.second_opinion_after;
    later(since, doubt * if refusals > 1 { 5 } else { 1 })
}

/// When a grant that ends at `end` unless it is used is refreshed to keep it, whoever needs the token: when a third of the
/// time is left, or a month.
pub(crate) fn keep_alive(last_use: Timestamp, end: Timestamp) -> Timestamp {
    let whole = Duration::try_from(end.duration_since(last_use)).unwrap_or_default();
    earlier(end, LONGEST_SPARE.min(whole / 3)).max(last_use)
}

/// The reminders before a grant ends at `end`, in days before it, the first one first. One that would come in the first half
/// of the grant's life is left out: it would tell people at once what they have just been told.
pub(crate) fn reminders(begun: Option<Timestamp>, end: Timestamp) -> impl Iterator<Item = (i32, Timestamp)> {
    let middle = begun
        .map(|begun| earlier(end, Duration::try_from(end.duration_since(begun)).unwrap_or_default() / 2));
    let at = move |days: i32| (days, earlier(end, DAY * days.unsigned_abs()));
    REMINDERS.into_iter().map(at).filter(move |(_, at)| middle.is_none_or(|middle| *at > middle))
}

/// A fraction in `0.0..1.0` that is the same for the same grant and revision, so that a schedule does not change each time
/// it is computed.
pub(crate) fn jitter(uid: &str, revision: i64) -> f64 {
    // FNV-1a: it only has to spread.
    let hash = uid.bytes().chain(revision.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    #[allow(clippy::cast_possible_truncation, reason = "16 bits of the hash are wanted")]
    let bits = (hash >> 32) as u16;
    f64::from(bits) / 65_536.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::plain(RefreshBounds::default())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn margins_follow_the_lifetime() {
        // lifetime → margin, in seconds
        for (lifetime, expected) in [
            (2, 1),
            (60, 30),
            (180, 90),
            (600, 300),
            (1_200, 600),
            (3_600, 720),
            (28_800, 5_760),
            (86_400, 17_280),
            (90 * 86_400, 18 * 86_400),
        ] {
            assert_eq!(
                margin(Duration::from_secs(lifetime), &policy()).as_secs(),
                expected,
                "lifetime {lifetime} s"
            );
        }
    }

    #[test]
    fn a_refresh_that_ends_the_token_in_use_comes_ninety_seconds_before_the_end() {
        let policy = Policy { ends_access: true, ..policy() };
        assert_eq!(margin(Duration::from_hours(8), &policy), MOUNT_DELAY);
        assert_eq!(margin(Duration::from_mins(1), &policy), Duration::from_secs(30));
    }

    #[test]
    fn where_an_early_refresh_is_refused_it_comes_after_that_share_of_the_lifetime() {
        let policy = Policy { not_before: Some("90%".to_owned().try_into().unwrap()), ..policy() };
        assert_eq!(next_refresh(at(0), at(600), 0.0, None, &policy), at(540));
        assert_eq!(next_refresh(at(0), at(36_000), 0.0, None, &policy), at(32_400));
    }

    #[test]
    fn an_ambiguous_refusal_is_asked_again_before_the_token_ends_and_soon_after() {
        let next = |now, refusals| after_ambiguity(at(now), refusals, at(0), at(1_200), &policy());
        assert_eq!(next(600, 1), at(660));
        assert_eq!(next(900, 4), at(1_140), "a minute before the end");
        assert_eq!(next(1_150, 5), at(1_210));
        assert_eq!(next(5_000, 5), at(5_060));
    }

    #[test]
    fn the_moment_of_refresh_is_monotone_in_the_lifetime_and_before_the_end() {
        let mut last = at(0);
        for lifetime in (2..120).chain((120..90 * 86_400).step_by(977)) {
            let next = next_refresh(at(0), at(lifetime), 0.0, None, &policy());
            assert!(next >= last, "{lifetime} s");
            assert!(next < at(lifetime) && next > at(0), "{lifetime} s");
            let jittered = next_refresh(at(0), at(lifetime), 1.0, None, &policy());
            assert!(jittered <= next && jittered >= at(0), "{lifetime} s");
            last = next;
        }
    }

    #[test]
    fn two_attempts_are_never_closer_than_the_least_interval() {
        assert_eq!(next_refresh(at(0), at(20), 0.0, Some(at(0)), &policy()), at(10));
    }

    #[test]
    fn class_12_a_token_that_cannot_be_kept_fresh_is_refreshed_the_more_rarely_the_shorter_it_lives() {
        let next = |lifetime| next_refresh(at(0), at(lifetime), 0.0, Some(at(0)), &policy());
        for (lifetime, expected) in [(0, 200), (1, 200), (2, 100), (10, 20), (19, 11), (20, 10), (60, 30)] {
            assert_eq!(next(lifetime), at(expected), "{lifetime} s");
        }
        let bounds = RefreshBounds { min_interval: Duration::from_mins(1), ..RefreshBounds::default() };
        assert_eq!(Policy::plain(bounds).least_interval(Some(Duration::from_secs(1))), LONGEST_INTERVAL);
    }

    #[test]
    fn a_final_verdict_is_looked_at_daily_and_later_weekly() {
        let day = 86_400;
        assert_eq!(after_verdict(at(0), at(0)), at(day));
        assert_eq!(after_verdict(at(6 * day), at(0)), at(7 * day));
        assert_eq!(after_verdict(at(7 * day), at(0)), at(14 * day));
        assert_eq!(after_vague_verdict(at(0), at(0)), at(3_600));
        assert_eq!(after_vague_verdict(at(day), at(0)), at(2 * day));
    }

    #[test]
    fn outages_back_off_to_five_minutes_and_honour_the_provider() {
        let waits: Vec<_> = (1..10)
            .map(|n| after_outage(at(0), n, None, 0.0, &policy()).duration_since(at(0)).as_secs())
            .collect();
        assert_eq!(waits, [10, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(after_outage(at(0), 1, Some(Duration::from_mins(30)), 0.0, &policy()), at(1_800));
    }

    #[test]
    fn refusals_back_off_to_an_hour_and_then_to_a_day() {
        let waits: Vec<_> =
            (1..=11).map(|n| after_refusal(at(0), n).duration_since(at(0)).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 86_400, 86_400]);
    }

    #[test]
    fn the_probe_waits_as_long_as_the_published_token_lives() {
        assert_eq!(probe_at(at(10), at(0), Some(at(3_600)), false), at(3_510));
        assert_eq!(probe_at(at(10), at(0), Some(at(60)), false), at(45));
        assert_eq!(probe_at(at(10), at(0), Some(at(3_600)), true), at(10));
        assert_eq!(probe_at(at(70), at(0), Some(at(60)), false), at(70));
        assert_eq!(probe_at(at(70), at(0), None, false), at(70));
    }

    #[test]
    fn a_check_comes_as_often_as_the_entry_says_and_the_first_one_sooner() {
        let hour = Duration::from_hours(1);
        let first = |jitter| next_check(at(0), hour, true, jitter);
        assert_eq!((first(0.0), first(1.0)), (at(3_600), at(1_800)));
        assert_eq!(next_check(at(0), hour, false, 1.0), at(3_600));
        assert_eq!(after_refused_check(at(0), 1, &policy()), at(60));
        assert_eq!(after_refused_check(at(0), 2, &policy()), at(300));
    }

    #[test]
    fn a_grant_is_used_a_month_before_it_would_end_unused_or_when_a_third_is_left() {
        let day = 86_400;
        for (limit, used) in
            [(180 * day, 150 * day), (90 * day, 60 * day), (30 * day, 20 * day), (1_800, 1_200)]
        {
            assert_eq!(keep_alive(at(0), at(limit)), at(used), "{limit}");
        }
    }

    #[test]
    fn people_are_reminded_thirty_seven_and_one_day_ahead_in_the_second_half_of_a_grants_life() {
        let day = 86_400;
        let days =
            |begun, lives: i64| -> Vec<(i32, Timestamp)> { reminders(begun, at(lives * day)).collect() };
        let all = [(30, at(60 * day)), (7, at(83 * day)), (1, at(89 * day))];
        assert_eq!(days(Some(at(0)), 90), all);
        assert_eq!(days(Some(at(0)), 7), [(1, at(6 * day))], "an app in testing");
        assert_eq!(days(Some(at(0)), 1), []);
        assert_eq!(days(None, 90), all, "nobody knows when it began");
        assert_eq!(days(None, 7).len(), 3);
    }

    #[test]
    fn every_moment_is_a_whole_second_as_status_holds_it() {
        for jitter in [0.0, 0.123, 0.5, 0.999] {
            let planned = next_refresh(at(0), at(61), jitter, None, &policy());
            let again = after_outage(at(0), 3, Some(Duration::from_millis(1_500)), jitter, &policy());
            let probe = probe_at(at(1), at(0), Some(at(61)), false);
            assert!([planned, again, probe].iter().all(|moment| moment.subsec_nanosecond() == 0), "{jitter}");
        }
    }

    #[test]
    fn jitter_spreads_and_stays() {
        let values: Vec<_> = (0..1_000).map(|n| jitter(&format!("uid-{n}"), 1)).collect();
        let mean = values.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
        assert_eq!(jitter("a", 3).to_bits(), jitter("a", 3).to_bits());
    }
}
