//! The history in a connection's status as sentences.

use bowline_api::IntegrationConnection;
use bowline_api::connection::HistoryEntry;
use bowline_api::reason::EventType;

use super::foreign;
use super::words::{Moment, Reader};

pub(crate) struct Line {
    pub(crate) title: String,
    /// The operator's sentence.
    pub(crate) note: String,
    pub(crate) when: Moment,
    /// Whether somebody should look at it.
    pub(crate) warning: bool,
}

/// The newest first.
pub(crate) fn lines(connection: &IntegrationConnection, reader: Reader<'_>) -> Vec<Line> {
    let history = connection.status.iter().flat_map(|status| &status.history);
    history.map(|entry| line(entry, &connection.spec.owner, reader)).collect()
}

fn line(entry: &HistoryEntry, owner: &str, reader: Reader<'_>) -> Line {
    let warns = entry.reason.known().is_some_and(|reason| reason.row().event == Some(EventType::Warning));
    Line {
        title: title(&entry.reason.to_string()),
        note: reader.sentence(&entry.message, owner),
        when: Moment::new(entry.at.0, reader.now),
        warning: warns,
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
