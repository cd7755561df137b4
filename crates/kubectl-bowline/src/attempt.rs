//! One attempt to connect, followed in `status.lastAttempt`. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::next::failing;
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{AttemptResult, LastAttempt};
use bowline_api::names::ANNOTATION_AUTHORIZE_REQUESTED;
use bowline_api::reason::{Reason, Remedy};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AttemptProgress {
    /// The operator has not started it.
    Awaited,
    /// Somebody is at the provider, or the grant is being checked or published.
    Running,
    /// The owner has to say whether the account is the right one.
    AwaitsConfirmation,
    /// It is over.
    Ended(AttemptEnd),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    /// The connection is ready with its grant.
    Ready,
    /// It has no grant, or an unusable one. In the operator's words.
    Failed { reason: String, message: String },
    /// Another attempt replaced it, of this user if that is known.
    Replaced { by: Option<String> },
}

pub(crate) struct Followed {
    /// `status.lastAttempt.id`; not known before somebody begins in the portal.
    id: Option<String>,
    /// The annotation that requests it; none for one that is created in the portal.
    annotation: Option<&'static str>,
    /// The `status.lastAttempt` before it.
    before: Option<LastAttempt>,
    /// What status last said about it.
    seen: Option<LastAttempt>,
    confirmed: bool,
}

impl Followed {
    /// The next one that somebody begins in the portal, or one that is in progress there.
    pub(crate) fn in_portal(before: &IntegrationConnection) -> Self {
        let before = before.last_attempt().cloned();
        Self { id: None, annotation: None, before, seen: None, confirmed: false }
    }

    /// The one that this value of this annotation requests.
    pub(crate) fn requested(before: &IntegrationConnection, annotation: &'static str, value: &str) -> Self {
        Self { id: Some(value.to_owned()), annotation: Some(annotation), ..Self::in_portal(before) }
    }

    /// One that ended with an account that its owner has just confirmed: now only the connection shows what follows.
    pub(crate) fn confirmed(before: &IntegrationConnection) -> Self {
        Self { confirmed: true, ..Self::in_portal(before) }
    }

    /// Evaluates the present state of the connection.
    pub(crate) fn see(&mut self, now: &IntegrationConnection) -> AttemptProgress {
        if self.confirmed {
            return match standing(now) {
                // The operator may take a moment to see the answer.
                AttemptProgress::AwaitsConfirmation => AttemptProgress::Running,
                standing => standing,
            };
        }
        match now.last_attempt() {
            // It is in status as soon as it is requested.
            Some(last) if self.is(last) && last.is_running() && self.is_pending(now) => {
                AttemptProgress::Awaited
            }
            Some(last) if self.is(last) => {
                self.seen = Some(last.clone());
                progress(now, last)
            }
            last if self.is_replaced(now, last) => {
                let by = last.filter(|last| self.is_new(last)).and_then(|last| last.requested_by.clone());
                AttemptProgress::Ended(AttemptEnd::Replaced { by })
            }
            _ => AttemptProgress::Awaited,
        }
    }

    fn is(&self, last: &LastAttempt) -> bool {
        match (&self.id, &self.seen) {
            (Some(id), _) => last.id == *id,
            // Somebody may begin again in the portal.
            (None, Some(seen)) => {
                last.id == seen.id || (last.requested_by.is_some() && last.requested_by == seen.requested_by)
            }
            (None, None) => self.is_new(last) || self.before.as_ref().is_some_and(LastAttempt::is_running),
        }
    }

    /// Whether status did not show it before this one.
    fn is_new(&self, last: &LastAttempt) -> bool {
        self.before.as_ref().is_none_or(|before| before.id != last.id)
    }

    /// Whether its request was not started.
    fn is_pending(&self, now: &IntegrationConnection) -> bool {
        match self.annotation {
            Some(ANNOTATION_AUTHORIZE_REQUESTED) => {
                let handled =
                    now.status.as_ref().and_then(|status| status.last_handled_authorization.as_ref());
                handled != self.id.as_ref()
            }
            // An intake's is removed when it is started.
            Some(annotation) => now.annotations().get(annotation) == self.id.as_ref(),
            None => false,
        }
    }

    /// Whether it was abandoned, where `last` is another one.
    fn is_replaced(&self, now: &IntegrationConnection, last: Option<&LastAttempt>) -> bool {
        if self.seen.is_some() {
            return last.is_some();
        }
        let Some(annotation) = self.annotation else { return false };
        let requested = now.annotations().get(annotation);
        let by_request = requested.is_some() && requested != self.id.as_ref();
        by_request || (!self.is_pending(now) && last.is_some_and(|last| self.is_new(last)))
    }
}

fn progress(now: &IntegrationConnection, last: &LastAttempt) -> AttemptProgress {
    match last.result.known() {
        Some(AttemptResult::Succeeded) => standing(now),
        Some(AttemptResult::Running) => AttemptProgress::Running,
        // A result of a later version.
        None if last.ended_at.is_none() => AttemptProgress::Running,
        Some(AttemptResult::Failed | AttemptResult::Unknown) | None => {
            let reason = last.reason.as_ref().map_or_else(|| last.result.to_string(), ToString::to_string);
            AttemptProgress::Ended(AttemptEnd::Failed { reason, message: last.message.clone() })
        }
    }
}

/// The outcome of a grant that is in use.
fn standing(now: &IntegrationConnection) -> AttemptProgress {
    if now.is_ready() {
        return AttemptProgress::Ended(AttemptEnd::Ready);
    }
    if awaits_confirmation(now) {
        return AttemptProgress::AwaitsConfirmation;
    }
    let remedy = |reason: &str| Reason::parse(reason).map(|reason| reason.row().remedy);
    let is_under_way =
        |reason: &str| matches!(remedy(reason), Some(Remedy::None | Remedy::Wait | Remedy::Connect));
    let failing = failing(now).filter(|failing| !is_under_way(&failing.reason));
    failing.map_or(AttemptProgress::Running, |failing| AttemptProgress::Ended(as_failure(failing)))
}

pub(crate) fn as_failure(condition: &Condition) -> AttemptEnd {
    AttemptEnd::Failed { reason: condition.reason.clone(), message: condition.message.clone() }
}

/// Whether the owner has to say whether the account is the right one.
pub(crate) fn awaits_confirmation(connection: &IntegrationConnection) -> bool {
    connection.reason_of(ConditionType::Authorized) == Some(Reason::AwaitingConfirmation)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use bowline_api::names::ANNOTATION_INTAKE;

    const READY: AttemptProgress = AttemptProgress::Ended(AttemptEnd::Ready);

    /// A connection with these reasons of Authorized and `SecretPublished`; it is ready if both are True.
    fn connection(authorized: &str, published: &str) -> IntegrationConnection {
        let condition = |kind: &str, reason: &str| {
            let well = Reason::parse(reason).is_some_and(|reason| reason.row().status.as_str() == "True");
            json!({"type": kind, "status": if well { "True" } else { "False" }, "reason": reason,
                "message": "Said.", "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let ready = match (authorized, published) {
            ("Authorized", "Published") => "Connected",
            ("Authorized", failing) | (failing, _) => failing,
        };
        serde_json::from_value(json!({"metadata": {"name": "github"},
            "spec": {"provider": "github", "owner": "alice"},
            "status": {"conditions": [condition("Ready", ready), condition("Authorized", authorized),
                condition("SecretPublished", published)]}}))
        .unwrap()
    }

    fn with(connection: IntegrationConnection, id: &str, result: &str, more: Value) -> IntegrationConnection {
        let mut last = json!({"id": id, "method": "DeviceCode", "startedAt": "2026-01-01T00:00:00Z",
            "result": result, "message": "Told."});
        if let Value::Object(more) = more {
            last.as_object_mut().unwrap().extend(more);
        }
        let mut connection = connection;
        connection.status.as_mut().unwrap().last_attempt = Some(serde_json::from_value(last).unwrap());
        connection
    }

    fn waiting() -> IntegrationConnection {
        connection("AwaitingAuthorization", "NotYet")
    }

    fn ready() -> IntegrationConnection {
        connection("Authorized", "Published")
    }

    fn try_of(id: &str, result: &str) -> IntegrationConnection {
        with(waiting(), id, result, Value::Null)
    }

    fn failed(reason: &str, message: &str) -> AttemptProgress {
        AttemptProgress::Ended(AttemptEnd::Failed { reason: reason.into(), message: message.into() })
    }

    fn replaced(by: Option<&str>) -> AttemptProgress {
        AttemptProgress::Ended(AttemptEnd::Replaced { by: by.map(Into::into) })
    }

    fn seen(
        mut attempt: Followed,
        course: impl IntoIterator<Item = IntegrationConnection>,
    ) -> Vec<AttemptProgress> {
        course.into_iter().map(|now| attempt.see(&now)).collect()
    }

    fn requested(value: &str, connection: IntegrationConnection) -> IntegrationConnection {
        let mut connection = connection;
        connection.annotations_mut().insert(ANNOTATION_AUTHORIZE_REQUESTED.to_owned(), value.to_owned());
        connection
    }

    fn handled(value: &str, connection: IntegrationConnection) -> IntegrationConnection {
        let mut connection = requested(value, connection);
        connection.status.as_mut().unwrap().last_handled_authorization = Some(value.to_owned());
        connection
    }

    fn by_device(before: &IntegrationConnection) -> Followed {
        Followed::requested(before, ANNOTATION_AUTHORIZE_REQUESTED, "r1")
    }

    #[test]
    fn an_attempt_in_the_portal_is_followed_to_its_end() {
        let before = try_of("old", "Failed");
        let course = [
            before.clone(),
            try_of("new", "Running"),
            with(connection("Authorized", "NotYet"), "new", "Succeeded", Value::Null),
            with(ready(), "new", "Succeeded", Value::Null),
        ];
        assert_eq!(
            seen(Followed::in_portal(&before), course),
            [AttemptProgress::Awaited, AttemptProgress::Running, AttemptProgress::Running, READY]
        );
        // The same message again, of another attempt.
        let refused = with(waiting(), "new", "Failed", json!({"reason": "AccountMismatch"}));
        assert_eq!(seen(Followed::in_portal(&before), [refused]), [failed("AccountMismatch", "Told.")]);
    }

    #[test]
    fn what_is_under_way_already_is_followed_and_what_ended_is_not() {
        let running = try_of("a", "Running");
        let ended = with(ready(), "a", "Succeeded", Value::Null);
        assert_eq!(seen(Followed::in_portal(&running), [ended.clone()]), [READY]);
        assert_eq!(seen(Followed::in_portal(&ended), [ended.clone()]), [AttemptProgress::Awaited]);
    }

    #[test]
    fn whoever_begins_again_in_the_portal_is_followed_and_somebody_else_is_not() {
        let by = |id: &str, who: &str| with(waiting(), id, "Running", json!({"requestedBy": who}));
        let course = [by("a", "alice"), by("b", "alice"), by("c", "bob")];
        assert_eq!(
            seen(Followed::in_portal(&waiting()), course),
            [AttemptProgress::Running, AttemptProgress::Running, replaced(Some("bob"))]
        );
    }

    #[test]
    fn a_code_is_followed_by_the_request_that_asked_for_it() {
        let before = with(ready(), "r0", "Failed", Value::Null);
        let course = [
            requested("r1", before.clone()),
            // Somebody was in the portal before the operator looked.
            requested("r1", with(ready(), "portal", "Running", Value::Null)),
            requested("r1", with(ready(), "r1", "Running", Value::Null)),
            handled("r1", with(ready(), "r1", "Running", Value::Null)),
            handled("r1", with(ready(), "r1", "Failed", json!({"reason": "AuthorizationFailed"}))),
        ];
        assert_eq!(
            seen(by_device(&before), course),
            [
                AttemptProgress::Awaited,
                AttemptProgress::Awaited,
                AttemptProgress::Awaited,
                AttemptProgress::Running,
                failed("AuthorizationFailed", "Told.")
            ]
        );
    }

    #[test]
    fn another_request_replaces_the_first() {
        let before = waiting();
        for now in [
            // Before it was started, and after.
            requested("r2", before.clone()),
            handled("r1", with(before.clone(), "portal", "Running", Value::Null)),
        ] {
            assert_eq!(seen(by_device(&before), [now]), [replaced(None)]);
        }
        let shown = handled("r1", try_of("r1", "Running"));
        let other = handled("r2", with(waiting(), "r2", "Running", json!({"requestedBy": "bob"})));
        assert_eq!(
            seen(by_device(&before), [shown, other]),
            [AttemptProgress::Running, replaced(Some("bob"))]
        );
    }

    #[test]
    fn an_import_is_followed_while_its_secret_is_taken() {
        let announced = |value: Option<&str>, connection: IntegrationConnection| {
            let mut connection = connection;
            if let Some(value) = value {
                connection.annotations_mut().insert(ANNOTATION_INTAKE.to_owned(), value.to_owned());
            }
            connection
        };
        let before = ready();
        let import = || Followed::requested(&before, ANNOTATION_INTAKE, "s/1");
        let delayed = with(waiting(), "s/1", "Running", json!({"reason": "IntakeDelayed"}));
        let unknown = with(ready(), "s/1", "Unknown", json!({"reason": "IntakeOutcomeUnknown"}));
        let course = [announced(Some("s/1"), ready()), announced(None, ready()), delayed, unknown];
        assert_eq!(
            seen(import(), course),
            [
                AttemptProgress::Awaited,
                AttemptProgress::Awaited,
                AttemptProgress::Running,
                failed("IntakeOutcomeUnknown", "Told.")
            ]
        );
        assert_eq!(seen(import(), [announced(Some("s/2"), ready())]), [replaced(None)]);
        assert_eq!(seen(import(), [try_of("s/2", "Running")]), [replaced(None)]);
    }

    #[test]
    fn an_account_is_confirmed_before_anything_is_published() {
        let awaiting = || connection("AwaitingConfirmation", "NotYet");
        // While it runs, the account that waits is the one of an earlier code.
        for (result, progress) in
            [("Running", AttemptProgress::Running), ("Succeeded", AttemptProgress::AwaitsConfirmation)]
        {
            let now = handled("r1", with(awaiting(), "r1", result, Value::Null));
            assert_eq!(seen(by_device(&waiting()), [now]), [progress], "{result}");
        }
        let before = with(awaiting(), "r0", "Succeeded", Value::Null);
        // Another code is requested because that is not the account: the first one is not confirmed again.
        assert_eq!(seen(by_device(&before), [requested("r1", before.clone())]), [AttemptProgress::Awaited]);
        let course = [before.clone(), with(ready(), "r0", "Succeeded", Value::Null)];
        assert_eq!(seen(Followed::confirmed(&before), course), [AttemptProgress::Running, READY]);
    }

    #[test]
    fn a_grant_that_cannot_be_published_is_a_failure() {
        for (authorized, published, reason) in
            [("Authorized", "NameTaken", "NameTaken"), ("MissingScopes", "Withheld", "MissingScopes")]
        {
            let now = with(connection(authorized, published), "a", "Succeeded", Value::Null);
            assert_eq!(seen(Followed::in_portal(&waiting()), [now]), [failed(reason, "Said.")]);
        }
    }

    #[test]
    fn a_result_of_a_later_version_is_shown_once_it_has_ended() {
        let after = |more| with(waiting(), "a", "Postponed", more);
        assert_eq!(seen(Followed::in_portal(&waiting()), [after(Value::Null)]), [AttemptProgress::Running]);
        let ended = after(json!({"endedAt": "2026-01-01T00:01:00Z"}));
        assert_eq!(seen(Followed::in_portal(&waiting()), [ended]), [failed("Postponed", "Told.")]);
    }
}
