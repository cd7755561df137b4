//! Whose a connection is: its owner agrees to where the token goes, a workflow chooses it, and nobody loses it by surprise.

use serde_json::{Value, json};

use super::{
    BINDING, CONNECTION, OWNER, SECOND, SHARED, TEAM, WORKSPACE,
    story::{SOON, Story, is, said, unexpected},
};
use crate::{
    access::ADMIN,
    error::Error,
    objects::{condition, path},
    wait::wait_for,
};

impl Story<'_> {
    /// A pipeline asks for more than alice agreed to. Nothing of it happens.
    pub(super) async fn share_proposed(&self) -> Result<String, Error> {
        let shared =
            json!({"metadata": {"annotations": {"bowline.dev/terms-by": ADMIN}}, "spec": {"shared": true}});
        self.admin.merge(&path::connection(TEAM, CONNECTION), &shared).await?;
        self.connection(CONNECTION, "the change waits for its owner", |object| {
            condition(object, "Shared").is_some_and(|it| it["reason"] == "OwnerApprovalNeeded")
        })
        .await?;
        if let Ok(secret) = self.look(&path::secret(WORKSPACE, SHARED)).await {
            return Err(unexpected("the Secret nobody agreed to", secret["metadata"]["name"].to_string()));
        }
        Ok(format!("{ADMIN} set shared: true; OwnerApprovalNeeded, and no Secret in {WORKSPACE}"))
    }

    /// alice sees where it would go, and agrees.
    pub(super) async fn approved(&self) -> Result<String, Error> {
        self.plugin_succeeds(OWNER, &["approve", CONNECTION, "--yes", "--namespace", TEAM]).await?;
        wait_for("the share is published", SOON, async || {
            let share = self.look(&path::share(WORKSPACE, SHARED)).await?;
            if !is(&share, "Ready", "True") {
                return Err(share["status"].to_string());
            }
            self.fresh(&path::secret(WORKSPACE, SHARED)).await
        })
        .await?;
        Ok(format!("kubectl bowline approve {CONNECTION}; fresh Secret {WORKSPACE}/{SHARED}"))
    }

    /// A workflow chooses the connection, and overrides one of its settings.
    pub(super) async fn bound(&self) -> Result<String, Error> {
        let defaults = json!({"spec": {"config": {"channel": "#general", "signature": "Acme"}}});
        self.alice.merge(&path::connection(TEAM, CONNECTION), &defaults).await?;
        let binding = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionBinding",
            "metadata": {"name": BINDING, "namespace": WORKSPACE},
            "spec": {"connection": SHARED, "config": {"channel": "#launch"}}});
        self.admin.create(&path::bindings(WORKSPACE), &binding).await?;
        let config = wait_for("the binding's Secret has the merged settings", SOON, async || {
            let secret = path::secret(WORKSPACE, BINDING);
            self.fresh(&secret).await?;
            let secret = self.look(&secret).await?;
            let config = config_of(&secret).ok_or_else(|| "no config.json".to_owned())?;
            let is_merged = config == json!({"channel": "#launch", "signature": "Acme"});
            is_merged.then_some(config.clone()).ok_or_else(|| config.to_string())
        })
        .await?;
        Ok(format!("{WORKSPACE}/{BINDING} overrides one of two settings; its Secret: fresh token, {config}"))
    }

    /// What is in use is not deleted by mistake, not even by its owner.
    pub(super) async fn deletion_held(&self) -> Result<String, Error> {
        self.connection(CONNECTION, "the binding counts", |object| {
            object["status"]["dependents"]["names"][0] == format!("{WORKSPACE}/{BINDING}").as_str()
        })
        .await?;
        match self.alice.delete(&path::connection(TEAM, CONNECTION)).await {
            Err(kube::Error::Api(status)) if status.message.contains(&format!("{WORKSPACE}/{BINDING}")) => {}
            answer => return Err(unexpected("the answer to the deletion", format!("{answer:?}"))),
        }
        Ok(format!("{OWNER} deletes {CONNECTION}: refused, {WORKSPACE}/{BINDING} would lose its token"))
    }

    /// Whoever leaves leaves nothing behind.
    pub(super) async fn offboarded(&self) -> Result<String, Error> {
        self.plugin_succeeds(ADMIN, &["offboard", OWNER, "--delete", "--yes"]).await?;
        wait_for("all that she owned is gone", SOON, async || {
            for name in [CONNECTION, SECOND] {
                for path in [path::connection(TEAM, name), path::secret(TEAM, name)] {
                    if self.admin.get(&path).await.map_err(said)?.is_some() {
                        return Err(format!("{path} is still there"));
                    }
                }
            }
            Ok(())
        })
        .await?;
        Ok(format!(
            "kubectl bowline offboard {OWNER} --delete: {CONNECTION}, {SECOND} and their Secrets are gone"
        ))
    }
}

fn config_of(secret: &Value) -> Option<Value> {
    let encoded = secret["data"]["config.json"].as_str()?;
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(encoded)).ok()?;
    serde_json::from_slice(&bytes.0).ok()
}
