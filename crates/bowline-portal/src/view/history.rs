//! Events as sentences.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use super::foreign;
use super::words::{Moment, Reader};

const SHOWN: usize = 10;

pub(crate) struct Line {
    pub(crate) title: String,
    /// The operator's sentence.
    pub(crate) note: String,
    pub(crate) when: Moment,
    /// Whether somebody should look at it.
    pub(crate) warning: bool,
}

/// The last ten, the newest first.
pub(crate) fn lines(events: &[Event], owner: &str, reader: Reader<'_>) -> Vec<Line> {
    let mut timed: Vec<(Timestamp, &Event)> =
        events.iter().filter_map(|event| Some((time(event)?, event))).collect();
    timed.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    timed.into_iter().take(SHOWN).map(|(time, event)| line(event, time, owner, reader)).collect()
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let seen = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(event.event_time.as_ref()).map(|time| time.0).or(seen)
}

fn line(event: &Event, time: Timestamp, owner: &str, reader: Reader<'_>) -> Line {
    let reason = event.reason.as_deref().unwrap_or_default();
    Line {
        title: title(reason),
        note: reader.sentence(event.message.as_deref().unwrap_or_default(), owner),
        when: Moment::new(time, reader.now),
        warning: event.type_.as_deref() == Some("Warning"),
    }
}

/// A reason as words: `GrantExpiringSoon` becomes `Grant expiring soon`.
pub(crate) fn title(reason: &str) -> String {
    let mut words = String::new();
    for (at, letter) in reason.char_indices() {
        match letter {
            'A'..='Z' if at > 0 => words.extend([' ', letter.to_ascii_lowercase()]),
            _ => words.push(letter),
        }
    }
    foreign(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_words() {
        assert_eq!(title("GrantExpiringSoon"), "Grant expiring soon");
        assert_eq!(title("Shared"), "Shared");
    }
}
