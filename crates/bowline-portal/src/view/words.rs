//! Texts from the reader's point of view: times relative to now, and the operator's sentences with names instead of "the
//! owner".

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::foreign;

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

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) user: &'a str,
    pub(crate) now: Timestamp,
}

impl Reader<'_> {
    /// The user's name, or "you".
    pub(crate) fn name(self, somebody: &str) -> String {
        if somebody == self.user { "you".to_owned() } else { somebody.to_owned() }
    }

    /// A sentence of the operator about an object of `owner`.
    pub(crate) fn sentence(self, text: &str, owner: &str) -> String {
        let (name, first) = (self.name(owner), if owner == self.user { "You" } else { owner });
        let text = text.replace("The owner must", &format!("{first} must"));
        let text = text.replace("the owner must", &format!("{name} must"));
        foreign(&text.split(' ').map(|word| self.time(word)).collect::<Vec<_>>().join(" "))
    }

    /// A word; a timestamp, with or without punctuation, becomes a time for people.
    fn time(self, word: &str) -> String {
        let bare = word.trim_end_matches(['.', ',', ';', ':', ')']);
        match bare.parse::<Timestamp>() {
            Ok(time) => clock(time, self.now) + &word[bare.len()..],
            Err(_) => word.to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    fn reader(user: &str) -> Reader<'_> {
        Reader { user, now: "2026-05-03T14:00:00Z".parse().unwrap() }
    }

    #[test]
    fn the_owner_is_you_or_has_a_name() {
        let text = "It ended. The owner must connect again, or the owner must wait.";
        let told = |user| reader(user).sentence(text, "alice");
        assert_eq!(told("alice"), "It ended. You must connect again, or you must wait.");
        assert_eq!(told("bob"), "It ended. alice must connect again, or alice must wait.");
    }

    #[test]
    fn times_of_machines_are_told_as_people_tell_them() {
        let told = |text| reader("alice").sentence(text, "alice");
        assert_eq!(told("Good until 2026-05-03T14:20:00Z, then gone."), "Good until 14:20 UTC, then gone.");
        assert_eq!(told("It ends at 2026-07-03T14:20:00Z."), "It ends at 3 July 2026.");
        assert_eq!(told("Version 2026 of it: 14:20"), "Version 2026 of it: 14:20");
    }
}
