//! The bindings that hold a connection's token, as its status tells them.
//!
//! A thousand bindings that are made at once must not cause a thousand writes, each of which every reader of connections receives.
//! So a change of the list waits until ten seconds after the last one was written, and then all of them are told in one write. Only
//! the first binding is told at once: from then on the connection is protected.

use std::time::Duration;

use bowline_api::connection::DependentsStatus;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

/// The pause after a change was written.
const PAUSE: Duration = Duration::from_secs(10);

/// What status says of dependents next.
pub(crate) struct DependentsView {
    pub(crate) told: Option<DependentsStatus>,
    /// When the rest is told, if something waits.
    pub(crate) rest_at: Option<Timestamp>,
}

/// `told` is what status says now, `last_told` when this process wrote that.
pub(super) fn dependents(
    told: Option<&DependentsStatus>,
    there: Option<DependentsStatus>,
    last_told: Option<Timestamp>,
    now: Timestamp,
) -> DependentsView {
    // If the clock was set back, nothing waits.
    let pause_ends = last_told.filter(|at| *at <= now).map(|at| later(at, PAUSE)).filter(|end| *end > now);
    match (told, pause_ends) {
        (Some(told), Some(end)) if there.as_ref() != Some(told) => {
            DependentsView { told: Some(told.clone()), rest_at: Some(end) }
        }
        _ => DependentsView { told: there, rest_at: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_binding_is_told_at_once_and_more_of_them_together_after_a_pause() {
        let at =
            |second: i64| Timestamp::UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0));
        let bindings = |count: i32| Some(DependentsStatus { count, names: vec!["a/b".to_owned()] });
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
            let list = |count: i32| bindings(count).filter(|_| count > 0);
            let view = dependents(list(told).as_ref(), list(there), last_told.map(at), at(now));
            let row = format!("{told} {there} {last_told:?} {now}");
            assert_eq!((view.told, view.rest_at), (list(next), rest_at.map(at)), "{row}");
        }
    }
}
