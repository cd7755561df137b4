//! Times relative to now, with the exact time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// A point in time for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Relative: `3 hours ago`.
    pub(crate) words: String,
    /// For the title: `2026-05-03 14:20 UTC`.
    pub(crate) exact: String,
    /// For machines (RFC 3339).
    pub(crate) machine: String,
}

impl Moment {
    pub(crate) fn new(time: Timestamp, now: Timestamp) -> Self {
        let seconds = time.as_second() - now.as_second();
        let span = span(seconds.unsigned_abs());
        let words = match seconds {
            -4..=4 => "just now".to_owned(),
            5.. => format!("in {span}"),
            _ => format!("{span} ago"),
        };
        Self { words, exact: time.strftime("%Y-%m-%d %H:%M UTC").to_string(), machine: time.to_string() }
    }

    pub(crate) fn of(time: Option<&Time>, now: Timestamp) -> Option<Self> {
        time.map(|time| Self::new(time.0, now))
    }
}

/// The time of day if it is near, else the date.
pub(crate) fn clock(time: Timestamp, now: Timestamp) -> String {
    time.strftime(if is_near(time, now) { "%H:%M UTC" } else { "%-d %B %Y" }).to_string()
}

pub(crate) fn is_near(time: Timestamp, now: Timestamp) -> bool {
    (time.as_second() - now.as_second()).abs() < 12 * 3600
}

fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..=89 => (seconds, "second"),
        90..=5_399 => ((seconds + 30) / 60, "minute"),
        5_400..=129_599 => ((seconds + 1_800) / 3_600, "hour"),
        129_600..=5_183_999 => ((seconds + 43_200) / 86_400, "day"),
        5_184_000..=63_071_999 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_777_818_000 + second)
    }

    #[test]
    fn times_are_told_from_where_the_reader_stands() {
        for (second, words) in [
            (0, "just now"),
            (-30, "30 seconds ago"),
            (90, "in 2 minutes"),
            (-3_600 * 3, "3 hours ago"),
            (3_600 * 24 * 2, "in 2 days"),
            (-86_400 * 90, "3 months ago"),
            (-86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(Moment::new(at(second), at(0)).words, words);
        }
        let moment = Moment::new(at(0), at(0));
        assert_eq!(moment.exact, "2026-05-03 14:20 UTC");
        assert_eq!(moment.machine, "2026-05-03T14:20:00Z");
    }

    #[test]
    fn near_times_are_of_the_clock_and_far_ones_of_the_calendar() {
        assert_eq!(clock(at(0), at(-60)), "14:20 UTC");
        assert_eq!(clock(at(0), at(-86_400 * 3)), "3 May 2026");
    }
}
