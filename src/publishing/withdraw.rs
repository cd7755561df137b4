//! Removing a published Secret.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, Error};

use super::publish::{PublishError, call, is_ours, refusal};
use crate::kube_ext::index::SecretIndex;

/// What became of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It is deleted, or was gone already.
    Gone,
    /// A Secret of that name is not ours and was left alone.
    NotOurs,
}

/// Deletes the Secret if it is ours: controlled by `owner_uid`, or the very object we wrote (`written_uid`).
///
/// Normally one request: a Secret that the index or the caller knows as ours is deleted by its uid. Otherwise one live
/// read decides first.
pub async fn withdraw(
    client: &Client,
    index: &SecretIndex,
    namespace: &str,
    name: &str,
    owner_uid: &str,
    written_uid: Option<&str>,
) -> Result<Withdrawn, PublishError> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    if let Some(entry) = index.get(namespace, name)
        && entry.owner.is_some_and(|owner| &*owner.uid == owner_uid)
        && call(delete(&api, name, &entry.object.uid)).await?.map_err(refusal)? == Deleted::Gone
    {
        index.deleted(namespace, name, &entry.object.uid);
        return Ok(Withdrawn::Gone);
    }
    let found = call(api.get_metadata_opt(name)).await?.map_err(refusal)?;
    let Some(meta) = found.map(|object| object.metadata) else { return Ok(Withdrawn::Gone) };
    if !is_ours(&meta, owner_uid, written_uid) {
        return Ok(Withdrawn::NotOurs);
    }
    let uid = meta.uid.unwrap_or_default();
    match call(delete(&api, name, &uid)).await?.map_err(refusal)? {
        Deleted::Gone => {
            index.deleted(namespace, name, &uid);
            Ok(Withdrawn::Gone)
        }
        Deleted::AnotherObject => Err(PublishError::Contended),
    }
}

/// Outcome of a deletion by uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// That object is gone.
    Gone,
    /// The name now belongs to another object.
    AnotherObject,
}

/// Deletes exactly the object with that uid.
pub(super) async fn delete(api: &Api<Secret>, name: &str, uid: &str) -> Result<Deleted, Error> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    match api.delete(name, &DeleteParams::default().preconditions(preconditions)).await {
        Ok(_) => Ok(Deleted::Gone),
        Err(Error::Api(status)) if status.is_not_found() => Ok(Deleted::Gone),
        Err(Error::Api(status)) if status.is_conflict() => Ok(Deleted::AnotherObject),
        Err(error) => Err(error),
    }
}
