//! What the operator itself refuses, whatever the API server lets through: another account under an id that somebody else
//! shared, another connection's name for a Secret, a Secret that is not for the connection, reserved namespaces, refreshes
//! that would take the token from under a pod, and new grants while ownership is not enforced.

use bowline_api::names::LABEL_INTAKE_FOR;
use bowline_api::{ConnectionShare, IntegrationConnection};
use bowline_testbed::sandbox::{ApiKey, MintRequest, Minted, Rotation};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::looking::{is, until, words};
use crate::scene::{Scene, parsed, scene};
use crate::stage::Stage;

impl Scene {
    /// Creates a connection of bob's.
    async fn make_bobs(&self, name: &str, spec: Value) {
        let mut object = json!({"metadata": {"name": name}, "spec": {"provider": self.name, "owner": "bob"}});
        crate::drafts::merge(&mut object["spec"], spec);
        let connections: Api<IntegrationConnection> = Api::namespaced(self.bob.clone(), &self.namespace);
        connections.create(&PostParams::default(), &parsed(object)).await.expect("a connection of bob's");
    }

    /// Imports a grant of bob's account into his connection, and waits until it is on record.
    async fn connect_bobs(&self, name: &str) -> Minted {
        let minted = self.realm.mint(&MintRequest::of("bob")).expect("a grant");
        let secret = json!({"metadata": {"generateName": "intake-", "labels": {LABEL_INTAKE_FOR: name}},
            "type": "bowline.dev/intake",
            "stringData": {"refresh_token": minted.refresh_token, "access_token": minted.access_token,
                "expires_in": minted.expires_in.to_string(), "scope": minted.scope}});
        let secrets: Api<Secret> = Api::namespaced(self.bob.clone(), &self.namespace);
        let made = secrets.create(&PostParams::default(), &parsed(secret)).await.expect("an intake Secret");
        let announcement = format!("{}/{}", made.name_any(), made.uid().unwrap());
        let change = json!({"metadata": {"annotations": {"bowline.dev/intake": announcement}}});
        let connections: Api<IntegrationConnection> = Api::namespaced(self.bob.clone(), &self.namespace);
        connections.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.expect("announced");
        self.until_reason(name, "Authorized", "Authorized").await;
        minted
    }
}

/// The pods of another namespace mount `<namespace>.mail`: they must not work in bob's account without a word.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_05_an_id_that_somebody_else_shared_is_shared_again_only_if_the_workspace_agrees() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("replaced").await;
    let (one, id) = (it.another_namespace("one").await, format!("{}.mail", it.namespace));
    it.workspace(&["alice", "bob"], &[&one]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").shared().apply().await;
    it.authorized("mail").await;
    it.secret_in(&one, &id).await;
    let bobs: Api<IntegrationConnection> = Api::namespaced(it.bob.clone(), &it.namespace);
    let refused = bobs.delete("mail", &DeleteParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403), "bob ends alice's grant");

    // Taking it back first, and leaving, changes nothing: her name stays with the id. Nor does a restart.
    it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_no_secret(&one, &id).await;
    it.delete("mail").await;
    it.until_gone(std::time::Duration::from_secs(40), "mail").await;
    stage.stop_operator();
    stage.start_operator().await;
    it.make_bobs("mail", json!({"workspace": it.name, "shared": true})).await;
    let minted = it.connect_bobs("mail").await;
    let told = it.until_reason("mail", "Shared", "ConnectionReplaced").await;
    it.until_secret("mail", "bob's own", |keys| keys["access_token"] == minted.access_token).await;
    assert!(it.secret_now(&one, &id).await.is_none(), "others get bob's account under alice's id");
    let patch = json!({"spec": {"acceptedOwners": {&id: "bob"}}});
    let command = format!("kubectl patch workspaces.bowline.dev {} --type merge -p '{patch}'", it.name);
    assert!(words(&told, "Shared").contains(&command), "{}", words(&told, "Shared"));

    it.workspaces().patch(&it.name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("agreed");
    it.until_secret_in(&one, &id, "bob's", |keys| keys["access_token"] == minted.access_token).await;
    it.until_reason("mail", "Shared", "Shared").await;
    let revoked = json!({"spec": {"acceptedOwners": null}});
    it.workspaces().patch(&it.name, &PatchParams::default(), &Patch::Merge(&revoked)).await.expect("revoked");
    it.until_no_secret(&one, &id).await;
}

/// alice's pods wait for the Secret of her connection: nobody else's token may come under its name.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_05_a_connections_own_name_is_reserved_for_its_secret() {
    let it = scene("named").await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("github-work").apply().await;
    it.until_reason("github-work", "Authorized", "AwaitingAuthorization").await;
    it.make_bobs("bobs", json!({"secret": {"name": "github-work"}})).await;
    it.connect_bobs("bobs").await;
    let told = it.until_reason("bobs", "SecretPublished", "NameReserved").await;
    assert!(words(&told, "SecretPublished").contains("own name or the id of another connection"));
    assert!(it.secret_now(&it.namespace, "github-work").await.is_none(), "bob took the name");

    // Where her connection is shared, its id is the name: reserved from the first share on, also while nothing is shared.
    let id = format!("{}.github-work", it.namespace);
    let one = it.another_namespace("one").await;
    it.workspace(&["alice"], &[&one]).apply().await;
    it.change("github-work", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    let shares: Api<ConnectionShare> = Api::namespaced(it.admin.clone(), &one);
    until("it is shared", async || shares.get_opt(&id).await.ok().flatten().map(drop)).await;
    it.change("github-work", json!({"spec": {"shared": false}})).await;
    let connections: Api<IntegrationConnection> = Api::namespaced(it.bob.clone(), &it.namespace);
    let renamed = json!({"spec": {"secret": {"name": id}}});
    connections.patch("bobs", &PatchParams::default(), &Patch::Merge(&renamed)).await.expect("renamed");
    it.until_status("bobs", "the id is refused", |status| {
        is(status, "SecretPublished", "NameReserved") && words(status, "SecretPublished").contains(&id)
    })
    .await;

    // Nor does a name that alice chose and published under go to a connection that bob calls so.
    it.connection("calendar").spec(json!({"secret": {"name": "app-token"}})).apply().await;
    it.authorized("calendar").await;
    let hers = it.secret("app-token").await;
    it.make_bobs("app-token", json!({})).await;
    it.connect_bobs("app-token").await;
    it.until_reason("app-token", "SecretPublished", "NameTaken").await;
    it.ask_for_refresh("calendar", "1").await;
    it.until_secret("app-token", "her newest", |keys| {
        keys["access_token"] != hers["access_token"] && keys["account_id"] == hers["account_id"]
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_06_a_credentials_secret_is_read_for_the_connections_that_it_names() {
    let it = scene("purpose").await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    let minted = it.mint();
    let keys = json!({"refresh_token": minted.refresh_token, "access_token": minted.access_token,
        "expires_in": minted.expires_in.to_string(), "scope": minted.scope});
    let secret = json!({"metadata": {"name": "kept", "annotations": {"bowline.dev/for": "other, mail-2"}},
        "type": "bowline.dev/credential", "stringData": keys});
    it.create::<Secret>(&it.namespace, &parsed(secret)).await;
    it.connection("mail").spec(json!({"credentials": {"secretName": "kept"}})).apply().await;
    let told = it.until_reason("mail", "Authorized", "SecretForAnother").await;
    let command = format!("kubectl annotate secret kept -n {} bowline.dev/for=mail", it.namespace);
    assert!(words(&told, "Authorized").contains(&command), "{}", words(&told, "Authorized"));
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "it was read");

    let named = json!({"metadata": {"annotations": {"bowline.dev/for": "other, mail"}}});
    let secrets = it.secrets(&it.namespace);
    secrets.patch("kept", &PatchParams::default(), &Patch::Merge(&named)).await.expect("annotated");
    it.until_phase("mail", "Active").await;

    // Whoever may write the Secret can change the account's key for everybody: it is told.
    let newer = it.mint();
    let keys = json!({"refresh_token": newer.refresh_token, "access_token": newer.access_token});
    let swapped = json!({"stringData": keys});
    secrets.patch("kept", &PatchParams::default(), &Patch::Merge(&swapped)).await.expect("swapped");
    it.until_event(&it.namespace, "GrantReplaced").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_07_nothing_is_published_in_a_reserved_namespace_whatever_a_workspace_lists() {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene("reserved").await;
    let one = it.another_namespace("one").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    // Once a policy is missing, nothing more is agreed to.
    it.change("mail", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.until_status("mail", "that alice shares it", |status| {
        status.terms.as_ref().is_some_and(|terms| terms.agreed.shared)
    })
    .await;
    // The workspace is older than the policy.
    let binding = "bowline-workspace-namespaces";
    let policy = ["delete", "validatingadmissionpolicybindings", binding, "--ignore-not-found"];
    assert!(stage.access.kubectl(&policy).await.unwrap().status.success());
    let listed = [one.as_str(), "bowline-attempts", "bowline-system", "kube-system"];
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("files") };
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": it.name},
        "spec": {"members": [{"kind": "User", "name": "alice"}], "namespaces": listed}});
    until("the policy is gone", async || {
        it.workspaces().patch(&it.name, &dry, &Patch::Apply(&object)).await.map(drop)
    })
    .await;
    it.workspace(&["alice"], &listed).apply().await;
    let id = format!("{}.mail", it.namespace);
    it.secret_in(&one, &id).await;
    it.until_reason("mail", "Shared", "Shared").await;
    for reserved in &listed[1..] {
        assert!(it.secret_now(reserved, &id).await.is_none(), "a token is in {reserved}");
    }
    until("the workspace is told", async || {
        let workspace = it.workspaces().get(&it.name).await.ok()?;
        let ready = workspace.status?.conditions.into_iter().find(|ready| ready.type_ == "Ready")?;
        let named = ready.message.contains("bowline-attempts, bowline-system, kube-system");
        (ready.reason == "NamespaceReserved" && named).then_some(())
    })
    .await;
}

/// Where a refresh ends the access token, each request would take the token from under the pods that hold it.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_09_a_requested_refresh_leaves_pods_the_token_they_hold() {
    let it = scene("weapon").await;
    let endpoint = |name: &str| it.realm.url(name);
    it.provider_of_type("github-app-user")
        .registered()
        .lifetime(3600)
        .habit(|config| {
            config.rotation = Rotation::SingleUse;
            config.refresh_ends_access = true;
        })
        .spec(json!({"endpoints": {"authorization": endpoint("authorize"), "token": endpoint("token"),
            "revocation": endpoint("revoke"), "userinfo": endpoint("api/me")}}))
        .apply()
        .await;
    it.connection("code").apply().await;
    let minted = it.mint();
    // Like GitHub, this endpoint names the account by `id`; it knows what is registered as a key.
    let (key, account) = (minted.access_token.clone(), "alice".to_owned());
    it.realm.reconfigure(|config| config.api_keys.push(ApiKey { key, account, forbidden: false }));
    it.import("code", &minted).await;
    it.until_phase("code", "Active").await;
    let held = it.secret("code").await["access_token"].clone();
    let obtained = it.status("code").await.grant.expect("a grant").obtained_at.0;
    for request in ["1", "2", "3"] {
        it.ask_for_refresh("code", request).await;
        let waits = it
            .until_status("code", "the request waits", |status| {
                serde_json::to_value(status).unwrap()["token"]["requestedRefreshAt"].is_string()
            })
            .await;
        let at = serde_json::to_value(&waits).unwrap()["token"]["requestedRefreshAt"].clone();
        let at: k8s_openapi::jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
        assert!(at.duration_since(obtained).as_secs() >= 180, "pods have it for {at} - {obtained}");
        assert!(it.realm.is_alive(&held), "what a pod holds works no more");
    }
    assert_eq!(it.realm.ledger().refreshes_of(&minted.grant_id).len(), 0);
    assert!(it.realm.is_alive(&it.secret("code").await["access_token"]));
}

const POLICY: &str = "bowline-owner-is-the-caller";

/// Waits until the operator says whether all policies are in force.
async fn until_metric(stage: &Stage, value: u8) {
    let line = format!("bowline_policy_present {value}");
    until(&line, async || {
        let (_, text) = stage.ask("metrics").await?;
        text.lines().any(|found| found == line).then_some(())
    })
    .await;
}

/// Has a policy do this instead of refusing.
pub async fn weaken(stage: &Stage, policy: &str, action: &str) {
    let change = json!({"spec": {"validationActions": [action]}}).to_string();
    let weaken = ["patch", "validatingadmissionpolicybinding", policy, "--type", "merge", "-p", &change];
    assert!(stage.access.kubectl(&weaken).await.unwrap().status.success());
    until_metric(stage, 0).await;
}

pub async fn apply_policies_again(stage: &Stage) {
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    let again = ["apply", "--server-side", "--force-conflicts", "-k", deploy];
    assert!(stage.access.kubectl(&again).await.unwrap().status.success());
    until_metric(stage, 1).await;
}

/// A binding without its policy enforces nothing: whoever names alice as owner then would be trusted for ever.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_11_no_grant_is_taken_in_while_a_policy_is_not_in_force() {
    let stage = Stage::without_operator(&[]).await;
    let gone = ["delete", "validatingadmissionpolicies", POLICY];
    assert!(stage.access.kubectl(&gone).await.unwrap().status.success());
    stage.start_operator().await;
    until_metric(&stage, 0).await;
    let it = stage.scene("unguarded").await;
    it.provider(Rotation::SingleUse).lifetime(3600).apply().await;
    it.connection("mail").apply().await;
    let minted = it.mint();
    it.import("mail", &minted).await;
    let told = it.until_reason("mail", "Authorized", "PolicyMissing").await;
    assert!(words(&told, "Authorized").contains(POLICY), "{}", words(&told, "Authorized"));
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "a grant was taken in");

    // Whoever applies them again sees it at once, and what waited goes on by itself.
    apply_policies_again(&stage).await;
    it.until_phase("mail", "Active").await;

    // A binding that only warns stops nobody. What is connected keeps being refreshed.
    weaken(&stage, POLICY, "Warn").await;
    it.ask_for_refresh("mail", "1").await;
    it.until_refreshed(&minted.grant_id, 1).await;
    it.connection("other").apply().await;
    let told = it.until_reason("other", "Authorized", "PolicyMissing").await;
    assert!(is(&told, "Ready", "PolicyMissing"), "{told:?}");
}
