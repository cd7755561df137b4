//! What members with role Admin may change, and what stays the owner's; and that a workspace keeps an Admin.
//!
//! tests/operator shows the Roles that the operator writes for them. Here RBAC lets everybody patch, so that a policy decides.

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{Team, random_name, workspace};
use crate::judging::Verdict::{self, Accepted, Refused};
use crate::judging::{assert_same, judge, judge_change, path_of};

const WORKSPACES: &str = "/apis/bowline.dev/v1alpha1/workspaces";
const NOT_YOURS: &str = "this connection belongs to 'alice'";
const ITS_ACCOUNT: &str = "who alone decides whose account it is";
const OWNER_STAYS: &str = "spec.owner is 'alice' and stays so";
const LAST_ADMIN: &str = "this would remove the last Admin of the workspace";

/// bob is an Admin by name, the group `keepers` is one, and mallory is a plain member. Connected by this user.
async fn with_members(team: &Team, connected_by: &str) -> String {
    let members = json!({"spec": {"members": [{"name": "bob", "role": "Admin"},
        {"kind": "Group", "name": "keepers", "role": "Admin"}, {"name": "mallory", "role": "Member"}]}});
    let stored = team.connection_of_alice(&members).await;
    let path = path_of(&team.connections(), &stored);
    let status = json!({"status": {"connectedBy": connected_by}});
    team.person(OPERATOR).must(&Ask::merge(&format!("{path}/status"), &status)).await;
    path
}

fn titled() -> Value {
    json!({"spec": {"displayName": "Ours"}})
}

fn annotated(name: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {name: value.into()}}})
}

/// As the portal writes it for a user.
fn for_user(user: &str, change: &Value) -> Value {
    merged(change.clone(), &annotated("bowline.dev/acting-user", user))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_admin_changes_what_is_not_the_owners_alone() {
    let team = Team::new().await;
    let listed = |members: Value| json!({"spec": {"members": members}});
    let rows: Vec<(&str, Value, Verdict)> = vec![
        ("bob", titled(), Accepted),
        ("bob", json!({"spec": {"suspend": true}}), Accepted),
        // What it asks for waits for alice, so it must be said who asks.
        (
            "bob",
            json!({"spec": {"scopes": ["read"]}}),
            Refused("set the annotation bowline.dev/terms-by to 'bob'"),
        ),
        (
            "bob",
            merged(json!({"spec": {"scopes": ["read"]}}), &annotated("bowline.dev/terms-by", "bob")),
            Accepted,
        ),
        ("bob", annotated("bowline.dev/approve-terms", "d"), Refused(NOT_YOURS)),
        ("bob", json!({"spec": {"disconnect": true}}), Accepted),
        (
            "bob",
            listed(json!([{"name": "bob", "role": "Admin"}, {"name": "nina", "role": "Admin"}])),
            Accepted,
        ),
        ("bob", listed(json!([])), Accepted),
        ("bob", annotated("bowline.dev/disconnected-by", "2026-01-01T00:00:00Z bob"), Accepted),
        // What would put another account under alice's name, or agree to something in it.
        ("bob", json!({"spec": {"owner": "bob"}}), Refused(OWNER_STAYS)),
        ("bob", json!({"spec": {"account": {"id": "bobs"}}}), Refused(ITS_ACCOUNT)),
        ("bob", json!({"spec": {"method": "ApiKey"}}), Refused(ITS_ACCOUNT)),
        ("bob", json!({"spec": {"credentials": {"secretName": "bobs"}}}), Refused(ITS_ACCOUNT)),
        ("bob", annotated("bowline.dev/accept-account", "bobs"), Refused(NOT_YOURS)),
        ("bob", annotated("bowline.dev/confirm-delete", "u"), Refused(NOT_YOURS)),
        ("bob", annotated("bowline.dev/intake", "bobs/u"), Refused(NOT_YOURS)),
        ("bob", annotated("bowline.dev/revoke-now", "g"), Refused(NOT_YOURS)),
        ("bob", annotated("bowline.dev/made-by", "bob"), Refused(NOT_YOURS)),
        // Without the verb `share`.
        (
            "bob",
            merged(
                json!({"spec": {"workspace": "w", "shared": true}}),
                &annotated("bowline.dev/terms-by", "bob"),
            ),
            Refused("needs the verb share"),
        ),
        // Others make themselves nothing.
        ("mallory", titled(), Refused(NOT_YOURS)),
        ("mallory", listed(json!([{"name": "mallory", "role": "Admin"}])), Refused(NOT_YOURS)),
        ("mallory", json!({"spec": {"owner": "mallory"}}), Refused(OWNER_STAYS)),
        (PORTAL, for_user("bob", &titled()), Accepted),
        (PORTAL, for_user("mallory", &titled()), Refused(NOT_YOURS)),
        (PORTAL, for_user("keepers", &titled()), Refused(NOT_YOURS)),
        ("keepers", titled(), Refused("")),
    ];
    for (who, change, verdict) in rows {
        let path = with_members(&team, "alice").await;
        judge_change(&team, who, &path, &change, verdict).await;
    }
    let (path, keeper) = (with_members(&team, "alice").await, team.person("bob").in_group("strangers"));
    keeper.must(&Ask::merge(&path, &titled())).await;
    let mallory = || team.person("mallory");
    let path = with_members(&team, "alice").await;
    judge(
        "another group",
        &mallory().in_group("strangers").ask(&Ask::merge(&path, &titled())).await,
        Refused(NOT_YOURS),
    );
    mallory().in_group("keepers").must(&Ask::merge(&path, &titled())).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_admin_is_nobody_before_the_owners_consent_after_a_transfer_and_once_removed() {
    let team = Team::new().await;
    let refused = Refused("this connection belongs to");
    for connected_by in ["", "carol"] {
        let path = with_members(&team, connected_by).await;
        judge_change(&team, "bob", &path, &titled(), refused).await;
        judge("deletes", &team.person("bob").ask(&Ask::delete(&path)).await, refused);
    }
    // The very change takes it away, whatever the operator has done by then.
    let path = with_members(&team, "alice").await;
    team.person("gitops").must(&Ask::merge(&path, &json!({"spec": {"owner": "carol"}}))).await;
    judge_change(&team, "bob", &path, &titled(), refused).await;
    judge("deletes", &team.person("bob").ask(&Ask::delete(&path)).await, refused);
    let path = with_members(&team, "alice").await;
    team.person("alice").must(&Ask::merge(&path, &json!({"spec": {"members": null}}))).await;
    judge_change(&team, "bob", &path, &titled(), refused).await;
    // A status that somebody else forged counts for nothing: only the operator writes it.
    let path = with_members(&team, "").await;
    let forged = Ask::merge(&format!("{path}/status"), &json!({"status": {"connectedBy": "alice"}}));
    assert_eq!(team.person("bob").ask(&forged).await.status, 403);
    judge_change(&team, "bob", &path, &titled(), refused).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_admin_deletes_the_connection_and_no_other() {
    let team = Team::new().await;
    let path = with_members(&team, "alice").await;
    for who in ["mallory", OPERATOR] {
        judge(who, &team.person(who).ask(&Ask::delete(&path)).await, Refused(""));
    }
    let other = path_of(&team.connections(), &team.connection_of_alice(&json!({})).await);
    judge("another", &team.person("bob").ask(&Ask::delete(&other)).await, Refused(NOT_YOURS));
    judge_change(&team, "bob", &other, &titled(), Refused(NOT_YOURS)).await;
    team.person("bob").must(&Ask::delete(&path)).await;
    let used = with_members(&team, "alice").await;
    let status = json!({"status": {"connectedBy": "alice", "dependents": {"count": 1, "names": ["a/b"]}}});
    team.person(OPERATOR).must(&Ask::merge(&format!("{used}/status"), &status)).await;
    judge(
        "bindings use it",
        &team.person("bob").ask(&Ask::delete(&used)).await,
        Refused("use this connection"),
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_system_user_or_group_is_a_member() {
    let team = Team::new().await;
    let member = |kind: &str, name: &str| json!({"spec": {"members": [{"kind": kind, "name": name}]}});
    for (kind, name) in [
        ("Group", "system:authenticated"),
        ("Group", "system:serviceaccounts"),
        ("User", "system:anonymous"),
        ("User", "system:serviceaccount:team-a:bot"),
        ("ServiceAccount", "bot"),
        ("User", ""),
    ] {
        let stored = team.connection_of_alice(&json!({})).await;
        let path = path_of(&team.connections(), &stored);
        let answer = team.person("alice").ask(&Ask::merge(&path, &member(kind, name))).await;
        assert_eq!(answer.status, 422, "{kind} {name}: {}", answer.words());
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspace_that_has_admins_keeps_one() {
    let team = Team::new().await;
    let admin = |names: &[&str]| {
        let mut members: Vec<_> = names.iter().map(|name| json!({"name": name, "role": "Admin"})).collect();
        members.push(json!({"name": "max"}));
        json!({"spec": {"members": members}})
    };
    let name = random_name("kept");
    let (path, keeper) = (format!("{WORKSPACES}/{name}"), team.person(ADMIN));
    let applied = |change: &Value| Ask::apply(&path, &merged(workspace(&name), change));
    keeper.must(&applied(&admin(&[]))).await;
    keeper.must(&applied(&admin(&["dora", "alice"]))).await;
    let before = keeper.must(&applied(&admin(&["dora"]))).await;
    let demoted = json!({"spec": {"members": [{"name": "dora", "role": "Member"}]}});
    for change in [admin(&[]), demoted] {
        let mut replaced = keeper.must(&Ask::get(&path)).await;
        replaced["spec"]["members"] = change["spec"]["members"].clone();
        let value = &change["spec"]["members"];
        let steps = [json!({"op": "replace", "path": "/spec/members", "value": value})];
        // Whoever applied an Admin removes them by applying without; another applier would leave them.
        for ask in [
            Ask::merge(&path, &change),
            Ask::json_patch(&path, &steps),
            Ask::replace(&path, &replaced),
            applied(&change),
            applied(&change).dry(),
        ] {
            judge(&format!("{ask:?}"), &keeper.ask(&ask).await, Refused(LAST_ADMIN));
        }
    }
    let null = Ask::merge(&path, &json!({"spec": {"members": null}}));
    judge("no members", &keeper.ask(&null).await, Refused(LAST_ADMIN));
    assert_same(&before, &keeper.must(&Ask::get(&path)).await);
    keeper.must(&Ask::merge(&path, &admin(&["nina"]))).await;
    keeper.must(&Ask::delete(&path)).await;
}

/// It holds what members get, and could give it to anybody: the policy leaves it the members of one named object.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_operator_writes_no_other_roles() {
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    let team = Team::new().await;
    let roles = format!("/apis/{RBAC}/namespaces/{}/roles", team.namespace);
    let bindings = format!("/apis/{RBAC}/namespaces/{}/rolebindings", team.namespace);
    let role = |name: &str, allowed: Value| json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": name}, "rules": [allowed]});
    let allows = |resource: &str, verbs: &[&str], names: &[&str]| {
        json!({"apiGroups": [if resource == "secrets" { "" } else { "bowline.dev" }], "resources": [resource],
            "resourceNames": names, "verbs": verbs})
    };
    let connections = "integrationconnections";
    let nothing_else = Refused("the operator gives nothing but");
    let operator = team.person(OPERATOR);
    for (object, verdict) in [
        (
            role(
                "bowline:c:admin",
                allows(connections, &["get", "update", "patch", "delete", "connect", "use"], &["c"]),
            ),
            Accepted,
        ),
        (role("mine", allows(connections, &["get"], &["c"])), Refused("whose names begin with bowline")),
        (role("bowline:c:x", allows(connections, &["get"], &[])), nothing_else),
        (role("bowline:c:x", allows(connections, &["get"], &["c", "d"])), nothing_else),
        (role("bowline:c:x", allows("workspaces", &["get"], &["c"])), nothing_else),
        (role("bowline:c:x", allows("secrets", &["get"], &["c"])), nothing_else),
    ] {
        judge(&object.to_string(), &operator.ask(&Ask::post(&roles, &object).dry()).await, verdict);
    }
    // RBAC itself: it holds neither of these verbs, and has neither `escalate` nor `bind`.
    for verb in ["share", "assign-owner"] {
        let object = role("bowline:c:x", allows(connections, &[verb], &["c"]));
        let answer = operator.ask(&Ask::post(&roles, &object).dry()).await;
        assert_eq!(answer.status, 403, "{verb}: {}", answer.words());
    }
    let binding = |name: &str, kind: &str, to: &str, subject: &str| {
        json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": to},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": subject}]})
    };
    team.person(ADMIN)
        .must(&Ask::post(&roles, &role("bowline:c:admin", allows(connections, &["get"], &["c"]))))
        .await;
    let no_others = Refused("the operator binds no roles but those of members");
    for (object, verdict) in [
        (binding("bowline:c:admin", "Role", "bowline:c:admin", "bob"), Accepted),
        (binding("bowline:c:admin", "ClusterRole", "bowline-secrets", "mallory"), no_others),
        (binding("bowline:c:admin", "Role", "bowline:c:admin", "system:anonymous"), no_others),
        (binding("mine", "Role", "bowline:c:admin", "bob"), Refused("whose names begin with bowline")),
    ] {
        judge(&object.to_string(), &operator.ask(&Ask::post(&bindings, &object).dry()).await, verdict);
    }
    let theirs = format!("{roles}/writer");
    judge(
        "theirs",
        &operator.ask(&Ask::delete(&theirs).dry()).await,
        Refused("whose names begin with bowline"),
    );
}
