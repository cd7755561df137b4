//! A namespace with alice and bob in it, and its own provider: the objects that a test uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_FOR, ANNOTATION_INTAKE, ANNOTATION_REFRESH_REQUESTED, LABEL_INTAKE_FOR};
use bowline_testbed::access::ADMIN;
use bowline_testbed::random;
use bowline_testbed::sandbox::{MintRequest, Minted, RealmConfig, RealmHandle, Rotation};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::drafts::{ConnectionDraft, ProviderDraft, WorkspaceDraft};
use crate::looking::{until, until_within};
use crate::stage::{Stage, sandbox};

/// The objects that a test uses. Its namespaces are deleted when it ends; if it failed, their objects are printed first.
pub struct Scene {
    pub stage: Arc<Stage>,
    /// Where alice and bob have the built-in role `edit`.
    pub namespace: String,
    /// The name of the provider, of the Workspace, and of the sandbox's realm.
    pub name: String,
    pub realm: RealmHandle,
    pub admin: Client,
    pub alice: Client,
    pub bob: Client,
}

/// A scene on the shared stage.
pub async fn scene(name: &str) -> Scene {
    Stage::shared().await.scene(name).await
}

impl Stage {
    /// A scene on this stage.
    pub async fn scene(self: &Arc<Self>, name: &str) -> Scene {
        self.scene_named(&format!("{name}-{}", random::hex(3).unwrap())).await
    }

    /// Like [`Stage::scene`], with a name that nobody else on this stage has.
    pub async fn scene_named(self: &Arc<Self>, name: &str) -> Scene {
        self.scene_at(name, sandbox().realm(name, RealmConfig::default())).await
    }

    async fn scene_at(self: &Arc<Self>, name: &str, realm: RealmHandle) -> Scene {
        let client = async |user| self.access.client_for(user).await.expect("a client");
        let scene = Scene {
            stage: Arc::clone(self),
            namespace: name.to_owned(),
            realm,
            admin: client(ADMIN).await,
            alice: client("alice").await,
            bob: client("bob").await,
            name: name.to_owned(),
        };
        scene.namespace(&scene.namespace).await;
        scene
    }
}

impl Scene {
    /// Creates a namespace in which alice and bob may edit.
    pub async fn namespace(&self, name: &str) {
        let namespace: Namespace =
            parsed(json!({"metadata": {"name": name, "labels": {"scene": self.name}}}));
        Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
        let user = |name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
        let binding: RoleBinding = parsed(json!({
            "metadata": {"name": "edit"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [user("alice"), user("bob")],
        }));
        self.create(name, &binding).await;
        let question: SelfSubjectAccessReview = parsed(json!({"spec": {"resourceAttributes": {
            "namespace": name, "verb": "share", "group": "bowline.dev", "resource": "integrationconnections"}}}));
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.bob.clone());
        until("bob's rights", async || {
            let answer =
                reviews.create(&PostParams::default(), &question).await.map_err(|error| error.to_string())?;
            answer
                .status
                .is_some_and(|status| status.allowed)
                .then_some(())
                .ok_or_else(|| "not yet".to_owned())
        })
        .await;
    }

    /// The same names on another stage, with the same provider behind them.
    pub async fn moved_to(&self, stage: &Arc<Stage>) -> Self {
        stage.scene_at(&self.name, self.realm.clone()).await
    }

    /// A second namespace, `<scene>-<suffix>`; returns its name.
    pub async fn another_namespace(&self, suffix: &str) -> String {
        let name = format!("{}-{suffix}", self.name);
        self.namespace(&name).await;
        name
    }

    /// The scene's provider: the sandbox with this rotation class.
    pub fn provider(&self, rotation: Rotation) -> ProviderDraft<'_> {
        ProviderDraft::sandbox(self, rotation)
    }

    /// A provider of any type, with the scene's name.
    pub fn provider_of_type(&self, type_: &str) -> ProviderDraft<'_> {
        ProviderDraft::of_type(self, type_)
    }

    /// A provider whose app mints tokens for itself (client credentials): nobody has to consent.
    pub fn minting_provider(&self) -> ProviderDraft<'_> {
        let draft = self.provider_of_type("generic-oauth2-client-credentials").registered();
        draft.spec(json!({"endpoints": {"issuer": self.realm.issuer()}, "allow": {"namespaces": {}},
            "scopes": {"default": ["read"], "allowed": ["read"]}}))
    }

    /// A connection of alice's with the scene's provider.
    pub fn connection(&self, name: &str) -> ConnectionDraft<'_> {
        ConnectionDraft::new(self, name)
    }

    /// The scene's Workspace.
    pub fn workspace(&self, members: &[&str], namespaces: &[&str]) -> WorkspaceDraft<'_> {
        WorkspaceDraft::new(self, members, namespaces)
    }

    /// A grant of the sandbox's first account, with its first tokens.
    pub fn mint(&self) -> Minted {
        self.realm.mint(&MintRequest::default()).expect("a grant")
    }

    /// Provider, connection of alice's and grant: waits until the connection is Active.
    pub async fn connected(&self, name: &str, rotation: Rotation, lifetime: u64) -> Minted {
        self.provider(rotation).lifetime(lifetime).apply().await;
        self.connection(name).apply().await;
        self.authorized(name).await
    }

    /// Imports a fresh grant into a connection and waits until it is Active.
    pub async fn authorized(&self, name: &str) -> Minted {
        let minted = self.mint();
        self.import(name, &minted).await;
        self.until_phase(name, "Active").await;
        minted
    }

    /// Imports a grant as `kubectl bowline import` does: an intake Secret, announced by its UID.
    pub async fn import(&self, connection: &str, minted: &Minted) {
        let seconds = minted.expires_in.to_string();
        let keys = [
            ("refresh_token", minted.refresh_token.as_str()),
            ("access_token", &minted.access_token),
            ("expires_in", &seconds),
            ("scope", &minted.scope),
        ];
        self.import_keys(connection, &keys).await;
    }

    /// Imports these keys.
    pub async fn import_keys(&self, connection: &str, keys: &[(&str, &str)]) -> Secret {
        let keys: BTreeMap<_, _> = keys.iter().copied().collect();
        self.import_secret(connection, json!({"type": "bowline.dev/intake", "stringData": keys})).await
    }

    /// Creates a Secret that may be an intake for `connection`, and announces it.
    pub async fn import_secret(&self, connection: &str, secret: Value) -> Secret {
        let mut secret = secret;
        if secret["metadata"].is_null() {
            secret["metadata"] = json!({"labels": {LABEL_INTAKE_FOR: connection}});
        }
        secret["metadata"]["generateName"] = json!("intake-");
        let made = Api::<Secret>::namespaced(self.alice.clone(), &self.namespace);
        let made = made.create(&PostParams::default(), &parsed(secret)).await.expect("an intake Secret");
        self.announce(connection, &format!("{}/{}", made.name_any(), made.uid().unwrap())).await;
        made
    }

    /// Announces an intake on the connection.
    pub async fn announce(&self, connection: &str, value: &str) {
        self.change(connection, json!({"metadata": {"annotations": {ANNOTATION_INTAKE: value}}})).await;
    }

    /// Requests one refresh.
    pub async fn ask_for_refresh(&self, connection: &str, value: &str) {
        self.change(connection, json!({"metadata": {"annotations": {ANNOTATION_REFRESH_REQUESTED: value}}}))
            .await;
    }

    /// Changes a connection as alice.
    pub async fn change(&self, connection: &str, change: Value) {
        let changed =
            self.connections().patch(connection, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.unwrap_or_else(|error| panic!("alice may not change {connection} to {change}: {error}"));
    }

    /// Deletes a connection as alice.
    pub async fn delete(&self, connection: &str) {
        self.connections().delete(connection, &DeleteParams::default()).await.expect("deleted");
    }

    /// Deletes the scene's namespace as administrator, with everything in it, and waits until it is gone.
    pub async fn until_its_namespace_is_deleted(&self) {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.expect("deleted");
        until_within(Duration::from_mins(1), "the namespace is gone", async || {
            namespaces.get_opt(&self.namespace).await.ok().and_then(|found| found.is_none().then_some(()))
        })
        .await;
    }

    /// Connections in the scene's namespace, as alice.
    pub fn connections(&self) -> Api<IntegrationConnection> {
        Api::namespaced(self.alice.clone(), &self.namespace)
    }

    /// Secrets of a namespace, as administrator.
    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    /// Creates an object as administrator.
    pub async fn create<K>(&self, namespace: &str, object: &K) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.admin.clone(), namespace);
        api.create(&PostParams::default(), object).await.expect("created")
    }

    /// Creates a Secret for a connection in the scene's namespace as alice, or writes these keys into it.
    pub async fn keep_secret(&self, name: &str, connection: &str, type_: &str, keys: &[(&str, &str)]) {
        let keys: BTreeMap<_, _> = keys.iter().copied().collect();
        let metadata = json!({"name": name, "annotations": {ANNOTATION_FOR: connection}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_,
            "stringData": keys});
        let api: Api<Secret> = Api::namespaced(self.alice.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("alice"), &Patch::Apply(&secret)).await.expect("a Secret");
    }
}

impl Drop for Scene {
    /// We cannot wait on a test's runtime from here, so we create another one for cleaning up.
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let (stage, name) = (Arc::clone(&self.stage), self.name.clone());
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean(&stage, &name, failed));
        });
        if cleaning.join().is_err() {
            eprintln!("the namespaces of {} are still there", self.name);
        }
    }
}

async fn clean(stage: &Stage, name: &str, failed: bool) {
    let selector = format!("scene={name}");
    if failed {
        let show = ["get", "bowline", "-A", "-o", "yaml"];
        let objects = stage.access.kubectl(&show).await.unwrap();
        let objects = String::from_utf8_lossy(&objects.stdout).into_owned();
        let about = objects.split("\n- apiVersion").filter(|object| object.contains(name));
        eprintln!("# objects of {name}\n{}", about.collect::<Vec<_>>().join("\n- apiVersion"));
        let events = stage.access.kubectl(&["get", "events.events.k8s.io", "-n", name]).await.unwrap();
        eprintln!("# events\n{}", String::from_utf8_lossy(&events.stdout));
        let logs = stage.logs();
        let lines: Vec<_> = logs.lines().filter(|line| line.contains(name)).collect();
        eprintln!("# log\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    let client = stage.access.client_for(ADMIN).await.unwrap();
    let _ = Api::<bowline_api::Workspace>::all(client.clone()).delete(name, &DeleteParams::default()).await;
    forget_attempts(&client, name).await;
    let namespaces: Api<Namespace> = Api::all(client);
    let ours =
        namespaces.list(&kube::api::ListParams::default().labels(&selector)).await.into_iter().flatten();
    for namespace in ours {
        let _ = namespaces.delete(&namespace.name_any(), &DeleteParams::background()).await;
    }
}

/// Attempts that the scene left open count towards the user's limit of open ones, also in other scenes.
async fn forget_attempts(client: &Client, scene: &str) {
    let attempts: Api<Secret> = Api::namespaced(client.clone(), "bowline-attempts");
    for secret in attempts.list(&kube::api::ListParams::default()).await.into_iter().flatten() {
        let its = bowline_api::attempt::secret::from_secret(&secret)
            .is_ok_and(|attempt| attempt.connection.namespace.starts_with(scene));
        if its {
            let _ = attempts.delete(&secret.name_any(), &DeleteParams::default()).await;
        }
    }
}

/// JSON as an object.
pub fn parsed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a whole object")
}
