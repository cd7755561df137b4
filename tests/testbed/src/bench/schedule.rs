//! Whether the provider was called when the schedule says. Pure: computed from the requests in the ledger.

use super::TOKEN_SECONDS;
use crate::sandbox::Request;

/// `margin` of a 60 s token is half of it; jitter adds up to a tenth of the margin.
const MARGIN_MS: u64 = TOKEN_SECONDS * 1000 / 2;
const JITTER_MS: u64 = MARGIN_MS / 10;
/// The operator counts whole seconds: what it obtained at 10.9 s counts from 10 s.
pub const EARLY_TOLERANCE_MS: u64 = 1_000;
/// Whole seconds once more, and the wait for a turn at the provider (`maxConcurrent`).
pub const LATE_TOLERANCE_MS: u64 = 2_000;

/// The refresh requests of one or many grants, classified by their time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Time from obtaining a token to asking for its successor, in milliseconds.
    pub after_ms: Vec<u64>,
    /// Calls within the window, tolerances included.
    pub within: usize,
    /// Calls before it.
    pub early: usize,
    /// Calls after it.
    pub late: usize,
    /// Calls that returned no token, and the calls after them: the schedule does not plan these.
    pub failed: usize,
}

impl Calls {
    /// All calls.
    pub fn count(&self) -> usize {
        self.within + self.outside()
    }

    /// Calls that the schedule does not allow.
    pub fn outside(&self) -> usize {
        self.early + self.late + self.failed
    }

    /// Adds the calls of one grant that arrived in `from..to` (milliseconds since the epoch).
    ///
    /// `requests` are all refresh requests of the grant, in order. One without a predecessor is left out: when its token
    /// was obtained is not in the ledger of refreshes.
    pub fn add(&mut self, requests: &[&Request], from: u64, to: u64) {
        for pair in requests.windows(2) {
            let [before, call] = pair else { continue };
            if !(from..to).contains(&call.at_ms) {
                continue;
            }
            if !before.gave_tokens() || !call.gave_tokens() {
                self.failed += 1;
                continue;
            }
            let after = call.at_ms.saturating_sub(before.at_ms);
            self.after_ms.push(after);
            let earliest = TOKEN_SECONDS * 1000 - MARGIN_MS - JITTER_MS - EARLY_TOLERANCE_MS;
            let latest = TOKEN_SECONDS * 1000 - MARGIN_MS + LATE_TOLERANCE_MS;
            match after {
                _ if after < earliest => self.early += 1,
                _ if after > latest => self.late += 1,
                _ => self.within += 1,
            }
        }
    }
}

/// The value below which `percent` of the values lie (nearest rank). Sorts the values.
pub fn percentile<T: Ord + Copy>(values: &mut [T], percent: usize) -> Option<T> {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sandbox::{Endpoint, GrantType};

    fn refresh(at_ms: u64, error: Option<&str>) -> Request {
        Request {
            sequence: at_ms,
            at_ms,
            endpoint: Endpoint::Token,
            client: None,
            account: None,
            grant: Some("g".into()),
            grant_type: Some(GrantType::RefreshToken),
            scope_asked: None,
            committed: true,
            error: error.map(Into::into),
            fault: None,
            status: Some(200),
        }
    }

    fn judged(times: &[(u64, Option<&str>)], from: u64) -> Calls {
        let requests: Vec<_> = times.iter().map(|(at, error)| refresh(*at, *error)).collect();
        let mut calls = Calls::default();
        calls.add(&requests.iter().collect::<Vec<_>>(), from, u64::MAX);
        calls
    }

    #[test]
    fn calls_fall_before_within_or_after_the_window() {
        // time after the token was obtained → early, within, late
        for (after, expected) in [
            (25_999, (1, 0, 0)),
            (26_000, (0, 1, 0)),
            (27_000, (0, 1, 0)),
            (32_000, (0, 1, 0)),
            (32_001, (0, 0, 1)),
        ] {
            let calls = judged(&[(0, None), (after, None)], 0);
            assert_eq!((calls.early, calls.within, calls.late), expected, "{after} ms");
        }
    }

    #[test]
    fn a_call_that_failed_and_the_one_after_it_are_outside() {
        let calls = judged(&[(0, None), (28_000, Some("invalid_grant")), (33_000, None)], 0);
        assert_eq!((calls.failed, calls.outside(), calls.count()), (2, 2, 2));
    }

    #[test]
    fn calls_before_the_measured_time_count_only_as_predecessors() {
        let calls = judged(&[(0, None), (5_000, None), (33_000, None)], 10_000);
        assert_eq!((calls.within, calls.outside(), calls.after_ms), (1, 0, vec![28_000]));
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut values: Vec<_> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 50), Some(50));
        assert_eq!(percentile(&mut values, 99), Some(99));
        assert_eq!(percentile(&mut [7], 99), Some(7));
        assert_eq!(percentile::<u64>(&mut [], 50), None);
    }
}
