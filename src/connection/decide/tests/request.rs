//! Refresh requests on the object.

use std::sync::Arc;

use bowline_oauth::catalog::errors::Class;
use serde_json::json;

use super::situation::{Situation, at, connection, good, refused, target};
use crate::grant::outcome::Outcome;

#[test]
fn a_request_that_cannot_be_served_is_answered_all_the_same() {
    let asked = |situation: Situation| situation.requested("x").decided();
    assert_eq!(asked(connection()).unanswerable.as_deref(), Some("x"));
    assert_eq!(asked(good().spec(json!({"suspend": true}))).unanswerable.as_deref(), Some("x"));
    assert_eq!(asked(good().at_second(5)).unanswerable, None, "it is served later");
}

#[test]
fn a_request_that_waits_is_looked_at_when_it_is_due() {
    let asked = |second| good().at_second(second).requested("x").decided();
    let waiting = asked(5);
    assert_eq!((waiting.task, waiting.request_at), (None, Some(at(10))));
    assert_eq!(asked(10).request_at, None, "it is served");
}

/// 90 seconds until the token reaches the pods, and as long to be of use there.
#[test]
fn a_request_leaves_pods_the_token_that_a_refresh_would_end() {
    let there = target("github-app-user");
    let bound = || good().grant(|grant| grant.bound_to.addresses = there.addresses().clone());
    let asked = |second| bound().provider(Ok(Arc::clone(&there))).at_second(second).requested("x").decided();
    assert_eq!((asked(5).task, asked(5).request_at), (None, Some(at(180))));
    assert_eq!((asked(179).task, asked(179).request_at), (None, Some(at(180))));
    assert!(asked(180).task.is_some());
    assert!(asked(1_000).task.is_some());
}

#[test]
fn a_request_above_the_providers_budget_waits_and_a_due_refresh_does_not() {
    let full =
        |second: i64| good().at_second(second).seen(move |seen| seen.requests_from = Some(at(second + 30)));
    let waiting = full(60).requested("x").decided();
    assert_eq!((waiting.task, waiting.request_at, waiting.unanswerable), (None, Some(at(90)), None));
    assert!(full(3_500).requested("x").decided().task.is_some(), "it is due");
}

#[test]
fn a_request_waits_for_what_passes_and_is_answered_by_what_somebody_must_fix() {
    let asked = |outcome| {
        let mut s = good().came(outcome);
        s.observed.actor.finished.as_mut().unwrap().request = Some("x".into());
        s.decided().history.handled_refresh
    };
    for passing in [Outcome::Held { until: at(90) }, Outcome::Foreign { until: at(90) }, Outcome::Stale] {
        assert_eq!(asked(passing), None);
    }
    let missing = Outcome::SecretMissing { message: "There is no Secret app.".into() };
    for answer in [refused(Class::Transient), missing, Outcome::ConsentOutdated] {
        assert_eq!(asked(answer).as_deref(), Some("x"));
    }
}

#[test]
fn no_more_of_a_request_is_echoed_than_tells_it_apart() {
    let long = "x".repeat(10_000);
    let plan = connection().requested(&long).decided();
    assert_eq!(plan.unanswerable.map(|request| request.len()), Some(64));
}
