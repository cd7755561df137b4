//! The fault script: what goes wrong, where, for which requests and how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ledger::{Endpoint, GrantType};

/// One line of the script. The first line that matches a request is used for it, until it was used `times` times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// At this endpoint; without a value everywhere.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// Only for requests that carry a token or code of this grant.
    #[serde(default)]
    pub grant: Option<String>,
    /// Only for requests that carry a token or code of this account.
    #[serde(default)]
    pub account: Option<String>,
    /// Only for token requests of this type.
    #[serde(default)]
    pub grant_type: Option<GrantType>,
    /// How many matching requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many requests it affects.
    #[serde(default = "once")]
    pub times: u32,
    /// What goes wrong.
    pub action: Action,
}

fn once() -> u32 {
    1
}

/// A Retry-After header in one of its two forms (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// An HTTP date that many seconds ahead of the sandbox's clock.
    DateIn(u64),
}

/// What goes wrong. "Commit" is the moment the server changed its state: rotated the token or revoked the grant. Actions that
/// change a real response come after it; those that replace the response come before it, unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// This response instead of the real one.
    Answer {
        /// HTTP status.
        status: u16,
        /// The body, unchanged.
        #[serde(default)]
        body: String,
        /// Further headers; `content-type` among them.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Retry-After.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// Do the work first.
        #[serde(default)]
        commit: bool,
    },
    /// An OAuth error body with this code; 401 for `invalid_client`, 400 for the rest.
    Error {
        /// The code, e.g. `invalid_grant`.
        error: String,
    },
    /// A web page with this status, as a proxy or captive portal sends it.
    Html {
        /// HTTP status, often 200.
        status: u16,
    },
    /// Slack's way: status 200 and `{"ok": false, "error": …}`.
    NotOk {
        /// The code, e.g. `token_revoked`.
        error: String,
    },
    /// A redirect to another address.
    Redirect {
        /// 302 or 307.
        status: u16,
        /// Where to.
        location: String,
    },
    /// A JSON answer larger than this many bytes, valid up to its size.
    Huge {
        /// Size of the padding.
        bytes: usize,
    },
    /// The response comes late. If the client gives up before, the work is not done unless `commit` is set.
    Delay {
        /// How late.
        milliseconds: u64,
        /// Do the work before waiting.
        #[serde(default)]
        commit: bool,
    },
    /// The connection is reset and no byte is sent.
    Drop {
        /// Do the work first: the server has rotated, the client cannot know.
        commit: bool,
    },
    /// Content-Length of the whole response, half of its bytes, then a reset.
    Truncated,
    /// A chunked response without its second half and its last chunk, then a reset.
    ClosedMidBody,
    /// Half of the JSON as if it were all of it: HTTP accepts it, a parser does not.
    HalfJson,
    /// The real response with members of its JSON set or removed: wrong types, missing members, another account.
    Patch {
        /// Members to set.
        #[serde(default)]
        set: Map<String, Value>,
        /// Members to remove.
        #[serde(default)]
        remove: Vec<String>,
    },
    /// No refresh token in the response; the server keeps the old one.
    NoRefreshToken,
    /// The grant is reduced to this scope, and the response says so.
    FewerScopes {
        /// Scope values, separated by spaces.
        scope: String,
    },
    /// The real response in form encoding instead of JSON (GitHub without an Accept header).
    FormEncoded,
}

impl Fault {
    /// `action`, once, for any request to `endpoint`.
    pub fn at(endpoint: Endpoint, action: Action) -> Self {
        Self {
            endpoint: Some(endpoint),
            grant: None,
            account: None,
            grant_type: None,
            skip: 0,
            times: 1,
            action,
        }
    }

    /// `action`, once, for a token request.
    pub fn token(action: Action) -> Self {
        Self::at(Endpoint::Token, action)
    }

    /// Only for this grant.
    #[must_use]
    pub fn for_grant(mut self, grant: impl Into<String>) -> Self {
        self.grant = Some(grant.into());
        self
    }

    /// Only for this account.
    #[must_use]
    pub fn for_account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// For that many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// After this many matching requests.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    fn matches(&self, endpoint: Endpoint, subject: &Subject) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        fits(self.endpoint.as_ref(), Some(&endpoint))
            && fits(self.grant.as_ref(), subject.grant.as_ref())
            && fits(self.account.as_ref(), subject.account.as_ref())
            && fits(self.grant_type.as_ref(), subject.grant_type.as_ref())
    }
}

impl Action {
    /// Only a status, before commit.
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            body: String::new(),
            headers: BTreeMap::new(),
            retry_after: None,
            commit: false,
        }
    }

    /// Only a status although the work was done.
    pub fn status_after_commit(status: u16) -> Self {
        Self::Answer {
            status,
            body: String::new(),
            headers: BTreeMap::new(),
            retry_after: None,
            commit: true,
        }
    }

    /// 429 or 503 with Retry-After, before commit.
    pub fn busy(status: u16, retry_after: RetryAfter) -> Self {
        Self::Answer {
            status,
            body: String::new(),
            headers: BTreeMap::new(),
            retry_after: Some(retry_after),
            commit: false,
        }
    }

    /// An OAuth error code.
    pub fn error(code: &str) -> Self {
        Self::Error { error: code.into() }
    }

    /// The response with one member set.
    pub fn set(member: &str, value: impl Into<Value>) -> Self {
        Self::Patch { set: Map::from_iter([(member.to_owned(), value.into())]), remove: Vec::new() }
    }

    /// The response without one member. A refresh token removed this way is lost: see [`Action::NoRefreshToken`].
    pub fn without(member: &str) -> Self {
        Self::Patch { set: Map::new(), remove: vec![member.into()] }
    }

    /// User-info of another account.
    pub fn wrong_account(sub: &str) -> Self {
        let set = json!({ "sub": sub, "email": format!("{sub}@example.com"), "name": sub });
        match set {
            Value::Object(set) => Self::Patch { set, remove: Vec::new() },
            _ => Self::Patch { set: Map::new(), remove: Vec::new() },
        }
    }

    /// Whether the server does its work despite this fault.
    pub(super) fn commits(&self) -> bool {
        match self {
            Self::Answer { commit, .. } | Self::Drop { commit } => *commit,
            Self::Error { .. }
            | Self::Html { .. }
            | Self::NotOk { .. }
            | Self::Redirect { .. }
            | Self::Huge { .. } => false,
            Self::Delay { .. }
            | Self::Truncated
            | Self::ClosedMidBody
            | Self::HalfJson
            | Self::Patch { .. }
            | Self::NoRefreshToken
            | Self::FewerScopes { .. }
            | Self::FormEncoded => true,
        }
    }

    /// The `kind`, for the ledger.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "answer",
            Self::Error { .. } => "error",
            Self::Html { .. } => "html",
            Self::NotOk { .. } => "not_ok",
            Self::Redirect { .. } => "redirect",
            Self::Huge { .. } => "huge",
            Self::Delay { .. } => "delay",
            Self::Drop { .. } => "drop",
            Self::Truncated => "truncated",
            Self::ClosedMidBody => "closed_mid_body",
            Self::HalfJson => "half_json",
            Self::Patch { .. } => "patch",
            Self::NoRefreshToken => "no_refresh_token",
            Self::FewerScopes { .. } => "fewer_scopes",
            Self::FormEncoded => "form_encoded",
        }
    }
}

/// The grant and account of a request, as far as known before anything is checked.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub grant: Option<String>,
    pub account: Option<String>,
    pub grant_type: Option<GrantType>,
}

/// The lines that are not used up, in order.
#[derive(Default)]
pub(super) struct Script(Vec<Fault>);

impl Script {
    pub fn add(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn remaining(&self) -> &[Fault] {
        &self.0
    }

    /// The action for this request; counts the use.
    pub fn take(&mut self, endpoint: Endpoint, subject: &Subject) -> Option<Action> {
        let found = self.0.iter().position(|fault| fault.matches(endpoint, subject))?;
        let fault = &mut self.0[found];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let action = fault.action.clone();
        if fault.times == 0 {
            self.0.remove(found);
        }
        Some(action)
    }
}
