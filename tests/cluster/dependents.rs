//! Deleting a connection that bindings use: the shipped policies, against people who try to bypass them.

use std::time::Duration;

use bowline_testbed::wait::wait_for;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{LOOKALIKE as ROBOT, Team, connection, random_name};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{assert_same, judge, judge_change, path_of};

const USED: &str = "2 bindings use this connection (jobs/digest, team-a/post) and would lose its token";
const NOT_CONFIRMED: &str = "who alone confirms its deletion while bindings use it";
const NO_REFERENCE: &str = "adds references to owners, with which it would be deleted";
const CONFIRM: &str = "bowline.dev/confirm-delete";

/// A connection of alice's with this change, that two bindings use, as the operator tells.
async fn used(team: &Team, change: &Value) -> (Value, String) {
    let stored = team.connection_of_alice(change).await;
    let path = path_of(&team.connections(), &stored);
    let told = json!({"status": {"dependents": {"count": 2, "names": ["jobs/digest", "team-a/post"]}}});
    let stored = team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &told)).await;
    (stored, path)
}

fn confirmed(uid: &Value) -> Value {
    json!({"metadata": {"annotations": {CONFIRM: uid}}})
}

fn every_deletion(path: &str, stored: &Value) -> Vec<Ask> {
    let version = stored["metadata"]["resourceVersion"].as_str().unwrap();
    let propagation = ["Foreground", "Background", "Orphan"];
    let ways = propagation.map(|how| Ask::delete(path).with(&format!("propagationPolicy={how}")));
    let mut ways = Vec::from(ways);
    ways.extend([Ask::delete(path), Ask::delete(path).dry(), Ask::delete_at(path, version)]);
    ways.push(Ask::delete(path).with("gracePeriodSeconds=0"));
    ways
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_that_bindings_use_is_deleted_by_nobody_unless_its_owner_confirms() {
    let team = Team::new().await;
    let all_at_once = "deletecollection";
    team.role("all", &["bowline.dev"], &["integrationconnections"], &[all_at_once], &["alice", "gitops"])
        .await;
    team.until_allowed("gitops", all_at_once, "bowline.dev", "integrationconnections").await;
    for given in [json!({}), json!({"spec": {"deletionProtection": true}})] {
        let (stored, path) = used(&team, &given).await;
        for who in ["alice", "gitops", ADMIN] {
            for ask in every_deletion(&path, &stored) {
                judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, Refused(USED));
            }
            for ask in [Ask::delete(&team.connections()), Ask::delete(&team.connections()).dry()] {
                judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, Refused(USED));
            }
        }
        assert_same(&stored, &team.person("alice").must(&Ask::get(&path)).await);
        let uid = &stored["metadata"]["uid"];
        let words = team.person("alice").ask(&Ask::delete(&path)).await;
        assert!(words.words().contains(&format!("{CONFIRM}={}", uid.as_str().unwrap())), "{}", words.words());
        team.person("alice").must(&Ask::merge(&path, &confirmed(uid))).await;
        // Whoever may delete it may do so now: the owner has agreed.
        let who = if given == json!({}) { "alice" } else { "gitops" };
        team.person(who).must(&Ask::delete(&path)).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deletion_is_confirmed_by_the_owner_alone_and_for_this_very_object() {
    let team = Team::new().await;
    let (stored, path) = used(&team, &json!({})).await;
    let uid = stored["metadata"]["uid"].clone();
    for who in ["mallory", "bob", "gitops", ADMIN, ROBOT] {
        judge_change(&team, who, &path, &confirmed(&uid), Refused(NOT_CONFIRMED)).await;
    }
    let for_mallory = merged(
        confirmed(&uid),
        &json!({"metadata": {"annotations": {"bowline.dev/acting-user": "mallory"}}}),
    );
    judge_change(&team, PORTAL, &path, &for_mallory, Refused("this connection belongs to 'alice'")).await;
    judge_change(&team, OPERATOR, &path, &confirmed(&uid), Refused("denied request")).await;
    // Together with what they may do.
    let relabelled = merged(confirmed(&uid), &json!({"spec": {"displayName": "x"}}));
    judge_change(&team, "gitops", &path, &relabelled, Refused(NOT_CONFIRMED)).await;

    let other = team.connection_of_alice(&json!({})).await["metadata"]["uid"].clone();
    let name = &stored["metadata"]["name"];
    for wrong in [&other, &json!(""), &json!("true"), &json!("*"), name] {
        team.person("alice").must(&Ask::merge(&path, &confirmed(wrong))).await;
        for who in ["alice", "gitops", ADMIN] {
            let answer = team.person(who).ask(&Ask::delete(&path).dry()).await;
            judge(&format!("{who}, confirmed with {wrong}"), &answer, Refused(USED));
        }
    }
    let for_alice =
        merged(confirmed(&uid), &json!({"metadata": {"annotations": {"bowline.dev/acting-user": "alice"}}}));
    team.person(PORTAL).must(&Ask::merge(&path, &for_alice)).await;
    // Whoever may patch may take it back.
    judge_change(&team, "bob", &path, &confirmed(&Value::Null), Accepted).await;
    judge("taken back", &team.person("alice").ask(&Ask::delete(&path)).await, Refused(USED));
}

/// The API server chooses the UID of a new object, whatever the request says.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_confirmation_counts_for_no_connection_made_later_under_the_name() {
    let team = Team::new().await;
    let (stored, path) = used(&team, &json!({})).await;
    let uid = stored["metadata"]["uid"].clone();
    team.person("alice").must(&Ask::merge(&path, &confirmed(&uid))).await;
    // A transfer would give it in the new owner's name.
    let transfer = json!({"spec": {"owner": "bob"}});
    let kept = Refused("only the connection's owner gives bowline.dev/confirm-delete");
    judge_change(&team, "gitops", &path, &transfer, kept).await;
    let clean = merged(confirmed(&Value::Null), &transfer);
    judge_change(&team, "gitops", &path, &clean, Accepted).await;
    team.person("bob").must(&Ask::merge(&path, &confirmed(&uid))).await;
    team.person("bob").must(&Ask::delete(&path)).await;

    let again =
        json!({"metadata": {"name": stored["metadata"]["name"], "uid": uid, "annotations": {CONFIRM: uid}}});
    let (again, path) = used(&team, &again).await;
    assert_ne!(again["metadata"]["uid"], uid);
    judge("made again", &team.person("alice").ask(&Ask::delete(&path)).await, Refused(USED));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_not_protected_not_used_or_disconnected_is_deleted() {
    let team = Team::new().await;
    let unprotected = json!({"spec": {"deletionProtection": false}});
    let disconnected = json!({"spec": {"disconnect": true}});
    for given in [&unprotected, &disconnected] {
        for who in ["alice", "gitops"] {
            let (_, path) = used(&team, given).await;
            team.person(who).must(&Ask::delete(&path)).await;
        }
        // Both are written by the owner and by pipelines, as the rest of the spec is.
        let (_, path) = used(&team, &json!({})).await;
        for who in ["mallory", "bob", PORTAL] {
            judge_change(&team, who, &path, given, Refused("may change its spec")).await;
        }
        for who in ["gitops", "alice"] {
            judge_change(&team, who, &path, given, Accepted).await;
            judge_change(&team, who, &path, &json!({"spec": null_of(given)}), Accepted).await;
        }
    }
    for none in [json!(null), json!({"count": 0, "names": []})] {
        let (_, path) = used(&team, &json!({})).await;
        let told = json!({"status": {"dependents": none}});
        team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &told)).await;
        team.person("alice").must(&Ask::delete(&path)).await;
    }
    // Nobody else says that it is not used.
    let (_, path) = used(&team, &json!({})).await;
    let none = json!({"status": {"dependents": {"count": 0}}});
    for who in ["alice", "mallory", "gitops", ADMIN] {
        let refused = Refused("status is written by the operator alone");
        judge_change(&team, who, &format!("{path}/status"), &none, refused).await;
        // Through the object itself a status is ignored.
        let _ = team.person(who).ask(&Ask::merge(&path, &none)).await;
        judge(who, &team.person("alice").ask(&Ask::delete(&path)).await, Refused(USED));
    }
    let wrong = Ask::merge(&path, &json!({"spec": {"deletionProtection": "false"}}));
    assert_eq!(team.person("alice").ask(&wrong).await.status, 422);
}

/// Each field of a spec, removed.
fn null_of(given: &Value) -> Value {
    given["spec"].as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect()
}

/// The garbage collector deletes what has lost its owners, and is exempt.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_has_the_garbage_collector_delete_somebody_elses_connection() {
    let team = Team::new().await;
    let maps = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let map = team.person(ADMIN).must(&Ask::post(&maps, &map)).await;
    let reference = |uid: &Value| {
        json!({"metadata": {"ownerReferences":
            [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]}})
    };
    let (stored, path) = used(&team, &json!({})).await;
    for uid in [&map["metadata"]["uid"], &json!("00000000-0000-4000-8000-000000000000")] {
        for who in ["mallory", "bob", PORTAL, ROBOT] {
            judge_change(&team, who, &path, &reference(uid), Refused(NO_REFERENCE)).await;
        }
    }
    assert_same(&stored, &team.person("alice").must(&Ask::get(&path)).await);
    for who in ["gitops", "alice"] {
        judge_change(&team, who, &path, &reference(&map["metadata"]["uid"]), Accepted).await;
    }
    let released = json!({"metadata": {"ownerReferences": null}});
    judge_change(&team, "bob", &path, &released, Accepted).await;
}

/// What the cluster does by itself still works.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_namespace_goes_with_connections_that_are_used_and_so_does_what_has_lost_its_owner() {
    let team = Team::new().await;
    let gone = async |path: &str| {
        let there = async || match team.person(ADMIN).ask(&Ask::get(path)).await.status {
            404 => Ok(()),
            status => Err(format!("{path}: {status}")),
        };
        wait_for("it is gone", Duration::from_mins(2), there).await.unwrap();
    };
    let maps = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let map = team.person(ADMIN).must(&Ask::post(&maps, &map)).await;
    let owned = json!({"metadata": {"ownerReferences":
        [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": map["metadata"]["uid"]}]}});
    let (_, owned) = used(&team, &owned).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{maps}/owner"))).await;
    gone(&owned).await;

    used(&team, &json!({})).await;
    let mine = connection(&random_name("c"), "bob");
    team.person("bob").must(&Ask::post(&team.connections(), &mine)).await;
    let namespace = format!("/api/v1/namespaces/{}", team.namespace);
    team.person(ADMIN).must(&Ask::delete(&namespace)).await;
    gone(&namespace).await;
}
