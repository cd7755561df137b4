//! Bindings: a workflow chooses a connection, gets a Secret of its own, and is told what to do when it has none.
//!
//! Unit tests decide and report. Only here do we see that a binding follows changes of other kinds, in time.

use std::time::Duration;

use bowline_api::ConnectionBinding;
use bowline_testbed::sandbox::Rotation;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::drafts::merge;
use crate::looking::{Keys, until, until_within};
use crate::scene::{Scene, scene};

/// As for shares: if a wake were lost, the next look would come only after ten minutes.
const TAKEN_BACK_WITHIN: Duration = Duration::from_mins(1);

/// A binding named `post` in one namespace, as alice's.
pub struct Bound<'a> {
    pub it: &'a Scene,
    pub namespace: String,
}

impl Bound<'_> {
    fn bindings(&self) -> Api<ConnectionBinding> {
        Api::namespaced(self.it.alice.clone(), &self.namespace)
    }

    /// Applies it with this spec.
    pub async fn apply(&self, spec: Value) {
        let binding = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionBinding",
            "metadata": {"name": "post", "namespace": self.namespace}, "spec": spec});
        let applied = PatchParams::apply("files").force();
        self.bindings().patch("post", &applied, &Patch::Apply(&binding)).await.expect("a binding");
    }

    async fn change(&self, change: Value) {
        self.bindings()
            .patch("post", &PatchParams::default(), &Patch::Merge(&change))
            .await
            .expect("changed");
    }

    /// Waits until Ready has this reason, for the present spec; returns its message.
    pub async fn until(&self, reason: &str) -> String {
        until_within(TAKEN_BACK_WITHIN, &format!("the binding is {reason}"), async || {
            let binding = self.bindings().get("post").await.map_err(|error| error.to_string())?;
            let generation = binding.metadata.generation;
            let conditions = binding.status.unwrap_or_default().conditions;
            let ready = conditions.into_iter().find(|it| it.type_ == "Ready").ok_or("no condition yet")?;
            if ready.reason == reason && ready.observed_generation == generation {
                return Ok(ready.message);
            }
            Err(format!("{}: {}", ready.reason, ready.message))
        })
        .await
    }

    /// Waits until its Secret has the connection's present token.
    async fn until_follows(&self, connection: &str) -> Keys {
        let until_same = async || {
            let own = self.it.secret(connection).await;
            let ours = self.it.secret_in(&self.namespace, "post").await;
            (own["access_token"] == ours["access_token"]).then_some(ours)
        };
        until("the connection's token", until_same).await
    }

    pub async fn until_no_secret(&self) {
        until_within(TAKEN_BACK_WITHIN, "no Secret of the binding", async || {
            self.it.secret_now(&self.namespace, "post").await.is_none().then_some(())
        })
        .await;
    }
}

/// The id of a connection of the scene.
pub fn id(it: &Scene, name: &str) -> String {
    format!("{}.{name}", it.namespace)
}

/// A connection of alice's that is shared with another namespace, and a binding there.
pub async fn shared(it: &Scene, lifetime: u64) -> Bound<'_> {
    let namespace = it.another_namespace("work").await;
    it.workspace(&["alice", "bob"], &[&namespace]).apply().await;
    it.provider(Rotation::SingleUse).lifetime(lifetime).apply().await;
    it.connection("mail").shared().apply().await;
    it.authorized("mail").await;
    let bound = Bound { it, namespace };
    bound.apply(json!({"connection": id(it, "mail"), "config": {"channel": "#launch"}})).await;
    bound.until("Bound").await;
    bound
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_binding_of_an_own_connection_has_its_token_and_settings_and_follows_each_refresh() {
    let it = scene("bind-own").await;
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    bound.apply(json!({"connection": id(&it, "mail"), "config": {"channel": "#launch", "old": null}})).await;
    let waiting = bound.until("ConnectionNotFound").await;
    assert!(waiting.contains("it continues by itself"), "{waiting}");
    it.connected("mail", Rotation::SingleUse, 8).await;
    bound.until("Bound").await;
    let first = bound.until_follows("mail").await;
    assert_eq!(first["config.json"], r##"{"channel":"#launch"}"##);
    let labels = it.secret_now(&it.namespace, "post").await.unwrap().metadata;
    assert_eq!(labels.owner_references.unwrap()[0].kind, "ConnectionBinding");
    let next = it
        .until_secret_in(&it.namespace, "post", "the next token", |keys| {
            keys["access_token"] != first["access_token"]
        })
        .await;
    assert!(it.realm.is_alive(&next["access_token"]));
    assert_eq!(next["config.json"], first["config.json"]);

    bound.change(json!({"spec": {"config": {"channel": "#other"}, "secret": {"format": "Env"}}})).await;
    it.until_secret_in(&it.namespace, "post", "the new settings and form", |keys| {
        keys.get("CONFIG_JSON").is_some_and(|json| json == r##"{"channel":"#other"}"##)
            && keys.contains_key("ACCESS_TOKEN")
            && !keys.contains_key("access_token")
    })
    .await;
    let data = json!({"url": "https://{{ token }}@h/{{ config.channel }}"});
    bound.change(json!({"spec": {"secret": {"format": null, "template": {"data": data}}}})).await;
    it.until_secret_in(&it.namespace, "post", "a template over both", |keys| {
        keys.len() == 1 && keys.get("url").is_some_and(|url| url.ends_with("@h/#other"))
    })
    .await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_shared_connection_is_bound_until_it_is_taken_back_and_again_when_it_returns() {
    let it = scene("bind-shared").await;
    let bound = shared(&it, 3600).await;
    bound.until_follows("mail").await;
    it.change("mail", json!({"spec": {"shared": false}})).await;
    bound.until_no_secret().await;
    let told = bound.until("ShareWithdrawn").await;
    assert!(told.contains("ask the connection's owner to share it again"), "{told}");
    it.until_event(&bound.namespace, "ShareWithdrawn").await;
    it.change("mail", json!({"spec": {"shared": true}})).await;
    bound.until("Bound").await;
    bound.until_follows("mail").await;

    it.workspace(&["bob"], &[&bound.namespace]).apply().await;
    bound.until_no_secret().await;
    bound.until("ShareWithdrawn").await;
    it.workspace(&["alice", "bob"], &[&bound.namespace]).apply().await;
    bound.until("Bound").await;

    it.workspaces().delete(&it.name, &DeleteParams::default()).await.expect("deleted");
    bound.until_no_secret().await;
    bound.until("ShareWithdrawn").await;
}

/// Whether a private connection of another namespace exists is not told.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_is_not_shared_and_what_does_not_exist_have_the_same_answer() {
    let it = scene("bind-private").await;
    let namespace = it.another_namespace("work").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let bound = Bound { it: &it, namespace };
    let mut answers = Vec::new();
    for name in ["mail", "nonesuch"] {
        bound.apply(json!({"connection": id(&it, name)})).await;
        answers.push(bound.until("ConnectionNotFound").await);
        let status = bound.bindings().get("post").await.unwrap().status.unwrap();
        assert_eq!((status.provider, status.pinned, status.secret_name), (None, None, None));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(it.secret_now(&bound.namespace, "post").await.is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_who_disconnects_or_pauses_is_named_to_the_workflows_author() {
    let it = scene("bind-ended").await;
    let bound = shared(&it, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    bound.until_no_secret().await;
    own.until_no_secret().await;
    bound.until("ShareWithdrawn").await;
    let told = own.until("ConnectionNotReady").await;
    assert!(told.contains("The connection says Disconnected. alice must fix the connection"), "{told}");
}

/// Nobody works in another account under an id without a word.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_made_again_under_the_same_id_waits_for_the_binding_to_accept_it() {
    let it = scene("bind-again").await;
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    it.connected("mail", Rotation::SingleUse, 3600).await;
    bound.apply(json!({"connection": id(&it, "mail")})).await;
    bound.until("Bound").await;
    it.change("mail", json!({"spec": {"deletionProtection": false}})).await;
    it.delete("mail").await;
    it.until_gone(TAKEN_BACK_WITHIN, "mail").await;
    bound.until_no_secret().await;
    bound.until("ConnectionDeleted").await;

    it.connection("mail").apply().await;
    it.authorized("mail").await;
    // Before there is a grant, no account is known.
    let told = until("the account is named", async || {
        let told = bound.until("ConnectionMismatch").await;
        told.contains("accountId").then_some(told)
    })
    .await;
    assert!(it.secret_now(&it.namespace, "post").await.is_none());
    let asked = told.split("set spec.accept to ").nth(1).and_then(|rest| rest.split("}.").next()).unwrap();
    let accept: Value = serde_json::from_str(&format!("{asked}}}")).unwrap();
    assert_eq!(accept["uid"].as_str(), it.get("mail").await.uid().as_deref());
    let mut other = accept.clone();
    merge(&mut other, json!({"owner": "bob"}));
    bound.change(json!({"spec": {"accept": other}})).await;
    bound.until("ConnectionMismatch").await;
    bound.change(json!({"spec": {"accept": accept}})).await;
    bound.until("Bound").await;
    bound.until_follows("mail").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_name_that_is_taken_or_reserved_and_settings_that_are_too_large_are_told() {
    let it = scene("bind-names").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    it.keep_secret("post", "mail", "Opaque", &[("theirs", "kept")]).await;
    bound.apply(json!({"connection": id(&it, "mail")})).await;
    bound.until("NameTaken").await;
    assert_eq!(it.secret("post").await["theirs"], "kept");
    let own = it.secret("mail").await;
    bound.change(json!({"spec": {"secret": {"name": "mail"}}})).await;
    bound.until("NameReserved").await;
    assert_eq!(it.secret("mail").await, own);
    bound.change(json!({"spec": {"secret": {"name": "first"}}})).await;
    bound.until("Bound").await;
    bound.change(json!({"spec": {"secret": {"name": "second"}}})).await;
    it.secret("second").await;
    it.until_no_secret(&it.namespace, "first").await;
    // Names and texts are within the policy's bound, and quotes are not.
    bound.change(json!({"spec": {"config": {"a": "\"".repeat(16_000)}}})).await;
    let told = bound.until("ConfigInvalid").await;
    assert!(told.contains("Whoever maintains this object must change spec.config"), "{told}");
    assert!(!it.secret("second").await.contains_key("config.json"), "what was published stays");
}

/// R24.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn settings_are_the_connections_with_the_bindings_and_fit_the_provider() {
    let it = scene("bind-config").await;
    let settings = json!({"channel": {"description": "The channel."}, "labels": {"description": "Labels.", "kind": "TextList"}});
    it.provider(Rotation::SingleUse).spec(json!({"overlay": {"config": settings}})).apply().await;
    it.connection("mail").spec(json!({"config": {"channel": "#all", "labels": ["a"]}})).apply().await;
    it.authorized("mail").await;
    assert_eq!(it.secret("mail").await["config.json"], r##"{"channel":"#all","labels":["a"]}"##);
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    bound.apply(json!({"connection": id(&it, "mail"), "config": {"channel": "#launch"}})).await;
    bound.until("Bound").await;
    assert_eq!(it.secret("post").await["config.json"], r##"{"channel":"#launch","labels":["a"]}"##);
    it.change("mail", json!({"spec": {"config": {"labels": ["b"]}}})).await;
    it.until_secret("post", "the connection's new default", |keys| {
        keys["config.json"] == r##"{"channel":"#launch","labels":["b"]}"##
    })
    .await;

    bound.change(json!({"spec": {"config": {"chanel": "#launch"}}})).await;
    let told = bound.until("ConfigInvalid").await;
    assert!(told.contains("chanel is no setting of this provider, which has channel, labels"), "{told}");
    assert!(it.secret("post").await.contains_key("access_token"), "what was published stays");
    it.change_provider(json!({"spec": {"overlay": {"config": null}}})).await;
    bound.until("Bound").await;

    it.change_provider(json!({"spec": {"overlay": {"config": settings}}})).await;
    bound.change(json!({"spec": {"config": {"chanel": null}}})).await;
    bound.until("Bound").await;
    it.change("mail", json!({"spec": {"config": {"labels": "b"}}})).await;
    it.until_reason("mail", "SecretPublished", "ConfigInvalid").await;
    bound.until("ConfigInvalid").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_secret_of_a_binding_is_restored_goes_with_it_and_holds_no_namespace() {
    let it = scene("bind-deleted").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    bound.apply(json!({"connection": id(&it, "mail")})).await;
    let token = bound.until_follows("mail").await["access_token"].clone();
    it.secrets(&it.namespace).delete("post", &DeleteParams::default()).await.expect("deleted");
    it.until_secret("post", "restored", |keys| keys["access_token"] == token).await;

    bound.change(json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    bound.bindings().delete("post", &DeleteParams::default()).await.expect("deleted");
    bound.until_no_secret().await;
    bound.change(json!({"metadata": {"finalizers": null}})).await;

    bound.apply(json!({"connection": id(&it, "mail")})).await;
    bound.until("Bound").await;
    bound.bindings().delete("post", &DeleteParams::default()).await.expect("deleted");
    bound.until_no_secret().await;
    assert!(it.secret("mail").await.contains_key("access_token"), "the connection keeps its own");

    bound.apply(json!({"connection": id(&it, "mail")})).await;
    bound.until("Bound").await;
    it.until_its_namespace_is_deleted().await;
}
