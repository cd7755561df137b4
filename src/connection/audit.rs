//! The operator's lines of the audit log: what became of a connection, and for whom. docs/audit.md has the fields.

use bowline_api::IntegrationConnection;
use bowline_api::IntegrationConnectionStatus as Status;
use bowline_api::reason::{EventType, Reason};
use bowline_runtime::telemetry::AUDIT;
use kube::ResourceExt;

use super::news::EventNote;

/// One line for each of the news, given the status before (in `connection`) and after. Never their text, which quotes providers.
pub(super) fn audit(connection: &IntegrationConnection, new: &Status, news: &[EventNote]) {
    let object = format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any());
    for (reason, _) in news {
        let user = acting_user(connection.status.as_ref(), new, *reason).unwrap_or_default();
        let action = reason.as_str();
        let result = match reason.row().event {
            Some(EventType::Warning) => "failed",
            Some(EventType::Normal) | None => "done",
        };
        let (door, kind) = ("operator", "IntegrationConnection");
        tracing::info!(target: AUDIT, door, user, action, kind, object, result, "action");
    }
}

/// Who caused it, as far as that is known: who asked for the attempt that has just ended, or created the key.
fn acting_user<'a>(old: Option<&Status>, new: &'a Status, reason: Reason) -> Option<&'a str> {
    if reason == Reason::KeyCreated {
        return new.issued_keys.first().map(|key| key.created_by.as_str());
    }
    let attempt = new.last_attempt.as_ref()?;
    let before = old.and_then(|old| old.last_attempt.as_ref());
    let has_ended = attempt.ended_at.is_some()
        && before.is_none_or(|before| before.id != attempt.id || before.ended_at.is_none());
    let is_about_it = attempt.reason.as_ref().is_some_and(|about| about.is(reason))
        || matches!(reason, Reason::Authorized | Reason::GrantReplaced | Reason::Recovered);
    attempt.requested_by.as_deref().filter(|_| has_ended && is_about_it)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(value: &Value) -> Status {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn the_user_is_the_one_whose_attempt_ended_or_who_created_the_key() {
        let attempt = |id: &str, ended: bool, reason: Option<Reason>| {
            let time = "2026-05-03T14:20:00Z";
            let mut attempt = json!({"id": id, "method": "AuthorizationCode", "requestedBy": "alice", "startedAt": time,
                "result": "Succeeded", "reason": reason.map(Reason::as_str)});
            if ended {
                attempt["endedAt"] = time.into();
            }
            status(&json!({"lastAttempt": attempt}))
        };
        let (running, connected) = (attempt("a", false, None), attempt("a", true, None));
        assert_eq!(acting_user(Some(&running), &connected, Reason::Authorized), Some("alice"));
        assert_eq!(acting_user(None, &connected, Reason::Authorized), Some("alice"));
        assert_eq!(acting_user(Some(&connected), &connected, Reason::Recovered), None, "it ended long ago");
        assert_eq!(acting_user(Some(&running), &connected, Reason::Shared), None);
        let failed = attempt("a", true, Some(Reason::AuthorizationFailed));
        assert_eq!(acting_user(Some(&running), &failed, Reason::AuthorizationFailed), Some("alice"));
        let key =
            json!({"issuedKeys": [{"id": "k", "createdAt": "2026-05-03T14:20:00Z", "createdBy": "bob"}]});
        assert_eq!(acting_user(None, &status(&key), Reason::KeyCreated), Some("bob"));
        assert_eq!(acting_user(None, &Status::default(), Reason::Shared), None);
    }
}
