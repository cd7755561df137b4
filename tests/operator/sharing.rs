//! Shares: who gets the token, and how fast it is withdrawn (R18 to R22).
//!
//! Unit tests compute where a connection is shared. Only here do we see that Secret and share in another namespace are
//! removed after a change of another kind, and in time.

use std::time::Duration;

use bowline_api::ConnectionShare;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::looking::{holds, until, until_within};
use crate::scene::{Scene, parsed, scene};
use crate::stage::Stage;

/// The design allows ten seconds until a removed owner's shares are withdrawn; a busy machine may need more. If a wake were
/// lost, the next sweep would come only after ten minutes.
const TAKEN_BACK_WITHIN: Duration = Duration::from_mins(1);

/// A shared connection of alice's in a workspace of two other namespaces.
struct Shared {
    it: Scene,
    grant: String,
    id: String,
    namespaces: [String; 2],
}

impl Shared {
    async fn new(name: &str, lifetime: u64) -> Self {
        let it = scene(name).await;
        let namespaces = [it.another_namespace("one").await, it.another_namespace("two").await];
        let shared = Self { id: format!("{}.mail", it.namespace), grant: String::new(), namespaces, it };
        shared.members(&["alice", "bob"]).await;
        shared.it.provider(Rotation::SingleUse).lifetime(lifetime).apply().await;
        shared.it.connection("mail").shared().apply().await;
        let minted = shared.it.authorized("mail").await;
        shared.until_shared().await;
        Self { grant: minted.grant_id, ..shared }
    }

    async fn members(&self, members: &[&str]) {
        let [one, two] = &self.namespaces;
        self.it.workspace(members, &[one, two]).apply().await;
    }

    fn shares(&self, namespace: &str) -> Api<ConnectionShare> {
        Api::namespaced(self.it.admin.clone(), namespace)
    }

    /// Both namespaces have the owner's present token, and the share and the status say so.
    async fn until_shared(&self) {
        for namespace in &self.namespaces {
            until(&format!("the owner's token in {namespace}"), async || {
                let own = self.it.secret("mail").await;
                let theirs = self.it.secret_in(namespace, &self.id).await;
                (own["access_token"] == theirs["access_token"]).then_some(())
            })
            .await;
            until("the share says so", async || {
                let share = self.shares(namespace).get(&self.id).await.ok()?.status?;
                let ready = share
                    .conditions
                    .iter()
                    .any(|ready| ready.type_ == "Ready" && ready.reason == "Published");
                (ready && share.shared_by.as_deref() == Some("alice")).then_some(())
            })
            .await;
        }
        self.it.until_reason("mail", "Shared", "Shared").await;
    }

    async fn until_withdrawn(&self, namespace: &str) {
        until_within(TAKEN_BACK_WITHIN, &format!("nothing of it in {namespace}"), async || {
            let secret = self.it.secret_now(namespace, &self.id).await;
            let share = self.shares(namespace).get_opt(&self.id).await.expect("an answer");
            (secret.is_none() && share.is_none()).then_some(())
        })
        .await;
    }

    async fn until_withdrawn_everywhere(&self) {
        for namespace in &self.namespaces {
            self.until_withdrawn(namespace).await;
        }
    }

    /// The owner's own Secret exists and its token is valid, and the connection is Ready.
    async fn assert_owner_keeps_it(&self) {
        let own = self.it.secret("mail").await;
        assert!(self.it.realm.is_alive(&own["access_token"]));
        assert!(holds(&self.it.status("mail").await, "Ready"));
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_share_has_the_raw_keys_only_and_follows_each_refresh() {
    let shared = Shared::new("follow", 8).await;
    let it = &shared.it;
    let labels = json!({"teams.example.com/name": "a"});
    it.change(
        "mail",
        json!({"spec": {"secret": {"format": "Env", "template": {"metadata": {"labels": labels}}}}}),
    )
    .await;
    it.until_secret("mail", "upper case", |keys| keys.contains_key("ACCESS_TOKEN")).await;
    let [one, _] = &shared.namespaces;
    let first = it.secret_in(one, &shared.id).await;
    assert!(first.contains_key("access_token") && !first.contains_key("ACCESS_TOKEN"), "{:?}", first.keys());
    let secret = it.secret_now(one, &shared.id).await.unwrap();
    assert!(!secret.metadata.labels.unwrap().contains_key("teams.example.com/name"));
    for namespace in &shared.namespaces {
        let next = it.until_secret_in(namespace, &shared.id, "the next token", |keys| keys != &first).await;
        assert!(it.realm.is_alive(&next["access_token"]));
    }
    assert!(it.realm.ledger().spent_twice().is_empty());
}

/// R21.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_removed_owner_loses_the_shares_at_once_keeps_the_own_secret_and_comes_back() {
    let shared = Shared::new("removed", 3600).await;
    shared.members(&["bob"]).await;
    shared.until_withdrawn_everywhere().await;
    shared.it.until_reason("mail", "Shared", "OwnerNotMember").await;
    shared.it.until_event(&shared.it.namespace, "OwnerRemoved").await;
    shared.assert_owner_keeps_it().await;

    shared.members(&["alice", "bob"]).await;
    shared.until_shared().await;
}

/// R19.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_takes_the_connection_back_and_keeps_it() {
    let shared = Shared::new("unshare", 3600).await;
    shared.it.change("mail", json!({"spec": {"shared": false}})).await;
    shared.until_withdrawn_everywhere().await;
    shared.it.until_event(&shared.it.namespace, "Unshared").await;
    shared.assert_owner_keeps_it().await;
}

/// R20.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn disconnecting_ends_it_for_everybody() {
    let shared = Shared::new("all-gone", 3600).await;
    shared.it.change("mail", json!({"spec": {"disconnect": true}})).await;
    shared.until_withdrawn_everywhere().await;
    shared.it.until_no_secret(&shared.it.namespace, "mail").await;
    let grant = &shared.grant;
    shared.it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn deleting_ends_it_for_everybody() {
    let shared = Shared::new("deleted", 3600).await;
    shared.it.delete("mail").await;
    shared.it.until_gone(TAKEN_BACK_WITHIN, "mail").await;
    shared.until_withdrawn_everywhere().await;
    let grant = &shared.grant;
    shared.it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_namespace_that_leaves_the_workspace_loses_it_and_the_others_keep_it() {
    let shared = Shared::new("leaves", 3600).await;
    let [one, two] = &shared.namespaces;
    shared.it.workspace(&["alice"], &[two]).apply().await;
    shared.until_withdrawn(one).await;
    assert!(shared.it.secret_now(two, &shared.id).await.is_some());
    shared.assert_owner_keeps_it().await;
    shared.members(&["alice"]).await;
    shared.until_shared().await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_workspace_has_nothing_any_more() {
    let shared = Shared::new("closed", 3600).await;
    shared.it.workspaces().delete(&shared.it.name, &DeleteParams::default()).await.expect("deleted");
    shared.until_withdrawn_everywhere().await;
    shared.it.until_reason("mail", "Shared", "WorkspaceNotFound").await;
    shared.assert_owner_keeps_it().await;
    shared.members(&["alice"]).await;
    shared.until_shared().await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_namespace_goes_and_the_rest_stays() {
    let shared = Shared::new("ended", 3600).await;
    let [one, two] = &shared.namespaces;
    let namespaces: Api<Namespace> = Api::all(shared.it.admin.clone());
    namespaces.delete(one, &DeleteParams::default()).await.expect("deleted");
    // The namespace controller also has to empty those of all other tests.
    until_within(Duration::from_mins(2), "the namespace is gone", async || {
        namespaces.get_opt(one).await.ok().and_then(|found| found.is_none().then_some(()))
    })
    .await;
    assert!(shared.it.secret_now(two, &shared.id).await.is_some());
    shared.assert_owner_keeps_it().await;
}

/// The policies refuse a share made by hand (`operator_only.rs`); the operator does not rely on them.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_share_made_by_hand_publishes_nothing_even_without_policies() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("by-hand").await;
    let target = it.another_namespace("target").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let policies = ["delete", "validatingadmissionpolicybindings", "--all"];
    assert!(stage.access.kubectl(&policies).await.unwrap().status.success());
    let uid = it.get("mail").await.metadata.uid.unwrap();
    let id = format!("{}.mail", it.namespace);
    let share: ConnectionShare = parsed(json!({"metadata": {"name": id, "namespace": target}, "spec": {
        "workspace": "nobodys", "provider": it.name, "owner": "alice",
        "connection": {"namespace": it.namespace, "name": "mail", "uid": uid}}}));
    let shares: Api<ConnectionShare> = Api::namespaced(it.admin.clone(), &target);
    until("the policies are gone", async || {
        shares.create(&PostParams { dry_run: true, ..PostParams::default() }, &share).await.map(drop)
    })
    .await;
    let mark = it.stage.access.audit().unwrap().mark().unwrap();
    shares.create(&PostParams::default(), &share).await.expect("a share by hand");
    until("it is removed", async || {
        shares.get_opt(&id).await.ok().and_then(|found| found.is_none().then_some(()))
    })
    .await;
    let requests = it.stage.access.audit().unwrap().requests_since(mark).unwrap();
    let created = requests.on("secrets").in_namespace(&target).with_verb("create");
    assert_eq!(created.count(), 0, "a Secret was published for it");
}
