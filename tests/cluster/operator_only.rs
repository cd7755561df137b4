//! What only the operator may write: status, finalizers, shares, its labels on Secrets, records.

use std::time::Duration;

use bowline_api::ConnectionShare;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::runtime::wait::{Condition, await_condition};
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, merged};
use crate::fixture::{Team, connection, provider, random_name, secret, share, workspace};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{assert_same, judge, judge_change, judge_creation, path_of};

const NO_FINALIZER: &str = "finalizers under bowline.dev/ are added and removed by the operator alone";
const NO_STATUS: &str = "status is written by the operator alone";
const NO_SHARES: &str = "shares are written by the operator alone";
const NO_LABEL: &str =
    "labels by which the operator knows its Secrets are set and removed by it alone: leave out";
const NO_RECORD: &str =
    "bowline.dev/ending and bowline.dev/sharer are written and deleted by the operator alone";
const FINALIZER: &str = bowline_api::names::FINALIZER;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_status_is_written_by_the_operator_alone() {
    let team = Team::new().await;
    let connection = team.connection_of_alice(&json!({})).await;
    let share = team.made_by_operator(&team.shares(), &share(&random_name("s"))).await;
    let ready = json!({"status": {"phase": "Active"}});
    let published = json!({"status": {"phase": "Published"}});
    let paths =
        [(path_of(&team.connections(), &connection), ready), (path_of(&team.shares(), &share), published)];
    for (path, change) in paths {
        let path = format!("{path}/status");
        for who in ["alice", "mallory", "gitops", ADMIN] {
            judge_change(&team, who, &path, &change, Refused(NO_STATUS)).await;
        }
        judge_change(&team, OPERATOR, &path, &change, Accepted).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_cluster_wide_kinds_keep_status_and_finalizers_for_the_operator_too() {
    let team = Team::new().await;
    let ready = json!({"status": {"observedGeneration": 7}});
    let held = json!({"metadata": {"finalizers": [FINALIZER]}});
    for (plural, object) in [("workspaces", workspace("x")), ("integrationproviders", provider("x"))] {
        let collection = format!("/apis/bowline.dev/v1alpha1/{plural}");
        let object = merged(object, &json!({"metadata": {"name": random_name("x")}}));
        let stored = team.person(ADMIN).must(&Ask::post(&collection, &object)).await;
        let path = path_of(&collection, &stored);
        judge_change(&team, ADMIN, &format!("{path}/status"), &ready, Refused(NO_STATUS)).await;
        judge_change(&team, ADMIN, &path, &held, Refused(NO_FINALIZER)).await;
        team.person(ADMIN).must(&Ask::delete(&path)).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_status_comes_neither_with_a_new_object_nor_by_the_main_door() {
    let team = Team::new().await;
    let forged = json!({"status": {"phase": "Active"}});
    let stored = team.connection_of_alice(&forged).await;
    assert_eq!(stored["status"], Value::Null);
    let path = path_of(&team.connections(), &stored);
    let answer = team.person("alice").must(&Ask::merge(&path, &forged)).await;
    assert_eq!(answer["status"], Value::Null);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_door_of_the_status_leads_to_nothing_else() {
    let team = Team::new().await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    let change = json!({"spec": {"owner": "mallory", "shared": true, "workspace": "w"}, "status": {"phase": "Active"},
        "metadata": {"annotations": {"bowline.dev/intake": "x/1"}, "finalizers": ["bowline.dev/grant"]}});
    let answer = team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &change)).await;
    assert_eq!(answer["spec"], stored["spec"]);
    assert_eq!(answer["metadata"]["annotations"], Value::Null);
    assert_eq!(answer["metadata"]["finalizers"], Value::Null);
    let scale = team.person(ADMIN).ask(&Ask::get(&format!("{path}/scale"))).await;
    assert_eq!(scale.status, 404, "connections have no scale");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn our_finalizers_are_added_and_removed_by_the_operator_alone() {
    let team = Team::new().await;
    let held = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    let mut held_from_birth = connection("x", "alice");
    held_from_birth["metadata"]["finalizers"] = json!([FINALIZER]);
    judge_creation(&team, "alice", &team.connections(), &held_from_birth, Accepted).await;
    held_from_birth["metadata"]["finalizers"] = json!(["bowline.dev/other"]);
    judge_creation(&team, "alice", &team.connections(), &held_from_birth, Refused(NO_FINALIZER)).await;
    let mut held_provider = provider(&random_name("p"));
    held_provider["metadata"]["finalizers"] = json!([FINALIZER]);
    let providers = "/apis/bowline.dev/v1alpha1/integrationproviders";
    judge_creation(&team, ADMIN, providers, &held_provider, Refused(NO_FINALIZER)).await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    for who in ["alice", "mallory", "gitops", ADMIN] {
        judge_change(&team, who, &path, &held(&[FINALIZER]), Refused(NO_FINALIZER)).await;
    }
    judge_change(&team, OPERATOR, &path, &held(&[FINALIZER]), Accepted).await;
    judge_change(&team, "alice", &path, &held(&[FINALIZER, "example.com/hold"]), Accepted).await;
    for who in ["alice", "mallory", "gitops", ADMIN] {
        judge_change(&team, who, &path, &held(&["example.com/hold"]), Refused(NO_FINALIZER)).await;
        judge_change(&team, who, &path, &json!({"metadata": {"finalizers": null}}), Refused(NO_FINALIZER))
            .await;
    }
    judge_change(&team, "bob", &path, &held(&[FINALIZER]), Accepted).await;
    team.person("alice").must(&Ask::delete(&path)).await;
    judge_change(&team, "alice", &path, &json!({"metadata": {"finalizers": null}}), Refused(NO_FINALIZER))
        .await;
    team.person(OPERATOR).must(&Ask::merge(&path, &json!({"metadata": {"finalizers": null}}))).await;
    assert_eq!(team.person("alice").ask(&Ask::get(&path)).await.status, 404);
}

/// RBAC, and the rules about people, let the operator do all of this here: it is the policy about the operator that refuses.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_02_with_the_operators_token_nobody_changes_what_people_wrote() {
    let team = Team::new().await;
    let verbs = ["connect", "share", "assign-owner"];
    team.role("deputy", &["bowline.dev"], &["integrationconnections"], &verbs, &[OPERATOR]).await;
    for verb in verbs {
        team.until_allowed(OPERATOR, verb, "bowline.dev", "integrationconnections").await;
    }
    let annotations = json!({"bowline.dev/intake": "x/1", "bowline.dev/accept-account": "1",
        "bowline.dev/refresh-requested-at": "now", "example.com/note": "mine"});
    let given = json!({"metadata": {"annotations": annotations, "labels": {"team": "a"}}});
    let path = path_of(&team.connections(), &team.connection_of_alice(&given).await);
    let (no_spec, no_mark) = (Refused("changes no spec"), Refused("sets no annotations of connections"));
    let no_meta = Refused("changes no labels, owner references or foreign finalizers");
    let no_object = Refused("creates, replaces and deletes none of the objects");
    let annotation = |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]);
    let rows = [
        // A new owner has agreed to nothing; without this, the policy on that might be quoted instead.
        (
            json!({"spec": {"owner": "mallory"}, "metadata": {"annotations":
                {"bowline.dev/accept-account": null, "bowline.dev/intake": null}}}),
            no_spec,
        ),
        // Nor is it who sets these terms: either policy may be quoted.
        (json!({"spec": {"workspace": "w", "shared": true}}), Refused("denied request")),
        (json!({"spec": {"disconnect": true}}), no_spec),
        (annotation("bowline.dev/intake", json!("mallorys/2")), no_mark),
        (annotation("bowline.dev/refresh-requested-at", json!("again")), no_mark),
        (annotation("example.com/note", json!("yours")), no_mark),
        (annotation("bowline.dev/refresh-requested-at", Value::Null), no_mark),
        (annotation("example.com/note", Value::Null), no_mark),
        (json!({"metadata": {"labels": {"team": "b"}}}), no_meta),
        (json!({"metadata": {"finalizers": ["example.com/hold"]}}), no_meta),
    ];
    for (change, verdict) in &rows {
        judge_change(&team, OPERATOR, &path, change, *verdict).await;
    }
    // The garbage collector would delete the connection of an owner that does not exist.
    let adopted = Ask::merge(&path, &json!({"metadata": {"ownerReferences": owner}}));
    judge("an owner reference", &team.person(OPERATOR).ask(&adopted).await, no_meta);
    judge_creation(&team, OPERATOR, &team.connections(), &connection("x", "alice"), no_object).await;
    for ask in [Ask::delete(&path), Ask::delete(&path).dry()] {
        judge("a deletion", &team.person(OPERATOR).ask(&ask).await, no_object);
    }
    // What it does need.
    judge_change(&team, OPERATOR, &path, &json!({"metadata": {"finalizers": [FINALIZER]}}), Accepted).await;
    for handled in ["bowline.dev/intake", "bowline.dev/accept-account"] {
        judge_change(&team, OPERATOR, &path, &annotation(handled, Value::Null), Accepted).await;
    }
    judge_change(&team, OPERATOR, &path, &json!({"metadata": {"finalizers": []}}), Accepted).await;
}

/// With the rights it ships with, as a thief would have them: RBAC refuses before any policy is asked, but for workspaces, whose
/// Admins the operator gives a right that it must have itself.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_02_a_stolen_operator_token_redirects_no_provider_and_joins_no_workspace() {
    let team = Team::new().await;
    let elsewhere = json!({"spec": {"endpoints": {"token": "https://thief.example/token"}}});
    let joined = json!({"spec": {"members": [{"kind": "User", "name": "mallory"}]}});
    let objects = [
        ("integrationproviders", provider("x"), elsewhere, "cannot"),
        ("workspaces", workspace("x"), joined, "none of the objects"),
    ];
    for (plural, object, change, refusal) in objects {
        let collection = format!("/apis/bowline.dev/v1alpha1/{plural}");
        let object = merged(object, &json!({"metadata": {"name": random_name("x")}}));
        let stored = team.person(ADMIN).must(&Ask::post(&collection, &object)).await;
        let path = path_of(&collection, &stored);
        judge_change(&team, OPERATOR, &path, &change, Refused(refusal)).await;
        let status = json!({"status": {"observedGeneration": 1}});
        team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &status)).await;
        team.person(ADMIN).must(&Ask::delete(&path)).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn shares_are_written_by_the_operator_alone() {
    let team = Team::new().await;
    let stored = team.made_by_operator(&team.shares(), &share(&random_name("s"))).await;
    let path = path_of(&team.shares(), &stored);
    let elsewhere = json!({"spec": {"connection": {"uid": "1"}}});
    for who in ["alice", "mallory", "gitops", ADMIN] {
        judge_creation(&team, who, &team.shares(), &share("x"), Refused(NO_SHARES)).await;
        judge_change(&team, who, &path, &elsewhere, Refused(NO_SHARES)).await;
        let labelled = json!({"metadata": {"labels": {"team": "a"}}});
        judge_change(&team, who, &path, &labelled, Refused(NO_SHARES)).await;
        for ask in [Ask::delete(&path), Ask::delete(&path).dry(), Ask::delete(&team.shares())] {
            judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, Refused(NO_SHARES));
        }
        assert_same(&stored, &team.person(who).must(&Ask::get(&path)).await);
    }
    judge_change(&team, OPERATOR, &path, &elsewhere, Accepted).await;
    team.person(OPERATOR).must(&Ask::delete(&path)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn our_labels_on_secrets_are_set_and_removed_by_the_operator_alone() {
    let team = Team::new().await;
    let mine = json!({"app.kubernetes.io/managed-by": "bowline", "bowline.dev/connection-uid": "1"});
    let stored = team.made_by_operator(&team.secrets(), &secret(&random_name("s"), "Opaque", &mine)).await;
    let path = path_of(&team.secrets(), &stored);
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let rows = [
        (label("bowline.dev/connection-uid", json!("2")), Refused(NO_LABEL)),
        (label("bowline.dev/connection-uid", Value::Null), Refused(NO_LABEL)),
        (label("bowline.dev/workspace", json!("w")), Refused(NO_LABEL)),
        (label("app.kubernetes.io/managed-by", json!("Helm")), Refused(NO_LABEL)),
        (label("app.kubernetes.io/managed-by", Value::Null), Refused(NO_LABEL)),
        (json!({"metadata": {"labels": null}}), Refused(NO_LABEL)),
        (label("team", json!("a")), Accepted),
        (json!({"data": {"access_token": "bmV3"}}), Accepted),
    ];
    for (change, verdict) in &rows {
        judge_change(&team, "mallory", &path, change, *verdict).await;
    }
    judge_change(&team, OPERATOR, &path, &label("bowline.dev/workspace", json!("w")), Accepted).await;
    team.person("mallory").must(&Ask::delete(&path)).await;
}

/// A revision that is later than the one on record would stop the connection, as if an older record had been restored.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_15_which_grant_is_in_a_published_secret_is_noted_by_the_operator_alone() {
    let team = Team::new().await;
    let noted = json!({"metadata": {"annotations":
        {"bowline.dev/grant-id": "0123456789abcdef0123456789abcdef", "bowline.dev/revision": "3"}}});
    let ours = secret(&random_name("s"), "Opaque", &json!({"app.kubernetes.io/managed-by": "bowline"}));
    let stored = team.made_by_operator(&team.secrets(), &merged(ours, &noted)).await;
    let path = path_of(&team.secrets(), &stored);
    let annotated = |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
    let rows = [
        (annotated("bowline.dev/revision", json!("9")), Refused("set and removed by it alone")),
        (annotated("bowline.dev/revision", Value::Null), Refused("set and removed by it alone")),
        (annotated("bowline.dev/grant-id", Value::Null), Refused("set and removed by it alone")),
        (json!({"metadata": {"annotations": null}}), Refused("set and removed by it alone")),
        (annotated("example.com/team", json!("a")), Accepted),
    ];
    for (change, verdict) in &rows {
        judge_change(&team, "mallory", &path, change, *verdict).await;
    }
    judge_change(&team, OPERATOR, &path, &annotated("bowline.dev/revision", json!("4")), Accepted).await;
}

/// By them the operator knows what it has to withdraw.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_owner_of_a_published_secret_is_set_and_removed_by_the_operator_alone() {
    let team = Team::new().await;
    // It exists: the garbage collector deletes what has no owner.
    let maps = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let map = team.person(ADMIN).must(&Ask::post(&maps, &map)).await;
    let owner = |controls: bool| {
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": map["metadata"]["uid"], "controller": controls}]}})
    };
    let ours = secret(&random_name("s"), "Opaque", &json!({"app.kubernetes.io/managed-by": "bowline"}));
    let stored = team.made_by_operator(&team.secrets(), &merged(ours, &owner(true))).await;
    let path = path_of(&team.secrets(), &stored);
    for change in [json!({"metadata": {"ownerReferences": null}}), owner(false)] {
        judge_change(&team, "mallory", &path, &change, Refused("set and removed by it alone")).await;
    }
    judge_change(&team, OPERATOR, &path, &json!({"metadata": {"ownerReferences": null}}), Accepted).await;
    team.person("mallory").must(&Ask::delete(&path)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_secret_is_born_with_our_labels_from_the_operator_alone() {
    let team = Team::new().await;
    let rows = [
        ("Opaque", json!({"bowline.dev/connection-uid": "1"}), Refused(NO_LABEL)),
        ("Opaque", json!({"bowline.dev/connection": "c"}), Refused(NO_LABEL)),
        ("Opaque", json!({"app.kubernetes.io/managed-by": "bowline"}), Refused(NO_LABEL)),
        (
            "bowline.dev/intake",
            json!({"bowline.dev/connection": "c", "bowline.dev/workspace": "w"}),
            Refused(NO_LABEL),
        ),
        ("bowline.dev/intake", json!({"bowline.dev/connection": "c"}), Accepted),
        ("bowline.dev/credential", json!({"app.kubernetes.io/managed-by": "external-secrets"}), Accepted),
        ("Opaque", json!({"team": "a", "notbowline.dev/x": "1"}), Accepted),
        ("Opaque", Value::Null, Accepted),
    ];
    for (type_, labels, verdict) in &rows {
        judge_creation(&team, "mallory", &team.secrets(), &secret("x", type_, labels), *verdict).await;
    }
    judge_creation(&team, OPERATOR, &team.secrets(), &secret("x", "Opaque", &rows[0].1), Accepted).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn records_are_written_and_deleted_by_the_operator_alone() {
    let team = Team::new().await;
    for type_ in ["bowline.dev/record", "bowline.dev/ending", "bowline.dev/sharer"] {
        let record = secret(&random_name("record"), type_, &json!({}));
        let stored = team.made_by_operator(&team.secrets(), &record).await;
        let path = path_of(&team.secrets(), &stored);
        let change = json!({"data": {"access_token": "bmV3"}});
        // Whoever has the verb `restore` creates what a backup has, as it was; an ending is carried out once.
        let another = secret(&random_name("record"), type_, &json!({}));
        let restored = if type_ == "bowline.dev/ending" { Refused(NO_RECORD) } else { Accepted };
        for (who, verdict) in [("mallory", Refused(NO_RECORD)), (ADMIN, restored)] {
            judge_creation(&team, who, &team.secrets(), &another, verdict).await;
            judge_change(&team, who, &path, &change, Refused(NO_RECORD)).await;
            for ask in [Ask::delete(&path), Ask::delete(&path).dry(), Ask::delete(&team.secrets())] {
                judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, Refused(NO_RECORD));
            }
            assert_same(&stored, &team.person(ADMIN).must(&Ask::get(&path)).await);
        }
        judge_change(&team, OPERATOR, &path, &change, Accepted).await;
        team.person(OPERATOR).must(&Ask::delete(&path)).await;
    }
}

/// In the operator's own namespace a backup is restored with its labels.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_backup_of_the_operators_namespace_is_restored_by_who_has_the_verb() {
    let team = Team::new().await;
    let path = "/api/v1/namespaces/bowline-system/secrets";
    let writes = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "get", "update", "patch", "delete"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/bowline-system/roles";
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/bowline-system/rolebindings";
    let user = random_name("writer");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": user}, "rules": writes});
    team.person(ADMIN).must(&Ask::post(roles, &role)).await;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    team.person(ADMIN).must(&Ask::post(bindings, &binding)).await;
    let may = json!({"verb": "create", "resource": "secrets", "namespace": "bowline-system"});
    let waiting = async { while !team.is_allowed(&user, &may).await {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("rights take effect");
    let ours = json!({"app.kubernetes.io/managed-by": "bowline"});
    for (type_, words) in [("bowline.dev/record", "denied request"), ("bowline.dev/keyring", NO_LABEL)] {
        let restored = secret(&random_name("restored"), type_, &ours);
        judge_creation(&team, ADMIN, path, &restored, Accepted).await;
        judge_creation(&team, &user, path, &restored, Refused(words)).await;
    }
    for kind in [roles, bindings] {
        team.person(ADMIN).must(&Ask::delete(&format!("{kind}/{user}"))).await;
    }
}

/// What the cluster does by itself must still work: garbage collection and the deletion of a namespace.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_garbage_collector_takes_what_has_lost_its_owner() {
    let team = Team::new().await;
    let path = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = team.person(ADMIN).must(&Ask::post(&path, &owner)).await;
    let lost = json!({"metadata": {"ownerReferences":
        [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]}});
    team.made_by_operator(&team.shares(), &merged(share("s"), &lost)).await;
    let record = secret("record", "bowline.dev/record", &json!({}));
    team.made_by_operator(&team.secrets(), &merged(record, &lost)).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{path}/owner"))).await;
    gone(Api::<ConnectionShare>::namespaced(team.client(), &team.namespace), "s").await;
    gone(Api::<Secret>::namespaced(team.client(), &team.namespace), "record").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_namespace_with_shares_records_and_labelled_secrets_ends() {
    let team = Team::new().await;
    let mine = json!({"app.kubernetes.io/managed-by": "bowline", "bowline.dev/connection-uid": "1"});
    team.made_by_operator(&team.shares(), &share("s")).await;
    team.made_by_operator(&team.secrets(), &secret("published", "Opaque", &mine)).await;
    team.made_by_operator(&team.secrets(), &secret("record", "bowline.dev/record", &mine)).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    let held = merged(secret("held", "bowline.dev/record", &mine), &held);
    team.made_by_operator(&team.secrets(), &held).await;
    let namespace = format!("/api/v1/namespaces/{}", team.namespace);
    team.person(ADMIN).must(&Ask::delete(&namespace)).await;

    let path = format!("{}/held", team.secrets());
    let secrets: Api<Secret> = Api::namespaced(team.client(), &team.namespace);
    let ending =
        |secret: Option<&Secret>| secret.is_some_and(|secret| secret.metadata.deletion_timestamp.is_some());
    until(secrets, "held", ending).await;
    team.person(ADMIN).must(&Ask::delete(&path)).await;
    team.person(OPERATOR).must(&Ask::merge(&path, &json!({"metadata": {"finalizers": null}}))).await;
    gone(Api::<Namespace>::all(team.client()), &team.namespace).await;
}

async fn gone<K>(api: Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + kube::Resource + 'static,
{
    until(api, name, |object: Option<&K>| object.is_none()).await;
}

async fn until<K>(api: Api<K>, name: &str, condition: impl Condition<K>)
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + kube::Resource + 'static,
{
    let waiting = await_condition(api, name, condition);
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("within a minute").unwrap();
}

/// Where a namespace lets it patch pods, the operator changes one annotation, and neither image nor label.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn of_a_pod_the_operator_changes_one_annotation() {
    const NOTHING_ELSE: &str =
        "of a pod the operator changes the annotation bowline.dev/nudged-at and nothing else";
    let team = Team::new().await;
    team.role("pods", &[""], &["pods"], &["get", "list", "update", "patch"], &[OPERATOR, "bob"]).await;
    team.until_allowed("bob", "patch", "", "pods").await;
    let pods = format!("/api/v1/namespaces/{}/pods", team.namespace);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "annotations": {"example.com/note": "x"}, "labels": {"app": "x"}},
        "spec": {"nodeName": "nowhere", "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "registry.invalid/x"}]}});
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts/default", team.namespace);
    while !team.person(ADMIN).ask(&Ask::get(&accounts)).await.is_accepted() {}
    team.person(ADMIN).must(&Ask::post(&pods, &pod)).await;
    let path = format!("{pods}/p");
    let nudged = json!({"metadata": {"annotations": {"bowline.dev/nudged-at": "2026-01-01T00:00:00Z"}}});
    judge_change(&team, OPERATOR, &path, &nudged, Accepted).await;
    for change in [
        json!({"metadata": {"annotations": {"example.com/other": "y"}}}),
        json!({"metadata": {"annotations": {"example.com/note": "y"}}}),
        json!({"metadata": {"annotations": {"example.com/note": null}}}),
        json!({"metadata": {"labels": {"app": "y"}}}),
        json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        merged(nudged.clone(), &json!({"metadata": {"labels": {"app": "y"}}})),
    ] {
        let answer = team.person(OPERATOR).ask(&Ask::merge(&path, &change)).await;
        judge(&change.to_string(), &answer, Refused(NOTHING_ELSE));
    }
    let images = Ask::json_patch(
        &path,
        &[json!({"op": "replace", "path": "/spec/containers/0/image", "value": "registry.invalid/y"})],
    );
    judge("another image", &team.person(OPERATOR).ask(&images.clone()).await, Refused(NOTHING_ELSE));
    let others = team.person("bob").ask(&images.dry()).await;
    judge("others change images as before", &others, Accepted);
}
