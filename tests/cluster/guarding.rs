//! Policies on deletion, on the Secrets that a connection names, on reserved namespaces, on refresh requests, and what the
//! audit log says about the portal.

use std::time::Duration;

use bowline_testbed::wait::wait_for;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{LOOKALIKE, Team, cluster, connection, random_name, workspace};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{assert_same, judge, judge_change, judge_changes, judge_creation, path_of};

/// Of several policies that refuse, any one is quoted.
const DENIED: &str = "denied request";
const NOT_YOURS: &str =
    "this connection belongs to 'alice': only its owner, or who has the verb assign-owner";
const UNREADABLE: &str = "in spec.credentials or spec.app you need the right to get it";
const RESERVED: &str = "nothing is shared in the namespaces of Bowline or of the cluster";
const NO_REFRESH: &str =
    "asking for a refresh (annotation bowline.dev/refresh-requested-at) takes the connection's owner";

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_05_a_connection_is_deleted_by_its_owner_or_by_who_may_assign_owners() {
    let team = Team::new().await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    let refused = |who| Refused(if who == OPERATOR { DENIED } else { NOT_YOURS });
    for who in ["mallory", "bob", OPERATOR, PORTAL, LOOKALIKE] {
        let foreground = Ask::delete(&path).with("propagationPolicy=Foreground");
        for ask in [Ask::delete(&path), Ask::delete(&path).dry(), foreground] {
            judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, refused(who));
        }
    }
    for who in ["bob", OPERATOR, PORTAL] {
        for ask in [Ask::delete(&team.connections()), Ask::delete(&team.connections()).dry()] {
            judge(&format!("{who} {ask:?}"), &team.person(who).ask(&ask).await, refused(who));
        }
    }
    assert_same(&stored, &team.person("alice").must(&Ask::get(&path)).await);
    for who in ["alice", "gitops", ADMIN] {
        let stored = team.connection_of_alice(&json!({})).await;
        team.person(who).must(&Ask::delete(&path_of(&team.connections(), &stored))).await;
    }
    let mine = team.person("bob").must(&Ask::post(&team.connections(), &connection("bobs", "bob"))).await;
    team.person("bob").must(&Ask::delete(&path_of(&team.connections(), &mine))).await;
}

/// The portal names the user in a change just before: a deletion carries no annotation.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_05_the_portal_deletes_for_the_owner_alone() {
    let team = Team::new().await;
    for (user, verdict) in [("mallory", Refused(NOT_YOURS)), ("", Refused(NOT_YOURS)), ("alice", Accepted)] {
        let stored = team.connection_of_alice(&json!({})).await;
        let path = path_of(&team.connections(), &stored);
        let acting = json!({"metadata": {"annotations": {"bowline.dev/acting-user": user}}});
        team.person(PORTAL).must(&Ask::merge(&path, &acting)).await;
        judge(
            &format!("the portal deletes for {user}"),
            &team.person(PORTAL).ask(&Ask::delete(&path)).await,
            verdict,
        );
    }
}

/// What the cluster does by itself must still work: garbage collection and the deletion of a namespace.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_05_a_namespace_with_connections_ends_and_the_garbage_collector_works() {
    let team = Team::new().await;
    let maps = format!("/api/v1/namespaces/{}/configmaps", team.namespace);
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = team.person(ADMIN).must(&Ask::post(&maps, &owner)).await;
    let dependent = json!({"metadata": {"ownerReferences":
        [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]}});
    let dependent = team.connection_of_alice(&dependent).await;
    team.person(ADMIN).must(&Ask::delete(&format!("{maps}/owner"))).await;
    gone(&team, &path_of(&team.connections(), &dependent)).await;

    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let held = path_of(&team.connections(), &team.connection_of_alice(&held).await);
    let plain = path_of(&team.connections(), &team.connection_of_alice(&json!({})).await);
    let namespace = format!("/api/v1/namespaces/{}", team.namespace);
    team.person(ADMIN).must(&Ask::delete(&namespace)).await;
    gone(&team, &plain).await;
    // Whoever may delete in it completes its deletion. Roles of the namespace are gone by now.
    let cleaner = cleaner(&team).await;
    let released = json!({"metadata": {"finalizers": null}});
    let is_done = async || match team.person(&cleaner).ask(&Ask::delete(&held)).await {
        answer if answer.is_accepted() => Ok(()),
        answer => Err(answer.words().to_owned()),
    };
    wait_for("the cleaner deletes", Duration::from_secs(30), is_done).await.unwrap();
    team.person(&cleaner).must(&Ask::merge(&held, &released)).await;
    gone(&team, &namespace).await;
    for kind in ["clusterroles", "clusterrolebindings"] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{kind}/{cleaner}");
        team.person(ADMIN).must(&Ask::delete(&path)).await;
    }
}

/// A user who may patch and delete connections everywhere, and has no verb of ours.
async fn cleaner(team: &Team) -> String {
    let (name, group) = (random_name("cleaner"), "rbac.authorization.k8s.io");
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [{"apiGroups": ["bowline.dev"], "resources": ["integrationconnections"],
            "verbs": ["get", "patch", "delete"]}]});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}]});
    for (kind, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        team.person(ADMIN).must(&Ask::post(&format!("/apis/{group}/v1/{kind}"), &object)).await;
    }
    name
}

async fn gone(team: &Team, path: &str) {
    let there = async || match team.person(ADMIN).ask(&Ask::get(path)).await.status {
        404 => Ok(()),
        status => Err(format!("{path}: {status}")),
    };
    wait_for("it is gone", Duration::from_mins(1), there).await.unwrap();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_06_a_secret_is_named_by_who_may_read_it() {
    let team = Team::new().await;
    let credentials = json!({"spec": {"credentials": {"secretName": "erp"}}});
    let app = json!({"spec": {"app": {"secretName": "erp"}}});
    for named in [&credentials, &app] {
        let rows = [
            ("alice", "alice", Accepted),
            ("gitops", "alice", Refused(UNREADABLE)),
            (ADMIN, "alice", Accepted),
        ];
        for (who, owner, verdict) in rows {
            let object = merged(connection("x", owner), named);
            judge_creation(&team, who, &team.connections(), &object, verdict).await;
        }
    }
    let other = json!({"spec": {"credentials": {"secretName": "other"}}});
    let rows = [
        ("gitops", json!({}), &credentials, Refused(UNREADABLE)),
        ("gitops", credentials.clone(), &other, Refused(UNREADABLE)),
        ("alice", credentials.clone(), &other, Accepted),
        // What is named already is no reason to refuse another change, or to take it back.
        ("gitops", credentials.clone(), &json!({"spec": {"displayName": "ERP"}}), Accepted),
        ("gitops", credentials.clone(), &json!({"spec": {"credentials": null}}), Accepted),
    ];
    for (who, given, change, verdict) in rows {
        let stored = team.connection_of_alice(&given).await;
        judge_change(&team, who, &path_of(&team.connections(), &stored), change, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_07_a_workspace_lists_no_reserved_namespace() {
    let team = Team::new().await;
    let workspaces = "/apis/bowline.dev/v1alpha1/workspaces";
    let listing = |names: &[&str]| json!({"spec": {"namespaces": names}});
    for name in [
        "bowline-attempts",
        "bowline-system",
        "bowline-portal",
        "kube-system",
        "kube-public",
        "kube-node-lease",
    ] {
        let object = merged(workspace("x"), &listing(&["team-a", name]));
        judge_creation(&team, ADMIN, workspaces, &object, Refused(RESERVED)).await;
    }
    let object = merged(workspace(&random_name("w")), &listing(&["team-a"]));
    let stored = team.person(ADMIN).must(&Ask::post(workspaces, &object)).await;
    let path = path_of(workspaces, &stored);
    judge_change(&team, ADMIN, &path, &listing(&["team-a", "bowline-attempts"]), Refused(RESERVED)).await;
    judge_change(&team, ADMIN, &path, &listing(&["team-a", "bowline", "kubernetes"]), Accepted).await;
    team.person(ADMIN).must(&Ask::delete(&path)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_07_no_connection_is_made_in_a_reserved_namespace() {
    let team = Team::new().await;
    for namespace in ["bowline-attempts", "bowline-system", "kube-system", "kube-public"] {
        let path = format!("/apis/bowline.dev/v1alpha1/namespaces/{namespace}/integrationconnections");
        let refused = Refused("this namespace is reserved");
        judge_creation(&team, ADMIN, &path, &connection("x", ADMIN), refused).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_09_a_refresh_is_requested_by_the_owner_or_who_may_connect() {
    let ask =
        |value: Value| json!({"metadata": {"annotations": {"bowline.dev/refresh-requested-at": value}}});
    judge_changes(
        &json!({}),
        &[
            ("alice", ask(json!("now")), Accepted),
            ("mallory", ask(json!("now")), Accepted),
            ("gitops", ask(json!("now")), Accepted),
            ("bob", ask(json!("now")), Refused(NO_REFRESH)),
            (LOOKALIKE, ask(json!("now")), Refused(NO_REFRESH)),
            (OPERATOR, ask(json!("now")), Refused(DENIED)),
        ],
    )
    .await;
}

/// The portal writes as itself: without this nobody could tell from the audit log for whom.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_28_the_audit_log_names_the_user_for_whom_the_portal_acts() {
    let team = Team::new().await;
    let mark = cluster().await.audit().unwrap().mark().unwrap();
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    let acting = json!({"metadata": {"annotations": {"bowline.dev/acting-user": "alice"}}, "spec": {"displayName": "x"}});
    let named = team.person(PORTAL).must(&Ask::merge(&path, &acting)).await;
    // As the portal does: without it the API server may look at an older version, from its cache.
    let version = named["metadata"]["resourceVersion"].as_str().unwrap();
    team.person(PORTAL).must(&Ask::delete_at(&path, version)).await;
    let named = async || {
        let audit = cluster().await.audit().map_err(|error| error.to_string())?;
        let requests = audit.requests_since(mark).map_err(|error| error.to_string())?;
        let requests =
            requests.by(PORTAL).in_namespace(&team.namespace).on("integrationconnections").allowed();
        let users: Vec<_> = requests
            .iter()
            .map(|it| {
                (it.verb.clone(), it.annotations.get("bowline-acting-user-is-audited/acting-user").cloned())
            })
            .collect();
        let alice = Some("alice".to_owned());
        let wanted = [("patch".to_owned(), alice.clone()), ("delete".to_owned(), alice)];
        (users == wanted).then_some(()).ok_or_else(|| format!("{users:?}"))
    };
    wait_for("the audit log names alice", Duration::from_secs(20), named).await.unwrap();
}
