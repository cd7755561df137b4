//! The course of one attempt, read from the connection's status as it changes; pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::IntegrationConnection;
use crate::api::connection::AuthorizationStatus;
use crate::api::reason;
use crate::plugin::list::condition;

/// What is new since the last look.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    None,
    /// Somebody is at the provider, or a grant is being checked.
    Underway,
    /// There is a code to type.
    Code(Box<AuthorizationStatus>),
    /// Nothing goes on without the user.
    End(End),
}

/// How an attempt ends, or halts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is ready with a new grant.
    Ready,
    /// It ended without a new grant, and the old one works.
    Kept,
    /// The owner has to say whether the account is the right one.
    Confirm,
    /// It is not ready.
    Failed {
        /// A constant of `api::reason`.
        reason: String,
        /// The operator's words.
        message: String,
    },
}

/// One attempt: what stood before it, and what was seen of it.
pub(super) struct Attempt {
    /// The value of the annotation that asked for it, if one did.
    request: Option<String>,
    /// The verdict that stood before; the same again says nothing about this attempt.
    stood: Option<Condition>,
    was_ready: bool,
    revision: Option<i64>,
    underway: bool,
    code: Option<String>,
    confirmed: bool,
}

impl Attempt {
    /// One that somebody makes in the portal.
    pub fn by_page(before: &IntegrationConnection) -> Self {
        Self {
            request: None,
            stood: condition(before, "Authorized").cloned(),
            was_ready: is_ready(before),
            revision: revision(before),
            underway: false,
            code: None,
            confirmed: false,
        }
    }

    /// One that an annotation with this value asks for.
    pub fn by_device(before: &IntegrationConnection, request: String) -> Self {
        Self { request: Some(request), ..Self::by_page(before) }
    }

    /// The owner has accepted the account.
    pub fn confirmed(&mut self) {
        self.confirmed = true;
        self.underway = true;
    }

    /// Takes a look at the connection as it is now.
    pub fn see(&mut self, now: &IntegrationConnection) -> News {
        if self.request.is_some() && self.request.as_deref() != handled(now) {
            return News::None;
        }
        let open = now.status.as_ref().and_then(|status| status.authorization.as_ref());
        if let Some(open) = open.filter(|open| open.user_code.is_some()) {
            return self.see_code(open);
        }
        let Some(verdict) = condition(now, "Authorized") else { return News::None };
        match verdict.reason.as_str() {
            reason::AUTHORIZATION_IN_PROGRESS if !self.underway => {
                self.underway = true;
                News::Underway
            }
            reason::AUTHORIZATION_IN_PROGRESS => News::None,
            // The operator may take a moment to see the answer.
            reason::AWAITING_CONFIRMATION if self.confirmed => News::None,
            reason::AWAITING_CONFIRMATION => News::End(End::Confirm),
            // In the portal one may begin again; a code is asked for anew.
            reason::AWAITING_AUTHORIZATION if self.code.is_none() => News::None,
            _ if verdict.status == "True" => self.see_authorized(now),
            _ if self.is_about_this(verdict) => News::End(failed(verdict)),
            _ => News::None,
        }
    }

    fn see_code(&mut self, open: &AuthorizationStatus) -> News {
        self.underway = true;
        if self.code == open.user_code {
            return News::None;
        }
        self.code.clone_from(&open.user_code);
        News::Code(Box::new(open.clone()))
    }

    fn see_authorized(&self, now: &IntegrationConnection) -> News {
        let Some(ready) = condition(now, "Ready") else { return News::None };
        let is_new = !self.was_ready || revision(now) > self.revision;
        match (ready.status == "True", is_new) {
            (true, true) => News::End(End::Ready),
            (true, false) if self.underway => News::End(End::Kept),
            // What was granted is not published yet.
            (false, _) if condition(now, "SecretPublished").is_some_and(|c| c.reason != reason::NOT_YET) => {
                News::End(failed(ready))
            }
            _ => News::None,
        }
    }

    fn is_about_this(&self, verdict: &Condition) -> bool {
        let refused_again = self.request.is_some() && verdict.reason == reason::AUTHORIZATION_FAILED;
        self.underway || refused_again || self.stood.as_ref() != Some(verdict)
    }
}

/// Whether the owner has to say whether the account is the right one.
pub(super) fn awaits_confirmation(connection: &IntegrationConnection) -> bool {
    condition(connection, "Authorized").is_some_and(|verdict| verdict.reason == reason::AWAITING_CONFIRMATION)
}

/// Whether the connection is ready.
pub(super) fn is_ready(connection: &IntegrationConnection) -> bool {
    condition(connection, "Ready").is_some_and(|ready| ready.status == "True")
}

fn failed(verdict: &Condition) -> End {
    End::Failed { reason: verdict.reason.clone(), message: verdict.message.clone() }
}

fn handled(connection: &IntegrationConnection) -> Option<&str> {
    connection.status.as_ref()?.last_handled_authorization.as_deref()
}

fn revision(connection: &IntegrationConnection) -> Option<i64> {
    connection.status.as_ref()?.token.as_ref()?.revision
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connection(authorized: &str, change: Value) -> IntegrationConnection {
        let well = authorized == "Authorized";
        let condition = |kind: &str, reason: &str, well: bool| {
            json!({"type": kind, "status": if well { "True" } else { "False" }, "reason": reason, "message": "Said.",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let published = if well { "Published" } else { "NotYet" };
        let mut status = json!({"conditions": [
            condition("Ready", if well { "Connected" } else { authorized }, well),
            condition("Authorized", authorized, well), condition("SecretPublished", published, well)]});
        if let Value::Object(change) = change {
            status.as_object_mut().unwrap().extend(change);
        }
        serde_json::from_value(json!({"metadata": {"name": "github"},
            "spec": {"provider": "github", "owner": "alice"}, "status": status}))
        .unwrap()
    }

    fn plain(authorized: &str) -> IntegrationConnection {
        connection(authorized, Value::Null)
    }

    fn handled_with(authorized: &str, code: Option<&str>, revision: i64) -> IntegrationConnection {
        let mut change = json!({"lastHandledAuthorization": "r1", "token": {"revision": revision}});
        if let Some(code) = code {
            change["authorization"] =
                json!({"userCode": code, "verificationUri": "https://idp.example/device"});
        }
        connection(authorized, change)
    }

    fn seen(mut attempt: Attempt, course: &[IntegrationConnection]) -> Vec<String> {
        let word = |news| match news {
            News::None => "-".to_owned(),
            News::Underway => "underway".to_owned(),
            News::Code(open) => open.user_code.unwrap(),
            News::End(End::Failed { reason, .. }) => format!("failed {reason}"),
            News::End(end) => format!("{end:?}"),
        };
        course.iter().map(|state| word(attempt.see(state))).collect()
    }

    #[test]
    fn an_attempt_in_the_portal_is_followed_to_its_end() {
        let before = plain("AwaitingAuthorization");
        let rows: &[(&[&str], &[&str])] = &[
            (
                &[
                    "AwaitingAuthorization",
                    "AuthorizationInProgress",
                    "AuthorizationInProgress",
                    "Authorized",
                ],
                &["-", "underway", "-", "Ready"],
            ),
            // Given up in the browser, and begun again.
            (
                &["AuthorizationInProgress", "AwaitingAuthorization", "Authorized"],
                &["underway", "-", "Ready"],
            ),
            (
                &["AuthorizationInProgress", "AuthorizationFailed"],
                &["underway", "failed AuthorizationFailed"],
            ),
            (&["AccountMismatch"], &["failed AccountMismatch"]),
            (&["AwaitingConfirmation"], &["Confirm"]),
        ];
        for (course, expected) in rows {
            let course: Vec<_> = course.iter().map(|reason| plain(reason)).collect();
            assert_eq!(seen(Attempt::by_page(&before), &course), *expected);
        }
    }

    #[test]
    fn a_failure_that_stood_before_is_not_this_attempts() {
        let before = plain("AuthorizationFailed");
        let course = ["AuthorizationFailed", "AuthorizationInProgress", "AuthorizationFailed"].map(plain);
        assert_eq!(
            seen(Attempt::by_page(&before), &course),
            ["-", "underway", "failed AuthorizationFailed"],
            "the same words again, but after somebody was at the provider"
        );
    }

    #[test]
    fn a_code_is_shown_once_and_its_end_is_told() {
        let before = plain("AwaitingAuthorization");
        let begin = || Attempt::by_device(&before, "r1".into());
        let code = || handled_with("AuthorizationInProgress", Some("WDJB"), 0);
        let granted = [before.clone(), code(), code(), handled_with("Authorized", None, 1)];
        assert_eq!(seen(begin(), &granted), ["-", "WDJB", "-", "Ready"]);
        let ended = [code(), handled_with("AwaitingAuthorization", None, 0)];
        assert_eq!(seen(begin(), &ended), ["WDJB", "failed AwaitingAuthorization"]);
        let refused = [handled_with("AuthorizationFailed", None, 0)];
        assert_eq!(seen(begin(), &refused), ["failed AuthorizationFailed"]);
        let other = [code(), handled_with("AwaitingConfirmation", None, 1)];
        assert_eq!(seen(begin(), &other), ["WDJB", "Confirm"]);
    }

    #[test]
    fn an_attempt_that_brings_nothing_new_leaves_the_old_grant() {
        let before = handled_with("Authorized", None, 4);
        let code = handled_with("Authorized", Some("WDJB"), 4);
        for (revision, end) in [(4, "Kept"), (5, "Ready")] {
            let course = [code.clone(), handled_with("Authorized", None, revision)];
            assert_eq!(seen(Attempt::by_device(&before, "r1".into()), &course), ["WDJB", end]);
        }
    }

    #[test]
    fn an_account_is_asked_about_once() {
        let before = plain("AwaitingConfirmation");
        let mut attempt = Attempt::by_page(&before);
        assert_eq!(attempt.see(&before), News::End(End::Confirm));
        attempt.confirmed();
        assert_eq!(attempt.see(&before), News::None, "the operator has not seen the answer yet");
        assert_eq!(attempt.see(&plain("Authorized")), News::End(End::Ready));
    }

    #[test]
    fn what_is_granted_but_cannot_be_published_is_a_failure() {
        let mut taken = plain("Authorized");
        let conditions = &mut taken.status.as_mut().unwrap().conditions;
        for (condition, reason) in conditions.iter_mut().zip(["NameTaken", "Authorized", "NameTaken"]) {
            condition.status = if reason == "Authorized" { "True".into() } else { "False".into() };
            condition.reason = reason.into();
        }
        let attempt = Attempt::by_page(&plain("AwaitingAuthorization"));
        assert_eq!(seen(attempt, &[taken]), ["failed NameTaken"]);
    }
}
