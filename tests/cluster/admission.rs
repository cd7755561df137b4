//! The shipped admission policies on connections, against people who try to bypass them.
//!
//! A row reads as a sentence: who does what to which connection of alice's, and what the API server says. Each change is
//! tested in every way the server supports; a refused one must have changed nothing.

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, merged};
use crate::fixture::{LOOKALIKE as ROBOT, Team, connection, random_name, secret};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{assert_same, judge, judge_change, judge_changes, judge_creation, path_of};

const NOT_YOU: &str = "put your own name there, or ask for the verb assign-owner";
/// Of several policies that refuse, any one is quoted.
const DENIED: &str = "denied request";
const STAYS: &str = "spec.owner is 'alice' and stays so";
const NOT_YOURS: &str = "this connection belongs to 'alice': only its owner";
const NO_SHARE: &str = "sharing this connection with a workspace needs the verb share";
const SEALED: &str = "an intake Secret is not changed";

// Rule 1: an owner is the caller.

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_is_made_in_ones_own_name() {
    let team = Team::new().await;
    let rows = [
        ("alice", "alice", Accepted),
        (
            "mallory",
            "alice",
            Refused("spec.owner is 'alice', but you are 'mallory': put your own name there"),
        ),
        ("bob", "alice", Refused(NOT_YOU)),
        ("mallory", "Mallory", Refused(NOT_YOU)),
        ("mallory", "mallory ", Refused(NOT_YOU)),
        ("gitops", "alice", Accepted),
        (ADMIN, "alice", Accepted),
    ];
    for (who, owner, verdict) in rows {
        judge_creation(&team, who, &team.connections(), &connection("x", owner), verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_service_account_owns_what_it_makes_or_what_a_pipeline_makes_for_it() {
    let team = Team::new().await;
    let rows = [
        (ROBOT, ROBOT, Accepted),
        ("gitops", ROBOT, Accepted),
        ("mallory", ROBOT, Refused(NOT_YOU)),
        (ROBOT, "system:serviceaccount:team-a:other", Refused(NOT_YOU)),
        (ROBOT, "alice", Refused(NOT_YOU)),
    ];
    for method in ["ClientCredentials", "JwtBearer"] {
        let minted = json!({"spec": {"method": method}});
        for (who, owner, verdict) in rows {
            let object = merged(connection("x", owner), &minted);
            judge_creation(&team, who, &team.connections(), &object, verdict).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn of_two_owners_in_one_object_the_one_that_counts_is_judged() {
    let team = Team::new().await;
    for (first, last, verdict) in [("mallory", "alice", Refused(NOT_YOU)), ("alice", "mallory", Accepted)] {
        let body = format!(
            r#"{{"apiVersion":"bowline.dev/v1alpha1","kind":"IntegrationConnection","metadata":{{"name":"{}"}},
                "spec":{{"provider":"sandbox","owner":"{first}","owner":"{last}"}}}}"#,
            random_name("twice")
        );
        let ask = Ask::post_text(&team.connections(), body).with("fieldValidation=Ignore");
        let answer = team.person("mallory").ask(&ask).await;
        judge(&format!("mallory names {first}, then {last}"), &answer, verdict);
        assert!(!answer.is_accepted() || answer.body["spec"]["owner"] == "mallory", "{}", answer.body);
    }
}

// Rule 2: an owner stays.

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_stays() {
    let to = |owner: &str| json!({"spec": {"owner": owner}});
    let taken_and_announced =
        json!({"spec": {"owner": "mallory"}, "metadata": {"annotations": {"bowline.dev/intake": "x/1"}}});
    judge_changes(
        &json!({}),
        &[
            ("mallory", to("mallory"), Refused(STAYS)),
            ("mallory", taken_and_announced, Refused(STAYS)),
            ("bob", to("mallory"), Refused(STAYS)),
            ("alice", to("bob"), Refused(STAYS)),
            (OPERATOR, to("bob"), Refused(DENIED)),
            ("gitops", to("bob"), Accepted),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn of_two_owners_in_one_patch_the_one_that_counts_is_judged() {
    let team = Team::new().await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    for (first, last, verdict) in [("alice", "mallory", Refused(STAYS)), ("mallory", "alice", Accepted)] {
        let body = format!(r#"{{"spec":{{"owner":"{first}","owner":"{last}"}}}}"#);
        let ask = Ask::merge_text(&path, body).with("fieldValidation=Ignore");
        let answer = team.person("mallory").ask(&ask).await;
        judge(&format!("mallory patches {first}, then {last}"), &answer, verdict);
    }
    assert_same(&stored, &team.person("alice").must(&Ask::get(&path)).await);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn values_of_the_wrong_type_are_no_way_around() {
    let team = Team::new().await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    let changes = [
        json!({"spec": {"owner": ["mallory"]}}),
        json!({"spec": {"owner": {"name": "mallory"}}}),
        json!({"spec": {"owner": null}}),
        json!({"spec": null}),
        json!({"spec": {"shared": "true", "workspace": "w"}}),
        json!({"spec": {"shared": 1, "workspace": "w"}}),
        json!({"metadata": {"annotations": {"bowline.dev/intake": 1}}}),
        json!({"metadata": {"finalizers": "bowline.dev/grant"}}),
    ];
    for change in changes {
        let answer = team.person("mallory").ask(&Ask::merge(&path, &change)).await;
        assert!((400..500).contains(&answer.status), "{change}: {}", answer.body);
        assert_same(&stored, &team.person("alice").must(&Ask::get(&path)).await);
    }
}

// Rule 3, as far as rules 1, 2 and 4 depend on it: the spec belongs to the owner.

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_spec_is_changed_by_its_owner_or_by_who_may_assign_owners() {
    let set = |field: &str, value: Value| json!({"spec": {field: value}});
    judge_changes(
        &json!({}),
        &[
            ("alice", set("displayName", json!("mine")), Accepted),
            ("gitops", set("displayName", json!("from Git")), Accepted),
            ("mallory", set("displayName", json!("hers")), Refused(NOT_YOURS)),
            ("mallory", set("credentials", json!({"secretName": "mallorys"})), Refused(NOT_YOURS)),
            ("mallory", set("method", json!("RefreshToken")), Refused(NOT_YOURS)),
            ("mallory", set("disconnect", json!(true)), Refused(NOT_YOURS)),
            ("mallory", set("secret", json!({"name": "elsewhere"})), Refused(NOT_YOURS)),
            // Nor has she said that it is her who sets these terms: either policy may be quoted.
            (
                "mallory",
                json!({"spec": {"workspace": "w", "shared": true}}),
                Refused("this connection belongs to 'alice'"),
            ),
            (OPERATOR, set("suspend", json!(true)), Refused(DENIED)),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_intake_is_announced_by_the_owner_and_other_marks_are_free() {
    let mark = |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
    judge_changes(
        &json!({"metadata": {"annotations": {"bowline.dev/intake": "hers/1"}}}),
        &[
            ("alice", mark("bowline.dev/intake", json!("next/2")), Accepted),
            ("gitops", mark("bowline.dev/intake", json!("next/2")), Accepted),
            ("mallory", mark("bowline.dev/intake", json!("mallorys/3")), Refused(NOT_YOURS)),
            ("bob", mark("bowline.dev/intake", json!("mallorys/3")), Refused(NOT_YOURS)),
            ("mallory", mark("bowline.dev/of-a-later-version", json!("x")), Refused(NOT_YOURS)),
            ("bob", mark("bowline.dev/intake", Value::Null), Accepted),
            (OPERATOR, mark("bowline.dev/intake", Value::Null), Accepted),
            ("mallory", mark("bowline.dev/refresh-requested-at", json!("now")), Accepted),
            ("bob", mark("argocd.argoproj.io/tracking-id", json!("app")), Accepted),
            (
                "bob",
                json!({"metadata": {"labels": {"team": "a"}, "finalizers": ["example.com/hold"]}}),
                Accepted,
            ),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_announced_intake_keeps_its_content() {
    let team = Team::new().await;
    for type_ in ["bowline.dev/intake", "bowline.dev/credential"] {
        let object = secret(&random_name("s"), type_, &json!({}));
        let stored = team.person("alice").must(&Ask::post(&team.secrets(), &object)).await;
        let path = path_of(&team.secrets(), &stored);
        let changes = [json!({"data": {"access_token": "bmV3"}}), json!({"data": {"refresh_token": "bmV3"}})];
        for change in changes {
            let verdict = if type_ == "bowline.dev/intake" { Refused(SEALED) } else { Accepted };
            judge_change(&team, "mallory", &path, &change, verdict).await;
        }
        let foreign = json!({"metadata": {"labels": {"team": "a"}}});
        judge_change(&team, "mallory", &path, &foreign, Accepted).await;
        team.person("alice").must(&Ask::delete(&path)).await;
    }
}

/// Without the label the operator would refuse what alice imported; with the label of another connection it would be
/// reported there.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_announced_intake_keeps_our_labels() {
    let team = Team::new().await;
    let labelled = json!({"bowline.dev/connection": "alices", "team": "a"});
    let object = secret(&random_name("s"), "bowline.dev/intake", &labelled);
    let stored = team.person("alice").must(&Ask::post(&team.secrets(), &object)).await;
    let path = path_of(&team.secrets(), &stored);
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let key = "bowline.dev/connection";
    for who in ["mallory", "bob", "alice", ADMIN, OPERATOR] {
        judge_change(&team, who, &path, &labels(json!({key: "mallorys"})), Refused(SEALED)).await;
        judge_change(&team, who, &path, &labels(json!({key: ""})), Refused(SEALED)).await;
        judge_change(&team, who, &path, &labels(json!({key: null})), Refused(SEALED)).await;
        judge_change(&team, who, &path, &labels(Value::Null), Refused(SEALED)).await;
    }
    // What the other policy leaves open: the user may set the label of a new intake.
    let moved = json!({"metadata": {"labels": {key: "mallorys"}}, "type": "bowline.dev/intake"});
    judge_change(&team, "mallory", &path, &moved, Refused(SEALED)).await;
    judge_change(&team, "mallory", &path, &labels(json!({"team": "b", "other": "c"})), Accepted).await;
    team.person("alice").must(&Ask::delete(&path)).await;

    let bare = secret(&random_name("s"), "bowline.dev/intake", &json!({}));
    let stored = team.person("alice").must(&Ask::post(&team.secrets(), &bare)).await;
    let path = path_of(&team.secrets(), &stored);
    judge_change(&team, "mallory", &path, &labels(json!({key: "mallorys"})), Refused(SEALED)).await;
    team.person("alice").must(&Ask::delete(&path)).await;
}

// Rule 4: sharing needs `share`.

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_is_made_shared_by_who_holds_share() {
    let team = Team::new().await;
    let shared = |owner: &str| {
        let mut connection = connection("x", owner);
        connection["spec"]["workspace"] = json!("w");
        connection["spec"]["shared"] = json!(true);
        connection
    };
    let rows = [
        ("alice", "alice", Accepted),
        ("bob", "bob", Refused(NO_SHARE)),
        ("gitops", "gitops", Refused(NO_SHARE)),
        ("gitops", "alice", Refused(NO_SHARE)),
    ];
    for (who, owner, verdict) in rows {
        let object = if who == owner { shared(owner) } else { merged(shared(owner), &set_by(who)) };
        judge_creation(&team, who, &team.connections(), &object, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_newly_shared_needs_share() {
    let team = Team::new().await;
    let private = json!({"spec": {"workspace": "w"}});
    let shared = json!({"spec": {"workspace": "w", "shared": true}});
    let share = json!({"spec": {"shared": true}});
    let mut bobs = connection(&random_name("bobs"), "bob");
    bobs["spec"]["workspace"] = json!("w");
    let bobs = team.person("bob").must(&Ask::post(&team.connections(), &bobs)).await;
    judge_change(&team, "bob", &path_of(&team.connections(), &bobs), &share, Refused(NO_SHARE)).await;
    let rows = [
        ("alice", &private, share.clone(), Accepted),
        ("gitops", &private, share, Refused(NO_SHARE)),
        ("gitops", &shared, json!({"spec": {"workspace": "elsewhere"}}), Refused(NO_SHARE)),
        ("gitops", &shared, json!({"spec": {"owner": "bob"}}), Refused(NO_SHARE)),
        ("gitops", &shared, json!({"spec": {"displayName": "still shared"}}), Accepted),
        ("gitops", &shared, json!({"spec": {"shared": false}}), Accepted),
        ("gitops", &private, json!({"spec": {"workspace": "elsewhere"}}), Accepted),
        ("alice", &shared, json!({"spec": {"workspace": "elsewhere"}}), Accepted),
    ];
    for (who, given, change, verdict) in rows {
        let stored = team.connection_of_alice(given).await;
        let change = if who == "alice" { change } else { merged(change, &set_by(who)) };
        judge_change(&team, who, &path_of(&team.connections(), &stored), &change, verdict).await;
    }
}

/// Who sets the terms of somebody else's connection says so (`terms.rs`).
fn set_by(who: &str) -> Value {
    json!({"metadata": {"annotations": {"bowline.dev/terms-by": who}}})
}
