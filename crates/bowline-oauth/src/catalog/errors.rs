//! What a provider's error codes mean.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::pointer::{Pointer, Pointers};
use bowline_api::duration::Duration;

/// What a failure means, and so who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It passes by itself: try again later. Nobody has to act.
    Transient,
    /// The grant is gone: the owner has to connect again.
    Reauth,
    /// An approval is missing: an administrator of the account has to give it.
    Consent,
    /// A rule of the organization forbids it.
    Policy,
    /// The provider wants a second factor or a new sign-in from the owner.
    StepUp,
    /// The app registration or the provider object is wrong: our administrator has to act.
    Config,
    /// The check was refused, but what we hold works.
    Alive,
    /// The person declined.
    Cancelled,
    /// The provider did not understand us, or we it.
    Bug,
}

/// Which request an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exchange {
    /// A refresh token was spent (RFC 6749 §6).
    Refresh,
    /// A token was asked for with the app registration alone (RFC 6749 §4.4): there is no grant that could be gone.
    Mint,
    /// A person came back from the authorization endpoint (RFC 6749 §4.1.2.1).
    Callback,
}

/// How a provider names its failures. Codes are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ErrorTable {
    /// Where a token answer has its code.
    #[serde(default)]
    pub(crate) code: Pointers,
    /// Where a token answer has a finer code; it decides if the table knows it.
    #[serde(default)]
    pub(crate) subcode: Pointers,
    /// Where a token answer has a list of numbers; the first that the table knows decides before all else.
    #[serde(default)]
    pub(crate) numeric: Option<Pointer>,
    /// Where the number is read in text, when the answer has no list of numbers.
    #[serde(default)]
    pub(crate) described: Option<Described>,
    /// Where an answer of the API has its code. Absent means as in token answers.
    #[serde(default)]
    pub(crate) api_code: Pointers,
    /// Code in the answer to a refresh → class.
    #[serde(default)]
    pub(crate) token: BTreeMap<String, Class>,
    /// The same for tokens asked for without a grant, where it differs from `token`.
    #[serde(default)]
    pub(crate) mint: BTreeMap<String, Class>,
    /// `error` of a callback → class.
    #[serde(default)]
    pub(crate) callback: BTreeMap<String, Class>,
    /// Answers of the API, for a token that is not past its end; the first that fits counts.
    #[serde(default)]
    pub(crate) api: Vec<ApiRule>,
    /// Codes that prove that somebody withdrew the grant, and not that it lapsed.
    #[serde(default)]
    pub(crate) revoked: BTreeSet<String>,
    /// Codes after which to wait at least so long.
    #[serde(default)]
    pub(crate) wait: BTreeMap<String, Duration>,
}

/// A number in a text: the digits that follow a prefix.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Described {
    /// Where the text is.
    pub(crate) path: Pointer,
    /// What stands before the number.
    pub(crate) prefix: String,
}

/// Answers of an API that mean the same. What is absent fits every answer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiRule {
    /// HTTP status.
    #[serde(default)]
    #[schemars(range(min = 100, max = 599))]
    pub(crate) status: Option<u16>,
    /// Code in the body.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// A header that must be there.
    #[serde(default)]
    pub(crate) header: Option<HeaderRule>,
    /// What it means.
    pub(crate) class: Class,
}

/// A header that an answer has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HeaderRule {
    /// Its name.
    pub(crate) name: String,
    /// Its value. Absent means any.
    #[serde(default)]
    pub(crate) value: Option<String>,
}

/// What the table says about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What it means.
    pub(crate) class: Class,
    /// The code that decided, if one did. It is from the table, so it is safe to show.
    pub(crate) code: Option<String>,
    /// Whether the code proves that the grant was withdrawn.
    pub(crate) revoked: bool,
    /// How long to wait at least before the next try.
    pub(crate) wait: Option<std::time::Duration>,
}

impl ErrorTable {
    /// What the body of a token answer, or the parameters of a callback, mean. `None` if no code in it is known.
    ///
    /// The finest known code decides: number, then subcode, then code. The caller looks at Retry-After and 429 before
    /// and at the status after (oauth-requirements §4).
    pub(crate) fn token(&self, exchange: Exchange, body: &Value) -> Option<Finding> {
        let codes = self.numbers(body).into_iter().chain(self.subcode.text(body)).chain(self.code.text(body));
        codes
            .into_iter()
            .find_map(|code| self.class_of(exchange, &code).map(|class| self.finding(class, Some(code))))
    }

    /// What an answer of the API to a live token or key means. `None` for a success or an unknown failure.
    pub(crate) fn api(&self, status: u16, headers: &HeaderMap, body: Option<&Value>) -> Option<Finding> {
        let paths = if self.api_code.is_empty() { &self.code } else { &self.api_code };
        let code = body.and_then(|body| paths.text(body));
        if let Some(rule) = self.api.iter().find(|rule| rule.fits(status, headers, code.as_deref())) {
            return Some(self.finding(rule.class, rule.code.clone()));
        }
        let class = match status {
            408 | 425 | 429 | 500..=599 => Class::Transient,
            401 => Class::Reauth,
            403 => Class::Alive,
            _ => return None,
        };
        Some(self.finding(class, None))
    }

    /// Whether the body carries an error code at all, known or not. Some providers send it with status 200.
    pub(crate) fn code_in(&self, body: &Value) -> Option<String> {
        self.code.text(body)
    }

    fn class_of(&self, exchange: Exchange, code: &str) -> Option<Class> {
        match exchange {
            Exchange::Refresh => self.token.get(code).copied(),
            Exchange::Mint => self.mint.get(code).or_else(|| self.token.get(code)).copied(),
            Exchange::Callback => self.callback.get(code).copied(),
        }
    }

    fn numbers(&self, body: &Value) -> Vec<String> {
        let listed = self.numeric.as_ref().and_then(|path| path.get(body)).and_then(Value::as_array);
        match listed {
            Some(list) if !list.is_empty() => {
                list.iter().filter_map(|item| Pointer::default().text(item)).collect()
            }
            _ => self.described.as_ref().and_then(|described| described.number(body)).into_iter().collect(),
        }
    }

    fn finding(&self, class: Class, code: Option<String>) -> Finding {
        let named = code.as_deref().unwrap_or_default();
        Finding {
            class,
            revoked: self.revoked.contains(named),
            wait: self.wait.get(named).map(|wait| wait.get()),
            code,
        }
    }
}

impl Described {
    fn number(&self, body: &Value) -> Option<String> {
        let text = self.path.text(body)?;
        let (_, after) = text.split_once(self.prefix.as_str())?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    }
}

impl ApiRule {
    fn fits(&self, status: u16, headers: &HeaderMap, code: Option<&str>) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
            && self.code.as_deref().is_none_or(|wanted| code == Some(wanted))
            && self.header.as_ref().is_none_or(|wanted| wanted.is_in(headers))
    }
}

impl HeaderRule {
    fn is_in(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(self.name.as_str())
            .iter()
            .any(|value| self.value.as_deref().is_none_or(|wanted| value.as_bytes() == wanted.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
