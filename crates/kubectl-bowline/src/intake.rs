//! An intake Secret: created, and announced on its connection, so that the operator takes this one and no other.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};

use crate::session::{UserSession, plain};
use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_INTAKE, LABEL_INTAKE_FOR, TYPE_INTAKE};

pub(crate) type IntakeData = BTreeMap<String, ByteString>;

/// Refuses what cannot succeed, before a secret is written.
pub(crate) fn check(connection: &IntegrationConnection) -> anyhow::Result<()> {
    let name = connection.name_any();
    if connection.metadata.deletion_timestamp.is_some() {
        bail!("{name} is being deleted; nothing was written");
    }
    if connection.is_disconnected() {
        bail!("{name} is disconnected by its spec: set disconnect to false first; nothing was written");
    }
    Ok(())
}

/// The intake that the connection now names. Nothing of what the Secret contains: the API server returns that with it.
pub(crate) struct AnnouncedIntake {
    pub(crate) secret: String,
    /// `<name>/<uid>`: a Secret that somebody else creates with this name is not meant.
    pub(crate) value: String,
}

impl AnnouncedIntake {
    /// What to say while the operator has not taken it.
    pub(crate) fn untaken(&self, session: &UserSession) -> String {
        let (secret, namespace) = (&self.secret, &session.namespace);
        format!(
            "the operator has not taken Secret {secret} yet; it stays announced. To take it back: kubectl delete secret {secret} -n {namespace}"
        )
    }
}

/// Writes the Secret, then the annotation. Without the annotation nobody would take the Secret, so it is removed again.
pub(crate) async fn announce(
    session: &UserSession,
    connection: &IntegrationConnection,
    data: IntakeData,
) -> anyhow::Result<AnnouncedIntake> {
    let secrets: Api<Secret> = session.api();
    let created = secrets
        .create(&PostParams::default(), &intake(connection, data))
        .await
        .map_err(plain)
        .context("the intake Secret cannot be written")?;
    let (name, uid) = (created.name_any(), created.uid());
    drop(created);
    let value = format!("{name}/{}", uid.as_deref().unwrap_or_default());
    if let Err(error) = session.annotate(connection, ANNOTATION_INTAKE, &value).await {
        let only_ours = Preconditions { uid, resource_version: None };
        let removal = secrets.delete(&name, &DeleteParams::default().preconditions(only_ours)).await;
        let left = match removal.map_err(plain) {
            Ok(_) => "nothing is left behind".to_owned(),
            Err(left) => format!("Secret {name} is left behind, delete it by hand ({left})"),
        };
        return Err(error.context(format!("nothing was changed, and {left}")));
    }
    Ok(AnnouncedIntake { secret: name, value })
}

fn intake(connection: &IntegrationConnection, data: IntakeData) -> Secret {
    let name = connection.name_any();
    Secret {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-intake-")),
            labels: Some([(LABEL_INTAKE_FOR.to_owned(), name)].into()),
            // If the connection is deleted before the operator takes the Secret, the Secret is deleted with it.
            owner_references: connection.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE_INTAKE.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(spec: &serde_json::Value) -> IntegrationConnection {
        let mut whole = json!({
            "metadata": {"name": "github", "namespace": "team-a", "uid": "u1"},
            "spec": {"provider": "github", "owner": "alice"},
        });
        whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn the_intake_secret_goes_with_its_connection_and_has_a_type_of_its_own() {
        let data = [("api_key".to_owned(), ByteString(b"k".to_vec()))].into();
        let secret = intake(&connection(&json!({})), data);
        assert_eq!(secret.type_.as_deref(), Some("bowline.dev/intake"));
        assert_eq!(secret.metadata.generate_name.as_deref(), Some("github-intake-"));
        assert_eq!(secret.labels()["bowline.dev/connection"], "github");
        let owner = &secret.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("IntegrationConnection", "u1"));
        assert_eq!(owner.block_owner_deletion, None, "it needs rights on finalizers");
        assert_eq!(secret.data.unwrap().len(), 1);
    }

    #[test]
    fn a_connection_that_takes_no_grant_is_refused_before_anything_is_written() {
        assert!(check(&connection(&json!({}))).is_ok());
        let disconnected = check(&connection(&json!({"disconnect": true}))).unwrap_err();
        assert!(disconnected.to_string().contains("set disconnect to false"), "{disconnected}");
        let mut going = connection(&json!({}));
        going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            "2026-01-01T00:00:00Z".parse().unwrap(),
        ));
        assert!(check(&going).unwrap_err().to_string().contains("being deleted"));
    }
}
