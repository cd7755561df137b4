//! A connection gets another owner, and a person leaves with everything they own.
//!
//! tests/cluster shows who may do it. Only here is there something to withdraw and to revoke.

use bowline_api::terms::ConnectionTerms;
use bowline_testbed::access::ADMIN;
use bowline_testbed::audit::Mark;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, Rotation};
use bowline_testbed::scratch::Scratch;
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::{Value, json};

use crate::binding::{Bound, id, shared};
use crate::carrier::allowed;
use crate::looking::{grant_id, holds, is, until, until_within, words};
use crate::plugin::bowline;
use crate::scene::{Scene, parsed, scene};
use crate::stage::Stage;

/// What only the API server's own account of the operator shows.
const OPERATOR: &str = "system:serviceaccount:bowline-system:bowline";
/// Longer than a revocation that fails twice takes.
const REVOKED_WITHIN: std::time::Duration = std::time::Duration::from_mins(3);

async fn until_all_revoked(it: &Scene) {
    until_within(REVOKED_WITHIN, "no token is still valid", async || {
        let alive = it.realm.tokens().into_iter().filter(|token| it.realm.is_alive(token)).count();
        if alive == 0 { Ok(()) } else { Err(format!("{alive} are")) }
    })
    .await;
}

/// How many Secrets the operator has written in these namespaces since then.
fn published_since(it: &Scene, mark: Mark, namespaces: &[&str]) -> usize {
    let log = it.stage.access.audit().unwrap().requests_since(mark).unwrap();
    let written = log.by(OPERATOR).on("secrets").that(|request| {
        ["create", "patch", "update"].contains(&request.verb.as_str())
            && namespaces.contains(&request.namespace.as_str())
    });
    written.count()
}

/// On the page of the portal, which shows what the owner agrees to.
async fn consents_as(it: &Scene, user: &str, account: &str) {
    let workspace = it.workspaces().get_opt(&it.name).await.expect("the API server answers");
    let shown = ConnectionTerms::of(&it.get("mail").await.spec, workspace.as_ref()).digest();
    let attempt = it.attempt_shown(user, None, "mail", Some(shown)).await;
    attempt.returned(&allowed(&attempt.sent().await, account).await).await;
    let ending = attempt.ended().await;
    assert!(ending.is_connected(), "{ending:?}");
}

/// Sharing.md: credentials never travel; id, config and bindings stay.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_withdraws_and_revokes_at_once_and_the_new_owner_begins_anew() {
    let it = scene("transfer").await;
    let bound = shared(&it, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    it.change("mail", json!({"spec": {"config": {"channel": "#all"}}})).await;
    let before = it.until_status("mail", "published", |status| holds(status, "Ready")).await;
    assert!(before.account.is_some() && before.connected_by.as_deref() == Some("alice"), "{before:?}");

    let (code, _, errors) = bowline(&it, "alice", &["transfer", "mail", "--to", "bob", "--yes"], "").await;
    assert!(code == 1 && errors.contains("stays so"), "not even its owner gives it away: {errors}");
    let (code, _, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob", "--dry-run"], "").await;
    assert!(code == 0 && errors.contains("Nothing was changed"), "{errors}");
    let shared_secret = format!("{}: Secret {}", bound.namespace, id(&it, "mail"));
    for words in [shared_secret.as_str(), "binding post", "grant of alice is revoked", "accepts bob"] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    assert_eq!(it.get("mail").await.spec.owner, "alice");
    let (code, _, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob"], "y\n").await;
    assert!(code == 1 && errors.contains("nothing was changed"), "others lose it: {errors}");

    let (code, said, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob", "--yes"], "").await;
    assert!(code == 0 && said.contains("belongs to bob now"), "{said}{errors}");
    let mark = it.stage.access.audit().unwrap().mark().unwrap();
    for (namespace, name) in [(&it.namespace, "mail".to_owned()), (&bound.namespace, id(&it, "mail"))] {
        it.until_no_secret(namespace, &name).await;
    }
    for binding in [&own, &bound] {
        binding.until_no_secret().await;
    }
    until_all_revoked(&it).await;
    let after = it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(after.account.is_none() && after.connected_by.is_none() && after.grant.is_none(), "{after:?}");
    assert_eq!(after.id, before.id);
    let told = after.history.iter().find(|entry| entry.reason.is(bowline_api::reason::Reason::OwnerChanged));
    assert!(told.is_some_and(|told| told.message.contains("from alice to bob")), "{:?}", after.history);
    assert_eq!(published_since(&it, mark, &[&it.namespace, &bound.namespace]), 0, "published for nobody");
    until_inherits_nothing(&it, &own, &bound).await;
}

/// bob connects: the connection works, and the bindings wait for their authors.
async fn until_inherits_nothing(it: &Scene, own: &Bound<'_>, bound: &Bound<'_>) {
    consents_as(it, "bob", "bob").await;
    let status = it.until_phase("mail", "Active").await;
    assert_eq!(status.connected_by.as_deref(), Some("bob"));
    let spec = it.get("mail").await.spec;
    assert_eq!((spec.config.get("channel"), spec.shared), (Some(&json!("#all")), Some(true)));
    for binding in [own, bound] {
        let told = binding.until("ConnectionMismatch").await;
        assert!(told.contains("bob"), "{told}");
        binding.until_no_secret().await;
    }
    let uid = it.get("mail").await.metadata.uid;
    let account = status.account.map(|account| account.id);
    let accept = json!({"uid": uid, "owner": "bob", "accountId": account});
    own.apply(json!({"connection": id(it, "mail"), "accept": accept})).await;
    own.until("Bound").await;
}

/// What the provider cannot revoke now is revoked later; the new owner waits for nothing.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_waits_for_no_provider_and_the_former_grant_is_still_revoked() {
    let it = scene("transfer-down").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.realm.fault(Fault::at(Endpoint::Revocation, Action::status(503)).times(u32::MAX));
    let (code, said, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob", "--yes"], "").await;
    assert!(code == 0, "{said}{errors}");
    it.until_no_secret(&it.namespace, "mail").await;
    consents_as(&it, "bob", "bob").await;
    it.until_phase("mail", "Active").await;
    assert!(!it.realm.ledger().is_grant_revoked(&minted.grant_id));
    it.realm.clear_faults();
    let grant = &minted.grant_id;
    it.until_ledger_within(REVOKED_WITHIN, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(()))
        .await;
    let status = it.status("mail").await;
    assert!(holds(&status, "Ready") && is(&status, "Authorized", "Authorized"), "bob's is another grant");
}

/// A connection of somebody who leaves, made by themselves.
async fn owned_by(it: &Scene, user: &str, name: &str, spec: Value) {
    let mut object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name, "namespace": it.namespace}, "spec": {"provider": it.name, "owner": user}});
    crate::drafts::merge(&mut object["spec"], spec);
    let files = Scratch::create().expect("a folder");
    let file = files.path().join("connection.json");
    std::fs::write(&file, object.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    until("their own connection", async || {
        let apply = ["apply", "--as", user, "--as-group", "system:authenticated", "-f", file];
        let output = it.stage.access.kubectl_as(ADMIN, &apply).await.map_err(|error| error.to_string())?;
        output
            .status
            .success()
            .then_some(())
            .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    })
    .await;
}

fn has_row(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().starts_with(words))
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_person_who_leaves_is_listed_with_all_they_own_and_each_result_is_told() {
    let it = scene("offboard").await;
    let jobs = it.another_namespace("jobs").await;
    let leaver = "lena@offboard.example";
    it.workspace(&[leaver, "bob"], &[&jobs]).apply().await;
    it.provider(Rotation::SingleUse).apply().await;
    let edits: RoleBinding = parsed(json!({"metadata": {"name": "lena"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": leaver}]}));
    it.create(&it.namespace, &edits).await;
    owned_by(&it, leaver, "mail", json!({"workspace": it.name, "shared": true})).await;
    owned_by(&it, leaver, "chat", json!({})).await;
    consents_as(&it, leaver, "alice").await;
    it.secret_in(&jobs, &id(&it, "mail")).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    it.until_status("mail", "told", |status| status.dependents.is_some()).await;

    // bob sees his own namespace, and is told that there may be more.
    let (code, said, errors) = bowline(&it, "bob", &["offboard", leaver], "").await;
    assert!(code == 0 && errors.contains(&format!("only {} was looked at", it.namespace)), "{errors}");
    assert!(errors.contains("You may not list workspaces") && said.contains("/chat"), "{said}{errors}");
    let (code, said, _) = bowline(&it, "bob", &["offboard", leaver, "--disconnect", "--yes"], "").await;
    assert!(code == 1 && said.matches("refused").count() == 2, "{said}");

    let (code, said, errors) = bowline(&it, ADMIN, &["offboard", leaver], "").await;
    assert_eq!(code, 0, "{errors}");
    let of_jobs = format!("{jobs}: Secret {}", id(&it, "mail"));
    let workspace = format!("Workspace {}: Member", it.name);
    for words in [of_jobs.as_str(), &workspace, "binding post", "Active", "/chat: ", "/post: works"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said, errors) = bowline(&it, ADMIN, &["offboard", leaver, "--delete", "--dry-run"], "").await;
    // What bindings use is not deleted, and one refusal stops nothing.
    assert!(code == 1 && errors.contains("1 of 2 connections are as they were"), "{errors}");
    assert!(has_row(&said, &[&it.namespace, "chat", "would", "be", "deleted"]), "{said}");
    assert!(has_row(&said, &[&it.namespace, "mail", "refused"]) && said.contains("bindings use"), "{said}");
    assert_eq!(it.get("chat").await.spec.owner, leaver);
    let (code, _, errors) = bowline(&it, ADMIN, &["offboard", leaver, "--unshare"], "y\n").await;
    assert!(code == 1 && errors.contains("nothing was changed"), "{errors}");
    let (code, said, errors) = bowline(&it, ADMIN, &["offboard", leaver, "--unshare", "--yes"], "").await;
    assert!(code == 0 && has_row(&said, &[&it.namespace, "chat", "nothing"]), "{said}{errors}");
    it.until_no_secret(&jobs, &id(&it, "mail")).await;

    let to_bob = ["offboard", leaver, "--transfer-to", "bob", "--yes"];
    let (code, said, errors) = bowline(&it, ADMIN, &to_bob, "").await;
    assert!(
        code == 0 && has_row(&said, &[&it.namespace, "mail", "transferred", "to", "bob"]),
        "{said}{errors}"
    );
    until_all_revoked(&it).await;
    it.until_no_secret(&it.namespace, "mail").await;
    own.until_no_secret().await;
    for name in ["mail", "chat"] {
        assert_eq!(it.get(name).await.spec.owner, "bob");
    }
    until("nothing is left", async || {
        let (code, said, _) = bowline(&it, ADMIN, &["offboard", leaver], "").await;
        (code == 0 && said.contains("owns no connection that you may see")).then_some(()).ok_or(said)
    })
    .await;
}

/// Withdrawn at once, revoked later: until then nothing is lost.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_disconnection_is_undone_within_its_pause_also_by_the_next_process() {
    let stage = Stage::fresh(&["--disconnect-pause", "1h"]).await;
    let it = stage.scene("undo").await;
    let bound = shared(&it, 3600).await;
    let before = it.status("mail").await;
    let (code, said, errors) = bowline(&it, "alice", &["disconnect", "mail", "--yes"], "").await;
    assert!(code == 0 && said.contains("kubectl bowline undo mail"), "{said}{errors}");
    let disconnected = async || {
        for (namespace, name) in [(&it.namespace, "mail".to_owned()), (&bound.namespace, id(&it, "mail"))] {
            it.until_no_secret(namespace, &name).await;
        }
        bound.until_no_secret().await;
    };
    disconnected().await;
    let status = it.until_phase("mail", "Disconnected").await;
    let revoked_at = status.revokes_at.clone().expect("a time");
    assert!(words(&status, "Authorized").contains("kubectl bowline undo mail"), "{status:?}");
    stage.kill_operator();
    stage.start_operator().await;
    let (code, _, errors) = bowline(&it, "bob", &["undo", "mail"], "").await;
    assert!(code == 1 && errors.contains("belongs to 'alice'"), "{errors}");
    it.change("mail", json!({"spec": {"displayName": "Ours"}})).await;
    let generation = it.get("mail").await.metadata.generation;
    let seen = it.until_status("mail", "seen", |status| status.observed_generation == generation).await;
    assert_eq!(seen.revokes_at, Some(revoked_at), "the pause goes on");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), 0);

    let (code, said, errors) = bowline(&it, "alice", &["undo", "mail"], "").await;
    assert!(code == 0 && said.contains("with the grant it had"), "{said}{errors}");
    let after = it.until_phase("mail", "Active").await;
    assert_eq!(grant_id(&after), grant_id(&before), "without a consent");
    assert_eq!((&after.connected_at, &after.account), (&before.connected_at, &before.account));
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]) && after.revokes_at.is_none());
    bound.until("Bound").await;
    it.ask_for_refresh("mail", "once").await;
    it.until_status("mail", "refreshed", |status| status.last_handled_refresh.as_deref() == Some("once"))
        .await;
    assert!(it.realm.ledger().spent_twice().is_empty());

    // The next pause begins from the start; a leaked token waits for none.
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_status("mail", "to be revoked", |status| status.revokes_at.is_some()).await;
    disconnected().await;
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), 0);
    let (code, _, errors) = bowline(&it, "bob", &["disconnect", "mail", "--now", "--yes"], "").await;
    assert!(code == 1 && errors.contains("belongs to 'alice'"), "{errors}");
    let (code, said, errors) = bowline(&it, "alice", &["disconnect", "mail", "--now", "--yes"], "").await;
    assert!(code == 0 && !said.contains("undo"), "{said}{errors}");
    until_all_revoked(&it).await;
    let (code, _, errors) = bowline(&it, "alice", &["undo", "mail"], "").await;
    assert!(code == 1 && errors.contains("kubectl bowline connect mail"), "{errors}");
}

/// Whoever deletes, or gives a connection to another, does not wait: nobody could undo that.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_pause_ends_with_a_deletion_a_transfer_or_its_time() {
    let stage = Stage::fresh(&["--disconnect-pause", "1h"]).await;
    let it = stage.scene("pause-ends").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let pausing = async || {
        it.change("mail", json!({"spec": {"disconnect": true}})).await;
        it.until_status("mail", "to be revoked", |status| status.revokes_at.is_some()).await;
        assert!(it.realm.tokens().into_iter().any(|token| it.realm.is_alive(&token)));
    };
    pausing().await;
    it.delete("mail").await;
    it.until_gone(REVOKED_WITHIN, "mail").await;
    until_all_revoked(&it).await;

    it.connection("mail").apply().await;
    it.authorized("mail").await;
    pausing().await;
    let (code, _, errors) = bowline(&it, ADMIN, &["transfer", "mail", "--to", "bob", "--yes"], "").await;
    assert_eq!(code, 0, "{errors}");
    until_all_revoked(&it).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_pause_is_over_after_its_time_and_the_grant_is_revoked() {
    let stage = Stage::fresh(&["--disconnect-pause", "2s"]).await;
    let it = stage.scene("pause-over").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    let grant = &minted.grant_id;
    it.until_ledger_within(REVOKED_WITHIN, "revoked", |ledger| ledger.is_grant_revoked(grant).then_some(()))
        .await;
    let over = it.until_status("mail", "it is over", |status| status.revokes_at.is_none()).await;
    assert!(over.connected_by.is_none() && over.account.is_none(), "{over:?}");
}
