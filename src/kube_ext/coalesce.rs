//! Telling changes together: one write for many of them.
//!
//! Each write of a status reaches every reader of its kind. So a value that others may change often is told at once when it is
//! first there, and then not again until a pause is over. What it is by then is told in one write.

use std::time::Duration;

use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

/// A value of status that is told with pauses.
pub(crate) struct Coalesced<T> {
    /// What status says next.
    pub(crate) told: Option<T>,
    /// When the rest is told, if something waits.
    pub(crate) rest_at: Option<Timestamp>,
}

/// `told` is what status says now, `there` what it should say, and `last_told` when this process changed that last.
pub(crate) fn coalesced<T: Clone + PartialEq>(
    told: Option<&T>,
    there: Option<T>,
    last_told: Option<Timestamp>,
    pause: Duration,
    now: Timestamp,
) -> Coalesced<T> {
    // If the clock was set back, nothing waits.
    let pause_ends = last_told.filter(|at| *at <= now).map(|at| later(at, pause)).filter(|end| *end > now);
    match (told, pause_ends) {
        (Some(told), Some(end)) if there.as_ref() != Some(told) => {
            Coalesced { told: Some(told.clone()), rest_at: Some(end) }
        }
        _ => Coalesced { told: there, rest_at: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_told_at_once_and_what_follows_together_after_a_pause() {
        let at =
            |second: i64| Timestamp::UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0));
        // Told by status, there now, last told at, now: told next, the rest at.
        let rows = [
            (0, 1, None, 100, 1, None),
            (0, 1, Some(99), 100, 1, None),
            (1, 2, None, 100, 2, None),
            (1, 200, Some(91), 100, 1, Some(101)),
            (1, 0, Some(91), 100, 1, Some(101)),
            (1, 1_000, Some(90), 100, 1_000, None),
            (1, 1, Some(99), 100, 1, None),
            (1, 0, Some(90), 100, 0, None),
            (1, 2, Some(101), 100, 2, None),
        ];
        for (told, there, last_told, now, next, rest_at) in rows {
            let value = |count: i32| Some(count).filter(|_| count > 0);
            let pause = Duration::from_secs(10);
            let view = coalesced(value(told).as_ref(), value(there), last_told.map(at), pause, at(now));
            let row = format!("{told} {there} {last_told:?} {now}");
            assert_eq!((view.told, view.rest_at), (value(next), rest_at.map(at)), "{row}");
        }
    }
}
