//! Where results and progress go, and whether they may have colours. Nothing else writes to the terminal.
//!
//! Every text is cleaned on its way out: whatever names and messages contain, a terminal obeys only our own colours. Text
//! carries those as [`Paint`] marks, which no cleaned text can contain.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};

use bowline_api::shown;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The longest answer to a question.
const LINE: usize = 1024;

/// Colours with a meaning; the words beside them say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    /// Waits, or is suspended.
    Calm,
    Bad,
    Strong,
}

impl Paint {
    /// Stands for it in text until that is written: a noncharacter, which [`shown`] removes from everything foreign.
    const fn mark(self) -> char {
        match self {
            Self::Good => '\u{fdd0}',
            Self::Calm => '\u{fdd1}',
            Self::Bad => '\u{fdd2}',
            Self::Strong => '\u{fdd3}',
        }
    }
}

const UNPAINTED: char = '\u{fdd4}';

/// What is sent for a mark; `None` for any other letter (ECMA-48, SGR).
const fn sequence(mark: char) -> Option<&'static str> {
    Some(match mark {
        '\u{fdd0}' => "\u{1b}[32m",
        '\u{fdd1}' => "\u{1b}[33m",
        '\u{fdd2}' => "\u{1b}[31m",
        '\u{fdd3}' => "\u{1b}[1m",
        UNPAINTED => "\u{1b}[0m",
        _ => return None,
    })
}

/// What a terminal may get of a text: lines of letters, and our own colours if there are any.
fn harmless(text: &str, colours: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for part in text.split_inclusive(|letter| sequence(letter).is_some()) {
        let mark = part.chars().next_back().and_then(sequence);
        let letters =
            if mark.is_some() { part.trim_end_matches(|letter| sequence(letter).is_some()) } else { part };
        clean += &shown::lines(letters);
        clean += mark.filter(|_| colours).unwrap_or_default();
    }
    clean
}

#[allow(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub struct Screen {
    input: Box<dyn Read>,
    somebody_types: bool,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colours: bool,
    /// Whether results go to a terminal.
    seen: bool,
    /// Whether somebody can look at a browser here.
    browser: bool,
}

impl Screen {
    /// stdin, stdout and stderr; colours only where stdout is a terminal and `NO_COLOR` is not set.
    pub fn standard() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            input: Box::new(io::stdin()),
            somebody_types: io::stdin().is_terminal(),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            colours: wanted && io::stdout().is_terminal(),
            seen: io::stdout().is_terminal(),
            browser: io::stdout().is_terminal()
                && std::env::var_os("CI").is_none_or(|value| value.is_empty()),
        }
    }

    /// As in a pipe: without colours, and without input.
    #[cfg(test)]
    pub fn piped(input: impl Read + 'static, out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self {
            input: Box::new(input),
            somebody_types: false,
            out: Box::new(out),
            err: Box::new(err),
            colours: false,
            seen: false,
            browser: false,
        }
    }

    /// What is piped in; `None` on a terminal, where typed text would be shown.
    pub(crate) fn piped_input(&mut self) -> Option<&mut dyn Read> {
        if self.somebody_types { None } else { Some(&mut self.input) }
    }

    pub(crate) fn result(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(harmless(text, self.colours).as_bytes())?;
        self.out.flush()
    }

    /// A secret and a line end: for a program exactly as it is, on a terminal as harmless as any other text.
    pub(crate) fn secret(&mut self, secret: &SecretString) -> io::Result<()> {
        if self.seen {
            return self.result(&format!("{}\n", secret.expose_secret()));
        }
        writeln!(self.out, "{}", secret.expose_secret())?;
        self.out.flush()
    }

    /// A line about what is going on. If it cannot be written, the command continues.
    pub(crate) fn progress(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}", harmless(line, false));
    }

    /// Why the command failed.
    pub fn error(&mut self, error: &impl Display) {
        self.progress(&format!("error: {error:#}"));
    }

    /// Whether somebody at this terminal can be asked.
    pub(crate) fn is_attended(&self) -> bool {
        self.somebody_types
    }

    /// The line that is typed, or piped in, after a question; `None` if the input has ended.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let _ = write!(self.err, "{}", harmless(question, false));
        let _ = self.err.flush();
        let mut line = Vec::new();
        let mut byte = [0];
        // Byte by byte: what follows the line is not ours to read.
        while line.len() < LINE && self.input.read(&mut byte)? == 1 {
            if byte == *b"\n" {
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            line.extend(byte);
        }
        // The next output begins on a line of its own.
        let _ = writeln!(self.err);
        Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).trim().to_owned()))
    }

    /// Prints the address of a page, and opens it if somebody can look at it.
    pub(crate) fn visit(&mut self, page: &Url, no_browser: bool) -> io::Result<()> {
        self.result(&format!("{page}\n"))?;
        let is_web = matches!(page.scheme(), "http" | "https");
        if self.browser && !no_browser && is_web && open::that_detached(page.as_str()).is_ok() {
            self.progress("Opened in your browser.");
        }
        Ok(())
    }

    pub(crate) fn colours(&self) -> bool {
        self.colours
    }
}

/// `text` in a colour, if there are colours.
pub(crate) fn painted(text: &str, paint: Option<Paint>, colours: bool) -> String {
    match paint.filter(|_| colours) {
        None => text.to_owned(),
        Some(paint) => format!("{}{text}{UNPAINTED}", paint.mark()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_and_no_answer_is_told_from_an_empty_one() {
        let input = "github\r\ny".as_bytes();
        let mut screen = Screen::piped(input, io::sink(), io::sink());
        let mut asked = || screen.ask("? ").ok().flatten();
        assert_eq!(asked().as_deref(), Some("github"));
        assert_eq!(asked().as_deref(), Some("y"));
        assert_eq!(asked(), None);
    }

    #[test]
    fn colours_appear_only_where_they_are_wanted() {
        let line = painted("Active", Some(Paint::Good), true);
        assert_eq!(harmless(&line, true), "\u{1b}[32mActive\u{1b}[0m");
        assert_eq!(harmless(&line, false), "Active");
        assert_eq!(painted("Active", Some(Paint::Good), false), "Active");
        assert_eq!(painted("Active", None, true), "Active");
    }

    #[test]
    fn a_terminal_obeys_our_own_colours_and_nothing_else() {
        let name = "\u{1b}[31mroot\u{9b}2J\u{202e}x";
        let line = painted(name, Some(Paint::Good), true) + "\n\ty\r\n";
        let seen = "\u{1b}[32m\u{fffd}[31mroot\u{fffd}2J\u{fffd}x\u{1b}[0m\n\ty\u{fffd}\n";
        assert_eq!(harmless(&line, true), seen);
        assert_eq!(harmless("a\u{fdd0}\u{fdd4}\u{fdd0}b\u{fdd5}", false), "ab\u{fffd}");
    }

    /// A mark in a name would let it choose its colour.
    #[test]
    fn a_foreign_mark_is_cleaned_with_the_line_that_it_is_in() {
        let name = crate::table::printable("\u{fdd2}x\u{fdd4}");
        let line = painted(&name, Some(Paint::Good), true);
        assert_eq!(harmless(&line, true), "\u{1b}[32m\u{fffd}x\u{fffd}\u{1b}[0m");
    }
}
