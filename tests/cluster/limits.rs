//! The limits of a workspace at admission, and the quota of connections that the example shows.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bowline_testbed::wait::wait_for;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, merged};
use crate::fixture::{Team, connection, random_name, workspace};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{judge, judge_change, judge_creation, path_of};

const WORKSPACES: &str = "/apis/bowline.dev/v1alpha1/workspaces";
const OTHER_PROVIDER: &str =
    "takes connections of these providers: sandbox. Ask dana@example.com to change its spec.limits";
const NOT_SHARED: &str = "takes no shared connections. Ask dana@example.com to change its spec.limits";

/// A workspace with these limits that has the team's namespace, and is Ready if `is_ready`. Returns its name.
async fn limited(team: &Team, limits: &Value, is_ready: bool) -> String {
    let name = random_name("limited");
    let spec =
        json!({"spec": {"limits": limits, "namespaces": [team.namespace], "contact": "dana@example.com"}});
    team.person(ADMIN).must(&Ask::post(WORKSPACES, &merged(workspace(&name), &spec))).await;
    let status = if is_ready { "True" } else { "False" };
    let ready = json!({"type": "Ready", "status": status, "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"conditions": [ready]}});
    team.person(OPERATOR).must(&Ask::merge(&format!("{WORKSPACES}/{name}/status"), &status)).await;
    name
}

/// Waits until admission, which reads workspaces from a cache, knows the limits.
async fn until_known(team: &Team, object: &Value) {
    let ask = Ask::post(&team.connections(), object).dry();
    wait_for("the limits are known", Duration::from_mins(1), async || {
        (!team.person("alice").ask(&ask).await.is_accepted()).then_some(())
    })
    .await
    .unwrap();
}

fn of(provider: &str, more: &Value) -> Value {
    merged(merged(connection(&random_name("x"), "alice"), &json!({"spec": {"provider": provider}})), more)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspace_takes_connections_of_the_providers_that_it_lists() {
    let team = Team::new().await;
    let older = team.person("alice").must(&Ask::post(&team.connections(), &of("slack", &json!({})))).await;
    let name = limited(&team, &json!({"providers": ["sandbox"]}), true).await;
    let naming = json!({"spec": {"workspace": name}});
    until_known(&team, &of("slack", &json!({}))).await;
    for more in [json!({}), naming.clone(), json!({"spec": {"workspace": "another"}})] {
        judge_creation(&team, "alice", &team.connections(), &of("slack", &more), Refused(OTHER_PROVIDER))
            .await;
    }
    for who in ["gitops", ADMIN] {
        judge_creation(&team, who, &team.connections(), &of("slack", &json!({})), Refused(OTHER_PROVIDER))
            .await;
    }
    judge_creation(&team, "alice", &team.connections(), &of("sandbox", &naming), Accepted).await;
    // What is there may be changed, but not into the workspace.
    let path = path_of(&team.connections(), &older);
    let described = json!({"spec": {"description": "older than the limits"}});
    judge_change(&team, "alice", &path, &described, Accepted).await;
    judge_change(&team, "alice", &path, &naming, Refused(OTHER_PROVIDER)).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{WORKSPACES}/{name}"))).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspace_that_takes_no_provider_or_is_not_ready() {
    let team = Team::new().await;
    let unready = limited(&team, &json!({"providers": ["sandbox"]}), false).await;
    let naming = |name: &str| json!({"spec": {"workspace": name}});
    until_known(&team, &of("slack", &naming(&unready))).await;
    // Which workspace has the namespace only the operator knows then; the one that is named is known.
    judge_creation(&team, "alice", &team.connections(), &of("slack", &json!({})), Accepted).await;
    judge_creation(
        &team,
        "alice",
        &team.connections(),
        &of("slack", &naming(&unready)),
        Refused(OTHER_PROVIDER),
    )
    .await;
    let none = limited(&team, &json!({"providers": []}), true).await;
    until_known(&team, &of("sandbox", &json!({}))).await;
    let refused = Refused("takes connections of no provider");
    judge_creation(&team, "alice", &team.connections(), &of("sandbox", &json!({})), refused).await;
    for name in [unready, none] {
        team.person(ADMIN).must(&Ask::delete(&format!("{WORKSPACES}/{name}"))).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nothing_is_newly_shared_with_a_workspace_that_takes_no_shares() {
    let team = Team::new().await;
    let name = random_name("closed");
    let shared = json!({"spec": {"workspace": name, "shared": true}});
    let private = json!({"spec": {"workspace": name}});
    let create = async |more: &Value| {
        let stored = team.person("alice").must(&Ask::post(&team.connections(), &of("sandbox", more))).await;
        path_of(&team.connections(), &stored)
    };
    let before = create(&shared).await;
    let spec = json!({"spec": {"limits": {"sharing": false}, "contact": "dana@example.com"}});
    team.person(ADMIN).must(&Ask::post(WORKSPACES, &merged(workspace(&name), &spec))).await;
    until_known(&team, &of("sandbox", &shared)).await;
    judge_creation(&team, "alice", &team.connections(), &of("sandbox", &shared), Refused(NOT_SHARED)).await;
    judge_creation(&team, "alice", &team.connections(), &of("sandbox", &private), Accepted).await;
    let own = create(&private).await;
    judge_change(&team, "alice", &own, &json!({"spec": {"shared": true}}), Refused(NOT_SHARED)).await;
    let elsewhere = create(&json!({"spec": {"workspace": "another", "shared": true}})).await;
    judge_change(&team, "alice", &elsewhere, &json!({"spec": {"workspace": name}}), Refused(NOT_SHARED))
        .await;
    // The operator has withdrawn what was shared before; the rest of the spec is still the owner's.
    judge_change(&team, "alice", &before, &json!({"spec": {"description": "known"}}), Accepted).await;
    judge_change(&team, "alice", &before, &json!({"spec": {"shared": false}}), Accepted).await;
    judge_change(&team, "alice", &before, &json!({"spec": {"shared": true}}), Refused(NOT_SHARED)).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{WORKSPACES}/{name}"))).await;
}

/// The first `ResourceQuota` of the example.
fn quota_of_the_example() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workspace/all.yaml");
    let text = fs::read_to_string(path).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let mut objects = documents.map(|document| Value::deserialize(document).unwrap());
    objects.find(|object| object["kind"] == "ResourceQuota").unwrap()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_quota_of_the_example_counts_connections() {
    let team = Team::new().await;
    let mut quota = quota_of_the_example();
    quota["metadata"]["namespace"] = json!(team.namespace);
    let counted = "count/integrationconnections.bowline.dev";
    assert!(quota["spec"]["hard"][counted].is_string(), "{quota}");
    quota["spec"]["hard"] = json!({counted: "1"});
    let quotas = format!("/api/v1/namespaces/{}/resourcequotas", team.namespace);
    let stored = team.person(ADMIN).must(&Ask::post(&quotas, &quota)).await;
    // Admission reads the quota's status, which the quota controller writes: with and without one the result is the same.
    let status = json!({"status": {"hard": {counted: "1"}, "used": {counted: "0"}}});
    let path = format!("{quotas}/{}/status", stored["metadata"]["name"].as_str().unwrap());
    team.person(ADMIN).must(&Ask::merge(&path, &status)).await;
    let answer = wait_for("the quota is used up", Duration::from_mins(1), async || {
        let ask = Ask::post(&team.connections(), &of("sandbox", &json!({})));
        let answer = team.person("alice").ask(&ask).await;
        (!answer.is_accepted()).then_some(answer)
    })
    .await
    .unwrap();
    judge("alice makes one more", &answer, Refused("exceeded quota: connections"));
}
