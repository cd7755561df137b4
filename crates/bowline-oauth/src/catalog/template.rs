//! Text with placeholders: `https://login.example.com/{tenant}/token`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// Text in which `{name}` stands for the value of the parameter `name`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Template {
    text: String,
    #[schemars(skip)]
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// A template whose braces do not pair up around a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a placeholder is written {{name}}, with lower-case letters, digits and underscores")]
pub(crate) struct TemplateError;

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError)?;
            if !is_name(name) {
                return Err(TemplateError);
            }
            push_literal(&mut parts, before)?;
            parts.push(Part::Placeholder(name.to_owned()));
            rest = after;
        }
        push_literal(&mut parts, rest)?;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Names of the placeholders, in the order in which they stand.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with each placeholder replaced by what `value` returns; its name as error where it returns nothing.
    pub(crate) fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        self.parts.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Placeholder(name) => text.push_str(&value(name).ok_or(name.as_str())?),
            }
            Ok(text)
        })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn push_literal(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateError> {
    if text.contains('}') {
        return Err(TemplateError);
    }
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
    Ok(())
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_missing_ones_named() {
        let template = Template::parse("https://{host}/{tenant}/token").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["host", "tenant"]);
        let value = |name: &str| (name == "host").then(|| "example.com".to_owned());
        assert_eq!(template.fill(value), Err("tenant"));
        let filled = template.fill(|name| Some(name.to_uppercase()));
        assert_eq!(filled.as_deref(), Ok("https://HOST/TENANT/token"));
    }

    #[test]
    fn a_filled_value_is_not_read_as_a_template_again() {
        let template = Template::parse("{a}").unwrap();
        assert_eq!(template.fill(|_| Some("{b}".to_owned())).as_deref(), Ok("{b}"));
    }

    #[test]
    fn braces_that_do_not_pair_up_are_refused() {
        for text in ["{", "}", "a{b", "a}b", "{}", "{A}", "{a b}", "{a{b}}", "{{a}}"] {
            assert_eq!(Template::parse(text), Err(TemplateError), "{text}");
        }
    }
}
