//! What became of what was brought, read from the connection alone.

use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_INTAKE;
use bowline_api::reason;

use crate::list::condition;

/// The end of an import.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is ready with it.
    Ready,
    /// It is not.
    NotReady { reason: String, message: String },
}

/// Whether the operator has dealt with the intake that was announced as `announced`.
pub(super) fn is_taken(connection: &IntegrationConnection, announced: &str) -> bool {
    connection.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_INTAKE)).map(String::as_str)
        != Some(announced)
}

/// The verdict, once there is one: the intake is taken, and the status has moved on from `before` to an end.
pub(super) fn verdict(
    before: &IntegrationConnection,
    after: &IntegrationConnection,
    announced: &str,
) -> Option<Verdict> {
    let moved = before.status != after.status;
    (is_taken(after, announced) && moved && !is_underway(after)).then(|| standing(after))
}

fn is_underway(connection: &IntegrationConnection) -> bool {
    let has =
        |kind, reason: &str| condition(connection, kind).is_some_and(|condition| condition.reason == reason);
    has("Authorized", reason::AUTHORIZATION_IN_PROGRESS)
        || has("Authorized", reason::AWAITING_AUTHORIZATION)
        || ([reason::AUTHORIZED, reason::GRANT_EXPIRING_SOON].iter().any(|good| has("Authorized", good))
            && has("SecretPublished", reason::NOT_YET))
}

/// How the connection stands, whoever brought it there.
pub(super) fn standing(connection: &IntegrationConnection) -> Verdict {
    // A refused intake may leave the old grant, and so Ready, as they were.
    let refused = condition(connection, "Authorized").filter(|condition| refuses(&condition.reason));
    let ready = condition(connection, "Ready");
    match refused.or(ready) {
        Some(condition) if condition.type_ == "Ready" && condition.status == "True" => Verdict::Ready,
        Some(condition) => told(&condition.reason, &condition.message),
        None => told("Unknown", "The operator has not said anything about this connection yet."),
    }
}

fn refuses(reason: &str) -> bool {
    [
        reason::INTAKE_REFUSED,
        reason::INTAKE_OUTCOME_UNKNOWN,
        reason::ACCOUNT_MISMATCH,
        reason::ACCOUNT_ALREADY_CONNECTED,
    ]
    .contains(&reason)
}

fn told(reason: &str, message: &str) -> Verdict {
    Verdict::NotReady { reason: reason.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "github-intake-abc/u1";

    fn connection(announced: Option<&str>, ready: (&str, &str), authorized: &str) -> IntegrationConnection {
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "Said.", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut whole = json!({
            "metadata": {"name": "github"}, "spec": {"provider": "github", "owner": "alice"},
            "status": {"conditions": [condition("Ready", ready.0, ready.1), condition("Authorized", "False", authorized)]},
        });
        if let Some(announced) = announced {
            whole["metadata"]["annotations"] = json!({ANNOTATION_INTAKE: announced});
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_verdict_waits_until_the_intake_is_taken_and_the_status_has_moved_on() {
        let before = connection(None, ("False", "AwaitingAuthorization"), "AwaitingAuthorization");
        let not_ready = |reason: &str| Some(told(reason, "Said."));
        for (after, expected) in [
            (connection(Some(OURS), ("True", "Connected"), "Authorized"), None),
            (before.clone(), None),
            (connection(None, ("False", "AuthorizationInProgress"), "AuthorizationInProgress"), None),
            (connection(None, ("True", "Connected"), "Authorized"), Some(Verdict::Ready)),
            (connection(Some("other/u2"), ("True", "Connected"), "Authorized"), Some(Verdict::Ready)),
            (connection(None, ("False", "MissingScopes"), "MissingScopes"), not_ready("MissingScopes")),
            // The old grant serves on, but what was brought was not taken.
            (connection(None, ("True", "Connected"), "IntakeRefused"), not_ready("IntakeRefused")),
            (connection(None, ("True", "Connected"), "AccountMismatch"), not_ready("AccountMismatch")),
        ] {
            assert_eq!(verdict(&before, &after, OURS), expected, "{after:?}");
        }
    }
}
