//! Writing the Secret: never onto somebody else's, never an older revision over a newer one.
//!
//! Server-side apply to a foreign Secret succeeds silently and merges. So the first write is a POST, and every later one
//! names the uid and resourceVersion that it expects. Normally that is one request.

use bowline_api::names::{FIELD_MANAGER, LABEL_MANAGED_BY, MANAGED_BY};
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Patch;
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::error::{PublishError, call, refusal};
use super::secret::Desired;
use super::withdraw::{delete, is_ours};
use crate::kube_ext::apply::{create_secret, patch_secret};
use crate::kube_ext::index::{SecretIndex, grant_of};
use crate::vault::record::GrantVersion;

/// Writes within one call; each follows an answer of the API server, none waits.
const WRITES: usize = 6;

/// Writes the Secret as desired and returns what was written.
///
/// `known` is the Secret as last seen, from the index or from status; none if there was none. `newest` returns the grant on
/// record *now*: it is called after every read and before every write, and a writer whose grant is another one, by id or by
/// revision, stops with [`PublishError::Superseded`].
///
/// An edited Secret is restored; one that was made immutable or has another type is deleted and created again; a deleted one
/// is created again. Data keys that others added are removed; their labels and annotations stay.
pub async fn publish(
    client: &Client,
    index: &SecretIndex,
    desired: &Desired,
    known: Option<&ObjectVersion>,
    newest: &(dyn Fn() -> Option<GrantVersion> + Sync),
) -> Result<ObjectVersion, PublishError> {
    let publisher = Publisher {
        client,
        index,
        desired,
        first: known,
        api: Api::namespaced(client.clone(), &desired.namespace),
    };
    let mut known = known.cloned();
    for _ in 0..WRITES {
        if newest() != Some(desired.grant) {
            return Err(PublishError::Superseded);
        }
        match publisher.write(known.as_ref()).await? {
            WriteOutcome::Done(written) => return Ok(written),
            WriteOutcome::Differs(now) => known = now,
        }
    }
    Err(PublishError::Contended)
}

enum WriteOutcome {
    Done(ObjectVersion),
    /// The present Secret, if it is not as we thought: write again.
    Differs(Option<ObjectVersion>),
}

struct Publisher<'a> {
    client: &'a Client,
    index: &'a SecretIndex,
    desired: &'a Desired,
    first: Option<&'a ObjectVersion>,
    api: Api<Secret>,
}

impl Publisher<'_> {
    async fn write(&self, known: Option<&ObjectVersion>) -> Result<WriteOutcome, PublishError> {
        let secret = self.desired.secret(known);
        let Some(known) = known else {
            return match call(create_secret(self.client, &self.desired.namespace, &secret)).await? {
                Ok(object) => self.done(&object.metadata),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    self.look().await.map(WriteOutcome::Differs)
                }
                Err(error) => Err(refusal(error)),
            };
        };
        match call(patch_secret(&self.api, &self.desired.name, &Patch::Apply(&secret))).await? {
            Ok(object) => self.prune(&object.metadata).await,
            Err(kube::Error::Api(status)) if must_be_replaced(&status) => {
                call(delete(&self.api, &self.desired.name, &known.uid)).await?.map_err(refusal)?;
                Ok(WriteOutcome::Differs(None))
            }
            Err(error) => self.after(error).await,
        }
    }

    /// What to do after a failed write over a known Secret.
    async fn after(&self, error: kube::Error) -> Result<WriteOutcome, PublishError> {
        match error {
            kube::Error::Api(status) if status.is_not_found() => Ok(WriteOutcome::Differs(None)),
            kube::Error::Api(status) if status.is_conflict() => self.look().await.map(WriteOutcome::Differs),
            error => Err(refusal(error)),
        }
    }

    /// The one live read, after the API server said that the Secret is not as we thought.
    async fn look(&self) -> Result<Option<ObjectVersion>, PublishError> {
        let found = call(self.api.get_metadata_opt(&self.desired.name)).await?.map_err(refusal)?;
        let Some(meta) = found.map(|object| object.metadata) else { return Ok(None) };
        if !is_ours(&meta, &self.desired.owner.uid, self.first.map(|known| &*known.uid)) {
            return Err(PublishError::NameTaken);
        }
        if meta.deletion_timestamp.is_some() {
            return Err(PublishError::BeingDeleted);
        }
        // Another process may have published a later revision since; our cache of records may not show it yet.
        // What has our label was written by us: nobody else may set it.
        let noted = meta.annotations.as_ref().filter(|_| is_labelled(&meta)).and_then(grant_of);
        if noted.is_some_and(|there| self.desired.grant.is_behind(there)) {
            return Err(PublishError::Superseded);
        }
        Ok(ObjectVersion::of(&meta))
    }

    /// Removes what an apply leaves: data keys that are not ours, and what our own POST once set.
    async fn prune(&self, meta: &ObjectMeta) -> Result<WriteOutcome, PublishError> {
        let Some(patch) = leftovers(meta, self.desired) else { return self.done(meta) };
        match call(patch_secret(&self.api, &self.desired.name, &Patch::Merge(&patch))).await? {
            Ok(object) => self.done(&object.metadata),
            Err(error) => self.after(error).await,
        }
    }

    fn done(&self, meta: &ObjectMeta) -> Result<WriteOutcome, PublishError> {
        self.index.wrote(meta);
        ObjectVersion::of(meta).map(WriteOutcome::Done).ok_or(PublishError::Contended)
    }
}

fn is_labelled(meta: &ObjectMeta) -> bool {
    let by = meta.labels.as_ref().and_then(|labels| labels.get(LABEL_MANAGED_BY));
    by.is_some_and(|by| by == MANAGED_BY)
}

/// Immutable data and the type of a Secret cannot be changed, only replaced.
fn must_be_replaced(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 422 && causes.into_iter().any(|cause| matches!(cause.field.as_str(), "immutable" | "type"))
}

fn leftovers(meta: &ObjectMeta, desired: &Desired) -> Option<Value> {
    let (our_labels, our_annotations) = (desired.all_labels(), desired.all_annotations());
    let (mut data, mut labels, mut annotations) = (Map::new(), Map::new(), Map::new());
    for entry in meta.managed_fields.iter().flatten() {
        let Some(fields) = entry.fields_v1.as_ref().map(|fields| &fields.0) else { continue };
        data.extend(nulls(&fields["f:data"], |key| desired.content.data.contains_key(key)));
        if entry.manager.as_deref() == Some(FIELD_MANAGER) {
            let meta = &fields["f:metadata"];
            labels.extend(nulls(&meta["f:labels"], |key| our_labels.contains_key(key)));
            annotations.extend(nulls(&meta["f:annotations"], |key| our_annotations.contains_key(key)));
        }
    }
    if data.is_empty() && labels.is_empty() && annotations.is_empty() {
        return None;
    }
    let resource_version = &meta.resource_version;
    let meta = json!({ "resourceVersion": resource_version, "labels": labels, "annotations": annotations });
    Some(json!({ "metadata": meta, "data": data }))
}

/// The merge patch that removes everything of these managed fields that is not kept.
fn nulls(fields: &Value, is_kept: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, Value)> {
    let keys = fields.as_object().into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"));
    keys.filter(move |key| !is_kept(key)).map(|key| (key.to_owned(), Value::Null))
}
