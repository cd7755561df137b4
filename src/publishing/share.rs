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
pub async fn withdraw_share(
    client: &Client,
    index: &SecretIndex,
    share: &ConnectionShare,
) -> Result<(), PublishError> {
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    let uid = share.uid().unwrap_or_default();
    let written = share.status.as_ref().and_then(|status| status.secret.as_ref());
    let secret = written.map_or(name.as_str(), |secret| secret.name.as_str());
    if written.is_some() || index.get(&namespace, secret).is_some() {
        withdraw(client, index, &namespace, secret, &uid, written.map(|secret| secret.uid.as_str())).await?;
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
