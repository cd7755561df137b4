//! Writing objects: the only code that chooses patch parameters.
//!
//! Objects are built from scratch and contain only the fields we own: otherwise server-side apply would take over, and later
//! remove, what others wrote.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::core::object::HasStatus;
use kube::{Api, Client, Error, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use bowline_api::names::{FIELD_MANAGER, STATUS_MANAGER};
use bowline_runtime::follow::Parsed;

/// Requests an object's metadata only, so that a response never contains the Secret's data.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Applies `object` with force: fields of ours that somebody else changed are restored.
pub async fn apply<K>(api: &Api<K>, name: &str, object: &K) -> Result<K, Error>
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await
}

/// Creates `object`. One that exists already is left unchanged.
pub(crate) async fn create<K>(api: &Api<K>, object: &K) -> Result<K, Error>
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api.create(&parameters, object).await
}

/// Applies the whole status of `object` with force, under a separate field manager: what the last status contained and this
/// one does not is removed. The object that the API server returns may contain more than we can read.
pub(crate) async fn apply_status<K>(
    client: &Client,
    object: &K,
    status: &K::Status,
) -> Result<Parsed<K>, Error>
where
    K: Resource<DynamicType = ()> + HasStatus + DeserializeOwned,
    K::Status: Serialize,
{
    let body = json!({ "apiVersion": K::api_version(&()), "kind": K::kind(&()), "status": status });
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    let request = kube::core::Request::new(K::url_path(&(), object.namespace().as_deref()))
        .patch_subresource("status", &object.name_any(), &parameters, &Patch::Apply(&body))
        .map_err(Error::BuildRequest)?;
    client.request(request).await
}

/// Removes an annotation if its value is still `handled`; a newer request stays. Returns whether it was removed.
pub async fn remove_annotation<K>(
    api: &Api<K>,
    name: &str,
    annotation: &str,
    handled: &str,
) -> Result<bool, Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let pointer = format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"));
    let steps = json!([
        { "op": "test", "path": pointer, "value": handled },
        { "op": "remove", "path": pointer },
    ]);
    let patch = Patch::<()>::Json(serde_json::from_value(steps).map_err(Error::SerdeError)?);
    match api.patch_metadata(name, &managed(), &patch).await {
        Ok(_) => Ok(true),
        // The API server answers a failed `test` with 422.
        Err(Error::Api(status)) if status.code == 422 || status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets one annotation.
pub(crate) async fn annotate<K>(api: &Api<K>, name: &str, annotation: &str, value: &str) -> Result<(), Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: value}}}));
    api.patch_metadata(name, &managed(), &patch).await.map(drop)
}

/// Creates a Secret and returns its metadata. `AlreadyExists` leaves the existing one unchanged.
pub(crate) async fn create_secret(
    client: &Client,
    namespace: &str,
    secret: &Secret,
) -> Result<PartialObjectMeta<Secret>, Error> {
    let body = serde_json::to_vec(secret).map_err(Error::SerdeError)?;
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut request = kube::core::Request::new(Secret::url_path(&(), Some(namespace)))
        .create(&parameters, body)
        .map_err(Error::BuildRequest)?;
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(METADATA_ONLY));
    client.request(request).await
}

/// Applies or merges into a Secret, and returns its metadata. The uid and resourceVersion in it are preconditions.
pub(crate) async fn patch_secret<P: Debug + Serialize>(
    api: &Api<Secret>,
    name: &str,
    patch: &Patch<P>,
) -> Result<PartialObjectMeta<Secret>, Error> {
    let force = matches!(patch, Patch::Apply(_));
    api.patch_metadata(name, &PatchParams { force, ..managed() }, patch).await
}

fn managed() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
