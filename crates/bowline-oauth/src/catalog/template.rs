//! Text with placeholders: `https://login.example.com/{tenant}/token`.

use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[allow(clippy::expect_used, reason = "every test of a template compiles it")]
static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([a-z0-9_]+)\}").expect("a regular expression"));

/// Text in which `{name}` stands for the value of the parameter `name`.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Template(String);

/// A template whose braces do not pair up around a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a placeholder is written {{name}}, with lower-case letters, digits and underscores")]
pub struct PlaceholderError;

impl Template {
    /// Names of the placeholders, in the order in which they stand.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        PLACEHOLDER.captures_iter(&self.0).map(|found| found.extract::<1>().1[0])
    }

    /// The text with each placeholder replaced by what `value` returns; its name as error where it returns nothing.
    pub(crate) fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, &str> {
        if let Some(missing) = self.placeholders().find(|name| value(name).is_none()) {
            return Err(missing);
        }
        let filled = |found: &Captures<'_>| value(&found[1]).unwrap_or_default().to_owned();
        Ok(PLACEHOLDER.replace_all(&self.0, filled).into_owned())
    }
}

impl TryFrom<String> for Template {
    type Error = PlaceholderError;

    fn try_from(text: String) -> Result<Self, PlaceholderError> {
        let is_sound = !PLACEHOLDER.replace_all(&text, "").contains(['{', '}']);
        if is_sound { Ok(Self(text)) } else { Err(PlaceholderError) }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<Template, PlaceholderError> {
        text.to_owned().try_into()
    }

    #[test]
    fn placeholders_are_filled_and_missing_ones_named() {
        let address = template("https://{host}/{tenant}/token").unwrap();
        assert_eq!(address.placeholders().collect::<Vec<_>>(), ["host", "tenant"]);
        let value = |name: &str| (name == "host").then_some("example.com");
        assert_eq!(address.fill(value), Err("tenant"));
        let filled = address.fill(|name| Some(if name == "host" { "example.com" } else { "all" }));
        assert_eq!(filled.as_deref(), Ok("https://example.com/all/token"));
    }

    #[test]
    fn a_filled_value_is_not_read_as_a_template_again() {
        assert_eq!(template("{a}").unwrap().fill(|_| Some("{b}")).as_deref(), Ok("{b}"));
    }

    #[test]
    fn braces_that_do_not_pair_up_are_refused() {
        for text in ["{", "}", "a{b", "a}b", "{}", "{A}", "{a b}", "{a{b}}", "{{a}}"] {
            assert_eq!(template(text), Err(PlaceholderError), "{text}");
        }
    }
}
