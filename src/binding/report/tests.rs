use std::sync::Arc;

use serde_json::json;

use super::super::decide::decide;
use super::super::fixtures::{binding, connection, observed};
use super::*;

fn available() -> Availability {
    Availability::Available(Arc::new(connection(json!({}))))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The binding after a pass at this second.
fn after(
    before: &ConnectionBinding,
    availability: Availability,
    secret: SecretOutcome,
    second: i64,
) -> ConnectionBinding {
    let observed = observed(availability);
    let plan = decide(before, &observed);
    let status = status(before, &observed, &plan, &secret.into(), at(second));
    ConnectionBinding { status: Some(status), ..before.clone() }
}

fn summary(binding: &ConnectionBinding) -> (String, Option<Reason>, Option<&str>) {
    let status = binding.status.as_ref().unwrap();
    let phase = status.phase.as_ref().unwrap().to_string();
    (phase, binding.reason_of(ConditionType::Ready), status.secret_name.as_deref())
}

#[test]
fn what_was_bound_is_pinned_and_stays_pinned_while_it_is_withdrawn() {
    let bound = after(
        &binding(json!({"spec": {"config": {"assignee": "a"}}})),
        available(),
        SecretOutcome::Written,
        10,
    );
    assert_eq!(summary(&bound), ("Bound".to_owned(), Some(Reason::Bound), Some("post")));
    let status = bound.status.as_ref().unwrap();
    let pin = PinnedConnection { uid: "u".into(), owner: "alice".into(), account_id: Some("1".into()) };
    assert_eq!((status.pinned.as_ref(), status.connection.as_deref()), (Some(&pin), Some("team-a.mail")));
    assert_eq!(status.effective_config["assignee"], "a");

    let withdrawn = after(&bound, Availability::Absent, SecretOutcome::Withdrawn, 20);
    assert_eq!(summary(&withdrawn), ("Error".to_owned(), Some(Reason::ShareWithdrawn), None));
    assert_eq!(withdrawn.pinned(), Some(&pin));
    assert!(withdrawn.status.as_ref().unwrap().effective_config.is_empty());

    let again = after(&withdrawn, available(), SecretOutcome::Written, 30);
    assert_eq!(again.status.as_ref().unwrap().bound_at, Some(Time(at(10))), "the same one is back");
}

#[test]
fn an_accepted_connection_is_bound_from_then_on() {
    let bound = after(&binding(json!({})), available(), SecretOutcome::Written, 10);
    let mut other = connection(json!({"metadata": {"uid": "v"}}));
    other.spec.owner = "alice".into();
    let other = || Availability::Available(Arc::new(other.clone()));
    let refused = after(&bound, other(), SecretOutcome::Withdrawn, 20);
    assert_eq!(summary(&refused), ("Error".to_owned(), Some(Reason::ConnectionMismatch), None));
    assert_eq!(refused.pinned().unwrap().uid, "u");
    let mut accepting = refused;
    accepting.spec.accept =
        Some(PinnedConnection { uid: "v".into(), owner: "alice".into(), account_id: Some("1".into()) });
    let accepted = after(&accepting, other(), SecretOutcome::Written, 30);
    assert_eq!(accepted.pinned().unwrap().uid, "v");
    assert_eq!(accepted.status.as_ref().unwrap().bound_at, Some(Time(at(30))));
}

#[test]
fn a_connection_that_is_not_ready_is_named_and_a_secret_that_cannot_be_removed_too() {
    let revoked = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "GrantRevoked",
        "message": "", "lastTransitionTime": Timestamp::UNIX_EPOCH},
        {"type": "Authorized", "status": "False", "reason": "GrantRevoked",
        "message": "", "lastTransitionTime": Timestamp::UNIX_EPOCH}]}});
    let revoked = Availability::Available(Arc::new(connection(revoked)));
    let pending = after(&binding(json!({})), revoked, SecretOutcome::Withdrawn, 10);
    assert_eq!(summary(&pending), ("Pending".to_owned(), Some(Reason::ConnectionNotReady), None));
    let message = &pending.condition(ConditionType::Ready).unwrap().message;
    assert!(
        message.contains("The connection says GrantRevoked.") && message.contains("alice must"),
        "{message}"
    );

    let failed = SecretOutcome::Failed { reason: Reason::Forbidden, message: "Not allowed.".into() };
    let stuck = after(&binding(json!({})), Availability::Absent, failed, 10);
    let message = &stuck.condition(ConditionType::Ready).unwrap().message;
    assert!(message.ends_with("Its Secret could not be removed yet: Not allowed."), "{message}");
}

#[test]
fn while_it_cannot_be_read_the_condition_stays_as_it_was() {
    let bound = after(&binding(json!({})), available(), SecretOutcome::Written, 10);
    let unknown = after(&bound, Availability::Unknown, SecretOutcome::Untouched, 20);
    assert_eq!(summary(&unknown), ("Bound".to_owned(), Some(Reason::Bound), Some("post")));
    let never = after(&binding(json!({})), Availability::Unknown, SecretOutcome::Untouched, 20);
    assert_eq!(summary(&never).1, Some(Reason::NotYet));
}

#[test]
fn news_is_told_once() {
    let new = binding(json!({}));
    let bound = after(&new, available(), SecretOutcome::Written, 10);
    let status = bound.status.clone().unwrap();
    assert_eq!(news(&new, &status)[0].0, Reason::Bound);
    assert_eq!(news(&bound, &status), []);
    let absent = after(&new, Availability::Absent, SecretOutcome::Withdrawn, 20);
    assert_eq!(news(&new, absent.status.as_ref().unwrap()), [], "to wait for a connection is no news");
}
