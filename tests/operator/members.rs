//! Members get their rights as Roles of the cluster, which the operator keeps with the rights it ships with: neither `escalate`
//! nor `bind`.
//!
//! tests/cluster shows what an Admin may change. Only here does the operator write the Roles.

use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::looking::{is, until, until_within};
use crate::plugin::bowline;
use crate::scene::{Scene, parsed, scene};

/// As long as a busy operator may take.
const WITHIN: Duration = Duration::from_mins(3);

/// Whether RBAC lets somebody do this with one object.
async fn may(
    it: &Scene,
    who: (&str, &[&str]),
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    let (user, groups) = who;
    let review: SubjectAccessReview = parsed(json!({"spec": {"user": user, "groups": groups,
        "resourceAttributes": {"group": "bowline.dev", "resource": resource, "verb": verb,
            "namespace": namespace, "name": name}}}));
    let reviews: Api<SubjectAccessReview> = Api::all(it.admin.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.expect("an answer");
    answer.status.expect("a status").allowed
}

/// Whether they may use the connection of this name.
async fn may_use(it: &Scene, who: (&str, &[&str]), name: &str) -> bool {
    may(it, who, "use", "integrationconnections", &it.namespace, name).await
}

async fn until_may_use(it: &Scene, who: (&str, &[&str]), expected: bool) {
    until_within(WITHIN, &format!("{who:?} may use it: {expected}"), async || {
        (may_use(it, who, "mail").await == expected).then_some(())
    })
    .await;
}

fn members(list: &Value) -> Value {
    json!({"spec": {"members": list}})
}

fn roles(it: &Scene) -> Api<Role> {
    Api::namespaced(it.admin.clone(), &it.namespace)
}

fn bindings(it: &Scene) -> Api<RoleBinding> {
    Api::namespaced(it.admin.clone(), &it.namespace)
}

/// Changes the connection as somebody.
async fn change_as(it: &Scene, user: &str, change: Value) -> Result<(), String> {
    let client: Client = it.stage.access.client_for(user).await.unwrap();
    let api: Api<IntegrationConnection> = Api::namespaced(client, &it.namespace);
    let changed = api.patch("mail", &PatchParams::default(), &Patch::Merge(&change)).await;
    changed.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn members_may_act_once_the_owner_has_consented_and_not_after_a_transfer_or_their_removal() {
    let it = scene("members").await;
    let (dora, max, ops) = (("carol", &[][..]), ("mallory", &[][..]), ("olaf", &["ops"][..]));
    it.provider(Rotation::SingleUse).apply().await;
    let list =
        json!([{"name": "carol", "role": "Admin"}, {"name": "mallory"}, {"kind": "Group", "name": "ops"}]);
    it.connection("mail").spec(json!({"members": list})).apply().await;
    it.connection("other").apply().await;
    it.until_reason("mail", "Members", "MembersWait").await;
    for who in [dora, max, ops] {
        assert!(!may_use(&it, who, "mail").await, "{who:?}: nobody has consented");
    }
    it.authorized("mail").await;
    it.until_reason("mail", "Members", "MembersInForce").await;
    for who in [dora, max, ops] {
        until_may_use(&it, who, true).await;
        assert!(!may_use(&it, who, "other").await, "{who:?}: that is another connection");
    }
    for (verb, expected) in [
        ("get", true),
        ("update", true),
        ("delete", true),
        ("connect", true),
        ("share", false),
        ("assign-owner", false),
    ] {
        let allowed = may(&it, dora, verb, "integrationconnections", &it.namespace, "mail").await;
        assert_eq!(allowed, expected, "dora {verb}");
    }
    assert!(!may(&it, max, "patch", "integrationconnections", &it.namespace, "mail").await);

    // What an Admin does, with RBAC and admission together.
    let (code, said, errors) = bowline(&it, "carol", &["members", "mail", "--add", "gitops"], "").await;
    assert!(code == 0 && said.contains("gitops"), "{said}{errors}");
    until_may_use(&it, ("gitops", &[]), true).await;
    let refused = change_as(&it, "mallory", json!({"spec": {"displayName": "mine"}})).await.unwrap_err();
    assert!(refused.contains("cannot patch"), "{refused}");
    let (code, said, _) = bowline(&it, "gitops", &["describe", "mail"], "").await;
    assert!(code != 0 || said.contains("carol (Admin)"), "{said}");

    // Removed: RBAC and admission take it away.
    it.change("mail", members(&json!([{"name": "carol"}, {"kind": "Group", "name": "ops"}]))).await;
    let refused = change_as(&it, "carol", json!({"spec": {"displayName": "mine"}})).await.unwrap_err();
    assert!(refused.contains("belongs to 'alice'") || refused.contains("cannot patch"), "{refused}");
    until_may_use(&it, max, false).await;
    until("no role of Admins", async || {
        roles(&it).get_opt("bowline:mail:admin").await.unwrap().is_none().then_some(())
    })
    .await;

    let (code, said, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob", "--yes"], "").await;
    assert!(code == 0, "{said}{errors}");
    until_may_use(&it, dora, false).await;
    until_may_use(&it, ops, false).await;
    it.until_reason("mail", "Members", "MembersWait").await;
    assert_eq!(it.get("mail").await.spec.members.len(), 2, "bob decides whether they stay");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn roles_of_members_are_put_back_and_those_of_others_are_not_touched() {
    let it = scene("member-roles").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.change("mail", members(&json!([{"name": "mallory"}]))).await;
    until_may_use(&it, ("mallory", &[]), true).await;
    let name = "bowline:mail:member";

    // Changed, without our labels, and deleted.
    let more = json!({"metadata": {"labels": null}, "rules": []});
    roles(&it).patch(name, &PatchParams::default(), &Patch::Merge(&more)).await.unwrap();
    until_within(WITHIN, "the role is put back", async || {
        let role = roles(&it).get(name).await.map_err(|error| error.to_string())?;
        let is_back = role.rules.iter().flatten().count() == 1 && role.labels().len() == 2;
        if is_back { Ok(()) } else { Err(format!("{role:?}")) }
    })
    .await;
    let mallory =
        json!({"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}]});
    bindings(&it).patch(name, &PatchParams::default(), &Patch::Merge(&mallory)).await.unwrap();
    bindings(&it).delete(name, &DeleteParams::default()).await.unwrap();
    until_within(WITHIN, "the binding is put back", async || {
        let binding = bindings(&it).get(name).await.map_err(|error| error.to_string())?;
        let named: Vec<_> = binding.subjects.iter().flatten().map(|subject| subject.name.clone()).collect();
        if named == ["mallory"] { Ok(()) } else { Err(format!("{named:?}")) }
    })
    .await;

    // A binding that claims to be ours and gives something else is replaced; one that does not is left alone.
    let uid = it.get("mail").await.uid().unwrap();
    let forged: RoleBinding = parsed(json!({"metadata": {"name": "bowline:mail:admin",
        "ownerReferences": [{"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "name": "mail",
            "uid": uid, "controller": true}]},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}]}));
    it.create(&it.namespace, &forged).await;
    it.change("mail", members(&json!([{"name": "carol", "role": "Admin"}]))).await;
    until_may_use(&it, ("carol", &[]), true).await;
    let binding = bindings(&it).get("bowline:mail:admin").await.unwrap();
    assert_eq!(binding.role_ref.name, "bowline:mail:admin");
    assert!(binding.subjects.iter().flatten().all(|subject| subject.name == "carol"), "{binding:?}");

    it.connection("chat").spec(json!({"members": [{"name": "mallory"}]})).apply().await;
    let theirs: Role = parsed(json!({"metadata": {"name": "bowline:chat:member"}, "rules": []}));
    it.create(&it.namespace, &theirs).await;
    it.authorized("chat").await;
    let status = it.until_reason("chat", "Members", "RoleTaken").await;
    assert!(is(&status, "Ready", "Connected"), "the connection works");
    assert!(it.until_event(&it.namespace, "RoleTaken").await.contains("Role bowline:chat:member"));
    assert!(roles(&it).get("bowline:chat:member").await.unwrap().owner_references().is_empty());
    assert!(!may_use(&it, ("mallory", &[]), "chat").await);
    roles(&it).delete("bowline:chat:member", &DeleteParams::default()).await.unwrap();
    it.ask_for_refresh("chat", "look").await;
    until_within(WITHIN, "the name is free", async || {
        may_use(&it, ("mallory", &[]), "chat").await.then_some(())
    })
    .await;
    it.delete("chat").await;
    it.until_gone(WITHIN, "chat").await;
    until_within(WITHIN, "garbage is collected", async || {
        roles(&it).get_opt("bowline:chat:member").await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_admin_of_a_workspace_may_change_that_one() {
    let it = scene("workspace-admin").await;
    let jobs = it.another_namespace("jobs").await;
    let dora = "carol";
    it.workspace(&["alice"], &[&jobs]).apply().await;
    let list = json!({"spec": {"members": [{"name": "alice"}, {"name": dora, "role": "Admin"}]}});
    it.workspaces().patch(&it.name, &PatchParams::default(), &Patch::Merge(&list)).await.unwrap();
    let may_patch = async |name: &str| may(&it, (dora, &[]), "patch", "workspaces", "", name).await;
    until_within(WITHIN, "she may change it", async || may_patch(&it.name).await.then_some(())).await;
    assert!(!may_patch("another").await);
    let hers: Api<bowline_api::Workspace> = Api::all(it.stage.access.client_for(dora).await.unwrap());
    let described = json!({"spec": {"displayName": "Ours"}});
    hers.patch(&it.name, &PatchParams::default(), &Patch::Merge(&described)).await.expect("she may");
    let clusters: Api<ClusterRole> = Api::all(it.admin.clone());
    let role = format!("bowline:workspace:{}:admin", it.name);
    assert!(clusters.get_opt(&role).await.unwrap().is_some());
    it.workspaces().delete(&it.name, &DeleteParams::default()).await.unwrap();
    until_within(WITHIN, "garbage is collected", async || {
        clusters.get_opt(&role).await.unwrap().is_none().then_some(())
    })
    .await;
}
