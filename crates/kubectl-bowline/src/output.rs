//! Formats of a result other than text for people.

use clap::ValueEnum;
use serde::Serialize;

use crate::table::{Cell, Table};

/// `-o`, as kubectl has it.
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

impl Output {
    /// Whether the result is objects, which are printed even where there are none.
    pub(crate) fn is_objects(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Several objects as kubectl prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

pub(crate) fn list_of<T>(items: &[T]) -> List<'_, T> {
    List { api_version: "v1", kind: "List", items }
}

pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(value)?)
}

/// A title, and what stands below it for one item.
pub(crate) type Column<T> = (&'static str, fn(&T) -> Cell);

/// How a list of items is shown.
pub(crate) struct ListView<T: 'static> {
    /// As kubectl takes it.
    pub(crate) name: fn(&T) -> String,
    /// The columns of the table.
    pub(crate) usual: &'static [Column<T>],
    /// Those that `-o wide` adds.
    pub(crate) wide: &'static [Column<T>],
}

impl<T: Serialize> ListView<T> {
    /// The items in the format that `-o` asks for.
    pub(crate) fn render(
        &self,
        items: &[T],
        output: Option<Output>,
        colours: bool,
    ) -> anyhow::Result<String> {
        let added = match output {
            Some(Output::Json) => return json(&list_of(items)),
            Some(Output::Yaml) => return yaml(&list_of(items)),
            Some(Output::Name) => return Ok(items.iter().map(|item| (self.name)(item) + "\n").collect()),
            Some(Output::Wide) => self.wide,
            None => &[],
        };
        let columns = || self.usual.iter().chain(added);
        let heading: Vec<_> = columns().map(|(title, _)| *title).collect();
        let rows: Vec<_> = items.iter().map(|item| columns().map(|(_, cell)| cell(item)).collect()).collect();
        Ok(Table::fit(&heading, &rows, colours).1)
    }
}
