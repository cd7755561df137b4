//! The shipped policies and rights on consent, against people who try to bypass them: for whom the portal acts, who requests
//! an authorization, who accepts an account, and who can read the attempts.

use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, merged};
use crate::fixture::{LOOKALIKE, Team, connection, secret};
use crate::judging::Verdict::{Accepted, Refused};
use crate::judging::{judge, judge_change, judge_changes, judge_creation, path_of};

const NOT_YOU: &str = "put your own name there, or ask for the verb assign-owner";
const STAYS: &str = "spec.owner is 'alice' and stays so";
const NOT_YOURS: &str = "this connection belongs to 'alice': only its owner";
const OWNER_AGREES: &str = "who alone agrees to an account";
const ONLY_OWNER_AGREES: &str = "only the connection's owner agrees to an account";
const ONLY_OWNER_GIVES: &str = "only the connection's owner gives bowline.dev/accept-account";
const NO_CONNECT: &str = "takes the connection's owner, or the verb connect";
const STATUS: &str = "status is written by the operator alone";

const ACTING: &str = "bowline.dev/acting-user";
const AUTHORIZE: &str = "bowline.dev/authorize-requested-at";
const ACCEPT: &str = "bowline.dev/accept-account";

fn mark(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {key: value.into()}}})
}

/// A change in somebody's name.
fn acting(user: &str, change: &Value) -> Value {
    merged(mark(ACTING, user), change)
}

fn renamed() -> Value {
    json!({"spec": {"displayName": "renamed"}})
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_alone_counts_as_the_user_it_names() {
    let set = renamed();
    judge_changes(
        &json!({}),
        &[
            (PORTAL, acting("alice", &set), Accepted),
            (PORTAL, acting("bob", &set), Refused(NOT_YOURS)),
            (PORTAL, acting("", &set), Refused(NOT_YOURS)),
            (PORTAL, acting("alice ", &set), Refused(NOT_YOURS)),
            (PORTAL, acting("Alice", &set), Refused(NOT_YOURS)),
            (PORTAL, set.clone(), Refused(NOT_YOURS)),
            ("mallory", acting("alice", &set), Refused(NOT_YOURS)),
            ("bob", acting("alice", &set), Refused(NOT_YOURS)),
            (LOOKALIKE, acting("alice", &set), Refused(NOT_YOURS)),
            // Of several policies that refuse, any one is quoted.
            (OPERATOR, acting("alice", &set), Refused("denied request")),
            ("mallory", mark(ACTING, "alice"), Refused(NOT_YOURS)),
            (LOOKALIKE, mark(ACTING, PORTAL), Refused(NOT_YOURS)),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn naming_an_earlier_user_of_the_portal_gives_nobody_anything() {
    let unnamed = merged(mark(ACTING, Value::Null), &renamed());
    judge_changes(
        &mark(ACTING, "alice"),
        &[
            ("mallory", renamed(), Refused(NOT_YOURS)),
            ("mallory", mark(ACTING, "mallory"), Refused(NOT_YOURS)),
            (LOOKALIKE, renamed(), Refused(NOT_YOURS)),
            (PORTAL, acting("bob", &renamed()), Refused(NOT_YOURS)),
            (PORTAL, unnamed, Refused(NOT_YOURS)),
            ("bob", mark(ACTING, Value::Null), Accepted),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_assigns_no_owner_and_writes_no_status() {
    let to_bob = json!({"spec": {"owner": "bob"}});
    judge_changes(
        &json!({}),
        &[
            (PORTAL, acting("alice", &to_bob), Refused(STAYS)),
            (PORTAL, acting("bob", &to_bob), Refused(STAYS)),
            (PORTAL, acting("gitops", &to_bob), Refused(STAYS)),
        ],
    )
    .await;
    let team = Team::new().await;
    let stored = team.connection_of_alice(&mark(ACTING, "alice")).await;
    let path = format!("{}/status", path_of(&team.connections(), &stored));
    let forged = json!({"status": {"connectedBy": "mallory"}});
    for who in [PORTAL, "alice"] {
        judge_change(&team, who, &path, &forged, Refused(STATUS)).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_creates_connections_for_the_user_it_names() {
    let team = Team::new().await;
    let rows = [
        (PORTAL, "alice", Some("alice"), Accepted),
        (PORTAL, "alice", Some("bob"), Refused("spec.owner is 'alice', but you are 'bob'")),
        (PORTAL, "alice", Some("gitops"), Refused(NOT_YOU)),
        (PORTAL, "alice", Some(PORTAL), Refused(NOT_YOU)),
        (PORTAL, "alice", None, Refused("spec.owner is 'alice', but you are ''")),
        ("mallory", "alice", Some("alice"), Refused(NOT_YOU)),
        (LOOKALIKE, "alice", Some("alice"), Refused(NOT_YOU)),
        ("mallory", "mallory", Some("alice"), Accepted),
    ];
    for (who, owner, named, verdict) in rows {
        let plain = connection("x", owner);
        let object = named.map_or_else(|| plain.clone(), |user| merged(plain.clone(), &mark(ACTING, user)));
        judge_creation(&team, who, &team.connections(), &object, verdict).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_authorization_is_asked_for_by_who_holds_connect() {
    let asked = mark(AUTHORIZE, "2026-01-01T00:00:00Z");
    judge_changes(
        &json!({}),
        &[
            ("alice", asked.clone(), Accepted),
            // An editor; the built-in role gives `connect`.
            ("mallory", asked.clone(), Accepted),
            // With another role that may write connections you also need the verb.
            ("bob", asked.clone(), Refused(NO_CONNECT)),
            (LOOKALIKE, asked.clone(), Refused(NO_CONNECT)),
            // The portal has checked whether bob may.
            (PORTAL, acting("bob", &asked), Accepted),
            ("gitops", asked.clone(), Accepted),
            ("mallory", merged(asked.clone(), &mark(ACCEPT, "hers")), Refused(OWNER_AGREES)),
            ("mallory", merged(asked, &renamed()), Refused(NOT_YOURS)),
        ],
    )
    .await;
    let team = Team::new().await;
    team.bind("view", "ClusterRole", &["carol"]).await;
    team.until_allowed("carol", "get", "bowline.dev", "integrationconnections").await;
    let stored = team.connection_of_alice(&json!({})).await;
    let path = path_of(&team.connections(), &stored);
    let cannot = Refused(r#"User "carol" cannot"#);
    judge_change(&team, "carol", &path, &mark(AUTHORIZE, "now"), cannot).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_account_is_agreed_to_by_the_owner_alone() {
    let agreed = mark(ACCEPT, "4711");
    judge_changes(
        &json!({}),
        &[
            ("alice", agreed.clone(), Accepted),
            (PORTAL, acting("alice", &agreed), Accepted),
            (PORTAL, acting("bob", &agreed), Refused(OWNER_AGREES)),
            (PORTAL, agreed.clone(), Refused(OWNER_AGREES)),
            ("gitops", agreed.clone(), Refused(OWNER_AGREES)),
            (ADMIN, agreed.clone(), Refused(OWNER_AGREES)),
            ("mallory", agreed, Refused(OWNER_AGREES)),
        ],
    )
    .await;
    judge_changes(
        &mark(ACCEPT, "4711"),
        &[
            ("gitops", mark(ACCEPT, "0815"), Refused(OWNER_AGREES)),
            ("gitops", renamed(), Accepted),
            (OPERATOR, mark(ACCEPT, Value::Null), Accepted),
        ],
    )
    .await;
}

/// Otherwise whoever transfers a connection could accept an account in the new owner's name, or pass the former owner's
/// acceptance on.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_carries_no_agreement_to_an_account() {
    let to = |owner: &str| json!({"spec": {"owner": owner}});
    let agreeing = |owner: &str| merged(mark(ACCEPT, "mallorys"), &to(owner));
    judge_changes(
        &json!({}),
        &[
            ("gitops", agreeing("bob"), Refused(ONLY_OWNER_GIVES)),
            ("gitops", agreeing("gitops"), Refused(ONLY_OWNER_GIVES)),
            (ADMIN, agreeing("bob"), Refused(ONLY_OWNER_GIVES)),
        ],
    )
    .await;
    judge_changes(
        &mark(ACCEPT, "4711"),
        &[
            ("gitops", to("bob"), Refused(ONLY_OWNER_GIVES)),
            ("gitops", merged(mark(ACCEPT, Value::Null), &to("bob")), Accepted),
        ],
    )
    .await;
}

/// An announced grant would be imported in the new owner's name, and the former owner's account be expected of them.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_carries_neither_an_announcement_nor_the_expected_account() {
    let to_bob = json!({"spec": {"owner": "bob"}});
    let pinned = |id: &str| json!({"spec": {"owner": "bob", "account": {"id": id}}});
    for name in ["bowline.dev/intake", "bowline.dev/confirm-delete", "bowline.dev/revoke-now"] {
        let refused = || Refused("only the connection's owner gives bowline.dev/");
        let rows = [
            ("gitops", to_bob.clone(), refused()),
            (ADMIN, to_bob.clone(), refused()),
            ("gitops", merged(mark(name, "another"), &to_bob), refused()),
            ("gitops", merged(mark(name, Value::Null), &to_bob), Accepted),
        ];
        judge_changes(&mark(name, "alices"), &rows).await;
    }
    let kept = || Refused("spec.account is the account of the former owner");
    let rows = [
        ("gitops", to_bob.clone(), kept()),
        (ADMIN, pinned("alices"), kept()),
        ("gitops", pinned("bobs"), Accepted),
        ("gitops", merged(json!({"spec": {"account": null}}), &to_bob), Accepted),
    ];
    judge_changes(&json!({"spec": {"account": {"id": "alices"}}}), &rows).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_made_for_another_carries_no_agreement_to_an_account() {
    let team = Team::new().await;
    let agreed = merged(connection("x", "alice"), &mark(ACCEPT, "4711"));
    let rows = [
        ("alice", agreed.clone(), Accepted),
        (PORTAL, merged(agreed.clone(), &mark(ACTING, "alice")), Accepted),
        ("gitops", agreed.clone(), Refused(ONLY_OWNER_AGREES)),
        (ADMIN, agreed, Refused(ONLY_OWNER_AGREES)),
    ];
    for (who, object, verdict) in rows {
        judge_creation(&team, who, &team.connections(), &object, verdict).await;
    }
}

/// An attempt contains an address with its state, or a code; whoever writes one decides who consents.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_shipped_role_reaches_the_attempts() {
    let team = Team::new().await;
    team.bind("view", "ClusterRole", &["vera"]).await;
    // Cluster-wide, as an administrator of providers has it.
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": team.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "paula"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    team.person(ADMIN).must(&Ask::post(bindings, &binding)).await;
    team.until_allowed("paula", "create", "bowline.dev", "integrationproviders").await;
    team.until_allowed("vera", "get", "bowline.dev", "integrationconnections").await;
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    for who in ["alice", "bob", "mallory", "gitops", "vera", "paula"] {
        for verb in verbs {
            let attributes = json!({"verb": verb, "group": "", "resource": "secrets", "name": "attempt-1",
                "namespace": "bowline-attempts"});
            assert!(!team.is_allowed(who, &attributes).await, "{who} {verb}");
        }
    }
    let operator = |verb: &str| json!({"verb": verb, "group": "", "resource": "secrets", "namespace": "bowline-attempts"});
    for verb in ["get", "list", "watch", "update", "delete"] {
        assert!(team.is_allowed(OPERATOR, &operator(verb)).await, "the operator {verb}");
    }
    team.person(ADMIN).must(&Ask::delete(&format!("{bindings}/{}", team.namespace))).await;
}

/// With RBAC alone it could create a Secret that the cluster fills with a `ServiceAccount`'s token, and read that.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_creates_no_secret_but_attempts_and_its_session_key() {
    const NO_OTHER: &str = "the portal writes attempts and creates its session key, and no other Secret";
    let team = Team::new().await;
    let account = json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}}});
    let token = merged(secret("x", "kubernetes.io/service-account-token", &Value::Null), &account);
    let session = secret("bowline-portal-session", "Opaque", &Value::Null);
    let rows = [
        (PORTAL, token.clone(), Refused(NO_OTHER)),
        (PORTAL, secret("x", "Opaque", &Value::Null), Refused(NO_OTHER)),
        (PORTAL, secret("x", "bowline.dev/credential", &Value::Null), Refused(NO_OTHER)),
        (PORTAL, secret("x", "bowline.dev/attempt", &Value::Null), Accepted),
        ("mallory", token.clone(), Accepted),
    ];
    for (who, object, verdict) in rows {
        judge_creation(&team, who, &team.secrets(), &object, verdict).await;
    }
    let elsewhere = team.person(PORTAL).ask(&Ask::post(&team.secrets(), &session)).await;
    judge("the portal makes its session key elsewhere", &elsewhere, Refused(NO_OTHER));
    let opaque = secret("opaque", "Opaque", &Value::Null);
    let stored = team.person("alice").must(&Ask::post(&team.secrets(), &opaque)).await;
    let data = json!({"data": {"access_token": "bmV3"}});
    let path = path_of(&team.secrets(), &stored);
    judge_change(&team, PORTAL, &path, &data, Refused(NO_OTHER)).await;
    let attempt = secret("attempt", "bowline.dev/attempt", &Value::Null);
    let attempt = team.person(PORTAL).must(&Ask::post(&team.secrets(), &attempt)).await;
    judge_change(&team, PORTAL, &path_of(&team.secrets(), &attempt), &data, Accepted).await;
}
