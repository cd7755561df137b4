//! What is said of grants that ended, and which ones nothing works of.

use bowline_api::connection::{Phase, RevocationStatus};
use bowline_api::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::situation::{Situation, at, connection, good};
use crate::connection::observed::EndingView;
use crate::vault::record::RevocationResult;

/// A grant that ended, of which this is known.
fn ending(result: Option<(Reason, &str)>, is_done: bool) -> EndingView {
    let result = result.map(|(reason, detail)| RevocationResult { reason, detail: detail.to_owned() });
    EndingView { key: "e".into(), grant: None, since: at(30), result, is_done }
}

#[test]
fn class_22_a_disconnected_grant_is_not_called_revoked_before_it_is() {
    let told = |ending: EndingView| {
        let gone = connection().spec(json!({"disconnect": true}));
        let plan = gone.seen(|observed| observed.endings.push(ending)).decided();
        (plan.authorized.message, plan.revocation.map(|it| it.reason))
    };
    let (message, revocation) = told(ending(None, false));
    assert!(message.contains("is being revoked") && revocation.is_none(), "{message}");
    let (message, revocation) = told(ending(Some((Reason::RevocationFailed, "No answer.")), false));
    assert!(message.contains("could not be revoked at the provider. No answer."), "{message}");
    assert_eq!(revocation, Some(Reason::RevocationFailed.into()));
    let (message, _) = told(ending(Some((Reason::Revoked, "")), true));
    assert!(message.contains("has confirmed that the grant is revoked"), "{message}");
    let on_record = good().spec(json!({"disconnect": true})).decided();
    assert!(on_record.end && on_record.authorized.message.contains("is being revoked"));
    let none = connection().spec(json!({"disconnect": true})).decided().authorized.message;
    assert!(none.contains("No grant is on record"), "{none}");
}

#[test]
fn what_became_of_an_earlier_grant_is_not_said_of_the_one_that_ends_now() {
    let earlier = || {
        let since = Time(at(1));
        RevocationStatus { reason: Reason::Revoked.into(), since, message: "It is revoked.".to_owned() }
    };
    let ends_now = good().status(|status| status.revocation = Some(earlier()));
    assert_eq!(ends_now.decided().revocation, Some(earlier()), "it is news of the past");
    let ends_now =
        good().status(|status| status.revocation = Some(earlier())).spec(json!({"disconnect": true}));
    assert_eq!(ends_now.decided().revocation, None);
    let gone = connection().spec(json!({"disconnect": true}));
    let ended = gone.status(|status| {
        (status.phase, status.revocation) = (Some(Phase::Disconnected.into()), Some(earlier()));
    });
    assert_eq!(ended.decided().revocation, Some(earlier()));
}

#[test]
fn a_grant_is_dead_once_nothing_of_it_works() {
    let is_dead =
        |situation: Situation, second| Situation { now: at(second), ..situation }.decided().lifespan.is_over;
    assert!(is_dead(good().ruled(Reason::GrantRevoked), 60), "it is withdrawn");
    assert!(!is_dead(good().ruled(Reason::GrantExpired), 60), "its token works until it expires");
    assert!(is_dead(good().ruled(Reason::GrantExpired), 3_600));
    assert!(!is_dead(good().ruled(Reason::PolicyBlocked), 3_600), "it may work again");
    assert!(!is_dead(good(), 3_600), "it can be refreshed");
    let is_over = good().grant(|grant| grant.refresh_expires_at = Some(at(60)));
    assert!(is_dead(is_over, 3_600));
}
