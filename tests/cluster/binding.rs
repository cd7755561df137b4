//! Who may bind a connection: the shipped policies on bindings, against people who try to bypass them.

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{LOOKALIKE as ROBOT, Team, binding, connection, random_name, share};
use crate::judging::Verdict::{Accepted, Invalid, Refused};
use crate::judging::{assert_same, judge, judge_change, judge_creation, path_of};

const NO_USE: &str = "binding this connection needs the verb use on it";
const NO_STATUS: &str = "status is written by the operator alone";
const NO_OBJECT: &str = "the operator creates, replaces and deletes none of the objects that people write";

/// A binding of a connection that need not exist.
async fn stored(team: &Team, change: &Value) -> (Value, String) {
    let id = format!("{}.mail", team.namespace);
    let object = merged(binding(&random_name("b"), &id), change);
    let stored = team.person("alice").must(&Ask::post(&team.bindings(), &object)).await;
    let path = path_of(&team.bindings(), &stored);
    (stored, path)
}

/// The same answer whether the connection exists, is somebody else's, is shared, or is of another namespace.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_is_bound_by_who_may_use_it() {
    let team = Team::new().await;
    let alices = team.connection_of_alice(&json!({})).await;
    let name = alices["metadata"]["name"].as_str().unwrap();
    let shared = "team-z.shared";
    team.made_by_operator(&team.shares(), &share(shared)).await;
    let (own, absent) = (format!("{}.{name}", team.namespace), format!("{}.nonesuch", team.namespace));
    let ids = [own.as_str(), &absent, shared, "team-z.private", "bowline-system.bowline-keyring", "a.b"];
    for id in ids {
        for who in ["alice", "mallory", "gitops", ADMIN] {
            judge_creation(&team, who, &team.bindings(), &binding("x", id), Accepted).await;
        }
        for who in ["bob", PORTAL, ROBOT] {
            judge_creation(&team, who, &team.bindings(), &binding("x", id), Refused(NO_USE)).await;
        }
    }
    // The answers differ in the name of the object alone.
    let mut answers = Vec::new();
    for id in ids {
        let answer = team.person("bob").ask(&Ask::post(&team.bindings(), &binding("same", id))).await;
        answers.push(answer.words().to_owned());
    }
    assert!(answers.iter().all(|words| *words == answers[0]), "{answers:?}");
}

/// `use` may be given for one connection or share; what else somebody may do with it counts for nothing.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn use_is_given_by_name_and_by_nothing_else() {
    let team = Team::new().await;
    let here = |name: &str| format!("{}.{name}", team.namespace);
    let rules = json!([
        {"apiGroups": ["bowline.dev"], "resources": ["integrationconnections"], "resourceNames": ["mine"], "verbs": ["use"]},
        {"apiGroups": ["bowline.dev"], "resources": ["connectionshares"], "resourceNames": ["team-z.shared"], "verbs": ["use"]},
        {"apiGroups": ["bowline.dev"], "resources": ["connectionbindings"], "verbs": ["create", "get", "update", "patch"]},
    ]);
    let others = json!([
        {"apiGroups": ["bowline.dev"], "resources": ["integrationconnections"],
            "verbs": ["get", "list", "update", "patch", "delete", "connect", "share", "assign-owner"]},
        {"apiGroups": ["bowline.dev"], "resources": ["connectionbindings"], "verbs": ["create", "get", "update", "patch"]},
    ]);
    for (user, rules) in [("carol", rules), ("dave", others)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", team.namespace);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": user}, "rules": rules});
        team.person(ADMIN).must(&Ask::post(&path, &role)).await;
        team.bind(user, "Role", &[user]).await;
        team.until_allowed(user, "create", "bowline.dev", "connectionbindings").await;
    }
    let rows = [
        ("carol", here("mine"), Accepted),
        ("carol", here("other"), Refused(NO_USE)),
        ("carol", "team-z.shared".to_owned(), Accepted),
        ("carol", "team-z.mine".to_owned(), Refused(NO_USE)),
        ("carol", "shared.team-z".to_owned(), Refused(NO_USE)),
        ("dave", here("mine"), Refused(NO_USE)),
        ("dave", "team-z.shared".to_owned(), Refused(NO_USE)),
    ];
    for (who, id, verdict) in rows {
        judge_creation(&team, who, &team.bindings(), &binding("x", &id), verdict).await;
    }
    // A right on the share of an id gives none on a connection of this namespace, whatever its name.
    let (_, path) = stored(&team, &json!({})).await;
    for (id, verdict) in [(here("other"), Refused(NO_USE)), (here("mine"), Accepted)] {
        judge_change(&team, "carol", &path, &json!({"spec": {"connection": id}}), verdict).await;
    }
}

/// What is bound stays bound, as a pod stays whose author may create no more. Its author can take nothing else with it.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn whoever_loses_use_may_end_what_they_bound_and_change_nothing_of_it() {
    let team = Team::new().await;
    let uses =
        json!([{"apiGroups": ["bowline.dev"], "resources": ["integrationconnections"], "verbs": ["use"]}]);
    let writes = json!([{"apiGroups": ["bowline.dev"], "resources": ["connectionbindings"],
        "verbs": ["create", "get", "update", "patch", "delete"]}]);
    let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", team.namespace);
    for (name, rules) in [("erin-uses", uses), ("erin-writes", writes)] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name}, "rules": rules});
        team.person(ADMIN).must(&Ask::post(&roles, &role)).await;
        team.bind(name, "Role", &["erin"]).await;
    }
    team.until_allowed("erin", "use", "bowline.dev", "integrationconnections").await;
    team.until_allowed("erin", "delete", "bowline.dev", "connectionbindings").await;
    let id = format!("{}.mine", team.namespace);
    let bound = team.person("erin").must(&Ask::post(&team.bindings(), &binding("hers", &id))).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{roles}/erin-uses"))).await;
    team.until_refused("erin", "use", "bowline.dev", "integrationconnections").await;

    judge_creation(&team, "erin", &team.bindings(), &binding("another", &id), Refused(NO_USE)).await;
    let path = format!("{}/hers", team.bindings());
    for change in [
        json!({"spec": {"connection": format!("{}.other", team.namespace)}}),
        json!({"spec": {"config": {"channel": "#launch"}}}),
        json!({"spec": {"secret": {"name": "elsewhere"}}}),
    ] {
        judge_change(&team, "erin", &path, &change, Refused(NO_USE)).await;
    }
    let kept = team.person(ADMIN).must(&Ask::get(&path)).await;
    assert_eq!(kept["spec"], bound["spec"]);
    team.person("erin").must(&Ask::delete(&path)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn whoever_changes_a_binding_may_use_what_it_names() {
    let team = Team::new().await;
    let change = |spec: Value| json!({"spec": spec});
    let elsewhere = || change(json!({"connection": "team-z.shared"}));
    let rows = [
        ("alice", elsewhere(), Accepted),
        ("bob", elsewhere(), Refused(NO_USE)),
        ("bob", change(json!({"connection": format!("{}.other", team.namespace)})), Refused(NO_USE)),
        ("bob", change(json!({"config": {"channel": "#launch"}})), Refused(NO_USE)),
        ("bob", change(json!({"secret": {"format": "Env"}})), Refused(NO_USE)),
        ("bob", change(json!({"accept": {"uid": "1", "owner": "mallory"}})), Refused(NO_USE)),
        ("bob", json!({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "x"}}}), Accepted),
        (OPERATOR, elsewhere(), Refused("denied request")),
        (OPERATOR, json!({"metadata": {"labels": {"team": "a"}}}), Refused(NO_OBJECT)),
    ];
    for (who, change, verdict) in rows {
        let (_, path) = stored(&team, &json!({})).await;
        judge_change(&team, who, &path, &change, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn of_two_ids_in_one_object_the_one_that_counts_is_judged() {
    let team = Team::new().await;
    team.role("some", &["bowline.dev"], &["connectionshares"], &["use"], &["erin"]).await;
    team.role("binds", &["bowline.dev"], &["connectionbindings"], &["create", "patch"], &["erin"]).await;
    team.until_allowed("erin", "use", "bowline.dev", "connectionshares").await;
    team.until_allowed("erin", "create", "bowline.dev", "connectionbindings").await;
    let (mine, shared) = (format!("{}.mail", team.namespace), "team-z.shared".to_owned());
    for (first, last, verdict) in [(&shared, &mine, Refused(NO_USE)), (&mine, &shared, Accepted)] {
        let spec = format!(r#"{{"connection":"{first}","connection":"{last}"}}"#);
        let body = format!(
            r#"{{"apiVersion":"bowline.dev/v1alpha1","kind":"ConnectionBinding","metadata":{{"name":"{}"}},"spec":{spec}}}"#,
            random_name("twice")
        );
        let ask = Ask::post_text(&team.bindings(), body).with("fieldValidation=Ignore");
        judge(&format!("erin names {first}, then {last}"), &team.person("erin").ask(&ask).await, verdict);
        let (before, path) = stored(&team, &json!({"spec": {"config": {"a": "b"}}})).await;
        let ask =
            Ask::merge_text(&path, format!(r#"{{"spec":{spec}}}"#)).with("fieldValidation=Ignore").dry();
        // Back to what it was is no change of the spec.
        let verdict = if last == &mine { Accepted } else { verdict };
        judge(&format!("erin patches {first}, then {last}"), &team.person("erin").ask(&ask).await, verdict);
        assert_same(&before, &team.person(ADMIN).must(&Ask::get(&path)).await);
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn status_and_finalizers_of_a_binding_are_the_operators() {
    let team = Team::new().await;
    let forged =
        json!({"status": {"connection": "team-z.shared", "pinned": {"uid": "1", "owner": "mallory"}}});
    let (binding, path) = stored(&team, &forged).await;
    assert_eq!(binding["status"], Value::Null, "a status does not come with a new object");
    for who in ["alice", "mallory", "gitops", "bob", ADMIN] {
        judge_change(&team, who, &format!("{path}/status"), &forged, Refused(NO_STATUS)).await;
    }
    judge_change(&team, OPERATOR, &format!("{path}/status"), &forged, Accepted).await;
    let held = json!({"metadata": {"finalizers": ["bowline.dev/grant"]}});
    judge_change(&team, "alice", &path, &held, Refused("finalizers under bowline.dev/")).await;
}

/// RBAC lets the operator do neither here; it is the policy that refuses.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn with_the_operators_token_nobody_binds() {
    let team = Team::new().await;
    let id = format!("{}.mail", team.namespace);
    team.role(
        "deputy",
        &["bowline.dev"],
        &["integrationconnections", "connectionshares"],
        &["use"],
        &[OPERATOR],
    )
    .await;
    team.until_allowed(OPERATOR, "use", "bowline.dev", "connectionshares").await;
    judge_creation(&team, OPERATOR, &team.bindings(), &binding("x", &id), Refused(NO_OBJECT)).await;
    let (_, path) = stored(&team, &json!({})).await;
    let elsewhere = json!({"spec": {"connection": "team-z.shared"}});
    judge_change(&team, OPERATOR, &path, &elsewhere, Refused("denied request")).await;
    judge("deletes", &team.person(OPERATOR).ask(&Ask::delete(&path)).await, Refused(NO_OBJECT));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nothing_is_bound_in_a_reserved_namespace() {
    let team = Team::new().await;
    for namespace in ["bowline-system", "bowline-attempts", "kube-system"] {
        let path = format!("/apis/bowline.dev/v1alpha1/namespaces/{namespace}/connectionbindings");
        let ask = Ask::post(&path, &binding("x", &format!("{namespace}.mail"))).dry();
        judge(namespace, &team.person(ADMIN).ask(&ask).await, Refused("this namespace is reserved"));
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn settings_are_shallow_and_small() {
    let team = Team::new().await;
    let config = |config: Value| json!({"spec": {"config": config}});
    let list = |count: usize| vec![json!("a"); count];
    let good = [
        json!({"channel": "#launch", "number": 1.5, "flag": true, "nothing": null}),
        json!({"labels": ["a", 1, false, null], "map": {"a": "b", "c": 1}, "empty": [], "none": {}}),
        json!({"a": "x".repeat(16_383)}),
        json!({"a": list(256)}),
    ];
    let deep = "two levels deep";
    let bad = [
        (json!({"a": [["b"]]}), deep),
        (json!({"a": [{"b": 1}]}), deep),
        (json!({"a": {"b": {}}}), deep),
        (json!({"a": {"b": []}}), deep),
        (json!({"a": list(257)}), "at most 256 entries"),
        (json!({"a": "x".repeat(16_384)}), "may have 16,384 characters"),
        (json!({"a": ["x".repeat(9_000), "x".repeat(9_000)]}), "may have 16,384 characters"),
        (json!({"a": {"b": "x".repeat(9_000), "c": "x".repeat(9_000)}}), "may have 16,384 characters"),
        (json!({"a": {"x".repeat(16_384): 1}}), "may have 16,384 characters"),
    ];
    let id = format!("{}.mail", team.namespace);
    let ask = |config: Value| Ask::post(&team.bindings(), &merged(binding("x", &id), &config)).dry();
    // The same bound holds for a connection.
    let deep_in_connection = merged(connection("x", "alice"), &config(json!({"a": [["b"]]})));
    let answer = team.person("alice").ask(&Ask::post(&team.connections(), &deep_in_connection).dry()).await;
    assert!(answer.status == 422 && answer.words().contains(deep), "{}", answer.words());
    for settings in good {
        let answer = team.person("alice").ask(&ask(config(settings.clone()))).await;
        assert!(answer.is_accepted(), "{settings}: {}", answer.words());
    }
    for (settings, words) in bad {
        let answer = team.person("alice").ask(&ask(config(settings.clone()))).await;
        assert_eq!(answer.status, 422, "{}", answer.words());
        assert!(answer.words().contains(words), "{words}: {}", answer.words());
    }
}

/// What examples/workflow gives a workload: it may report what it did with the token, and nothing else.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workload_reports_its_deliveries_and_changes_no_spec() {
    let team = Team::new().await;
    let (object, path) = stored(&team, &json!({"metadata": {"name": "post"}})).await;
    let (_, another) = stored(&team, &json!({})).await;
    let workload = format!("system:serviceaccount:{}:post", team.namespace);
    let rules = json!([{"apiGroups": ["bowline.dev"], "resources": ["connectionbindings"],
        "resourceNames": [object["metadata"]["name"]], "verbs": ["patch"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "reports"}, "rules": rules});
    let place = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", team.namespace);
    team.person(ADMIN).must(&Ask::post(&place, &role)).await;
    team.bind("reports", "Role", &[&workload]).await;
    let mark = |text: &str| json!({"metadata": {"annotations": {"bowline.dev/delivery": text}}});
    let well = mark(r#"{"code":200,"item":"post-1","at":"2026-01-01T09:00:00Z"}"#);
    let person = team.person(&workload);
    loop {
        let answer = person.ask(&Ask::merge(&path, &well)).await;
        if answer.is_accepted() {
            break;
        }
        assert_eq!(answer.status, 403, "{}", answer.words());
    }
    let owned = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}]}});
    let not_allowed = "is forbidden: User";
    for (sentence, ask, verdict) in [
        ("again", Ask::merge(&path, &well), Accepted),
        ("what it is not to write", Ask::merge(&path, &mark("rm -rf ~")), Accepted),
        ("512 bytes", Ask::merge(&path, &mark(&"x".repeat(512))), Accepted),
        ("more", Ask::merge(&path, &mark(&"x".repeat(513))), Invalid("at most 512 bytes")),
        ("more, in few letters", Ask::merge(&path, &mark(&"ä".repeat(257))), Invalid("at most 512 bytes")),
        ("settings", Ask::merge(&path, &json!({"spec": {"config": {"channel": "#x"}}})), Refused(NO_USE)),
        (
            "another connection",
            Ask::merge(&path, &json!({"spec": {"connection": "team-z.shared"}})),
            Refused(NO_USE),
        ),
        ("another Secret", Ask::merge(&path, &json!({"spec": {"secret": {"name": "x"}}})), Refused(NO_USE)),
        (
            "by JSON patch",
            Ask::json_patch(&path, &[json!({"op": "add", "path": "/spec/config", "value": {"a": "b"}})]),
            Refused(NO_USE),
        ),
        (
            "a mark and settings",
            Ask::merge(&path, &merged(well.clone(), &json!({"spec": {"config": {"a": "b"}}}))),
            Refused(NO_USE),
        ),
        ("an owner that takes it along", Ask::merge(&path, &owned), Refused(NO_USE)),
        (
            "status",
            Ask::merge(&format!("{path}/status"), &json!({"status": {"lastUsedAt": null}})),
            Refused(not_allowed),
        ),
        ("another binding", Ask::merge(&another, &well), Refused(not_allowed)),
        ("a replacement", Ask::replace(&path, &object), Refused(not_allowed)),
        ("a look", Ask::get(&path), Refused(not_allowed)),
        ("a deletion", Ask::delete(&path), Refused(not_allowed)),
    ] {
        judge(sentence, &person.ask(&ask).await, verdict);
    }
    let after = team.person("alice").must(&Ask::get(&path)).await;
    assert_eq!(after["spec"], object["spec"]);
}
