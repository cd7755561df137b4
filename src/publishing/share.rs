//! Taking a share back: its Secret first, then the share itself.

use std::time::Duration;

use bowline_api::ConnectionShare;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;

use super::{PublishError, withdraw};
use crate::kube_ext::index::SecretIndex;

/// How long the deletion of the share may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Deletes the Secret that a share published, and then the share. Garbage collection is only the backstop.
pub(crate) async fn withdraw_share(
    client: &Client,
    index: &SecretIndex,
    share: &ConnectionShare,
) -> Result<(), PublishError> {
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    let uid = share.uid().unwrap_or_default();
    let told = share.status.as_ref().is_some_and(|status| status.secret_name.is_some());
    if told || index.get(&namespace, &name).is_some() {
        withdraw(client, index, &namespace, &name, &uid, None).await?;
    }
    let api: Api<ConnectionShare> = Api::namespaced(client.clone(), &namespace);
    let params =
        DeleteParams::default().preconditions(Preconditions { uid: Some(uid), resource_version: None });
    match timeout(CALL_LIMIT, api.delete(&name, &params)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => Ok(()),
        Ok(Err(error)) => Err(PublishError::Unavailable(error)),
        Err(_) => Err(PublishError::Contended),
    }
}
