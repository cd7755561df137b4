//! Objects that are not applied yet: the usual ones, and how one differs.

use std::collections::BTreeMap;

use bowline_api::{IntegrationProvider, Workspace};
use bowline_testbed::sandbox::{RealmConfig, RealmHandle, Rotation};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::looking::until;
use crate::scene::Scene;
use crate::stage::{HOME, PORTAL, sandbox};

/// RFC 7396.
pub fn merge(target: &mut Value, change: Value) {
    let Value::Object(fields) = change else {
        *target = change;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// How the sandbox is reached: it serves http on this machine.
pub fn loopback() -> Value {
    json!({"allowHTTP": true, "allowedCIDRs": ["127.0.0.0/8"]})
}

/// A provider, its app registration and its realm.
pub struct ProviderDraft<'a> {
    scene: &'a Scene,
    config: RealmConfig,
    app: Option<BTreeMap<String, String>>,
    spec: Value,
}

impl<'a> ProviderDraft<'a> {
    /// The sandbox, with a catalogue entry and a realm that have the same rotation.
    pub fn sandbox(scene: &'a Scene, rotation: Rotation) -> Self {
        let type_ = match rotation {
            Rotation::None => "sandbox-none",
            Rotation::Optional => "sandbox-optional",
            Rotation::Sliding => "sandbox-sliding",
            Rotation::SingleUse => "sandbox",
        };
        let mut draft = Self::of_type(scene, type_);
        draft.config.rotation = rotation;
        draft.config.clients[0].redirect_uris.push(format!("{PORTAL}/callback/{}", scene.name));
        draft.registered().spec(json!({"endpoints": {"issuer": scene.realm.issuer()}}))
    }

    /// Any catalogue entry, without a registration.
    pub fn of_type(scene: &'a Scene, type_: &str) -> Self {
        let spec = json!({"type": type_, "network": loopback(), "contact": "platform@example.com"});
        Self { scene, config: RealmConfig::default(), app: None, spec }
    }

    /// With the sandbox's registration.
    pub fn registered(self) -> Self {
        let client = self.config.clients[0].clone();
        self.app(&client.id, client.secret.as_deref().unwrap_or_default())
    }

    /// With this registration.
    pub fn app(self, client_id: &str, client_secret: &str) -> Self {
        let keys = [("client_id", client_id), ("client_secret", client_secret)];
        self.registration(keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    /// With a registration that has these keys.
    pub fn registration(mut self, keys: BTreeMap<String, String>) -> Self {
        self.app = Some(keys);
        let name = self.scene.name.clone();
        self.spec(json!({"app": {"secretName": name}}))
    }

    /// With access tokens that live this many seconds.
    pub fn lifetime(self, seconds: u64) -> Self {
        self.habit(|config| config.access_lifetime_seconds = seconds)
    }

    /// With other habits of the sandbox.
    pub fn habit(mut self, change: impl FnOnce(&mut RealmConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// With this in its spec.
    pub fn spec(mut self, change: Value) -> Self {
        merge(&mut self.spec, change);
        self
    }

    /// Applies it and waits until it is Ready.
    pub async fn apply(self) {
        let scene = self.scene;
        self.apply_as_it_is().await;
        scene.until_provider("Ready").await;
    }

    /// Applies it, whatever the result.
    pub async fn apply_as_it_is(self) {
        let Self { scene, config, app, spec } = self;
        let _: RealmHandle = sandbox().realm(&scene.name, config);
        if let Some(app) = app {
            scene.register_app(&app).await;
        }
        scene.apply_provider(&spec).await;
    }
}

impl Scene {
    /// Writes these keys into the app registration's Secret, which is for the scene's provider unless they say otherwise.
    pub async fn register_app(&self, keys: &BTreeMap<String, String>) {
        let mut keys = keys.clone();
        if !keys.contains_key("hosts") {
            keys.entry("providers".to_owned()).or_insert_with(|| self.name.clone());
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name},
            "type": "bowline.dev/app", "stringData": keys});
        let api: Api<Secret> = self.secrets(HOME);
        api.patch(&self.name, &applied(), &Patch::Apply(&secret)).await.expect("an app registration");
    }

    /// Applies the scene's provider with this spec.
    pub async fn apply_provider(&self, spec: &Value) {
        let provider = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
            "metadata": {"name": self.name}, "spec": spec});
        self.providers().patch(&self.name, &applied(), &Patch::Apply(&provider)).await.expect("a provider");
    }

    /// Changes the scene's provider.
    pub async fn change_provider(&self, change: Value) {
        let changed =
            self.providers().patch(&self.name, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.unwrap_or_else(|error| panic!("the provider cannot be changed to {change}: {error}"));
    }

    /// Waits until the provider's Ready has this reason, and returns its message.
    pub async fn until_provider(&self, reason: &str) -> String {
        until(&format!("the provider is {reason}"), async || {
            let provider = self.providers().get(&self.name).await.map_err(|error| error.to_string())?;
            let generation = provider.metadata.generation;
            let conditions = provider.status.unwrap_or_default().conditions;
            let ready = conditions
                .into_iter()
                .find(|condition| condition.type_ == "Ready")
                .ok_or("no condition yet")?;
            if ready.reason == reason && ready.observed_generation == generation {
                return Ok(ready.message);
            }
            Err(format!("{}: {}", ready.reason, ready.message))
        })
        .await
    }

    /// Providers, as administrator.
    pub fn providers(&self) -> Api<IntegrationProvider> {
        Api::all(self.admin.clone())
    }

    /// Workspaces, as administrator.
    pub fn workspaces(&self) -> Api<Workspace> {
        Api::all(self.admin.clone())
    }
}

/// A connection of alice's, applied by her.
pub struct ConnectionDraft<'a> {
    scene: &'a Scene,
    object: Value,
}

impl<'a> ConnectionDraft<'a> {
    pub fn new(scene: &'a Scene, name: &str) -> Self {
        let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": name, "namespace": scene.namespace},
            "spec": {"provider": scene.name, "owner": "alice"}});
        Self { scene, object }
    }

    /// Shared with the scene's Workspace.
    pub fn shared(self) -> Self {
        let workspace = self.scene.name.clone();
        self.spec(json!({"workspace": workspace, "shared": true}))
    }

    /// With this in its spec.
    pub fn spec(mut self, change: Value) -> Self {
        merge(&mut self.object["spec"], change);
        self
    }

    /// Applies it as alice.
    pub async fn apply(self) {
        let Self { scene, object } = self;
        let name = object["metadata"]["name"].as_str().unwrap();
        scene.connections().patch(name, &applied(), &Patch::Apply(&object)).await.expect("a connection");
    }
}

/// The scene's Workspace.
pub struct WorkspaceDraft<'a> {
    scene: &'a Scene,
    spec: Value,
}

impl<'a> WorkspaceDraft<'a> {
    pub fn new(scene: &'a Scene, members: &[&str], namespaces: &[&str]) -> Self {
        let members: Vec<_> = members.iter().map(|user| json!({"kind": "User", "name": user})).collect();
        Self { scene, spec: json!({"members": members, "namespaces": namespaces}) }
    }

    /// With these limits, and somebody who can change them.
    pub fn limits(mut self, limits: Value) -> Self {
        self.spec["limits"] = limits;
        self.spec["contact"] = json!("dana@example.com");
        self
    }

    /// Applies it as administrator, and removes what a former version had and this one does not.
    pub async fn apply(self) {
        let Self { scene, spec } = self;
        let workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace",
            "metadata": {"name": scene.name}, "spec": spec});
        scene
            .workspaces()
            .patch(&scene.name, &applied(), &Patch::Apply(&workspace))
            .await
            .expect("a workspace");
    }
}

/// As somebody who applies files.
fn applied() -> PatchParams {
    PatchParams::apply("files").force()
}
