//! Parameters of an entry: what an administrator or a connection may set, and what each value may be.

use std::fmt;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// A value that is left open by an entry.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
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
    #[serde(skip_serializing)]
    pub(crate) pattern: Option<Pattern>,
    /// The value when nobody sets one.
    pub default: Option<String>,
    /// Whether it must have a value.
    #[serde(default)]
    pub required: bool,
    /// Who may set it.
    #[serde(default)]
    pub settable_by: SetBy,
    /// The setting that takes the value. Absent means that it fills the placeholder of its name.
    pub(crate) sets: Option<Setting>,
    /// A value that works, for examples.
    pub example: Option<String>,
}

/// What kind of value a parameter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ParameterKind {
    /// One segment of a path: letters, digits, `.`, `_`, `-`, `~`; never `.` or `..`.
    PathSegment,
    /// One label of a host name (RFC 1123): letters, digits, `-` inside.
    #[serde(rename = "DNSLabel")]
    DnsLabel,
    /// A host name, with a port if need be. Set by an administrator only.
    Host,
    /// An absolute address without user, query or fragment. Set by an administrator only.
    #[serde(rename = "URL")]
    Url,
    /// One of the named choices.
    Choice,
    /// Printable text without line breaks, never in an address. Set by an administrator only.
    Text,
}

/// Who sets a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum SetBy {
    /// The administrator, on the provider object.
    #[default]
    Provider,
    /// Each connection, where the provider object does not.
    Connection,
}

impl fmt::Display for SetBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Provider => "the IntegrationProvider",
            Self::Connection => "the connection",
        })
    }
}

/// A setting that a parameter decides, other than filling a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Setting {
    /// How the client proves itself: `basic`, `post`, `none`, or another method by its name in metadata.
    ClientAuth,
    /// How token requests are written: `form` or `json`.
    Encoding,
    /// What separates scopes: `space`, `comma` or `plus`.
    ScopeSeparator,
    /// The parameter that carries scopes in the authorization request: `scope` or `user_scope`.
    ScopeParameter,
    /// Pointer to the account's stable id in the user info.
    #[serde(rename = "AccountID")]
    AccountId,
    /// Pointer to the account's name in the user info.
    AccountName,
    /// Pointer to the account's e-mail address in the user info.
    AccountEmail,
    /// How long a consent lives: that of an app in `testing` for seven days (Google).
    PublishingStatus,
    /// Header that carries a key.
    KeyHeader,
    /// Word before a key in its header.
    KeyScheme,
    /// Parameter of the query that carries a key instead.
    KeyQuery,
    /// Address at which a key is checked.
    #[serde(rename = "ValidateURL")]
    ValidateUrl,
    /// What issued keys begin with.
    KeyPrefix,
    /// How long earlier issued keys stay valid beside a new one.
    KeyOverlap,
    /// After how long an issued key expires.
    KeyLifetime,
}

/// The rule that a value breaks, in words for the person who set it. The words never repeat the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rule {
    #[error(
        "it must be one path segment: letters, digits, '.', '_', '-' or '~', not beginning with '.', without '..'"
    )]
    PathSegment,
    #[error(
        "it must be one label of a host name: up to 63 letters, digits or '-', beginning and ending with a letter or digit"
    )]
    DnsLabel,
    #[error("it must be a host name, with a port if need be, and nothing else")]
    Host,
    #[error("it must be an absolute https address without user, query, fragment, '..' or braces")]
    Url,
    #[error("it must be one of the values that the catalogue names")]
    Choice,
    #[error("it must be 1 to 253 characters without line breaks or other control characters")]
    Text,
    #[error("it does not have the form that the catalogue asks for")]
    Pattern,
    #[error("it must be a JSON pointer such as /sub, /user/id or /items/0/id")]
    Pointer,
}

impl Parameter {
    /// Whether a value is allowed, by kind and pattern.
    pub fn check(&self, value: &str) -> Result<(), Rule> {
        let (fits, rule) = match self.kind {
            ParameterKind::PathSegment => (is_path_segment(value), Rule::PathSegment),
            ParameterKind::DnsLabel => (is_dns_label(value), Rule::DnsLabel),
            ParameterKind::Host => (is_host(value), Rule::Host),
            ParameterKind::Url => (is_plain_url(value), Rule::Url),
            ParameterKind::Choice => (self.choices.iter().any(|choice| choice == value), Rule::Choice),
            ParameterKind::Text => (is_text(value), Rule::Text),
        };
        if !fits {
            return Err(rule);
        }
        match &self.pattern {
            Some(pattern) if !pattern.matches(value) => Err(Rule::Pattern),
            _ => Ok(()),
        }
    }
}

fn is_path_segment(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    is_text(value) && value.bytes().all(allowed) && !value.starts_with('.') && !value.contains("..")
}

fn is_dns_label(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&value.len())
        && value.bytes().all(allowed)
        && !value.starts_with('-')
        && !value.ends_with('-')
}

fn is_host(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    let whole = |url: Url| url.has_host() && url.path() == "/" && url.username().is_empty();
    is_text(value) && value.bytes().all(allowed) && Url::parse(&format!("https://{value}/")).is_ok_and(whole)
}

fn is_plain_url(value: &str) -> bool {
    let Ok(url) = Url::parse(value) else { return false };
    is_text(value) && !value.contains(['{', '}', '?', '#']) && is_endpoint(value, &url)
}

/// Whether an address is valid, as written and as parsed; whether `http` is allowed is not checked here.
pub(super) fn is_endpoint(written: &str, url: &Url) -> bool {
    let dots =
        |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let path = written.split(['?', '#']).next().unwrap_or_default();
    matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && !written.contains('\\')
        && !written.chars().any(|char| char.is_whitespace() || char.is_control())
        && !path.split('/').any(dots)
}

fn is_text(value: &str) -> bool {
    (1..=253).contains(&value.len()) && !value.chars().any(char::is_control)
}

/// The maximum size of a compiled expression: a description may come from whoever may write providers.
const COMPILED_BYTES: usize = 256 * 1024;

/// A regular expression that has to match the whole value.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Pattern(Regex);

impl Pattern {
    pub(crate) fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }

    /// The expression, anchored.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    /// Anchors the expression, so that no catalogue entry can forget it. By itself it has to be one too: with a bracket too many
    /// it would leave the anchors.
    fn try_from(text: String) -> Result<Self, regex::Error> {
        let compiled = |text: &str| RegexBuilder::new(text).size_limit(COMPILED_BYTES).build();
        compiled(&text)?;
        compiled(&format!(r"\A(?:{text})\z")).map(Self)
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
