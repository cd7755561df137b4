//! What a provider's error codes mean.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pointer::{Pointer, Pointers};
use bowline_api::duration::Duration;

/// What a failure means, and so who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
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
    /// It may be about the grant, or about something else that passes. The grant is judged only when no token of it works any
    /// more and the provider has refused several times.
    Ambiguous,
    /// The check was refused, but what we hold works.
    Alive,
    /// The person declined.
    Cancelled,
    /// The provider did not understand us, or we it.
    Bug,
}

impl Class {
    pub const ALL: &[Self] = &[
        Self::Transient,
        Self::Reauth,
        Self::Consent,
        Self::Policy,
        Self::StepUp,
        Self::Config,
        Self::Ambiguous,
        Self::Alive,
        Self::Cancelled,
        Self::Bug,
    ];
}

/// What was asked of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// A refresh token was spent (RFC 6749 §6).
    Refresh,
    /// A token was minted, with the app registration alone (RFC 6749 §4.4) or with an assertion (RFC 7523 §2.1): there is no
    /// grant that could be gone.
    Mint,
    /// An authorization request was pushed.
    Push,
    /// A person came back from the authorization endpoint (RFC 6749 §4.1.2.1).
    Callback,
    /// An authorization code was exchanged.
    Exchange,
    /// A device asked for its codes.
    DeviceAuthorization,
    /// A device asked whether the person has decided.
    DevicePoll,
    /// A grant was withdrawn.
    Revoke,
    /// Whether an access token is live was asked of the provider (RFC 7662).
    Introspect,
    /// The account was asked for, with an access token.
    Identity,
    /// A key was checked.
    Key,
    /// A call of a link session.
    Session,
}

impl Operation {
    /// Whether the answer comes from a token endpoint, and not from an API that was called with a credential.
    pub(crate) fn is_token_request(self) -> bool {
        !matches!(self, Self::Identity | Self::Key | Self::Session)
    }

    /// Whether a new grant was asked for: there is none yet that could be gone.
    pub(crate) fn begins_a_grant(self) -> bool {
        matches!(self, Self::Push | Self::Exchange | Self::DeviceAuthorization | Self::DevicePoll)
    }
}

/// How a provider names its failures. Codes are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ErrorTable {
    /// Where a token answer has its code.
    pub(crate) code: Pointers,
    /// Where a token answer has a finer code; it decides if the table knows it.
    pub(crate) subcode: Pointers,
    /// Where a token answer has a list of numbers; the first that the table knows decides before all else.
    pub(crate) numeric: Option<Pointer>,
    /// Where the number is read in text, when the answer has no list of numbers.
    pub(crate) described: Option<Described>,
    /// Where an answer of the API has its code. Absent means as in token answers.
    pub(crate) api_code: Pointers,
    /// Code in the answer to a refresh → class.
    pub(crate) token: BTreeMap<String, Class>,
    /// The same for tokens asked for without a grant, where it differs from `token`.
    pub(crate) mint: BTreeMap<String, Class>,
    /// `error` of a callback → class.
    pub(crate) callback: BTreeMap<String, Class>,
    /// Refusals of the token endpoint that a code does not tell apart; the first that fits counts before every code.
    pub(crate) refusals: Vec<RefusalRule>,
    /// Where a token answer has its text for `refusals`. Absent means `/error_description`.
    pub(crate) text: Pointers,
    /// Answers of the API, for a token that has not expired; the first that fits counts.
    pub(crate) api: Vec<RefusalRule>,
    /// Codes that prove that somebody withdrew the grant, and not that it expired.
    pub(crate) revoked: BTreeSet<String>,
    /// Codes after which to wait at least so long.
    pub(crate) wait: BTreeMap<String, Duration>,
}

/// A number in a text: the digits that follow a prefix.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Described {
    /// Where the text is.
    pub(crate) path: Pointer,
    /// What stands before the number.
    pub(crate) prefix: String,
}

/// Answers that mean the same. What is absent fits every answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefusalRule {
    /// HTTP status. Absent means any.
    #[schemars(range(min = 100, max = 599))]
    pub(crate) status: Option<u16>,
    /// Code in the body, or the finer one beside it. Absent means any.
    pub(crate) code: Option<String>,
    /// How the text in the body begins. Absent means any.
    pub(crate) text: Option<String>,
    /// A header that must be there. Absent means none.
    pub(crate) header: Option<HeaderRule>,
    /// What it means.
    pub(crate) class: Class,
    /// The same in words, for whoever has to act: one clause, without a full stop. Absent means the words for the class.
    pub(crate) says: Option<String>,
    /// Whether it refuses the client itself, so that no token was looked at, and the previous client secret is tried. Absent
    /// means no.
    #[serde(default)]
    pub(crate) client: bool,
}

/// A header that an answer has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HeaderRule {
    /// Its name.
    pub(crate) name: String,
    /// Its value. Absent means any.
    pub(crate) value: Option<String>,
}

/// What the table says about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) class: Class,
    /// The code that decided, if one did. It is from the table, so it is safe to show.
    pub(crate) code: Option<String>,
    /// What it means in words, if the table has some.
    pub(crate) says: Option<String>,
    /// Whether the code proves that the grant was withdrawn.
    pub(crate) revoked: bool,
    /// Whether it refuses the client itself.
    pub(crate) client: bool,
    /// How long to wait at least before the next request.
    pub(crate) wait: Option<std::time::Duration>,
}

impl ErrorTable {
    /// The meaning of a token answer's body, or of a callback's parameters. `None` if it has no known code.
    ///
    /// The most specific known code decides: number, then subcode, then code. The caller checks Retry-After and 429 before,
    /// and the status after (oauth-requirements §4).
    pub(crate) fn token(&self, operation: Operation, body: &Value) -> Option<Finding> {
        let codes = self.numbers(body).into_iter().chain(self.subcode.text(body)).chain(self.code.text(body));
        codes
            .into_iter()
            .find_map(|code| self.class_of(operation, &code).map(|class| self.finding(class, Some(code))))
    }

    /// The meaning of an API's answer by `api`, and by nothing else. `None` if no rule fits.
    pub(crate) fn api_rule(&self, status: u16, headers: &HeaderMap, body: Option<&Value>) -> Option<Finding> {
        let paths = if self.api_code.is_empty() { &self.code } else { &self.api_code };
        self.by_rule(&self.api, &[paths], status, headers, body)
    }

    /// The meaning of an API's answer to a live token or key. `None` for a success or an unknown failure.
    pub(crate) fn api(&self, status: u16, headers: &HeaderMap, body: Option<&Value>) -> Option<Finding> {
        if let Some(found) = self.api_rule(status, headers, body) {
            return Some(found);
        }
        let class = match status {
            status if passes(status) => Class::Transient,
            401 => Class::Reauth,
            403 => Class::Alive,
            _ => return None,
        };
        Some(self.finding(class, None))
    }

    /// The meaning of a token endpoint's refusal by `refusals`. `None` if none fits.
    pub(crate) fn refusal(&self, status: u16, headers: &HeaderMap, body: Option<&Value>) -> Option<Finding> {
        self.by_rule(&self.refusals, &[&self.subcode, &self.code], status, headers, body)
    }

    fn by_rule(
        &self,
        rules: &[RefusalRule],
        codes: &[&Pointers],
        status: u16,
        headers: &HeaderMap,
        body: Option<&Value>,
    ) -> Option<Finding> {
        let codes: Vec<String> = codes.iter().filter_map(|code| code.text(body?)).collect();
        let text = body.and_then(|body| self.text.text(body));
        let mut fitting = rules.iter().filter(|rule| rule.fits(status, headers, &codes, text.as_deref()));
        let found = |rule: &RefusalRule| Finding {
            client: rule.client,
            says: rule.says.clone(),
            ..self.finding(rule.class, rule.code.clone())
        };
        fitting.next().map(found)
    }

    fn class_of(&self, operation: Operation, code: &str) -> Option<Class> {
        let class = match operation {
            Operation::Callback => self.callback.get(code),
            Operation::Mint => self.mint.get(code).or_else(|| self.token.get(code)),
            _ => self.token.get(code),
        };
        class.copied()
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
            client: false,
            says: None,
            revoked: self.revoked.contains(named),
            wait: self.wait.get(named).map(|wait| wait.get()),
            code,
        }
    }
}

/// Whether a status means a temporary failure.
pub(crate) fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

impl Described {
    fn number(&self, body: &Value) -> Option<String> {
        let text = self.path.text(body)?;
        let (_, after) = text.split_once(self.prefix.as_str())?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    }
}

impl RefusalRule {
    fn fits(&self, status: u16, headers: &HeaderMap, codes: &[String], text: Option<&str>) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
            && self.code.as_ref().is_none_or(|wanted| codes.contains(wanted))
            && self.text.as_deref().is_none_or(|begin| text.is_some_and(|text| text.starts_with(begin)))
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
