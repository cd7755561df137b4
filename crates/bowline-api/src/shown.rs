//! Text that others wrote, on its way to a person: no letter of it may act on the terminal or page that shows it.
//!
//! Names, messages and annotations come from users, providers and tools. Escape sequences move a cursor and colour lines,
//! direction marks reorder what is read, and invisible letters make two names look the same. Each becomes U+FFFD, so that
//! somebody sees that something was there. What writes to a terminal and what writes a page both send everything through here.

/// Shown in place of a letter that would act, or that nobody could see.
pub const REPLACEMENT: char = '\u{fffd}';

/// Whether a letter acts on what shows it, or cannot be seen. Line breaks and tabs are among them: callers decide on those.
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
                | '\u{feff}' | '\u{ffa0}'
                | '\u{180b}'..='\u{180f}'
                // Zero width and direction marks; line and paragraph separators; direction overrides.
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                // Invisible operators and isolates.
                | '\u{2060}'..='\u{206f}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                // Tags: invisible ASCII.
                | '\u{e0000}'..='\u{e0fff}'
        )
        || is_noncharacter(letter)
}

/// What Unicode never assigns.
fn is_noncharacter(letter: char) -> bool {
    matches!(letter, '\u{fdd0}'..='\u{fdef}') || u32::from(letter) & 0xfffe == 0xfffe
}

/// Several lines, as a page or a screen shows them: line breaks and tabs stay.
pub fn lines(text: &str) -> String {
    text.chars().map(|letter| if matches!(letter, '\n' | '\t') { letter } else { shown(letter) }).collect()
}

/// One line: what separates words or lines becomes a space.
pub fn one_line(text: &str) -> String {
    let separates = |letter| matches!(letter, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}');
    text.chars().map(|letter| if separates(letter) { ' ' } else { shown(letter) }).collect()
}

fn shown(letter: char) -> char {
    if is_hidden(letter) { REPLACEMENT } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_or_hides_is_replaced_and_the_rest_stays() {
        for hidden in [
            '\u{1b}',
            '\u{9b}',
            '\u{7f}',
            '\u{0}',
            '\u{8}',
            '\r',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{2060}',
            '\u{feff}',
            '\u{fdd0}',
            '\u{1fffe}',
            '\u{e0041}',
        ] {
            let text = format!("a{hidden}b");
            assert_eq!(lines(&text), "a\u{fffd}b", "{hidden:?}");
            assert!(!one_line(&text).contains(hidden), "{hidden:?}");
        }
        for plain in ["Größe", "名前", "مثال", "👍🏽", "✓ ‖ … –", "<b>&'\""] {
            assert_eq!((lines(plain), one_line(plain)), (plain.to_owned(), plain.to_owned()));
        }
    }

    #[test]
    fn a_line_break_ends_a_line_only_where_lines_are_shown() {
        assert_eq!(lines("a\n\tb\rc"), "a\n\tb\u{fffd}c");
        assert_eq!(one_line("a\n\tb\rc\u{2028}d"), "a  b c d");
    }
}
