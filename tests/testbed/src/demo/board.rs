//! The lines that the demo prints: what was seen, when, and how long it took.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use crate::error::Error;

/// The assumed width of a terminal.
const WIDTH: usize = 80;
/// How wide the column of titles is.
const TITLE: usize = 17;

/// A step that was observed.
struct Seen {
    title: &'static str,
    took: Duration,
}

/// The steps so far.
pub struct Board {
    start: Instant,
    live: bool,
    seen: Vec<Seen>,
}

impl Board {
    /// An empty board. `live` shows the step that is being waited for; for terminals only.
    pub fn new(live: bool) -> Self {
        println!("  since    took  step");
        Self { start: Instant::now(), live, seen: Vec::new() }
    }

    /// Waits for a step and prints its line. An error leaves the line out: what was not seen is not printed.
    pub async fn step(
        &mut self,
        title: &'static str,
        work: impl Future<Output = Result<String, Error>>,
    ) -> Result<(), Error> {
        self.observe(title, async { Ok((work.await?, ())) }).await
    }

    /// Like [`Board::step`], for work that also returns something.
    pub async fn observe<T>(
        &mut self,
        title: &'static str,
        work: impl Future<Output = Result<(String, T), Error>>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        self.announce(title);
        let result = work.await;
        self.wipe();
        let (what, made) = result?;
        let took = start.elapsed();
        println!("{}", line(self.start.elapsed(), took, title, &what));
        self.seen.push(Seen { title, took });
        Ok(made)
    }

    /// Every step that was seen, and how long it took, as a table.
    pub fn table(&self) -> String {
        let width = self.seen.iter().map(|seen| seen.title.chars().count()).max().unwrap_or_default();
        let mut table = String::new();
        for Seen { title, took } in &self.seen {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {title:<width$} | {:>6.1} s |", took.as_secs_f64());
        }
        let _ =
            write!(table, "{} steps seen in {:.1} s", self.seen.len(), self.start.elapsed().as_secs_f64());
        table
    }

    fn announce(&self, title: &str) {
        if self.live {
            print!("{:>7.1}s       … {title}", self.start.elapsed().as_secs_f64());
            // If the terminal is gone, the next line fails.
            let _ = io::stdout().flush();
        }
    }

    fn wipe(&self) {
        if self.live {
            // Back to the line's beginning, and erase it (ECMA-48 EL).
            print!("\r\x1b[2K");
        }
    }
}

/// One step; what was seen is broken into lines of its own column.
fn line(since: Duration, took: Duration, title: &str, what: &str) -> String {
    let mut text = format!("{:>6.1} s {:>5.1} s  {title:<TITLE$}", since.as_secs_f64(), took.as_secs_f64());
    let indent = text.chars().count();
    let mut column = indent;
    for word in what.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        }
        let _ = write!(text, " {word}");
        column += 1 + length;
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_how_long_and_what() {
        let text = line(Duration::from_millis(12_340), Duration::from_millis(900), "applied", "by alice");
        assert_eq!(text, "  12.3 s   0.9 s  applied           by alice");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let text = line(Duration::ZERO, Duration::ZERO, "account confirmed", &"some words ".repeat(12));
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() > 2 && widths.iter().all(|width| *width <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(36))), "{text}");
    }

    #[tokio::test]
    async fn a_missed_step_is_not_in_the_table() {
        let mut board = Board::new(false);
        board.step("applied", async { Ok("by alice".to_owned()) }).await.unwrap();
        board.step("shared", async { Err(Error::NoAuditLog) }).await.unwrap_err();
        let table = board.table();
        assert!(table.contains("applied") && table.contains("1 steps seen"), "{table}");
        assert!(!table.contains("shared"), "{table}");
    }
}
