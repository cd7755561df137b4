//! The course of one attempt, read from the connection's status as it changes; pure.

use bowline_api::IntegrationConnection;
use bowline_api::connection::AuthorizationStatus;
use bowline_api::reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::list::condition;

/// What is new since the last look.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    None,
    /// Somebody is at the provider, or a grant is being checked.
    Underway,
    /// There is a code to type.
    Code(Box<AuthorizationStatus>),
    /// The request was answered, or its code is over, and nothing is said of it: the word may be on its way.
    Silence,
    /// Nothing goes on without the user.
    End(End),
}

/// How an attempt ends, or halts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is ready with a new grant.
    Ready,
    /// It ended without a new grant, and the old one works.
    Kept {
        /// The operator's words on the try, if it has any.
        why: Option<String>,
    },
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

/// Reasons of `Authorized` that tell how a try ended; for the grant that is in use all is well then. Each request begins
/// with a clean slate, so one that stands when a request is answered is of that request.
const OF_A_TRY: &[&str] = &[
    reason::AUTHORIZATION_FAILED,
    reason::ACCOUNT_MISMATCH,
    reason::ACCOUNT_ALREADY_CONNECTED,
    reason::ADMIN_CONSENT_REQUIRED,
    reason::POLICY_BLOCKED,
    reason::MISSING_SCOPES,
    reason::EXTRA_SCOPES,
];

/// One attempt: what stood before it, and what was seen of it.
pub(super) struct Attempt {
    /// The value of the annotation that asked for it, if one did.
    request: Option<String>,
    /// The verdict that stood before; the same again says nothing about this attempt.
    stood: Option<Condition>,
    /// The revision of the grant with which it was ready before, if it was.
    ready_with: Option<i64>,
    revision: Option<i64>,
    underway: bool,
    code: Option<String>,
    /// A code that waited when this one was asked for: it may be seen for another moment.
    replaced: Option<String>,
    silent: bool,
    confirmed: bool,
}

impl Attempt {
    /// One that somebody makes in the portal.
    pub fn by_page(before: &IntegrationConnection) -> Self {
        Self {
            request: None,
            stood: condition(before, "Authorized").cloned(),
            ready_with: is_ready(before).then(|| revision(before).unwrap_or_default()),
            revision: revision(before),
            underway: false,
            code: None,
            replaced: None,
            silent: false,
            confirmed: false,
        }
    }

    /// One that an annotation with this value asks for.
    pub fn by_device(before: &IntegrationConnection, request: String) -> Self {
        let replaced = open_code(before).and_then(|open| open.user_code.clone());
        Self { replaced, ..Self::going_on(before, request) }
    }

    /// One that an annotation with this value has asked for before, and whose code waits.
    pub fn going_on(before: &IntegrationConnection, request: String) -> Self {
        Self { request: Some(request), ..Self::by_page(before) }
    }

    /// The owner has accepted the account.
    pub fn confirmed(&mut self) {
        self.confirmed = true;
        self.underway = true;
    }

    /// Whether the last look found nothing under way and nothing said of this attempt.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether a code was shown.
    pub fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// Takes a look at the connection as it is now.
    pub fn see(&mut self, now: &IntegrationConnection) -> News {
        if self.request.is_some() && self.request.as_deref() != handled(now) {
            return News::None;
        }
        let was_silent = std::mem::take(&mut self.silent);
        match self.see_answer(now) {
            News::Silence => {
                self.silent = true;
                if was_silent { News::None } else { News::Silence }
            }
            news => news,
        }
    }

    fn see_answer(&mut self, now: &IntegrationConnection) -> News {
        match open_code(now) {
            Some(open) if open.user_code == self.replaced => return self.nothing_said(),
            Some(open) => return self.see_code(open),
            None => {}
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
            // Of the grant before: another code was asked for because that is not the one.
            reason::AWAITING_CONFIRMATION if self.is_for_another(now, verdict) => News::Silence,
            reason::AWAITING_CONFIRMATION => News::End(End::Confirm),
            // In the portal one may begin again; a code is asked for anew.
            reason::AWAITING_AUTHORIZATION => self.nothing_said(),
            _ if verdict.status == "True" => self.see_authorized(now, verdict),
            _ if self.is_about_this(verdict) => News::End(failed(verdict)),
            _ => self.nothing_said(),
        }
    }

    /// A code is not gone on with once it is over; what happens in the portal may take its time.
    fn nothing_said(&self) -> News {
        if self.request.is_some() { News::Silence } else { News::None }
    }

    fn see_code(&mut self, open: &AuthorizationStatus) -> News {
        self.underway = true;
        if self.code == open.user_code {
            return News::None;
        }
        self.code.clone_from(&open.user_code);
        News::Code(Box::new(open.clone()))
    }

    fn see_authorized(&self, now: &IntegrationConnection, verdict: &Condition) -> News {
        let Some(ready) = condition(now, "Ready") else { return News::None };
        let is_new = self.ready_with.is_none_or(|before| revision(now).unwrap_or_default() > before);
        let of_a_try = OF_A_TRY.contains(&verdict.reason.as_str());
        match (ready.status == "True", is_new) {
            (true, true) => News::End(End::Ready),
            (true, false) if self.request.is_some() && of_a_try => {
                News::End(End::Kept { why: Some(verdict.message.clone()) })
            }
            (true, false) => self.nothing_said(),
            (false, _) if condition(now, "SecretPublished").is_some_and(|c| c.reason != reason::NOT_YET) => {
                News::End(failed(ready))
            }
            // What was granted is not published yet.
            (false, _) => News::None,
        }
    }

    fn is_for_another(&self, now: &IntegrationConnection, verdict: &Condition) -> bool {
        self.request.is_some()
            && self.code.is_none()
            && revision(now) == self.revision
            && self.stood.as_ref() == Some(verdict)
    }

    fn is_about_this(&self, verdict: &Condition) -> bool {
        let refused_again = self.request.is_some() && verdict.reason == reason::AUTHORIZATION_FAILED;
        self.underway || refused_again || self.stood.as_ref() != Some(verdict)
    }
}

/// The end of an attempt of which nothing more is said.
pub(super) fn without_a_word(now: &IntegrationConnection) -> End {
    match condition(now, "Authorized") {
        Some(verdict) if verdict.status != "True" => failed(verdict),
        _ => End::Kept { why: None },
    }
}

/// Whether the owner has to say whether the account is the right one.
pub(super) fn awaits_confirmation(connection: &IntegrationConnection) -> bool {
    condition(connection, "Authorized").is_some_and(|verdict| verdict.reason == reason::AWAITING_CONFIRMATION)
}

/// Reasons of `Authorized` for which no grant is taken in, whoever consents.
const BLOCKS: &[&str] = &[
    reason::OWNER_UNVERIFIED,
    reason::PARAMETERS_INVALID,
    reason::PROVIDER_NOT_ALLOWED,
    reason::PROVIDER_NOT_FOUND,
    reason::PROVIDER_NOT_READY,
    reason::RECORD_UNREADABLE,
];

/// Why nobody can connect it now, if so.
pub(super) fn blocked(connection: &IntegrationConnection) -> Option<End> {
    let verdict = condition(connection, "Authorized")?;
    BLOCKS.contains(&verdict.reason.as_str()).then(|| failed(verdict))
}

/// Whether the connection is ready.
pub(super) fn is_ready(connection: &IntegrationConnection) -> bool {
    condition(connection, "Ready").is_some_and(|ready| ready.status == "True")
}

fn open_code(connection: &IntegrationConnection) -> Option<&AuthorizationStatus> {
    connection.status.as_ref()?.authorization.as_ref().filter(|open| open.user_code.is_some())
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
                json!({"userCode": code, "verificationURI": "https://idp.example/device"});
        }
        connection(authorized, change)
    }

    fn seen(mut attempt: Attempt, course: &[IntegrationConnection]) -> Vec<String> {
        let word = |news| match news {
            News::None => "-".to_owned(),
            News::Underway => "underway".to_owned(),
            News::Code(open) => open.user_code.unwrap(),
            News::Silence => "silence".to_owned(),
            News::End(End::Failed { reason, .. }) => format!("failed {reason}"),
            News::End(End::Kept { why }) => format!("kept: {}", why.unwrap_or_default()),
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
        let refused = [handled_with("AuthorizationFailed", None, 0)];
        let ended = [code(), handled_with("AwaitingAuthorization", None, 0)];
        assert_eq!(seen(begin(), &ended), ["WDJB", "silence"], "how it ended may be said a moment later");
        let told = [code(), handled_with("AwaitingAuthorization", None, 0), refused[0].clone()];
        assert_eq!(seen(begin(), &told), ["WDJB", "silence", "failed AuthorizationFailed"]);
        assert_eq!(seen(begin(), &refused), ["failed AuthorizationFailed"]);
        let other = [code(), handled_with("AwaitingConfirmation", None, 1)];
        assert_eq!(seen(begin(), &other), ["WDJB", "Confirm"]);
    }

    #[test]
    fn an_attempt_that_brings_nothing_new_leaves_the_old_grant() {
        let before = handled_with("Authorized", None, 4);
        let code = handled_with("Authorized", Some("WDJB"), 4);
        for (revision, end) in [(4, "silence"), (5, "Ready")] {
            let course = [code.clone(), handled_with("Authorized", None, revision)];
            assert_eq!(seen(Attempt::by_device(&before, "r1".into()), &course), ["WDJB", end]);
        }
    }

    /// The try is over, and the grant in use works: `Authorized` is True and tells of the try.
    fn refused_beside_a_grant(reason: &str) -> IntegrationConnection {
        let mut kept = handled_with("Authorized", None, 4);
        let verdict = &mut kept.status.as_mut().unwrap().conditions[1];
        verdict.reason = reason.to_owned();
        kept
    }

    #[test]
    fn a_request_refused_at_once_is_not_waited_for_while_the_old_grant_works() {
        let before = connection("Authorized", json!({"token": {"revision": 4}}));
        let begin = || Attempt::by_device(&before, "r1".into());
        for reason in ["AuthorizationFailed", "AdminConsentRequired", "AccountMismatch"] {
            let refused = refused_beside_a_grant(reason);
            assert_eq!(seen(begin(), &[before.clone(), refused.clone()]), ["-", "kept: Said."], "{reason}");
            let denied = [handled_with("Authorized", Some("WDJB"), 4), refused.clone()];
            assert_eq!(seen(begin(), &denied), ["WDJB", "kept: Said."], "{reason}");
            // The same stood before, of another try.
            assert_eq!(seen(Attempt::by_device(&refused, "r1".into()), &[refused]), ["kept: Said."]);
        }
        let earlier = Attempt::by_page(&refused_beside_a_grant("AuthorizationFailed"));
        assert_eq!(
            seen(earlier, &[refused_beside_a_grant("AuthorizationFailed")]),
            ["-"],
            "nobody has tried yet"
        );
    }

    #[test]
    fn a_code_that_was_replaced_is_not_shown_again() {
        let shown = |code| handled_with("AuthorizationInProgress", Some(code), 0);
        let before = shown("OLD");
        let course = || [shown("OLD"), shown("NEW"), handled_with("Authorized", None, 1)];
        let attempt = Attempt::by_device(&before, "r1".into());
        assert_eq!(seen(attempt, &course()), ["silence", "NEW", "Ready"]);
        let attempt = Attempt::going_on(&before, "r1".into());
        assert_eq!(seen(attempt, &course()), ["OLD", "NEW", "Ready"]);
    }

    #[test]
    fn nobody_is_sent_to_a_provider_whose_grant_would_not_be_taken() {
        assert!(matches!(blocked(&plain("ProviderNotFound")), Some(End::Failed { .. })));
        for reason in ["AwaitingAuthorization", "GrantRevoked", "AuthorizationFailed", "Authorized"] {
            assert_eq!(blocked(&plain(reason)), None, "{reason}");
        }
    }

    #[test]
    fn silence_is_told_once_and_broken_by_a_code() {
        let ready = connection("Authorized", json!({"token": {"revision": 4}}));
        let (answered, late) =
            (handled_with("Authorized", None, 4), handled_with("Authorized", Some("WDJB"), 4));
        let mut attempt = Attempt::by_device(&ready, "r1".into());
        assert!(!attempt.is_silent(), "nobody has answered");
        assert_eq!(attempt.see(&answered), News::Silence);
        assert_eq!(attempt.see(&answered), News::None);
        assert!(attempt.is_silent() && !attempt.has_code());
        assert_eq!(without_a_word(&answered), End::Kept { why: None });
        assert!(matches!(attempt.see(&late), News::Code(_)), "it was on its way");
        assert!(!attempt.is_silent() && attempt.has_code());

        let revoked = handled_with("GrantRevoked", None, 4);
        let mut attempt = Attempt::by_device(&plain("GrantRevoked"), "r1".into());
        assert_eq!(attempt.see(&revoked), News::Silence, "it stood before, so it is no answer");
        let end = without_a_word(&revoked);
        assert_eq!(end, End::Failed { reason: "GrantRevoked".into(), message: "Said.".into() });
    }

    #[test]
    fn whoever_asks_for_another_code_is_not_asked_about_the_account_of_the_first() {
        let before = connection("AwaitingConfirmation", json!({"token": {"revision": 1}}));
        let course = [
            before.clone(),
            handled_with("AwaitingConfirmation", None, 1),
            handled_with("AwaitingConfirmation", Some("WDJB"), 1),
            handled_with("AwaitingConfirmation", None, 2),
        ];
        let attempt = Attempt::by_device(&before, "r1".into());
        assert_eq!(seen(attempt, &course), ["-", "silence", "WDJB", "Confirm"]);
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
