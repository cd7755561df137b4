use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fixtures::{self, binding, connection, observed, version};
use super::*;

fn plan(binding: &ConnectionBinding, observed: &ObservedBinding) -> (SecretPlan, Option<Reason>) {
    let plan = decide(binding, observed);
    (plan.secret, plan.obstacle.map(|(reason, _)| reason))
}

fn pinned(uid: &str, owner: &str, account: &str) -> Value {
    json!({"status": {"connection": "team-a.mail", "pinned": {"uid": uid, "owner": owner, "accountId": account}}})
}

#[test]
fn an_available_connection_is_published_for_the_workload() {
    let observed = observed(Availability::Available(Arc::new(connection(json!({})))));
    assert_eq!(plan(&binding(json!({})), &observed), (SecretPlan::Write, None));
    assert_eq!(plan(&binding(pinned("u", "alice", "1")), &observed), (SecretPlan::Write, None));
}

#[test]
fn what_is_absent_and_what_is_not_shared_give_one_answer_until_it_was_bound() {
    let absent = observed(Availability::Absent);
    let not_found = (SecretPlan::Withdraw, Some(Reason::ConnectionNotFound));
    assert_eq!(plan(&binding(json!({})), &absent), not_found);
    let was_bound = binding(pinned("u", "alice", "1"));
    assert_eq!(plan(&was_bound, &absent), (SecretPlan::Withdraw, Some(Reason::ShareWithdrawn)));
    let at_home = ObservedBinding { namespace: "team-a".into(), ..absent };
    let deleted = (SecretPlan::Withdraw, Some(Reason::ConnectionDeleted));
    assert_eq!(plan(&was_bound, &at_home), deleted, "nothing was shared with its own namespace");
    assert_eq!(plan(&binding(json!({})), &at_home), not_found);
    let mut another_id = was_bound;
    another_id.spec.connection = "team-a.chat".into();
    assert_eq!(plan(&another_id, &observed(Availability::Absent)), not_found, "nothing is known of that one");
}

#[test]
fn nothing_is_inherited_under_an_id_without_a_word() {
    let observed = observed(Availability::Available(Arc::new(connection(json!({})))));
    let mismatch = (SecretPlan::Withdraw, Some(Reason::ConnectionMismatch));
    for (uid, owner, account) in [("before", "alice", "1"), ("u", "bob", "1"), ("u", "alice", "2")] {
        let mut binding = binding(pinned(uid, owner, account));
        assert_eq!(plan(&binding, &observed), mismatch, "{uid} {owner} {account}");
        for (accept, helps) in [
            (json!({"uid": "u", "owner": "alice", "accountId": "1"}), true),
            (json!({"uid": "u", "owner": "alice"}), false),
            (json!({"uid": "u", "owner": "alice", "accountId": "2"}), false),
            (json!({"uid": "u", "owner": "bob", "accountId": "1"}), false),
            (json!({"uid": "before", "owner": "alice", "accountId": "1"}), false),
        ] {
            binding.spec.accept = serde_json::from_value(accept.clone()).unwrap();
            assert_eq!(plan(&binding, &observed) != mismatch, helps, "{accept}");
        }
    }
}

#[test]
fn a_mismatch_says_what_it_was_what_it_is_and_what_to_write() {
    let observed = observed(Availability::Available(Arc::new(connection(json!({})))));
    let detail = decide(&binding(pinned("before", "bob", "7")), &observed).obstacle.unwrap().1;
    assert_eq!(
        detail,
        "It was made with account 7 of bob; there is now account 1 of alice, in another connection. To accept that, set spec.accept to {\"uid\":\"u\",\"owner\":\"alice\",\"accountId\":\"1\"}"
    );
}

#[test]
fn what_cannot_be_read_is_neither_published_nor_withdrawn() {
    assert_eq!(
        plan(&binding(pinned("u", "alice", "1")), &observed(Availability::Unknown)),
        (SecretPlan::Nothing, None)
    );
}

#[test]
fn a_connection_that_is_disconnected_or_not_judged_yet_is_followed() {
    let with = |change: Value| observed(Availability::Available(Arc::new(connection(change))));
    let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "False", "reason": reason, "message": "", "lastTransitionTime": Timestamp::UNIX_EPOCH});
    let authorized = |reason: &str| json!({"status": {"conditions": [condition("Authorized", reason)]}});
    let rows = [
        (authorized("Disconnected"), SecretPlan::Withdraw),
        (authorized("GrantRevoked"), SecretPlan::Withdraw),
        (authorized("MissingScopes"), SecretPlan::Withhold),
        (json!({"status": {"observedGeneration": 1}}), SecretPlan::Nothing),
        (json!({"spec": {"owner": "bob"}}), SecretPlan::Withdraw),
    ];
    for (change, expected) in rows {
        assert_eq!(plan(&binding(json!({})), &with(change.clone())), (expected, None), "{change}");
    }
}

#[test]
fn the_name_and_the_settings_must_fit() {
    let available = || observed(Availability::Available(Arc::new(connection(json!({})))));
    let taken = ObservedBinding { takes_anothers_name: true, ..available() };
    assert_eq!(plan(&binding(json!({})), &taken), (SecretPlan::Withhold, Some(Reason::NameReserved)));
    let with = |config: Value| binding(json!({"spec": {"config": config}}));
    assert_eq!(plan(&with(json!({"assignee": "octocat"})), &available()), (SecretPlan::Write, None));
    let invalid = (SecretPlan::Withhold, Some(Reason::ConfigInvalid));
    for config in [json!({"assignee": 1}), json!({"channel": "x"}), json!({"assignee": "\"".repeat(9_000)})] {
        assert_eq!(plan(&with(config), &available()), invalid);
    }
    let unknown = ObservedBinding { target: None, ..available() };
    assert_eq!(plan(&with(json!({"assignee": "octocat"})), &unknown), (SecretPlan::Nothing, None));
}

#[test]
fn a_binding_overrides_its_connections_settings_one_by_one() {
    let defaults =
        json!({"spec": {"config": {"repository": "acme/app", "assignee": "octocat", "labels": ["a", "b"]}}});
    let observed = observed(Availability::Available(Arc::new(connection(defaults))));
    let merged = |config: Value| {
        Value::from(effective_config(&binding(json!({"spec": {"config": config}})), &observed))
    };
    assert_eq!(
        merged(json!({"labels": ["c"], "assignee": null})),
        json!({"repository": "acme/app", "labels": ["c"]})
    );
    assert_eq!(
        merged(json!({})),
        json!({"repository": "acme/app", "assignee": "octocat", "labels": ["a", "b"]})
    );
}

#[test]
fn an_untouched_secret_is_kept_until_token_or_settings_change() {
    let mut observed = observed(Availability::Available(Arc::new(connection(json!({})))));
    observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: "1".into() });
    observed.written = Some(PublishedVersion {
        name: "post".into(),
        uid: "s".into(),
        resource_version: Some("1".into()),
        grant: Some(version(5)),
        described: None,
    });
    let ready = json!({"type": "Ready", "status": "True", "reason": "Bound", "message": "", "lastTransitionTime": Timestamp::UNIX_EPOCH});
    let bound = json!({"spec": {"config": {"assignee": "a"}}, "status": {"observedGeneration": 2,
        "effectiveConfig": {"assignee": "a"}, "conditions": [ready]}});
    assert_eq!(plan(&binding(bound.clone()), &observed).0, SecretPlan::Keep);
    for change in [
        json!({"status": {"observedGeneration": 1}}),
        json!({"status": {"effectiveConfig": {"assignee": "b"}}}),
        json!({"status": {"conditions": []}}),
    ] {
        let mut object = bound.clone();
        fixtures::merge(&mut object, change.clone());
        assert_eq!(plan(&binding(object), &observed).0, SecretPlan::Write, "{change}");
    }
    observed.written.as_mut().unwrap().grant = Some(version(4));
    assert_eq!(plan(&binding(bound), &observed).0, SecretPlan::Write);
}
