//! Durations in as few words as kubectl uses.

use bowline_api::duration::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// How long ago, or `<none>`.
pub(crate) fn since(time: Option<&Time>, now: Timestamp) -> String {
    time.map_or_else(|| "<none>".to_owned(), |time| span(now.as_second() - time.0.as_second()))
}

/// `in 4m`, `4m ago`.
pub(crate) fn relative(time: &Time, now: Timestamp) -> String {
    let seconds = time.0.as_second() - now.as_second();
    if seconds > 0 { format!("in {}", span(seconds)) } else { format!("{} ago", span(-seconds)) }
}

/// A duration as people write it: 10m, not 600s.
pub(crate) fn length(limit: Duration) -> String {
    let seconds = limit.get().as_secs();
    span(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// Seconds as `45s`, `4m10s`, `3h5m`, `2d4h`, `90d`; two units if both matter. Negative counts as zero.
pub(crate) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=599 => two(minutes, 'm', seconds % 60, 's'),
        600..=10_799 => format!("{minutes}m"),
        10_800..=86_399 => two(hours, 'h', minutes % 60, 'm'),
        86_400..=691_199 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

fn two(large: i64, large_unit: char, small: i64, small_unit: char) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (250, "4m10s"),
            (600, "10m"),
            (10_799, "179m"),
            (11_100, "3h5m"),
            (86_400, "1d"),
            (187_200, "2d4h"),
            (7_776_000, "90d"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_moment_is_ahead_or_past() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Time(Timestamp::from_second(seconds).unwrap_or_default());
        assert_eq!(relative(&at(240), now), "in 4m");
        assert_eq!(relative(&at(-240), now), "4m ago");
        assert_eq!(since(Some(&at(-240)), now), "4m");
        assert_eq!(since(None, now), "<none>");
    }
}
