//! Columns that line up.

use crate::screen::{Paint, painted};
use bowline_api::connection::{AccountStatus, Phase};
use bowline_api::{IntegrationConnection, shown};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) paint: Option<Paint>,
}

/// As one line: names come from people and providers, and must not end the line that shows them. `<none>` where there is
/// nothing to show.
pub(crate) fn printable(text: impl AsRef<str>) -> String {
    let text = shown::one_line(text.as_ref());
    if text.is_empty() { "<none>".to_owned() } else { text }
}

impl Cell {
    /// Text without a colour.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: printable(text), paint: None }
    }

    pub(crate) fn some(text: Option<impl AsRef<str>>) -> Self {
        text.map_or_else(|| Self::new(""), Self::new)
    }

    pub(crate) fn painted(self, paint: Option<Paint>) -> Self {
        Self { paint, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// The phase as people read it; empty before the operator has looked.
pub(crate) fn phase(connection: &IntegrationConnection) -> Cell {
    let paint = connection.phase().map(|phase| match phase {
        Phase::Active => Paint::Good,
        Phase::Pending | Phase::Suspended | Phase::Disconnected => Paint::Calm,
        Phase::Expired | Phase::Error | Phase::Revoked => Paint::Bad,
    });
    Cell::new(connection.phase_text()).painted(paint)
}

/// The account as a person would check it: name, mail address, id.
pub(crate) fn account_in_full(account: &AccountStatus) -> String {
    let mut text = account.word().to_owned();
    if let Some(email) = account.email.as_ref().filter(|email| **email != text) {
        text = format!("{text} <{email}>");
    }
    if account.name.is_some() {
        text = format!("{text} (id {})", account.id);
    }
    printable(text)
}

/// Widths that fit a heading and the rows known so far; later rows use the same widths.
pub(crate) struct Table {
    widths: Vec<usize>,
    colours: bool,
}

impl Table {
    /// Fits the widths and returns the table with its heading.
    pub(crate) fn fit(heading: &[&str], rows: &[Vec<Cell>], colours: bool) -> (Self, String) {
        let heading: Vec<_> = heading.iter().map(|title| Cell::new(*title)).collect();
        let whole = || std::iter::once(&heading).chain(rows);
        let width = |column: usize| whole().map(|row| row[column].width()).max().unwrap_or_default();
        let table = Self { widths: (0..heading.len()).map(width).collect(), colours };
        let text = whole().map(|row| table.line(row)).collect();
        (table, text)
    }

    /// One row, with its line end.
    pub(crate) fn line(&self, row: &[Cell]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            line += &painted(&cell.text, cell.paint, self.colours);
            if column + 1 < row.len() {
                line += &" ".repeat(width.saturating_sub(cell.width()) + 3);
            }
        }
        line + "\n"
    }
}

/// Titles and values, one per line; a missing value is left empty.
pub(crate) fn lines(rows: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    rows.into_iter().filter_map(|(title, value)| Some(line(title, &printable(value?)))).collect()
}

/// One of them, with our own value, which may have colours.
pub(crate) fn line(title: &str, value: &str) -> String {
    format!("{:<16}{value}\n", format!("{title}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let rows = [
            vec![Cell::new("a"), Cell::new("Active").painted(Some(Paint::Good)), Cell::new("1m")],
            vec![Cell::new("github-work"), Cell::new(""), Cell::new("2d")],
        ];
        let (table, text) = Table::fit(&["NAME", "STATUS", "AGE"], &rows, false);
        assert_eq!(
            text,
            "NAME          STATUS   AGE\na             Active   1m\ngithub-work   <none>   2d\n"
        );
        assert_eq!(table.line(&rows[0]), "a             Active   1m\n");
        let (_, coloured) = Table::fit(&["NAME", "STATUS", "AGE"], &rows, true);
        let active = painted("Active", Some(Paint::Good), true);
        assert!(coloured.contains(&format!("{active}   1m")), "{coloured}");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(Cell::new("evil\u{1b}[2J").text, "evil\u{fffd}[2J");
    }
}
