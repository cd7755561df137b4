//! Where results and progress go, and whether they may have colours.

use std::io::{self, IsTerminal, Read, Write};

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

pub struct Screen {
    input: Box<dyn Read>,
    somebody_types: bool,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colours: bool,
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
            browser: false,
        }
    }

    /// What is piped in; `None` on a terminal, where typed text would be shown.
    pub(crate) fn piped_input(&mut self) -> Option<&mut dyn Read> {
        if self.somebody_types { None } else { Some(&mut self.input) }
    }

    pub(crate) fn result(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A line about what is going on. If it cannot be written, the command continues.
    pub(crate) fn progress(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Whether somebody at this terminal can be asked.
    pub(crate) fn is_attended(&self) -> bool {
        self.somebody_types
    }

    /// The line that is typed, or piped in, after a question; `None` if the input has ended.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let _ = write!(self.err, "{question}");
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
    let code = match paint.filter(|_| colours) {
        None => return text.to_owned(),
        Some(Paint::Good) => 32,
        Some(Paint::Calm) => 33,
        Some(Paint::Bad) => 31,
        Some(Paint::Strong) => 1,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
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
        assert_eq!(painted("Active", Some(Paint::Good), true), "\u{1b}[32mActive\u{1b}[0m");
        assert_eq!(painted("Active", Some(Paint::Good), false), "Active");
        assert_eq!(painted("Active", None, true), "Active");
    }
}
