//! Who sets the terms of a connection says so, and nobody but its owner approves them.
//!
//! The pipeline of these tests may assign owners and share.

use std::time::Duration;

use bowline_testbed::deploy::STAMPED;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{Team, connection, random_name};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{Verdict, judge, judge_change, judge_creation, path_of};

const BY: &str = "bowline.dev/terms-by";
const SAY_SO: &str = "set the annotation bowline.dev/terms-by to 'gitops' in the same change";
const FORGED: &str = "you may set it to 'gitops', and neither remove it nor name somebody else";
const NOT_AGREED: &str = "'gitops' set terms that you have not agreed to";
const UNSEEN: &str = "the operator has not seen the last change of this connection yet";
const APPROVES: &str = "who alone approves where it is shared";
const DENIED: &str = "denied request";

async fn team() -> Team {
    let team = Team::new().await;
    team.role("sharer", &["bowline.dev"], &["integrationconnections"], &["share"], &["gitops"]).await;
    team.until_allowed("gitops", "share", "bowline.dev", "integrationconnections").await;
    team
}

/// A team in whose namespace the shipped component is in force; `None` on a server that does not know its kind.
async fn stamped_team() -> Option<Team> {
    let team = team().await;
    let admin = team.person(ADMIN);
    let policy = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/bowline-terms-stamp";
    if !admin.ask(&Ask::get(policy)).await.is_accepted() {
        return None;
    }
    let label = json!({"metadata": {"labels": {STAMPED: "true"}}});
    admin.must(&Ask::merge(&format!("/api/v1/namespaces/{}", team.namespace), &label)).await;
    let probe = merged(connection("probe", "alice"), &json!({"spec": {"workspace": "w"}}));
    let probe = Ask::post(&team.connections(), &probe).dry();
    let waiting = async { while !team.person("gitops").ask(&probe).await.is_accepted() {} };
    tokio::time::timeout(Duration::from_mins(2), waiting).await.expect("it is stamped here");
    Some(team)
}

fn by(who: &str) -> Value {
    json!({"metadata": {"annotations": {BY: who}}})
}

fn terms(spec: &Value) -> Value {
    json!({"spec": spec})
}

/// A connection of alice's as gitops prepares it, with what the operator says of it.
async fn prepared(team: &Team, spec: &Value, status: &Value) -> String {
    let object = merged(connection(&random_name("c"), "alice"), &merged(terms(spec), &by("gitops")));
    let stored = team.person("gitops").must(&Ask::post(&team.connections(), &object)).await;
    let path = path_of(&team.connections(), &stored);
    say(team, &path, status).await;
    path
}

async fn say(team: &Team, path: &str, status: &Value) {
    if !status.is_null() {
        let status = json!({"status": status});
        team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &status)).await;
    }
}

/// What the operator says once it has seen a generation.
fn seen(generation: i64, waits: bool) -> Value {
    let proposed = if waits { json!({"shared": true, "workspace": "w"}) } else { Value::Null };
    json!({"connectedAt": "2026-01-01T00:00:00Z",
        "terms": {"agreed": {"shared": false}, "proposed": proposed, "observedGeneration": generation}})
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_makes_a_connection_for_somebody_else_says_who_set_its_terms() {
    let team = team().await;
    let shared = json!({"workspace": "w", "shared": true});
    let with_scopes = merged(shared.clone(), &json!({"scopes": ["read"]}));
    for spec in &[shared, with_scopes] {
        let rows = [
            ("gitops", json!({}), Refused(SAY_SO)),
            ("gitops", by("alice"), Refused(SAY_SO)),
            ("gitops", by("mallory"), Refused(SAY_SO)),
            ("gitops", by(""), Refused(SAY_SO)),
            ("gitops", by("GitOps"), Refused(SAY_SO)),
            ("gitops", by("gitops "), Refused(SAY_SO)),
            (
                "gitops",
                merged(
                    by("alice"),
                    &json!({"metadata": {"annotations": {"bowline.dev/acting-user": "alice"}}}),
                ),
                Refused(DENIED),
            ),
            ("gitops", by("gitops"), Accepted),
            ("alice", json!({}), Accepted),
            ("alice", by("alice"), Accepted),
            ("alice", by("gitops"), Refused("leave it as it is, remove it, or set it to your own name")),
        ];
        for (who, says, verdict) in rows {
            let object = merged(connection("x", "alice"), &merged(terms(spec), &says));
            judge_creation(&team, who, &team.connections(), &object, verdict).await;
        }
    }
    // Whoever restores a backup is somebody else, too, whatever rights they have: kubectl bowline backup writes their name.
    let restored = json!({"metadata": {"finalizers": ["bowline.dev/grant"]}});
    for (says, verdict) in [(json!({}), Refused("bowline.dev/terms-by to 'admin'")), (by(ADMIN), Accepted)] {
        let object = merged(connection("x", "alice"), &terms(&json!({"workspace": "w", "shared": true})));
        let object = merged(object, &merged(restored.clone(), &says));
        judge_creation(&team, ADMIN, &team.connections(), &object, verdict).await;
    }
    // What gives nobody anything before its owner has consented needs no word.
    for spec in
        [json!({}), json!({"workspace": "w"}), json!({"shared": false, "workspace": "w", "scopes": ["read"]})]
    {
        let private = merged(connection("x", "alice"), &terms(&spec));
        judge_creation(&team, "gitops", &team.connections(), &private, Accepted).await;
        let forged = merged(private, &by("mallory"));
        judge_creation(
            &team,
            "gitops",
            &team.connections(),
            &forged,
            Refused("neither remove it nor name somebody else"),
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_changes_the_terms_of_somebody_else_says_so_in_the_same_change() {
    let team = team().await;
    let given = json!({"workspace": "w", "scopes": ["read", "write"]});
    for change in [
        json!({"shared": true}),
        json!({"workspace": "elsewhere"}),
        json!({"workspace": null}),
        json!({"scopes": ["read", "write", "admin"]}),
    ] {
        let stored = team.connection_of_alice(&terms(&given)).await;
        let path = path_of(&team.connections(), &stored);
        say(&team, &path, &seen(1, false)).await;
        let rows = [
            (json!({}), Refused(SAY_SO)),
            (by("alice"), Refused(SAY_SO)),
            (by("mallory"), Refused(SAY_SO)),
            (by("gitops"), Accepted),
        ];
        for (says, verdict) in rows {
            judge_change(&team, "gitops", &path, &merged(terms(&change), &says), verdict).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_removes_their_name_or_writes_another() {
    let team = team().await;
    let path = prepared(&team, &json!({"workspace": "w", "shared": true}), &Value::Null).await;
    let nothing = json!({"metadata": {"annotations": {BY: null}}});
    let rows = [
        ("gitops", nothing.clone(), Refused(FORGED)),
        ("gitops", json!({"metadata": {"annotations": null}}), Refused(FORGED)),
        ("gitops", by(""), Refused(FORGED)),
        ("gitops", by("alice"), Refused(FORGED)),
        ("mallory", nothing.clone(), Refused("neither remove it nor name somebody else")),
        ("mallory", by("mallory"), Refused(DENIED)),
        ("bob", nothing.clone(), Refused("neither remove it nor name somebody else")),
        (ADMIN, nothing.clone(), Refused("neither remove it nor name somebody else")),
        // Nobody has agreed to what gitops has set: a change of the owner's must not make it their own.
        ("alice", nothing.clone(), Refused(NOT_AGREED)),
        ("alice", merged(by("alice"), &terms(&json!({"shared": false}))), Refused(NOT_AGREED)),
        ("alice", by("bob"), Refused(DENIED)),
        ("alice", terms(&json!({"shared": false})), Accepted),
        ("alice", terms(&json!({"scopes": ["read"]})), Accepted),
    ];
    for (who, change, verdict) in rows {
        judge_change(&team, who, &path, &change, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_takes_over_what_is_agreed_to_and_nothing_else() {
    let team = team().await;
    let spec = json!({"workspace": "w", "shared": true});
    let rows: [(Value, Verdict); 4] = [
        (seen(1, false), Accepted),
        (seen(1, true), Refused(NOT_AGREED)),
        (seen(0, false), Refused(NOT_AGREED)),
        (json!({"connectedAt": "2026-01-01T00:00:00Z"}), Refused(NOT_AGREED)),
    ];
    for (status, verdict) in rows {
        let path = prepared(&team, &spec, &status).await;
        let mine = merged(by("alice"), &terms(&json!({"workspace": "elsewhere"})));
        judge_change(&team, "alice", &path, &mine, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_widens_again_what_the_operator_has_not_seen_taken_back() {
    let team = team().await;
    let spec = json!({"workspace": "w", "shared": true, "scopes": ["read", "write"]});
    let path = prepared(&team, &spec, &seen(1, false)).await;
    let back = terms(&json!({"shared": false, "scopes": ["read"]}));
    team.person("alice").must(&Ask::merge(&path, &back)).await;
    for change in
        [json!({"shared": true}), json!({"workspace": "elsewhere"}), json!({"scopes": ["read", "write"]})]
    {
        let again = merged(terms(&change), &by("gitops"));
        judge_change(&team, "gitops", &path, &again, Refused(UNSEEN)).await;
    }
    // An apply removes from a list only what its own manager has set.
    let default = merged(terms(&json!({"scopes": null})), &by("gitops"));
    judge("default scopes", &team.person("gitops").ask(&Ask::merge(&path, &default)).await, Refused(UNSEEN));
    let narrower = merged(terms(&json!({"workspace": null})), &by("gitops"));
    judge_change(&team, "gitops", &path, &narrower, Accepted).await;
    say(&team, &path, &seen(3, false)).await;
    let again = merged(terms(&json!({"workspace": "w", "shared": true})), &by("gitops"));
    judge_change(&team, "gitops", &path, &again, Accepted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_transfers_a_connection_has_set_its_terms() {
    let team = team().await;
    let stored = team.connection_of_alice(&terms(&json!({"workspace": "w", "shared": true}))).await;
    let path = path_of(&team.connections(), &stored);
    let to_bob = json!({"spec": {"owner": "bob"}});
    judge_change(&team, "gitops", &path, &to_bob, Refused(SAY_SO)).await;
    for name in ["alice", "bob"] {
        judge_change(&team, "gitops", &path, &merged(to_bob.clone(), &by(name)), Refused(SAY_SO)).await;
    }
    let approved = json!({"metadata": {"annotations": {"bowline.dev/approve-terms": "0"}}});
    team.person("alice").must(&Ask::merge(&path, &approved)).await;
    let moved = merged(to_bob, &by("gitops"));
    judge_change(
        &team,
        "gitops",
        &path,
        &moved,
        Refused("gives bowline.dev/approve-terms: take that annotation off"),
    )
    .await;
    let dropped = json!({"spec": {"owner": "bob"}, "metadata": {"annotations": {"bowline.dev/approve-terms": null, BY: "gitops"}}});
    judge("the approval goes", &team.person("gitops").ask(&Ask::merge(&path, &dropped)).await, Accepted);
    // Bob's own edit does not make hers his.
    let mine = json!({"metadata": {"annotations": {BY: null}}});
    let answer = team.person("bob").ask(&Ask::merge(&path, &mine)).await;
    judge("bob takes over what he never saw", &answer, Refused(NOT_AGREED));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_owner_alone_approves() {
    let team = team().await;
    let path = prepared(&team, &json!({"workspace": "w", "shared": true}), &seen(1, true)).await;
    let approve = json!({"metadata": {"annotations": {"bowline.dev/approve-terms": "d"}}});
    let acting = |user: &str| {
        merged(approve.clone(), &json!({"metadata": {"annotations": {"bowline.dev/acting-user": user}}}))
    };
    let rows = [
        ("gitops", approve.clone(), Refused(APPROVES)),
        ("mallory", approve.clone(), Refused(APPROVES)),
        ("bob", approve.clone(), Refused(APPROVES)),
        (ADMIN, approve.clone(), Refused(APPROVES)),
        (OPERATOR, approve.clone(), Refused(DENIED)),
        (PORTAL, approve.clone(), Refused(APPROVES)),
        (PORTAL, acting("mallory"), Refused(APPROVES)),
        ("gitops", acting("alice"), Refused(DENIED)),
        ("mallory", acting("alice"), Refused(DENIED)),
        (PORTAL, acting("alice"), Accepted),
        ("alice", approve.clone(), Accepted),
    ];
    for (who, change, verdict) in rows {
        judge_change(&team, who, &path, &change, verdict).await;
    }
    let object = merged(connection("x", "alice"), &approve);
    judge_creation(
        &team,
        "gitops",
        &team.connections(),
        &object,
        Refused("only the connection's owner approves"),
    )
    .await;
}

/// On a server that has no such policies there is nothing to see.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn where_it_is_stamped_nobody_has_to_write_a_name() {
    let Some(team) = stamped_team().await else { return };
    let object = merged(connection(&random_name("c"), "alice"), &terms(&json!({"workspace": "w"})));
    let answer = team.person("gitops").ask(&Ask::post(&team.connections(), &object)).await;
    let name = |object: &Value| object["metadata"]["annotations"][BY].clone();
    assert_eq!(name(&answer.body), "gitops");
    let path = path_of(&team.connections(), &answer.body);
    let ask = async |who: &str, change: Value| team.person(who).ask(&Ask::merge(&path, &change)).await;
    judge(
        "forged",
        &ask("gitops", merged(by("alice"), &terms(&json!({"shared": true})))).await,
        Refused(SAY_SO),
    );
    let kept = ask("gitops", json!({"metadata": {"annotations": {BY: null}}})).await;
    assert_eq!(name(&kept.body), "gitops", "{}", kept.body);
    let hers = ask("alice", terms(&json!({"scopes": ["read"]}))).await;
    assert_eq!(name(&hers.body), "gitops", "nobody has agreed to it yet: {}", hers.body);
    say(&team, &path, &seen(2, false)).await;
    let hers = ask("alice", terms(&json!({"scopes": ["read", "write"]}))).await;
    assert_eq!(name(&hers.body), "alice", "{}", hers.body);
    say(&team, &path, &seen(3, false)).await;
    let theirs = ask("gitops", terms(&json!({"shared": true}))).await;
    assert_eq!(name(&theirs.body), "gitops", "{}", theirs.body);
    let own = team.connection_of_alice(&terms(&json!({"workspace": "w"}))).await;
    assert!(own["metadata"]["annotations"].get(BY).is_none(), "{own}");
}
