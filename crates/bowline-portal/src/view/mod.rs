//! Objects in words. Pure: no request, no clock.

pub(crate) mod history;
pub(crate) mod managed;
pub(crate) mod mark;
pub(crate) mod provider;
pub(crate) mod row;
pub(crate) mod scopes;
pub(crate) mod status;
pub(crate) mod words;

use bowline_api::{IntegrationConnection, shown};
use kube::ResourceExt;
use kube::api::ObjectMeta;

/// The longest text of a third party that a page shows.
const FOREIGN_LETTERS: usize = 300;

/// A third party's text as one short line.
pub(crate) fn foreign(text: &str) -> String {
    let clean = shown::one_line(text);
    let mut letters = clean.chars();
    let mut short: String = letters.by_ref().take(FOREIGN_LETTERS).collect();
    short.extend(letters.next().map(|_| '…'));
    short
}

pub(crate) fn key_of(metadata: &ObjectMeta) -> (&str, &str) {
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

pub(crate) fn page_of(namespace: &str, name: &str) -> String {
    format!("/connections/{namespace}/{name}")
}

/// A connection's display name, or else its name.
pub(crate) fn title(connection: &IntegrationConnection) -> String {
    let title = connection.spec.display_name.clone().filter(|title| !title.is_empty());
    title.unwrap_or_else(|| connection.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line_that_reads_as_it_is() {
        assert_eq!(foreign("a\nb\u{202e}c"), "a b\u{fffd}c");
        assert_eq!(foreign(&"x".repeat(1000)).chars().count(), FOREIGN_LETTERS + 1);
        assert_eq!(foreign("Größe"), "Größe");
    }
}
