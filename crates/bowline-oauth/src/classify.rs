//! What a failure means, and whether the request may have had an effect.
//!
//! The order of decisions is that of the OAuth requirements §4: no reply, unreadable body, error member whatever the
//! status, Retry-After and 429, the provider's table, the standard's table, the status. Pure.

use std::time::Duration;

use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::answer::Document;
use super::headers;
use super::http::{Received, SendError, Sent};
use super::limits::Oversized;
use super::request::RequestError;
use crate::catalog::Description;
pub(crate) use crate::catalog::errors::Operation;
use crate::catalog::errors::{Class, Finding, passes};

/// A request that failed. Contains no text of the provider except a code of plain characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct Failure {
    /// What it means, and therefore who acts.
    pub class: Class,
    /// The provider's code: 1 to 64 of `A-Z a-z 0-9 . _ -`, otherwise left out.
    pub code: Option<String>,
    /// HTTP status, if one came.
    pub status: Option<u16>,
    /// The minimum wait, at most an hour if the provider requested it in a header.
    pub retry_after: Option<Duration>,
    /// Whether the request may have had an effect. [`Sent::MaybeSent`]: the outcome is unknown.
    pub sent: Sent,
    /// Whether the code proves that somebody withdrew the grant.
    pub proves_revoked: bool,
    /// Whether the provider's table says that the client itself was refused.
    pub client_refused: bool,
    /// One line for people, in our words.
    pub summary: String,
}

impl Failure {
    /// `summary` is shown: it has no text of the provider.
    pub fn new(class: Class, sent: Sent, summary: &str) -> Self {
        Self {
            class,
            code: None,
            status: None,
            retry_after: None,
            sent,
            proves_revoked: false,
            client_refused: false,
            summary: summary.to_owned(),
        }
    }

    pub(super) fn with_status(mut self, status: Option<StatusCode>) -> Self {
        if let Some(status) = status {
            self.status = Some(status.as_u16());
            self.summary = format!("{} (status {})", self.summary, status.as_u16());
        }
        self
    }

    /// Whether the provider refused the client itself, so that another client secret may help. A provider in trouble is not
    /// believed: it may have used the token before it failed, and a second request would use it again.
    pub fn refuses_client(&self) -> bool {
        // The standard code, GitHub's, Slack's and Microsoft's (wrong secret, expired secret).
        const CODES: [&str; 5] =
            ["invalid_client", "incorrect_client_credentials", "bad_client_secret", "7000215", "7000222"];
        self.class == Class::Config
            && self.sent == Sent::Refused
            && (self.client_refused || self.code.as_deref().is_some_and(|code| CODES.contains(&code)))
    }

    /// An answer that was understood, and that the API server does not take because of its size.
    pub fn not_stored() -> Self {
        let summary = "the provider's answer makes the record larger than the API server accepts";
        Self::new(Class::Bug, Sent::MaybeSent, summary)
    }

    /// Leaves out a code that contains a part of `secret`: a hostile provider might repeat what it received.
    #[must_use]
    pub(super) fn without_echo(mut self, secret: &str) -> Self {
        let echoes =
            |code: &String| code.len() >= 8 && secret.contains(code.as_str()) || code.contains(secret);
        if !secret.is_empty() && self.code.as_ref().is_some_and(echoes) {
            self.code = None;
            words(self.class).clone_into(&mut self.summary);
        }
        self
    }
}

const REDIRECTED: &str = "the provider answered with a redirect, which is not followed";
const BUSY: &str = "the provider asks to wait";

/// A class in words.
pub(super) const fn words(class: Class) -> &'static str {
    match class {
        Class::Transient => "the provider has a passing problem",
        Class::Reauth => "the provider no longer accepts the grant",
        Class::Consent => "the provider wants an administrator's approval",
        Class::Policy => "a rule of the organization forbids it",
        Class::StepUp => "the provider wants a new sign-in by the owner",
        Class::Config => "the provider does not accept the app registration",
        Class::Ambiguous => "the provider refused, and does not say whether that is about the grant",
        Class::Alive => "the provider refused the check, but the credential works",
        Class::Cancelled => "the person declined",
        Class::Bug => "the provider did not accept the request",
    }
}

/// A request that was never made.
impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::new(Class::Config, Sent::NotSent, &error.to_string())
    }
}

/// A request without a complete answer.
impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let server_fault = error.status().is_some_and(|status| status.is_server_error());
        let (class, summary) = match error {
            SendError::CertificateRefused { .. } | SendError::CertificateRequired { .. } => {
                let failure = Self::new(Class::Config, error.sent(), &error.to_string());
                return Self { client_refused: true, ..failure };
            }
            SendError::UnusableCertificate(_) => (Class::Config, "the TLS client certificate cannot be used"),
            SendError::Refused(_) | SendError::BadUrl => {
                (Class::Config, "the provider's address may not be called")
            }
            SendError::NotFound { .. } | SendError::Connect { .. } => {
                let summary = format!("the provider cannot be reached: {error}");
                return Self::new(Class::Transient, error.sent(), &summary);
            }
            SendError::NotLeading => (Class::Transient, "this replica of the operator does not lead now"),
            SendError::Deadline { .. } | SendError::Broken { .. } => {
                (Class::Transient, "the provider did not answer")
            }
            SendError::Truncated { .. } => (Class::Transient, "the provider's answer broke off"),
            SendError::TooLarge { .. } => (
                if server_fault { Class::Transient } else { Class::Bug },
                "the provider's answer is too large",
            ),
        };
        Self::new(class, error.sent(), summary).with_status(error.status())
    }
}

/// A success without an access token: its effect is unknown.
pub(crate) fn without_token(received: &Received) -> Failure {
    let summary = "the provider's answer holds no access token";
    Failure::new(Class::Bug, Sent::MaybeSent, summary).with_status(Some(received.status))
}

/// A success by status whose body does not confirm it.
pub(crate) fn unconfirmed(received: &Received) -> Failure {
    let summary = "the provider's answer does not say what it should";
    Failure::new(Class::Bug, Sent::MaybeSent, summary).with_status(Some(received.status))
}

/// A live token that the provider does not honor, by introspection.
pub(crate) fn not_honored(received: &Received) -> Failure {
    let summary = "the provider says that the token is not active any more";
    Failure::new(Class::Reauth, Sent::Refused, summary).with_status(Some(received.status))
}

/// A key, or a user name and password, that worked and is not honored any more.
pub(crate) fn key_not_honored() -> Failure {
    Failure::new(Class::Reauth, Sent::Refused, "the provider does not accept the key any more")
}

/// An answer that was understood, with a part that is too large to be kept.
impl From<Oversized> for Failure {
    fn from(oversized: Oversized) -> Self {
        Self::new(Class::Bug, Sent::Refused, &oversized.to_string())
    }
}

/// Tokens that belong to another request than ours (`OpenID` Connect Core §3.1.3.7): somebody injected a foreign code.
pub(crate) fn of_another_request() -> Failure {
    let summary = "the provider's answer belongs to another attempt to connect";
    Failure::new(Class::Reauth, Sent::MaybeSent, summary)
}

/// What an answer means: a success, judging by status and error members, or a failure.
pub(crate) fn answered(
    operation: Operation,
    description: &Description,
    received: &Received,
    document: &Document,
    now: Timestamp,
) -> Result<(), Failure> {
    let status = received.status;
    let wait = headers::retry_after(&received.headers, now);
    let busy = status == StatusCode::TOO_MANY_REQUESTS || wait.is_some() && !status.is_success();
    let is_page = matches!(document, Document::Html);
    let mut failure = match document.data() {
        // Calls that return nothing succeed with an empty body.
        None if operation == Operation::Revoke && status.is_success() && !is_page => return Ok(()),
        None => unreadable(operation, description, received, document, busy),
        Some(data) => {
            let code = error_code(operation, description, data);
            if status.is_success() && code.is_none() && !says_no(operation, description, data) {
                return Ok(());
            }
            read(operation, description, received, data, code, busy || wait.is_some())
        }
    };
    failure.retry_after = failure.retry_after.max(wait);
    Err(failure)
}

/// Steps 4 to 7 for a body with data.
fn read(
    operation: Operation,
    description: &Description,
    received: &Received,
    data: &Value,
    code: Option<String>,
    busy: bool,
) -> Failure {
    let (status, errors) = (received.status, &description.errors);
    let finding = match operation {
        _ if busy => None,
        _ if !operation.is_token_request() => errors.api(status.as_u16(), &received.headers, Some(data)),
        _ => {
            let ruled = errors.refusal(status.as_u16(), &received.headers, Some(data));
            ruled.or_else(|| errors.token(operation, data))
        }
    };
    let class = class(operation, status, finding.as_ref(), code.as_deref(), busy);
    let summary = match class {
        Class::Transient if busy => BUSY,
        Class::Bug if status.is_redirection() => REDIRECTED,
        Class::Reauth if operation.begins_a_grant() => {
            "the provider does not accept the attempt to connect: begin again"
        }
        class => finding.as_ref().and_then(|found| found.says.as_deref()).unwrap_or(words(class)),
    };
    let mut failure = Failure::new(class, effect(class, status), summary);
    let named = finding.as_ref().and_then(|found| found.code.clone()).or(code);
    // Where `error` is a flag, it is no code.
    failure.code = named.filter(|code| is_plain(code) && code != "true");
    if let Some(code) = &failure.code {
        failure.summary = format!("{summary}: {code}");
    }
    if let Some(found) = finding {
        failure.proves_revoked = found.revoked && class == Class::Reauth && !operation.begins_a_grant();
        failure.client_refused = found.client;
        failure.retry_after = found.wait;
    }
    failure.with_status(Some(status))
}

/// Steps 4 to 7: a known code, or the standard's table, or the status.
fn class(
    operation: Operation,
    status: StatusCode,
    finding: Option<&Finding>,
    code: Option<&str>,
    busy: bool,
) -> Class {
    match (finding, code.and_then(|code| standard(operation, code))) {
        _ if busy => Class::Transient,
        // The table is written for refreshes; for a new grant a standard code always has the standard meaning. A more
        // specific code of the provider says more.
        (Some(found), Some(_)) if operation.begins_a_grant() && found.code.as_deref() != code => found.class,
        (_, Some(class)) if operation.begins_a_grant() => class,
        // Without a grant, none can be gone.
        (Some(found), _)
            if matches!(found.class, Class::Reauth | Class::Ambiguous) && operation == Operation::Mint =>
        {
            Class::Config
        }
        (Some(found), _) => found.class,
        (None, Some(class)) => class,
        (None, None) => unnamed(operation, status),
    }
}

/// Step 2: a body without data.
fn unreadable(
    operation: Operation,
    description: &Description,
    received: &Received,
    document: &Document,
    busy: bool,
) -> Failure {
    let status = received.status;
    let is_page = matches!(document, Document::Html);
    let summary = match document {
        _ if busy => BUSY,
        _ if status.is_redirection() => REDIRECTED,
        Document::Html => "a web page came instead of an answer, perhaps from a proxy or firewall",
        Document::Empty => "the provider's answer is empty",
        Document::Unreadable | Document::Data(_) => "the provider's answer cannot be read",
    };
    let is_proxy = is_page && (status.is_success() || status == StatusCode::FORBIDDEN);
    let class = if busy || is_proxy {
        Class::Transient
    } else if operation.is_token_request() && !is_page {
        let ruled = description.errors.refusal(status.as_u16(), &received.headers, None);
        ruled.map_or_else(|| unnamed(operation, status), |found| found.class)
    } else if is_page || status.is_success() {
        by_status(status)
    } else {
        // An API may refuse a credential with only a status; a page does not come from the API.
        let found = description.errors.api(status.as_u16(), &received.headers, None);
        found.map_or_else(|| by_status(status), |found| found.class)
    };
    let unknown = status.is_success() || is_page && !status.is_redirection();
    let sent = if unknown && !busy { Sent::MaybeSent } else { effect(class, status) };
    Failure::new(class, sent, summary).with_status(Some(status))
}

/// Whether a refusal may follow an effect. A provider in trouble may have done the work before it failed; one that says "too
/// many" has not begun.
fn effect(class: Class, status: StatusCode) -> Sent {
    let trouble =
        status.is_server_error() || class == Class::Transient && status != StatusCode::TOO_MANY_REQUESTS;
    if trouble { Sent::MaybeSent } else { Sent::Refused }
}

/// Step 6: the codes of RFC 6749 §5.2, `OpenID` Connect Core §3.1.2.6 and RFC 8707. "Start over" in a code exchange is
/// `Reauth`: the person begins again.
fn standard(operation: Operation, code: &str) -> Option<Class> {
    if !operation.is_token_request() {
        return None;
    }
    let minted = operation == Operation::Mint;
    let exchange = operation.begins_a_grant();
    Some(match code {
        "invalid_grant" if minted => Class::Config,
        "invalid_grant" => Class::Reauth,
        "unauthorized_client" | "access_denied" if operation == Operation::Refresh => Class::Ambiguous,
        "invalid_client"
        | "unauthorized_client"
        | "invalid_scope"
        | "unsupported_grant_type"
        | "invalid_target" => Class::Config,
        "invalid_request" => Class::Bug,
        "access_denied" if exchange => Class::Cancelled,
        "access_denied" => Class::Policy,
        "consent_required" => Class::Consent,
        "interaction_required" | "login_required" if minted => Class::Policy,
        "interaction_required" | "login_required" | "temporarily_unavailable" | "server_error"
            if exchange =>
        {
            Class::Reauth
        }
        "interaction_required" | "login_required" => Class::StepUp,
        "temporarily_unavailable" | "server_error" => Class::Transient,
        _ => return None,
    })
}

/// A refusal without a code that anybody knows. Some servers refuse a dead grant with no more than a status.
fn unnamed(operation: Operation, status: StatusCode) -> Class {
    if operation == Operation::Refresh && matches!(status.as_u16(), 400 | 401 | 403) {
        Class::Ambiguous
    } else {
        by_status(status)
    }
}

/// Step 7.
fn by_status(status: StatusCode) -> Class {
    if passes(status.as_u16()) { Class::Transient } else { Class::Bug }
}

/// The code in the body, known or not. If the table does not say where it is, a token answer has it in `error`.
fn error_code(operation: Operation, description: &Description, data: &Value) -> Option<String> {
    let errors = &description.errors;
    let listed = if operation.is_token_request() || errors.api_code.is_empty() {
        errors.code.text(data)
    } else {
        errors.api_code.text(data)
    };
    let usual = || data.get("error")?.as_str().map(str::to_owned);
    let code = listed.or_else(|| if operation.is_token_request() { usual() } else { None });
    code.filter(|code| !code.is_empty() && code != "false")
}

/// Whether the body is a refusal without a code.
fn says_no(operation: Operation, description: &Description, data: &Value) -> bool {
    let flag = description.token_response.success.as_ref().and_then(|path| path.get(data));
    let object = data.get("error").is_some_and(Value::is_object);
    flag == Some(&Value::Bool(false)) || object && operation.is_token_request()
}

/// Whether a code may be shown: short and plain enough that it can contain neither a sentence nor a token of usual size.
pub(super) fn is_plain(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&code.len()) && code.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::{answer, description, pointer};
    use crate::guard::{AddressRefused, AddressRule};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn judge(operation: Operation, status: u16, headers: &[(&str, &str)], body: &str) -> Option<Failure> {
        let received = answer(status, headers, body);
        answered(operation, &description(), &received, &Document::read(&received), NOW).err()
    }

    const PAGE: &str = "<!doctype html><title>Blocked</title>";
    const BUSY: &[(&str, &str)] = &[("retry-after", "7")];

    #[test]
    fn answers_to_a_refresh_mean_what_the_requirements_say() {
        use Class::{Ambiguous, Bug, Config, Consent, Reauth, StepUp, Transient};
        use Sent::{MaybeSent, Refused};
        type Row<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, Class, Option<&'a str>, Sent);
        let rows: &[Row] = &[
            // Bodies that are no answers.
            (200, &[], PAGE, Transient, None, MaybeSent),
            (403, &[], PAGE, Transient, None, MaybeSent),
            (401, &[], PAGE, Bug, None, MaybeSent),
            (404, &[], PAGE, Bug, None, MaybeSent),
            (502, &[], PAGE, Transient, None, MaybeSent),
            (429, &[], PAGE, Transient, None, Refused),
            // Some servers say no more about a dead grant.
            (400, &[], "", Ambiguous, None, Refused),
            (401, &[], "", Ambiguous, None, Refused),
            (200, &[], "", Bug, None, MaybeSent),
            (204, &[], "", Bug, None, MaybeSent),
            (500, &[], "", Transient, None, MaybeSent),
            (503, BUSY, "", Transient, None, MaybeSent),
            (200, &[], r#"{"access_token":"ab"#, Bug, None, MaybeSent),
            (200, &[], "invalid token", Bug, None, MaybeSent),
            (400, &[], r#"{"error":"invalid_gr"#, Ambiguous, None, Refused),
            (500, &[], r#"{"error":"invalid_gr"#, Transient, None, MaybeSent),
            // Redirects are not followed.
            (302, &[("location", "https://evil.example.com/")], "", Bug, None, Refused),
            (307, &[("location", "https://evil.example.com/")], PAGE, Bug, None, Refused),
            (308, &[], "{}", Bug, None, Refused),
            // Standard codes, whatever the status.
            (400, &[], r#"{"error":"invalid_grant"}"#, Reauth, Some("invalid_grant"), Refused),
            (200, &[], r#"{"error":"invalid_grant"}"#, Reauth, Some("invalid_grant"), Refused),
            (401, &[], r#"{"error":"invalid_grant"}"#, Reauth, Some("invalid_grant"), Refused),
            (200, &[], "error=invalid_grant&error_description=x", Reauth, Some("invalid_grant"), Refused),
            (400, &[], r#"{"error":"invalid_client"}"#, Config, Some("invalid_client"), Refused),
            (401, &[], r#"{"error":"invalid_client"}"#, Config, Some("invalid_client"), Refused),
            (400, &[], r#"{"error":"unauthorized_client"}"#, Ambiguous, Some("unauthorized_client"), Refused),
            (400, &[], r#"{"error":"invalid_scope"}"#, Config, Some("invalid_scope"), Refused),
            (
                400,
                &[],
                r#"{"error":"unsupported_grant_type"}"#,
                Config,
                Some("unsupported_grant_type"),
                Refused,
            ),
            (400, &[], r#"{"error":"invalid_target"}"#, Config, Some("invalid_target"), Refused),
            (400, &[], r#"{"error":"invalid_request"}"#, Bug, Some("invalid_request"), Refused),
            (400, &[], r#"{"error":"access_denied"}"#, Ambiguous, Some("access_denied"), Refused),
            (400, &[], r#"{"error":"consent_required"}"#, Consent, Some("consent_required"), Refused),
            (400, &[], r#"{"error":"interaction_required"}"#, StepUp, Some("interaction_required"), Refused),
            (400, &[], r#"{"error":"login_required"}"#, StepUp, Some("login_required"), Refused),
            (400, &[], r#"{"error":"server_error"}"#, Transient, Some("server_error"), MaybeSent),
            (
                503,
                &[],
                r#"{"error":"temporarily_unavailable"}"#,
                Transient,
                Some("temporarily_unavailable"),
                MaybeSent,
            ),
            // A known code counts even with 5xx, but the outcome stays unknown.
            (500, &[], r#"{"error":"invalid_grant"}"#, Reauth, Some("invalid_grant"), MaybeSent),
            // A requested wait counts before every code.
            (429, &[], r#"{"error":"invalid_grant"}"#, Transient, Some("invalid_grant"), Refused),
            (429, BUSY, "", Transient, None, Refused),
            (400, BUSY, r#"{"error":"invalid_grant"}"#, Transient, Some("invalid_grant"), MaybeSent),
            (408, &[], "{}", Transient, None, MaybeSent),
            (425, &[], "{}", Transient, None, MaybeSent),
            // The status decides last.
            (500, &[], r#"{"error":"oops"}"#, Transient, Some("oops"), MaybeSent),
            (400, &[], r#"{"error":"oops"}"#, Ambiguous, Some("oops"), Refused),
            (403, &[], r#"{"message":"no"}"#, Ambiguous, None, Refused),
            (404, &[], r#"{"message":"no"}"#, Bug, None, Refused),
            (200, &[], r#"{"error":"oops"}"#, Bug, Some("oops"), Refused),
            (200, &[], r#"{"error":{"message":"no"}}"#, Bug, None, Refused),
            (400, &[], r#"{"error":"not a code, but a sentence"}"#, Ambiguous, None, Refused),
        ];
        for (status, headers, body, class, code, sent) in rows {
            let failure = judge(Operation::Refresh, *status, headers, body)
                .unwrap_or_else(|| panic!("{status} {body} is a success"));
            let found = (failure.class, failure.code.as_deref(), failure.sent, failure.status);
            assert_eq!(found, (*class, *code, *sent, Some(*status)), "{status} {body}");
            assert_eq!(
                failure.retry_after,
                (headers == &BUSY).then_some(Duration::from_secs(7)),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn the_same_code_means_something_else_to_other_operations() {
        use Operation::{Exchange, Identity, Key, Mint, Revoke};
        let rows = [
            (Mint, 400, "invalid_grant", Class::Config),
            (Mint, 400, "interaction_required", Class::Policy),
            (Mint, 400, "access_denied", Class::Policy),
            (Exchange, 400, "invalid_grant", Class::Reauth),
            (Exchange, 400, "access_denied", Class::Cancelled),
            (Exchange, 400, "login_required", Class::Reauth),
            (Exchange, 503, "temporarily_unavailable", Class::Reauth),
            (Revoke, 401, "invalid_client", Class::Config),
            (Identity, 401, "whatever", Class::Reauth),
            (Identity, 403, "whatever", Class::Alive),
            (Key, 401, "whatever", Class::Reauth),
            (Key, 400, "whatever", Class::Bug),
            (Key, 500, "whatever", Class::Transient),
        ];
        for (operation, status, code, class) in rows {
            let body = format!(r#"{{"error":"{code}"}}"#);
            assert_eq!(judge(operation, status, &[], &body).unwrap().class, class, "{operation:?} {code}");
        }
        assert_eq!(judge(Identity, 401, &[], "").unwrap().class, Class::Reauth);
        assert_eq!(judge(Identity, 401, &[], PAGE).unwrap().class, Class::Bug);
        assert_eq!(judge(Identity, 403, &[], PAGE).unwrap().class, Class::Transient);
    }

    #[test]
    fn the_providers_table_comes_before_the_standards() {
        let mut slack = description();
        slack.core.token_response.success = Some(pointer("/ok"));
        slack.core.errors.token = [
            ("token_revoked".to_owned(), Class::Reauth),
            ("invalid_request".to_owned(), Class::Reauth),
            ("internal_error".to_owned(), Class::Transient),
        ]
        .into();
        slack.core.errors.revoked = ["token_revoked".to_owned()].into();
        slack.core.errors.wait = [("internal_error".to_owned(), "60s".parse().unwrap())].into();
        let judge = |operation, body| {
            let received = answer(200, &[], body);
            answered(operation, &slack, &received, &Document::read(&received), NOW).err()
        };
        let revoked = judge(Operation::Refresh, r#"{"ok":false,"error":"token_revoked"}"#).unwrap();
        assert_eq!(
            (revoked.class, revoked.proves_revoked, revoked.sent),
            (Class::Reauth, true, Sent::Refused)
        );
        let minted = judge(Operation::Mint, r#"{"ok":false,"error":"token_revoked"}"#).unwrap();
        assert_eq!((minted.class, minted.proves_revoked), (Class::Config, false));
        assert_eq!(judge(Operation::Refresh, r#"{"error":"invalid_request"}"#).unwrap().class, Class::Reauth);
        assert_eq!(judge(Operation::Refresh, r#"{"ok":false}"#).unwrap().class, Class::Bug);
        let broken = judge(Operation::Refresh, r#"{"ok":false,"error":"internal_error"}"#).unwrap();
        assert_eq!((broken.sent, broken.retry_after), (Sent::MaybeSent, Some(Duration::from_mins(1))));
        assert_eq!(judge(Operation::Refresh, r#"{"ok":true,"access_token":"x"}"#), None);
    }

    #[test]
    fn a_success_is_no_failure_even_with_retry_after() {
        assert_eq!(judge(Operation::Refresh, 200, BUSY, r#"{"access_token":"at","error":null}"#), None);
        assert_eq!(judge(Operation::Revoke, 200, &[], ""), None);
        assert_eq!(judge(Operation::Revoke, 200, &[], "OK"), None);
        assert!(judge(Operation::Revoke, 200, &[], PAGE).is_some());
    }

    #[test]
    fn a_request_without_an_answer_is_transient_unless_it_could_not_be_sent() {
        let host = || "a.example.com".to_owned();
        let after = Duration::from_secs(20);
        let large = |status| SendError::TooLarge { host: host(), status, limit: 1 };
        let rows = [
            (SendError::NotFound { host: host() }, Class::Transient, Sent::NotSent),
            (SendError::Deadline { host: host(), after, status: None }, Class::Transient, Sent::MaybeSent),
            (large(StatusCode::OK), Class::Bug, Sent::MaybeSent),
            (large(StatusCode::BAD_GATEWAY), Class::Transient, Sent::MaybeSent),
            (
                AddressRefused { host: host(), rule: AddressRule::Private }.into(),
                Class::Config,
                Sent::NotSent,
            ),
            (SendError::BadUrl, Class::Config, Sent::NotSent),
        ];
        for (error, class, sent) in rows {
            let text = error.to_string();
            let failure = Failure::from(error);
            assert_eq!((failure.class, failure.sent), (class, sent), "{text}");
        }
    }

    #[test]
    fn a_code_that_repeats_a_secret_is_left_out() {
        let failure = judge(Operation::Refresh, 400, &[], r#"{"error":"rt-canary-4711"}"#).unwrap();
        assert!(failure.to_string().contains("rt-canary-4711"));
        for secret in ["rt-canary-4711", "rt-canary-4711-and-more", "canary-4711"] {
            let shown = format!("{0} {0:?}", failure.clone().without_echo(secret));
            assert!(!shown.contains("canary"), "{secret}");
        }
        assert!(failure.clone().without_echo("").code.is_some());
    }

    proptest! {
        #[test]
        fn no_answer_panics_and_no_page_is_ever_a_lost_grant(
            status in 200u16..600, body in "\\PC{0,60}", operation in 0usize..6,
        ) {
            use Operation::{Exchange, Identity, Key, Mint, Refresh, Revoke};
            let operation = [Refresh, Mint, Exchange, Revoke, Identity, Key][operation];
            let _ = judge(operation, status, &[], &body);
            let page = judge(operation, status, &[], &format!("<{body}"));
            prop_assert!(page.is_some_and(|failure| failure.class != Class::Reauth));
        }

        #[test]
        fn a_failure_shows_no_text_of_the_provider_but_a_plain_code(text in "[a-z]{3,9}( [a-z]{3,9}|/[a-z]{3}){1,5}") {
            let body = serde_json::json!({"error": text, "error_description": text, "message": text}).to_string();
            let failure = judge(Operation::Refresh, 400, &[], &body).unwrap();
            let shown = format!("{failure} {failure:?}");
            prop_assert!(!shown.contains(&text));
        }
    }
}
