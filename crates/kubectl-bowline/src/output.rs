//! Forms of a result other than text for people.

use clap::ValueEnum;
use serde::Serialize;

/// `-o`, as kubectl has it.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
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
    pub fn is_objects(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Several objects as kubectl prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

pub(super) fn list_of<T>(items: &[T]) -> List<'_, T> {
    List { api_version: "v1", kind: "List", items }
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

pub(super) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(value)?)
}
