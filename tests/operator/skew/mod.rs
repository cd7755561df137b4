//! The previous release and this one: upgrades, rollbacks, and both at once. The previous one runs as it was built from its
//! commit, with its own definitions, policies and roles.
//!
//! Unit tests read what former versions wrote where somebody thought of it. Only here do those versions write it.

mod definitions;
mod lead;
mod people;
mod rollback;
mod upgrade;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::names::LABEL_MANAGED_BY;
use bowline_testbed::sandbox::{Action, Endpoint, Fault, GrantType, Ledger, Rotation};
use bowline_testbed::stage;
use serde_json::{Value, json};

use crate::binding::shared;
use crate::lifecycle::key_provider;
use crate::looking::until_within;
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

/// Seconds that a token lasts where it is replaced all the time.
const LIFETIME: u64 = 12;
/// As kubectl takes them.
const KINDS: &str = "integrationproviders.bowline.dev,integrationconnections.bowline.dev,workspaces.bowline.dev,connectionshares.bowline.dev,connectionbindings.bowline.dev";
/// For the first work of a replica that has just begun to lead.
const SOON: Duration = Duration::from_mins(3);

/// Applies the definitions, policies and roles of a release to a cluster, as an upgrade or a rollback does.
async fn apply_manifests(of: &Stage, to: &Stage) {
    let manifests = of.release.sources.join("deploy");
    stage::Stage::install_from(to.cluster(), &manifests).await.expect("the manifests are applied");
}

/// How often a refresh token was exchanged for a token.
fn refreshes(it: &Scene) -> usize {
    let ledger = it.realm.ledger();
    let gave = ledger.requests_to(Endpoint::Token).filter(|request| request.gave_tokens());
    gave.filter(|request| request.grant_type == Some(GrantType::RefreshToken)).count()
}

async fn until_refreshed(it: &Scene, times: usize) {
    until_within(SOON, &format!("{}: {times} refreshes", it.name), async || {
        let done = refreshes(it);
        if done >= times { Ok(()) } else { Err(done) }
    })
    .await;
}

/// What Bowline keeps, each in a scene with its own provider.
struct Kept {
    /// A grant that is refreshed on request, shared with another namespace, and bound there.
    mail: Scene,
    /// A grant that is refreshed every few seconds.
    chat: Scene,
    /// Tokens that are minted every few seconds.
    billing: Scene,
    /// A key.
    weather: Scene,
}

impl Kept {
    async fn on(stage: &Arc<Stage>) -> Self {
        let [mail, chat, billing, weather] = [
            stage.scene("mail").await,
            stage.scene("chat").await,
            stage.scene("billing").await,
            stage.scene("weather").await,
        ];
        chat.connected("chat", Rotation::SingleUse, LIFETIME).await;
        let work = shared(&mail, 3600).await.namespace;
        mail.secret_in(&work, &format!("{}.mail", mail.namespace)).await;
        mail.secret_in(&work, "post").await;
        billing.minting_provider().lifetime(LIFETIME).apply().await;
        billing.connection("billing").apply().await;
        key_provider(&weather, "generic-api-key").await;
        weather.connection("weather").apply().await;
        weather.import_keys("weather", &[("api_key", "good-key-0123456789")]).await;
        let kept = Self { mail, chat, billing, weather };
        for (it, name) in kept.all() {
            it.until_phase(name, "Active").await;
            it.secret(name).await;
        }
        kept
    }

    fn all(&self) -> [(&Scene, &'static str); 4] {
        [(&self.mail, "mail"), (&self.chat, "chat"), (&self.billing, "billing"), (&self.weather, "weather")]
    }

    /// Scenes use the programs of this stage's release from now on.
    fn follow(&mut self, stage: &Arc<Stage>) {
        for it in [&mut self.mail, &mut self.chat, &mut self.billing, &mut self.weather] {
            it.stage = Arc::clone(stage);
        }
    }

    fn work(&self) -> String {
        format!("{}-work", self.mail.name)
    }

    /// Every kind of token is replaced by whoever leads now, and the new ones are where workloads read them.
    async fn until_everything_is_renewed(&self, mark: &str) {
        let (mail, chat, billing) = (&self.mail, &self.chat, &self.billing);
        let minted = billing.secret("billing").await;
        let before = (refreshes(mail), refreshes(chat));
        mail.ask_for_refresh("mail", mark).await;
        until_refreshed(mail, before.0 + 1).await;
        until_refreshed(chat, before.1 + 2).await;
        until_within(SOON, "another token is minted", async || {
            (billing.secret("billing").await["access_token"] != minted["access_token"]).then_some(())
        })
        .await;
        for (namespace, name) in [
            (&mail.namespace, "mail".to_owned()),
            (&self.work(), format!("{}.mail", mail.namespace)),
            (&self.work(), "post".to_owned()),
        ] {
            until_within(SOON, &format!("{name} has a token that works"), async || {
                mail.realm.is_alive(&mail.secret_in(namespace, &name).await["access_token"]).then_some(())
            })
            .await;
        }
    }

    /// No refresh token was sent twice, and nobody was sent to the provider.
    fn assert_nothing_spent_twice(&self) {
        for (it, name) in self.all() {
            let ledger = it.realm.ledger();
            assert!(ledger.spent_twice().is_empty(), "{name}");
            assert_eq!(
                ledger.requests_to(Endpoint::Authorization).count(),
                0,
                "{name}: nobody consents again"
            );
        }
    }
}

/// A grant that is still to be revoked, because its connection ended while the provider was down.
struct Debt {
    it: Scene,
    grant: String,
}

impl Debt {
    async fn on(stage: &Arc<Stage>) -> Self {
        let it = stage.scene("leaving").await;
        let grant = it.connected("leaving", Rotation::SingleUse, 3600).await.grant_id;
        it.realm.fault(Fault::at(Endpoint::Revocation, Action::status(503)).times(u32::MAX));
        it.delete("leaving").await;
        it.until_gone(SOON, "leaving").await;
        let tried = |ledger: &Ledger| ledger.requests_to(Endpoint::Revocation).next().map(drop);
        it.until_ledger_within(SOON, "a revocation that failed", tried).await;
        Self { it, grant }
    }

    /// The provider is back: whoever leads now revokes it.
    async fn until_paid(&self) {
        self.it.realm.clear_faults();
        let revoked = |ledger: &Ledger| ledger.is_grant_revoked(&self.grant).then_some(());
        self.it.until_ledger_within(SOON, "revoked", revoked).await;
    }
}

/// What an upgrade leaves as it is, by object: UID and spec, the grant, the conditions with the times of their last change;
/// of a published Secret its type and the names of its keys.
async fn lasting(stage: &Stage) -> BTreeMap<String, Value> {
    let managed = format!("{LABEL_MANAGED_BY}=bowline");
    let secrets = ["secrets", "-l", &managed, "--field-selector", &format!("metadata.namespace!={HOME}")];
    let mut all = BTreeMap::new();
    for what in [&[KINDS][..], &secrets] {
        for object in listed(stage, what).await {
            let metadata = &object["metadata"];
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let conditions: serde_json::Map<_, _> = conditions
                .into_iter()
                .map(|it| {
                    (it["type"].to_string(), json!([it["status"], it["reason"], it["lastTransitionTime"]]))
                })
                .collect();
            let keys: Vec<_> = object["data"].as_object().into_iter().flatten().map(|(key, _)| key).collect();
            let name = format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]);
            let lasting = json!({"uid": metadata["uid"], "spec": object["spec"], "type": object["type"], "keys": keys,
                "grant": object["status"]["grant"]["id"], "conditions": conditions});
            all.insert(name, lasting);
        }
    }
    all
}

/// Objects of all namespaces, as an administrator sees them.
async fn listed(stage: &Stage, what: &[&str]) -> Vec<Value> {
    let arguments = [&["get", "-A", "-o", "json"], what].concat();
    let output = stage.access.kubectl(&arguments).await.expect("kubectl");
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut list: Value = serde_json::from_slice(&output.stdout).expect("a list");
    list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
}

/// Nothing is missing, replaced, or said in other words; a newer version may say more. Tokens of a few seconds may expire on a busy
/// machine while versions change.
fn assert_lasted(kept: &Kept, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) {
    let brief = [&kept.chat.namespace, &kept.billing.namespace];
    for (name, was) in before {
        let is_brief = brief.iter().any(|namespace| name.contains(namespace.as_str()));
        let is = after.get(name).unwrap_or_else(|| panic!("{name} is gone"));
        for (field, was) in was.as_object().unwrap() {
            if field == "conditions" {
                if is_brief {
                    continue;
                }
                for (type_, was) in was.as_object().unwrap() {
                    assert_eq!(&is[field][type_], was, "{name}: {type_}");
                }
            } else {
                assert_eq!(&is[field], was, "{name}: {field}");
            }
        }
    }
}

/// Waits until the replica with this `--instance` leads.
async fn until_leads(stage: &Stage, instance: &str) {
    until_within(SOON, "it leads", async || {
        let lease = stage.access.kubectl(&[
            "get",
            "lease",
            "bowline",
            "-n",
            HOME,
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ]);
        let holder = String::from_utf8(lease.await.expect("kubectl").stdout).unwrap();
        if holder.starts_with(&format!("{instance}/")) { Ok(()) } else { Err(holder) }
    })
    .await;
}
