//! Parameters of an entry: what an administrator or a connection may set, and what each value may be.

use std::fmt;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

/// A value that is left open by an entry.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// What it means, for the person who sets it.
    pub description: String,
    /// What kind of value it is; decides what is refused whatever the pattern says.
    pub kind: ParameterKind,
    /// The values to choose from, for the kind `choice`.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What a value looks like, matched as a whole. Absent means that the kind alone decides.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// The value when nobody sets one.
    #[serde(default)]
    pub default: Option<String>,
    /// Whether it must have a value.
    #[serde(default)]
    pub required: bool,
    /// Who may set it.
    #[serde(default)]
    pub settable_by: SettableBy,
    /// The setting that takes the value. Absent means that it fills the placeholder of its name.
    #[serde(default)]
    pub sets: Option<Setting>,
    /// A value that works, for examples.
    #[serde(default)]
    pub example: Option<String>,
}

/// What kind of value a parameter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// One segment of a path: letters, digits, `.`, `_`, `-`, `~`; never `.` or `..`.
    PathSegment,
    /// One label of a host name (RFC 1123): letters, digits, `-` inside.
    DnsLabel,
    /// A host name, with a port if need be. Set by an administrator only.
    Host,
    /// An absolute address without user, query or fragment. Set by an administrator only.
    Url,
    /// One of the named choices.
    Choice,
    /// Printable text without line breaks, never in an address. Set by an administrator only.
    Text,
}

/// Who may set a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettableBy {
    /// The administrator, on the provider object.
    #[default]
    Provider,
    /// The administrator, or else each connection.
    Connection,
}

/// A setting that a parameter decides, other than filling a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// How the client proves itself: `basic`, `post` or `none`.
    ClientAuth,
    /// How token requests are written: `form` or `json`.
    Encoding,
    /// What separates scopes: `space`, `comma` or `plus`.
    ScopeSeparator,
    /// Path of the account's stable id in the user info.
    AccountId,
    /// Path of the account's name in the user info.
    AccountName,
    /// Path of the account's e-mail address in the user info.
    AccountEmail,
    /// Header that carries a key.
    KeyHeader,
    /// Word before a key in its header.
    KeyScheme,
    /// Address at which a key is checked.
    ValidateUrl,
}

/// A regular expression that has to match the whole value.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether the whole value matches.
    pub fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }

    /// The expression, anchored.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    /// Anchors the expression, so that no catalogue entry can forget to.
    fn try_from(text: String) -> Result<Self, regex::Error> {
        Regex::new(&format!(r"\A(?:{text})\z")).map(Self)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}
