//! What is said of grants that ended, and which ones nothing works of.

use std::time::Duration;

use bowline_api::IntegrationConnectionStatus;
use bowline_api::connection::{Phase, RevocationStatus};
use bowline_api::reason::Reason;
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::json;

use super::situation::{Situation, at, connection, good, version};
use crate::connection::observed::{EndingView, Present, RecordState};
use crate::secret_plan::SecretPlan;
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
    let on_record = good().spec(json!({"disconnect": true})).seen(|it| it.disconnect_pause = Duration::ZERO);
    let on_record = on_record.decided();
    assert!(on_record.end && on_record.authorized.message.contains("is being revoked"));
    let none = connection().spec(json!({"disconnect": true})).decided().authorized.message;
    assert!(none.contains("No grant is on record"), "{none}");
}

#[test]
fn a_disconnection_withdraws_at_once_and_can_be_undone_until_its_pause_is_over() {
    let disconnected = || good().spec(json!({"disconnect": true}));
    let since = |second| move |present: &mut Present| present.disconnected_at = Some(at(second));
    let now = disconnected().now;
    let begun = disconnected().decided();
    assert_eq!(begun.authorized.reason, Reason::Disconnected);
    assert_eq!((begun.end, begun.secret), (false, SecretPlan::Withdraw));
    assert_eq!(begun.revokes_at, Some(later(now, Duration::from_secs(30))), "from now on");
    assert!(begun.task.is_none() && begun.authorized.message.contains("kubectl bowline undo c"), "{begun:?}");
    let seconds = |before: i64| now.as_second() - at(0).as_second() - before;
    let running = disconnected().present(since(seconds(29))).decided();
    assert!(!running.end && running.revokes_at.is_some());
    let over = disconnected().present(since(seconds(30))).decided();
    assert!(over.end && over.revokes_at.is_none(), "whoever leads now");
    let undone = good().present(since(seconds(29))).decided();
    assert!(!undone.end && undone.authorized.reason == Reason::Authorized && undone.revokes_at.is_none());
    let transferred =
        disconnected().present(since(seconds(1))).spec(json!({"owner": "bob", "disconnect": true}));
    assert!(transferred.decided().end, "nobody can undo that");
    let named = |id: &str| {
        let mut it = disconnected().present(since(seconds(1)));
        let name = "bowline.dev/revoke-now".to_owned();
        it.connection.annotations_mut().insert(name, id.to_owned());
        it.decided().end
    };
    assert!(named(&version(1).id.to_string()), "a leaked token waits for nothing");
    assert!(!named("ffffffffffffffffffffffffffffffff"), "that was another grant");
}

#[test]
fn a_transfer_ends_the_former_owners_grant() {
    let transferred = |situation: Situation| situation.spec(json!({"owner": "bob"})).decided();
    let connected_by =
        |status: &mut IntegrationConnectionStatus| status.connected_by = Some("alice".to_owned());
    let of_alice = |record| good().record(record).status(connected_by);
    let candidate = |present: &mut Present| {
        (present.grant, present.has_candidate) = (None, true);
        present.candidate_owner = Some("alice".to_owned());
    };
    for (name, plan, ends) in [
        ("it is in use", transferred(good()), true),
        ("it is being judged", transferred(good().present(candidate)), true),
        ("disconnected as well", transferred(good().spec(json!({"disconnect": true}))), true),
        ("its record cannot be read", transferred(of_alice(RecordState::Unreadable)), true),
        ("its record was changed", transferred(of_alice(RecordState::Tampered)), true),
        ("its record is gone", transferred(of_alice(RecordState::Missing)), false),
    ] {
        assert_eq!(plan.authorized.reason, Reason::OwnerChanged, "{name}");
        assert_eq!((plan.end, plan.secret), (ends, SecretPlan::Withdraw), "{name}");
        assert!(plan.authorized.message.contains("from alice to bob"), "{name}: {}", plan.authorized.message);
        assert!(plan.task.is_none() && plan.shares_to_write.is_empty(), "{name}");
    }
    let bobs = good().grant(|grant| grant.bound_to.owner = "bob".to_owned()).status(connected_by);
    assert_eq!(transferred(bobs).authorized.reason, Reason::Authorized, "what is on record decides");
    assert_eq!(transferred(connection()).authorized.reason, Reason::AwaitingAuthorization);
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
