//! What a connection's owner agreed to is in force, and what somebody else widens waits for them.
//!
//! Bob is the pipeline here: he may assign owners and share. Admission, which tells his changes from alice's, is tested in
//! `tests/cluster/terms.rs`.

use bowline_api::IntegrationConnection;
use bowline_api::attempt::EndResult;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::names::{ANNOTATION_APPROVE_TERMS, ANNOTATION_TERMS_BY};
use bowline_api::reason::Reason;
use bowline_api::terms::ConnectionTerms;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::carrier::allowed;
use crate::drafts::merge;
use crate::guarding::{apply_policies_again, weaken};
use crate::looking::until;
use crate::plugin::bowline;
use crate::scene::{Scene, parsed, scene};
use crate::stage::Stage;

/// A scene whose workspace has a namespace besides its own.
pub struct Agreed {
    pub it: Scene,
    pub id: String,
    pub one: String,
}

impl Agreed {
    pub async fn new(name: &str) -> Self {
        Self::on(scene(name).await).await
    }

    async fn on(it: Scene) -> Self {
        let one = it.another_namespace("one").await;
        let agreed = Self { id: format!("{}.mail", it.namespace), one, it };
        agreed.workspace(&[&agreed.one]).await;
        agreed.it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
        let binding: RoleBinding = parsed(json!({
            "metadata": {"name": "pipeline"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-gitops"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
        }));
        agreed.it.create(&agreed.it.namespace, &binding).await;
        agreed.until_bob_may().await;
        agreed
    }

    async fn until_bob_may(&self) {
        let question: SelfSubjectAccessReview =
            parsed(json!({"spec": {"resourceAttributes": {"verb": "assign-owner",
            "namespace": self.it.namespace, "group": "bowline.dev", "resource": "integrationconnections"}}}));
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.it.bob.clone());
        until("the pipeline's rights", async || {
            let answer = reviews.create(&PostParams::default(), &question).await.ok()?;
            answer.status.is_some_and(|status| status.allowed).then_some(())
        })
        .await;
    }

    pub async fn workspace(&self, namespaces: &[&str]) {
        self.it.workspace(&["alice"], namespaces).apply().await;
    }

    /// A connection of alice's that she made and shared herself.
    pub async fn shared_by_alice(&self) {
        self.it.connection("mail").shared().apply().await;
        self.it.authorized("mail").await;
        self.until_in(&self.one).await;
    }

    /// Bob makes a connection for alice, shared from the beginning.
    pub async fn prepared_by_bob(&self) {
        let object: IntegrationConnection = parsed(json!({
            "metadata": {"name": "mail", "annotations": {ANNOTATION_TERMS_BY: "bob"}},
            "spec": {"provider": self.it.name, "owner": "alice", "workspace": self.it.name, "shared": true}}));
        let connections: Api<IntegrationConnection> =
            Api::namespaced(self.it.bob.clone(), &self.it.namespace);
        connections.create(&PostParams::default(), &object).await.expect("a prepared connection");
    }

    /// Bob changes it, as soon as admission lets him: the operator must have seen what was there before.
    pub async fn changed_by_bob(&self, mut change: Value) {
        merge(&mut change, json!({"metadata": {"annotations": {ANNOTATION_TERMS_BY: "bob"}}}));
        self.changed_by_somebody(change).await;
    }

    /// Like [`Agreed::changed_by_bob`], without a word on who did.
    async fn changed_by_somebody(&self, change: Value) {
        let connections: Api<IntegrationConnection> =
            Api::namespaced(self.it.bob.clone(), &self.it.namespace);
        until("the pipeline's change", async || {
            let changed = connections.patch("mail", &PatchParams::default(), &Patch::Merge(&change)).await;
            changed.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    pub async fn until_in(&self, namespace: &str) {
        until(&format!("the token in {namespace}"), async || {
            self.it.secret_now(namespace, &self.id).await.map(drop)
        })
        .await;
    }

    pub async fn until_not_in(&self, namespace: &str) {
        until(&format!("no token in {namespace}"), async || {
            self.it.secret_now(namespace, &self.id).await.is_none().then_some(())
        })
        .await;
    }

    /// The digest of what waits, once the operator says that something does.
    pub async fn until_waiting(&self) -> String {
        until("something waits for alice", async || {
            let connection = self.it.get("mail").await;
            let (_, _, digest) = connection.waiting_terms().ok_or("nothing waits")?;
            Ok::<_, &str>(digest.to_owned())
        })
        .await
    }

    pub async fn until_agreed(&self) -> IntegrationConnection {
        until("nothing waits", async || {
            let connection = self.it.get("mail").await;
            let terms = connection.terms().ok_or("no terms yet")?;
            let is_current = terms.observed_generation == connection.metadata.generation;
            if terms.proposed.is_none() && is_current { Ok(connection) } else { Err("not yet") }
        })
        .await
    }

    async fn approve(&self, digest: &str) {
        self.it
            .change("mail", json!({"metadata": {"annotations": {ANNOTATION_APPROVE_TERMS: digest}}}))
            .await;
    }

    /// Waits until an approval is handled, whatever came of it.
    async fn until_handled(&self) {
        until("the approval is handled", async || {
            let annotations = self.it.get("mail").await.metadata.annotations.unwrap_or_default();
            (!annotations.contains_key(ANNOTATION_APPROVE_TERMS)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_a_pipeline_prepares_goes_nowhere_before_its_owner_has_seen_where() {
    let it = Agreed::new("terms-prepared").await;
    it.prepared_by_bob().await;
    // She imports her token, which shows her no page.
    it.it.authorized("mail").await;
    it.it.until_reason("mail", "Shared", "OwnerApprovalNeeded").await;
    let digest = it.until_waiting().await;
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none(), "nobody has agreed to that");
    let connection = it.it.get("mail").await;
    assert!(connection.is_ready(), "her own Secret holds it");
    assert_eq!(connection.terms().unwrap().by.as_deref(), Some("bob"));

    // While she looks, another namespace joins: what she approves is not what she saw.
    let two = it.it.another_namespace("two").await;
    it.workspace(&[&it.one, &two]).await;
    let next = until("another proposal", async || {
        let now = it.until_waiting().await;
        (now != digest).then_some(now)
    })
    .await;
    it.approve(&digest).await;
    it.until_handled().await;
    assert_eq!(it.until_waiting().await, next);
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none());

    it.approve(&next).await;
    it.until_in(&it.one).await;
    it.until_in(&two).await;
    it.until_agreed().await;
    it.until_handled().await;
    it.it.until_reason("mail", "Shared", "Shared").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_consent_agrees_to_what_its_page_showed() {
    let it = Agreed::new("terms-shown").await;
    it.prepared_by_bob().await;
    let shown = |namespaces: &[&str]| {
        let terms = json!({"workspace": it.it.name, "shared": true, "namespaces": namespaces});
        serde_json::from_value::<ConnectionTerms>(terms).unwrap().digest()
    };
    let two = it.it.another_namespace("two").await;
    let late = it.it.attempt_shown("alice", None, "mail", Some(shown(&[&it.one, &two]))).await.ended().await;
    assert_eq!(late.result, EndResult::Failed);
    assert!(late.message.contains("changed after the page had shown it"), "{}", late.message);

    let attempt = it.it.attempt_shown("alice", None, "mail", Some(shown(&[&it.one]))).await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    attempt.returned(&callback).await;
    assert_eq!(attempt.ended().await.result, EndResult::Connected);
    it.until_in(&it.one).await;
    it.until_agreed().await;
    it.it.until_reason("mail", "Shared", "Shared").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_shares_again_what_the_owner_took_back() {
    let it = Agreed::new("terms-back").await;
    it.shared_by_alice().await;
    it.it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_not_in(&it.one).await;
    it.changed_by_bob(json!({"spec": {"shared": true}})).await;
    it.it.until_reason("mail", "Shared", "OwnerApprovalNeeded").await;
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none());
    // Her own change of something else agrees to nothing.
    it.it.change("mail", json!({"spec": {"scopes": ["read"]}})).await;
    it.it
        .until_status("mail", "her scopes beside what waits", |status| {
            let proposed = status.terms.as_ref().and_then(|terms| terms.proposed.as_ref());
            proposed.is_some_and(|proposed| proposed.scopes.contains("read") && proposed.shared)
        })
        .await;
    let digest = it.until_waiting().await;
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none());

    let (code, said, _) = bowline(&it.it, "alice", &["approve", "mail", "--dry-run"], "").await;
    assert!(code == 0 && said.contains("bob") && said.contains(&it.one), "{said}");
    let (code, _, refused) = bowline(&it.it, "bob", &["approve", "mail", "--yes"], "").await;
    assert!(code != 0 && refused.contains("who alone approves where it is shared"), "{refused}");
    assert_eq!(it.until_waiting().await, digest);
    let (code, said, errors) = bowline(&it.it, "alice", &["approve", "mail", "--yes"], "").await;
    assert!(code == 0 && said.contains("approved"), "{said} {errors}");
    it.until_in(&it.one).await;

    // Nothing of his waits any more: her word counts again.
    let (code, _, errors) = bowline(&it.it, "alice", &["unshare", "mail"], "").await;
    assert_eq!(code, 0, "{errors}");
    it.until_agreed().await;
    let (code, said, errors) = bowline(&it.it, "alice", &["share", "mail"], "").await;
    assert!(code == 0, "{said} {errors}");
    it.until_in(&it.one).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_namespace_that_joins_waits_and_the_others_keep_the_token() {
    let it = Agreed::new("terms-joins").await;
    it.shared_by_alice().await;
    it.until_agreed().await;
    let two = it.it.another_namespace("two").await;
    it.workspace(&[&it.one, &two]).await;
    it.it.until_reason("mail", "Shared", "OwnerApprovalNeeded").await;
    let digest = it.until_waiting().await;
    let connection = it.it.get("mail").await;
    assert_eq!(connection.terms().unwrap().by, None, "the spec is hers");
    let (agreed, proposed, _) = connection.waiting_terms().unwrap();
    assert!(!agreed.namespaces.as_ref().unwrap().contains(&two));
    assert!(proposed.namespaces.as_ref().unwrap().contains(&two));
    assert!(it.it.secret_now(&two, &it.id).await.is_none());
    assert!(it.it.secret_now(&it.one, &it.id).await.is_some(), "it stays where it was agreed to");

    // Her own edit of something else does not let it go there.
    it.it.change("mail", json!({"spec": {"scopes": ["read"]}})).await;
    it.it
        .until_status("mail", "her scopes", |status| {
            status.terms.as_ref().is_some_and(|terms| terms.agreed.scopes.contains("read"))
        })
        .await;
    assert!(it.it.secret_now(&two, &it.id).await.is_none());
    assert_ne!(it.until_waiting().await, digest, "the scopes are part of what waits");
    it.approve(&it.until_waiting().await).await;
    it.until_in(&two).await;
    it.it.until_reason("mail", "Shared", "Shared").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn another_workspace_waits_and_the_agreed_one_keeps_the_token() {
    let it = Agreed::new("terms-elsewhere").await;
    it.shared_by_alice().await;
    let away = it.it.another_namespace("away").await;
    let other = format!("{}-other", it.it.name);
    let workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": other},
        "spec": {"members": [{"kind": "User", "name": "alice"}], "namespaces": [away]}});
    let applied = PatchParams::apply("files").force();
    it.it.workspaces().patch(&other, &applied, &Patch::Apply(&workspace)).await.expect("a workspace");
    it.changed_by_bob(json!({"spec": {"workspace": other}})).await;
    let digest = it.until_waiting().await;
    assert!(it.it.secret_now(&it.one, &it.id).await.is_some(), "the old terms are in force");
    assert!(it.it.secret_now(&away, &it.id).await.is_none());
    // Who is removed from the agreed workspace loses it there, whatever the spec says.
    it.it.workspace(&[], &[&it.one]).apply().await;
    it.until_not_in(&it.one).await;
    it.workspace(&[&it.one]).await;
    it.until_in(&it.one).await;
    it.approve(&digest).await;
    it.until_in(&away).await;
    it.until_not_in(&it.one).await;
    it.it.workspaces().delete(&other, &kube::api::DeleteParams::default()).await.expect("deleted");
}

/// The scopes of the grant that this user gets for alice's account: the sandbox grants what is requested.
async fn granted(it: &Scene, user: &str) -> Vec<String> {
    let before = it.get("mail").await.grant().map(|grant| grant.id.clone());
    let attempt = it.attempt_as(user, "mail").await;
    let callback = allowed(&attempt.sent().await, "alice").await;
    attempt.returned(&callback).await;
    assert_eq!(attempt.ended().await.result, EndResult::Connected);
    until("the new grant", async || {
        let now = it.get("mail").await;
        let is_new = now.grant().map(|grant| &grant.id) != before.as_ref();
        is_new.then(|| now.scopes().unwrap().granted.clone())
    })
    .await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn scopes_that_a_pipeline_adds_are_not_requested_before_the_owner_approves() {
    let it = Agreed::new("terms-scopes").await;
    it.it.connection("mail").spec(json!({"scopes": ["read"]})).apply().await;
    assert_eq!(it.it.consents_as("mail", "alice").await.result, EndResult::Connected);
    it.until_agreed().await;
    it.changed_by_bob(json!({"spec": {"scopes": ["read", "write"]}})).await;
    let digest = it.until_waiting().await;
    let connection = it.it.get("mail").await;
    assert_eq!(connection.reason_of(ConditionType::Authorized), Some(Reason::ScopeApprovalNeeded));
    assert!(connection.is_ready());
    assert_eq!(connection.scopes().unwrap().requested, ["read"]);
    // Whoever renews it, or comes from no page that shows the new scopes, requests the old ones.
    for user in ["bob", "alice"] {
        assert_eq!(granted(&it.it, user).await, ["read"], "{user}");
    }
    it.approve(&digest).await;
    let after = it.until_agreed().await;
    assert_eq!(after.scopes().unwrap().requested, ["read", "write"]);
    assert_eq!(granted(&it.it, "alice").await, ["read", "write"]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_transfer_drops_what_waits_and_its_approval() {
    let it = Agreed::new("terms-moved").await;
    it.shared_by_alice().await;
    it.it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_not_in(&it.one).await;
    it.until_agreed().await;
    it.changed_by_bob(json!({"spec": {"shared": true}})).await;
    let digest = it.until_waiting().await;
    it.changed_by_bob(json!({"spec": {"owner": "bob"}})).await;
    it.it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    // The new owner approves the same: alice's grant is not his to give.
    let approval = json!({"metadata": {"annotations": {ANNOTATION_APPROVE_TERMS: digest}}});
    let connections: Api<IntegrationConnection> = Api::namespaced(it.it.bob.clone(), &it.it.namespace);
    let approved = connections.patch("mail", &PatchParams::default(), &Patch::Merge(&approval)).await;
    approved.expect("he is the owner");
    it.until_handled().await;
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none());
}

/// While a policy only audits, anybody may write as if they were the owner. What the operator sees then, it does not take for hers
/// later.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_widened_while_a_policy_only_audits_waits_also_when_it_refuses_again() {
    let stage = Stage::fresh(&[]).await;
    let it = Agreed::on(stage.scene("terms-audit").await).await;
    it.it.connection("mail").spec(json!({"workspace": it.it.name})).apply().await;
    it.it.authorized("mail").await;
    it.until_agreed().await;
    weaken(&stage, "bowline-terms-by-is-the-caller", "Audit").await;
    it.changed_by_somebody(json!({"spec": {"shared": true}})).await;
    it.until_waiting().await;
    apply_policies_again(&stage).await;
    it.it.change("mail", json!({"spec": {"displayName": "Ours"}})).await;
    let seen = until("her edit is seen", async || {
        let connection = it.it.get("mail").await;
        let told = connection.terms().and_then(|terms| terms.observed_generation);
        (told == connection.metadata.generation).then_some(connection)
    })
    .await;
    assert!(seen.waiting_terms().is_some(), "{:?}", seen.terms());
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none(), "nobody agreed to it");
    let (_, said, _) = bowline(&it.it, "alice", &["describe", "mail"], "").await;
    assert!(said.contains("somebody unknown asks for more than alice agreed to"), "{said}");
    let (_, said, _) = bowline(&it.it, "alice", &["approve"], "").await;
    assert!(said.contains("not known"), "{said}");
    let (code, said, errors) = bowline(&it.it, "alice", &["approve", "mail", "--yes"], "").await;
    assert!(code == 0, "{said}{errors}");
    it.until_in(&it.one).await;
}
