//! Formats of a result other than text for people.

use std::fmt::Write as _;

use bowline_api::shown;
use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::screen::Screen;
use crate::table::{Cell, Table};

/// `-o`, as in kubectl.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The objects as JSON
    Json,
    /// The objects as YAML
    Yaml,
    /// The table with more columns
    Wide,
    /// Names only, as kubectl takes them
    Name,
}

/// Several objects as kubectl prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

/// For programs, which get every letter: those that would act on a terminal are escaped (RFC 8259 §7).
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let mut escaped = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        // Outside of strings there is no such letter but the line break.
        if letter == '\n' || !shown::is_hidden(letter) {
            escaped.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            write!(escaped, "\\u{unit:04x}")?;
        }
    }
    Ok(escaped + "\n")
}

pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(value)?)
}

/// A title, and the value below it for one item, now.
pub(crate) type Column<T> = (&'static str, fn(&T, Timestamp) -> Cell);

pub(crate) struct ListView<T: 'static> {
    pub(crate) name: fn(&T) -> String,
    pub(crate) usual: &'static [Column<T>],
    /// Those that `-o wide` adds.
    pub(crate) wide: &'static [Column<T>],
}

impl<T: Serialize> ListView<T> {
    /// Prints the items in the requested format, or says that there are none. A list of objects may be empty.
    pub(crate) fn show(
        &self,
        items: &[T],
        output: Option<Output>,
        now: Timestamp,
        empty: &str,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        if items.is_empty() && !matches!(output, Some(Output::Json | Output::Yaml)) {
            screen.progress(empty);
            return Ok(());
        }
        Ok(screen.result(&self.render(items, output, now, screen.colours())?)?)
    }

    pub(crate) fn render(
        &self,
        items: &[T],
        output: Option<Output>,
        now: Timestamp,
        colours: bool,
    ) -> anyhow::Result<String> {
        let list = List { api_version: "v1", kind: "List", items };
        match output {
            Some(Output::Json) => json(&list),
            Some(Output::Yaml) => yaml(&list),
            Some(Output::Name) => Ok(items.iter().map(|item| (self.name)(item) + "\n").collect()),
            Some(Output::Wide) | None => Ok(self.table(items, output, now, colours).1),
        }
    }

    /// The table, to which rows may be added, and its text.
    pub(crate) fn table(
        &self,
        items: &[T],
        output: Option<Output>,
        now: Timestamp,
        colours: bool,
    ) -> (Table, String) {
        let columns = self.columns(output);
        let titles: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
        let rows: Vec<_> = items.iter().map(|item| row(&columns, item, now)).collect();
        Table::fit(&titles, &rows, colours)
    }

    pub(crate) fn columns(&self, output: Option<Output>) -> Vec<Column<T>> {
        let added = if output == Some(Output::Wide) { self.wide } else { &[] };
        [self.usual, added].concat()
    }
}

pub(crate) fn row<T>(columns: &[Column<T>], item: &T, now: Timestamp) -> Vec<Cell> {
    columns.iter().map(|(_, cell)| cell(item, now)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_every_letter_and_a_terminal_none_that_acts() {
        let value = serde_json::json!({"name": "\u{1b}[2J\u{9b}\u{202e}x\u{e0041}\n"});
        let text = json(&value).unwrap();
        assert_eq!(text, "{\n  \"name\": \"\\u001b[2J\\u009b\\u202ex\\udb40\\udc41\\n\"\n}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
