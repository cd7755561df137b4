//! Paths into a provider's JSON: `$`, `$.a.b`, `$.a[0]['.tag']`. No filters, no wildcards.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Where in a JSON document a value is.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^\$"))]
pub struct JsonPath {
    text: String,
    #[schemars(skip)]
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `$`.
    #[error("a path begins with $")]
    NoRoot,
    /// A step is empty, unclosed or unknown.
    #[error("after $ come steps like .name, [0] or ['name']")]
    BadStep,
}

impl JsonPath {
    /// The whole document, `$`.
    pub fn root() -> Self {
        Self { text: "$".to_owned(), steps: Vec::new() }
    }

    /// The value at this path. A `null` counts as absent.
    pub fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let found = self.steps.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })?;
        (!found.is_null()).then_some(found)
    }

    /// The value at this path as text: a string that is not empty, a number or a boolean.
    pub fn text(&self, document: &Value) -> Option<String> {
        match self.get(document)? {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Default for JsonPath {
    fn default() -> Self {
        Self::root()
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut rest = text.strip_prefix('$').ok_or(PathError::NoRoot)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or(PathError::BadStep)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

/// Splits the first step off a non-empty rest.
fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(rest) = rest.strip_prefix("['") {
        let (key, after) = rest.split_once("']")?;
        return (!key.is_empty()).then(|| (Step::Key(key.to_owned()), after));
    }
    if let Some(rest) = rest.strip_prefix('[') {
        let (index, after) = rest.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), after));
    }
    let rest = rest.strip_prefix('.')?;
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (key, after) = rest.split_at(end);
    (!key.is_empty() && !key.contains(['\'', ']'])).then(|| (Step::Key(key.to_owned()), after))
}

impl TryFrom<String> for JsonPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.text)
    }
}

/// One path or several, of which the first that leads to a value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "OneOrMany")]
#[schemars(with = "OneOrMany")]
pub struct Paths(Vec<JsonPath>);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(JsonPath),
    Many(Vec<JsonPath>),
}

impl From<OneOrMany> for Paths {
    fn from(given: OneOrMany) -> Self {
        match given {
            OneOrMany::One(path) => Self(vec![path]),
            OneOrMany::Many(paths) => Self(paths),
        }
    }
}

impl From<JsonPath> for Paths {
    fn from(path: JsonPath) -> Self {
        Self(vec![path])
    }
}

impl Paths {
    /// The first value that one of the paths leads to.
    pub fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().find_map(|path| path.get(document))
    }

    /// The first text that one of the paths leads to, as [`JsonPath::text`] reads it.
    pub fn text(&self, document: &Value) -> Option<String> {
        self.0.iter().find_map(|path| path.text(document))
    }

    /// Whether there is no path at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> JsonPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_leads_to_its_value() {
        let document = json!({"a": {"b": "c", "n": 7}, "list": [{".tag": "expired"}], "flag": true, "empty": "", "no": null});
        let rows = [
            ("$.a.b", Some("c")),
            ("$.a.n", Some("7")),
            ("$['a'].b", Some("c")),
            ("$.list[0]['.tag']", Some("expired")),
            ("$.list[1]['.tag']", None),
            ("$.flag", Some("true")),
            ("$.empty", None),
            ("$.no", None),
            ("$.a", None),
            ("$.a.b.c", None),
        ];
        for (text, expected) in rows {
            assert_eq!(path(text).text(&document).as_deref(), expected, "{text}");
        }
        assert_eq!(path("$").get(&document), Some(&document));
    }

    #[test]
    fn a_path_that_cannot_be_read_is_refused() {
        assert_eq!("a.b".parse::<JsonPath>(), Err(PathError::NoRoot));
        for text in ["$a", "$.", "$..a", "$.a[", "$.a[x]", "$.a['b]", "$.a['']", "$.a[-1]", "$.a]", "$[*]"] {
            assert_eq!(text.parse::<JsonPath>(), Err(PathError::BadStep), "{text}");
        }
    }

    #[test]
    fn the_first_path_with_a_value_counts() {
        let paths = Paths(vec![path("$.mail"), path("$.userPrincipalName")]);
        let document = json!({"mail": null, "userPrincipalName": "o@example.com"});
        assert_eq!(paths.text(&document).as_deref(), Some("o@example.com"));
        assert_eq!(Paths::default().text(&document), None);
    }
}
