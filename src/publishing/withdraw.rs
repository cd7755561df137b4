//! Removing a published Secret, and the share it was published for.

use std::fmt::Debug;

use bowline_api::ConnectionShare;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, Error, ResourceExt};
use serde::de::DeserializeOwned;

use super::error::{PublishError, call, refusal};
use crate::kube_ext::index::{SecretIndex, controller_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It is deleted, or was deleted before.
    Gone,
    /// The Secret of that name is not ours and was left alone.
    NotOurs,
}

/// Deletes the Secret if it is ours: controlled by `owner_uid`, or the very object we wrote (`written_uid`).
///
/// Normally one request: a Secret that the index knows as ours is deleted by its uid. Otherwise one live read decides first.
pub async fn withdraw(
    client: &Client,
    index: &SecretIndex,
    namespace: &str,
    name: &str,
    owner_uid: &str,
    written_uid: Option<&str>,
) -> Result<Withdrawn, PublishError> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    if let Some(secret) = index.get(namespace, name)
        && secret.owner.is_some_and(|owner| &*owner.uid == owner_uid)
        && call(delete(&api, name, &secret.object.uid)).await?.map_err(refusal)?
    {
        index.deleted(namespace, name, &secret.object.uid);
        return Ok(Withdrawn::Gone);
    }
    let found = call(api.get_metadata_opt(name)).await?.map_err(refusal)?;
    let Some(meta) = found.map(|object| object.metadata) else { return Ok(Withdrawn::Gone) };
    if !is_ours(&meta, owner_uid, written_uid) {
        return Ok(Withdrawn::NotOurs);
    }
    let uid = meta.uid.unwrap_or_default();
    if !call(delete(&api, name, &uid)).await?.map_err(refusal)? {
        return Err(PublishError::Contended);
    }
    index.deleted(namespace, name, &uid);
    Ok(Withdrawn::Gone)
}

/// Deletes a share, and no later one of its name.
pub(crate) async fn delete_share(client: &Client, share: &ConnectionShare) -> Result<(), PublishError> {
    let api: Api<ConnectionShare> = Api::namespaced(client.clone(), &share.namespace().unwrap_or_default());
    let (name, uid) = (share.name_any(), share.uid().unwrap_or_default());
    call(delete(&api, &name, &uid)).await?.map(drop).map_err(PublishError::Unavailable)
}

/// Ours is what our owner controls, and what has no controller but is the very object we wrote (an editor may have removed
/// the reference).
pub(super) fn is_ours(meta: &ObjectMeta, owner_uid: &str, written_uid: Option<&str>) -> bool {
    match controller_of(meta) {
        Some(owner) => owner.uid == owner_uid,
        None => written_uid.is_some() && meta.uid.as_deref() == written_uid,
    }
}

/// Deletes exactly the object with that uid. Returns whether it is gone; otherwise the name now belongs to another object.
pub(super) async fn delete<K>(api: &Api<K>, name: &str, uid: &str) -> Result<bool, Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    match api.delete(name, &DeleteParams::default().preconditions(preconditions)).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.is_not_found() => Ok(true),
        Err(Error::Api(status)) if status.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_by_controller_or_by_the_object_we_wrote_never_by_label() {
        let meta = |owner: Option<&str>| ObjectMeta {
            uid: Some("s".into()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "bowline".to_owned())].into()),
            owner_references: owner.map(|uid| {
                vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                    uid: uid.into(),
                    controller: Some(true),
                    ..Default::default()
                }]
            }),
            ..ObjectMeta::default()
        };
        assert!(is_ours(&meta(Some("us")), "us", None));
        assert!(is_ours(&meta(None), "us", Some("s")), "stripped by an editor");
        assert!(!is_ours(&meta(None), "us", None));
        assert!(!is_ours(&meta(None), "us", Some("other")));
        assert!(!is_ours(&meta(Some("them")), "us", Some("s")), "taken over by another controller");
    }
}
