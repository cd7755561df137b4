//! `backup`: everything of Bowline that another cluster, or this one after a disaster, needs to go on.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource};
use serde_json::{Value, json};

use crate::session::plain;
use crate::table::printable;
use crate::{Screen, UserSession};
use bowline_api::keyring;
use bowline_api::names::{ANNOTATION_TERMS_BY, TYPE_APP, TYPE_CREDENTIAL, TYPE_RECORD, TYPE_SHARER};
use bowline_api::{ConnectionBinding, IntegrationConnection, IntegrationProvider, Workspace};

const EXAMPLES: &str = "Examples:
  kubectl bowline backup --to bowline.json
  kubectl bowline backup --to bowline.json --with-keyring

Writes a list that kubectl create -f takes: providers, workspaces, connections
and bindings of all namespaces, as they were applied; the sealed records and
who shared what; and the Secrets with app registrations and with keys that
people keep. These hold client secrets and keys, so only you may read the file.

Published Secrets and shares are left out: the operator writes them again. You
are named as the one who creates what others share, so restore it yourself. The
keyring opens the records, so keep it in another place; --with-keyring adds it
for a move. Stop the operator first: a record is of use only as long as nobody
refreshes after the backup. docs/operations.md says how to restore.";

/// What belongs to the object in its cluster, and not to what was applied.
const LEFT_OUT: &[&str] =
    &["uid", "resourceVersion", "creationTimestamp", "generation", "ownerReferences", "managedFields"];

/// Write a backup of connections, their records and what they need
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Add the key that opens the records
    #[arg(long)]
    with_keyring: bool,
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "bowline-system")]
    operator_namespace: String,
}

impl BackupArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let mut items = self.secrets(session).await?;
        let records = items.iter().filter(|item| item["type"] == TYPE_RECORD).count();
        // Providers come before those who use them.
        items.extend(listed::<IntegrationProvider>(session, None, "").await?);
        items.extend(listed::<Workspace>(session, None, "").await?);
        let mut connections = listed::<IntegrationConnection>(session, None, "").await?;
        let user = session.user().await?;
        for connection in &mut connections {
            sign_terms(connection, &user);
        }
        let count = connections.len();
        items.extend(connections);
        items.extend(listed::<ConnectionBinding>(session, None, "").await?);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.to)
            .with_context(|| format!("{} cannot be written", self.to.display()))?;
        writeln!(file, "{list:#}")?;
        let keyring = if self.with_keyring { "with" } else { "without" };
        let said =
            format!("{count} connections, {records} records, {keyring} the keyring: {}\n", self.to.display());
        Ok(screen.result(&printable(said))?)
    }

    async fn secrets(&self, session: &UserSession) -> anyhow::Result<Vec<Value>> {
        let own = Some(self.operator_namespace.as_str());
        let mut found = Vec::new();
        if self.with_keyring {
            found
                .extend(listed::<Secret>(session, own, &format!("metadata.name={}", keyring::SECRET)).await?);
        }
        for (type_, within) in
            [(TYPE_RECORD, own), (TYPE_SHARER, own), (TYPE_APP, None), (TYPE_CREDENTIAL, None)]
        {
            found.extend(listed::<Secret>(session, within, &format!("type={type_}")).await?);
        }
        Ok(found)
    }
}

/// The objects of a kind in a namespace, or everywhere, as they are to be created again.
async fn listed<K: Resource<DynamicType = ()>>(
    session: &UserSession,
    namespace: Option<&str>,
    fields: &str,
) -> anyhow::Result<Vec<Value>> {
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(session.client.clone(), namespace, &kind),
        None => Api::all_with(session.client.clone(), &kind),
    };
    let list = api.list(&ListParams::default().fields(fields)).await.map_err(plain)?;
    let applied = |object: DynamicObject| {
        let mut object = serde_json::to_value(object)?;
        object["apiVersion"] = json!(kind.api_version);
        object["kind"] = json!(kind.kind);
        as_applied(&mut object);
        Ok(object)
    };
    list.items.into_iter().map(applied).collect()
}

fn as_applied(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    }
}

/// Names who will create a connection that its owner shares: admission wants that of everybody else. What the owner agreed to
/// is in the record.
fn sign_terms(connection: &mut Value, user: &str) {
    if connection["spec"]["shared"] == json!(true) && connection["spec"]["owner"] != json!(user) {
        connection["metadata"]["annotations"][ANNOTATION_TERMS_BY] = json!(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_the_backup_is_named_where_they_share_for_somebody_else() {
        for (owner, shared, named) in [("alice", true, true), ("admin", true, false), ("alice", false, false)]
        {
            let mut connection =
                json!({"metadata": {"name": "mail"}, "spec": {"owner": owner, "shared": shared}});
            sign_terms(&mut connection, "admin");
            let by = &connection["metadata"]["annotations"][ANNOTATION_TERMS_BY];
            assert_eq!(*by == json!("admin"), named, "{owner} {shared}");
        }
    }

    #[test]
    fn what_belongs_to_the_former_object_is_left_out_and_finalizers_stay() {
        let mut object = json!({"kind": "IntegrationConnection", "spec": {"owner": "alice"}, "status": {"id": "x"},
            "metadata": {"name": "mail", "namespace": "team-a", "uid": "1", "resourceVersion": "2", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [], "ownerReferences": [],
                "finalizers": ["bowline.dev/grant"], "labels": {"team": "a"}}});
        as_applied(&mut object);
        assert_eq!(
            object,
            json!({"kind": "IntegrationConnection", "spec": {"owner": "alice"},
                "metadata": {"name": "mail", "namespace": "team-a", "finalizers": ["bowline.dev/grant"],
                    "labels": {"team": "a"}}})
        );
    }
}
