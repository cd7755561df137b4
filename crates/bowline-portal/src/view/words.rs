//! The operator's sentences from the reader's point of view: names instead of "the owner", and relative times.

use k8s_openapi::jiff::Timestamp;

use super::foreign;
use super::time::clock;

/// Who reads the page, and when.
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
