//! Objects in words for people. Pure: no request, no clock.
//!
//! | module | holds |
//! |---|---|
//! | [`time`] | when, from where the reader stands |
//! | [`status`] | the state of a connection: a chip and a line |
//! | [`doer`] | who made or stopped a connection |
//! | [`provider`] | a provider's name and mark |
//! | [`scopes`] | what a scope lets the holder do |
//! | [`history`] | Events as sentences |
//! | [`owned`] | fields that another tool keeps |
//! | [`snippet`] | YAML that mounts a published Secret |
//! | [`words`] | the operator's sentences, spoken to the reader |

pub mod doer;
pub mod history;
pub mod owned;
pub mod provider;
pub mod scopes;
pub mod snippet;
pub mod status;
pub mod time;
pub mod words;

/// The longest text of somebody else's that a page shows.
const FOREIGN_LETTERS: usize = 300;

/// Somebody else's text as one short line: no control or direction marks, cut.
pub fn foreign(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let clean: String =
        text.chars().map(|c| if hidden(c) { ' ' } else { c }).take(FOREIGN_LETTERS + 1).collect();
    if clean.chars().count() > FOREIGN_LETTERS {
        return clean.chars().take(FOREIGN_LETTERS).chain(['…']).collect();
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line_that_reads_as_it_is() {
        assert_eq!(foreign("a\nb\u{202e}c"), "a b c");
        assert_eq!(foreign(&"x".repeat(1000)).chars().count(), FOREIGN_LETTERS + 1);
        assert_eq!(foreign("Größe"), "Größe");
    }
}
