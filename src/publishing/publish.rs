//! Writing the Secret: never onto somebody else's, never an older revision over a newer one.
//!
//! Server-side apply onto a foreign Secret succeeds silently and merges. So the first write is a POST, and every later
//! one names the uid and resourceVersion it expects to meet. Normally that is one request.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_api::names::FIELD_MANAGER;
use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::secret::{Desired, Known};
use super::withdraw::delete;
use crate::kube_ext::apply::{apply_secret, create_secret, merge_secret};
use crate::kube_ext::index::{SecretIndex, controller_of};

/// How long one request may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(5);
/// Attempts within one call; each follows news from the API server, none waits.
const ATTEMPTS: usize = 6;

/// The Secret as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// UID of the Secret.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// Why the Secret was not written. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A Secret of that name is not ours.
    #[error("a Secret of that name belongs to somebody else")]
    NameTaken,
    /// A newer revision is published or about to be; there is nothing to mend.
    #[error("a newer revision is there")]
    Superseded,
    /// The namespace's quota refuses it.
    #[error("the namespace's quota is exceeded")]
    QuotaExceeded(#[source] kube::Error),
    /// RBAC or an admission policy refuses it.
    #[error("the API server forbids the write")]
    Forbidden(#[source] kube::Error),
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating(#[source] kube::Error),
    /// There is no such namespace.
    #[error("the namespace does not exist")]
    NamespaceNotFound(#[source] kube::Error),
    /// The API server does not accept the object.
    #[error("the API server refuses the Secret")]
    Refused(#[source] kube::Error),
    /// Our Secret is being deleted, and a finalizer of somebody else holds it.
    #[error("the Secret is being deleted")]
    BeingDeleted,
    /// Others changed it each time we tried.
    #[error("the Secret kept changing")]
    Contended,
    /// No answer within five seconds; it may have been written.
    #[error("no answer from the API server")]
    Unanswered(#[source] tokio::time::error::Elapsed),
    /// Overload, an outage or a broken connection.
    #[error("the API server could not be asked")]
    Unavailable(#[source] kube::Error),
}

impl PublishError {
    /// Whether trying again later can help without anybody doing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::BeingDeleted | Self::Contended | Self::Unanswered(_) | Self::Unavailable(_))
    }

    /// Reason for the condition `SecretPublished`.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NameTaken => Reason::NameTaken,
            Self::QuotaExceeded(_) => Reason::QuotaExceeded,
            Self::Forbidden(_) => Reason::Forbidden,
            Self::Refused(_) => Reason::FormatFailed,
            _ => Reason::NotYet,
        }
    }

    /// What happened, what to do, and who does it.
    pub fn message(&self, namespace: &str, name: &str) -> String {
        self.message_as(self.reason(), namespace, name)
    }

    /// The same under another reason.
    pub fn message_as(&self, reason: Reason, namespace: &str, name: &str) -> String {
        let secret = format!("{namespace}/{name}");
        let facts =
            MessageFacts { secret: Some(&secret), namespace: Some(namespace), ..MessageFacts::default() };
        reason.message(&MessageFacts { detail: self.detail(&secret, namespace).into(), ..facts })
    }

    fn detail(&self, secret: &str, namespace: &str) -> String {
        match self {
            Self::NameTaken | Self::QuotaExceeded(_) | Self::Forbidden(_) => String::new(),
            Self::Refused(_) => format!("The API server does not accept Secret {secret}."),
            Self::NamespaceTerminating(_) => format!("Namespace {namespace} is being deleted."),
            Self::NamespaceNotFound(_) => format!("Namespace {namespace} does not exist."),
            Self::BeingDeleted => format!("Secret {secret} is being deleted and a finalizer holds it."),
            Self::Superseded | Self::Contended => {
                format!("Secret {secret} was changed by somebody else meanwhile.")
            }
            Self::Unanswered(_) | Self::Unavailable(_) => {
                format!("The API server did not accept Secret {secret}.")
            }
        }
    }
}

/// Writes the Secret as desired and returns what was written.
///
/// `known` is the Secret as last seen, from the index or from status; none if there was none. `newest` tells the
/// revision of the record *now*: it is asked after every read and before every write, and whoever is behind stops with
/// [`PublishError::Superseded`].
///
/// A Secret that was edited is put back, one that was made immutable or of another type is deleted and made again, one
/// that is gone is made again. Data keys that others added are removed; their labels and annotations stay.
pub async fn publish(
    client: &Client,
    index: &SecretIndex,
    desired: &Desired,
    known: Option<&Known>,
    newest: &(dyn Fn() -> i64 + Sync),
) -> Result<Written, PublishError> {
    let publisher = Publisher {
        client,
        index,
        desired,
        first: known,
        api: Api::namespaced(client.clone(), &desired.namespace),
    };
    let mut known = known.cloned();
    for _ in 0..ATTEMPTS {
        if newest() > desired.revision {
            return Err(PublishError::Superseded);
        }
        match publisher.attempt(known.as_ref()).await? {
            Attempt::Done(written) => return Ok(written),
            Attempt::Again(now) => known = now,
        }
    }
    Err(PublishError::Contended)
}

enum Attempt {
    Done(Written),
    /// It is not as we thought, but like this.
    Again(Option<Known>),
}

struct Publisher<'a> {
    client: &'a Client,
    index: &'a SecretIndex,
    desired: &'a Desired,
    first: Option<&'a Known>,
    api: Api<Secret>,
}

impl Publisher<'_> {
    async fn attempt(&self, known: Option<&Known>) -> Result<Attempt, PublishError> {
        let secret = self.desired.secret(known);
        let Some(known) = known else {
            return match call(create_secret(self.client, &self.desired.namespace, &secret)).await? {
                Ok(object) => Ok(self.done(&object.metadata)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    self.look().await.map(Attempt::Again)
                }
                Err(error) => Err(refusal(error)),
            };
        };
        match call(apply_secret(&self.api, &self.desired.name, &secret)).await? {
            Ok(object) => self.prune(&object.metadata).await,
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Attempt::Again(None)),
            Err(kube::Error::Api(status)) if status.is_conflict() => self.look().await.map(Attempt::Again),
            Err(kube::Error::Api(status)) if must_be_replaced(&status) => {
                call(delete(&self.api, &self.desired.name, &known.uid)).await?.map_err(refusal)?;
                Ok(Attempt::Again(None))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    /// The one live read, after the API server said that the Secret is not as we thought.
    async fn look(&self) -> Result<Option<Known>, PublishError> {
        let found = call(self.api.get_metadata_opt(&self.desired.name)).await?.map_err(refusal)?;
        let Some(meta) = found.map(|object| object.metadata) else { return Ok(None) };
        if !is_ours(&meta, &self.desired.owner.uid, self.first.map(|known| known.uid.as_str())) {
            return Err(PublishError::NameTaken);
        }
        if meta.deletion_timestamp.is_some() {
            return Err(PublishError::BeingDeleted);
        }
        let (uid, resource_version) =
            (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default());
        Ok(Some(Known { uid, resource_version }))
    }

    /// Removes what an apply leaves behind: data keys that are not ours, and what our own POST once set.
    async fn prune(&self, meta: &ObjectMeta) -> Result<Attempt, PublishError> {
        let Some(patch) = leftovers(meta, self.desired) else { return Ok(self.done(meta)) };
        match call(merge_secret(&self.api, &self.desired.name, &patch)).await? {
            Ok(object) => Ok(self.done(&object.metadata)),
            Err(kube::Error::Api(status)) if status.is_conflict() => self.look().await.map(Attempt::Again),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Attempt::Again(None)),
            Err(error) => Err(refusal(error)),
        }
    }

    fn done(&self, meta: &ObjectMeta) -> Attempt {
        self.index.wrote(meta);
        let (uid, resource_version) = (meta.uid.clone(), meta.resource_version.clone());
        Attempt::Done(Written {
            uid: uid.unwrap_or_default(),
            resource_version: resource_version.unwrap_or_default(),
        })
    }
}

pub(super) async fn call<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, PublishError> {
    tokio::time::timeout(CALL_LIMIT, request).await.map_err(PublishError::Unanswered)
}

/// Ours is what our owner controls; and what has no controller but is the very object we wrote (an editor may have
/// stripped the reference).
pub(super) fn is_ours(meta: &ObjectMeta, owner_uid: &str, written_uid: Option<&str>) -> bool {
    match controller_of(meta) {
        Some(owner) => owner.uid == owner_uid,
        None => written_uid.is_some() && meta.uid.as_deref() == written_uid,
    }
}

/// Immutable data and the type of a Secret cannot be changed, only made anew.
fn must_be_replaced(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 422 && causes.into_iter().any(|cause| matches!(cause.field.as_str(), "immutable" | "type"))
}

fn leftovers(meta: &ObjectMeta, desired: &Desired) -> Option<Value> {
    let (labels, annotations) = (desired.all_labels(), desired.all_annotations());
    let mut data_keys = BTreeSet::new();
    let (mut label_keys, mut annotation_keys) = (BTreeSet::new(), BTreeSet::new());
    for entry in meta.managed_fields.iter().flatten() {
        let Some(fields) = entry.fields_v1.as_ref().map(|fields| &fields.0) else { continue };
        data_keys.extend(field_names(&fields["f:data"]));
        if entry.manager.as_deref() == Some(FIELD_MANAGER) {
            label_keys.extend(field_names(&fields["f:metadata"]["f:labels"]));
            annotation_keys.extend(field_names(&fields["f:metadata"]["f:annotations"]));
        }
    }
    data_keys.retain(|key| !desired.content.data.contains_key(*key));
    label_keys.retain(|key| !labels.contains_key(*key));
    annotation_keys.retain(|key| !annotations.contains_key(*key));
    if data_keys.is_empty() && label_keys.is_empty() && annotation_keys.is_empty() {
        return None;
    }
    Some(json!({
        "metadata": {
            "resourceVersion": meta.resource_version,
            "labels": nulls(label_keys),
            "annotations": nulls(annotation_keys),
        },
        "data": nulls(data_keys),
    }))
}

fn field_names(fields: &Value) -> impl Iterator<Item = &str> {
    fields.as_object().into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"))
}

fn nulls(keys: BTreeSet<&str>) -> Map<String, Value> {
    keys.into_iter().map(|key| (key.to_owned(), Value::Null)).collect()
}

/// What a refused request means for us.
pub(super) fn refusal(error: kube::Error) -> PublishError {
    let kube::Error::Api(status) = &error else { return PublishError::Unavailable(error) };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    match status.code {
        403 if causes.any(|cause| cause.reason == "NamespaceTerminating") => {
            PublishError::NamespaceTerminating(error)
        }
        403 if status.message.contains("exceeded quota") => PublishError::QuotaExceeded(error),
        403 => PublishError::Forbidden(error),
        404 => PublishError::NamespaceNotFound(error),
        400 | 413 | 422 => PublishError::Refused(error),
        _ => PublishError::Unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::{StatusCause, StatusDetails};

    fn refused(code: u16, message: &str, cause: &str) -> PublishError {
        let causes = vec![StatusCause { reason: cause.into(), message: String::new(), field: String::new() }];
        let details = StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        };
        refusal(kube::Error::Api(Status::failure(message, "R").with_code(code).with_details(details).boxed()))
    }

    #[test]
    fn each_refusal_has_its_reason_and_says_whether_time_mends_it() {
        let rows = [
            (
                "quota",
                refused(403, "secrets \"x\" is forbidden: exceeded quota: q, requested: secrets=1", ""),
                Reason::QuotaExceeded,
                false,
            ),
            ("RBAC", refused(403, "cannot create resource", ""), Reason::Forbidden, false),
            (
                "namespace goes",
                refused(403, "because it is being terminated", "NamespaceTerminating"),
                Reason::NotYet,
                false,
            ),
            ("no namespace", refused(404, "namespaces \"x\" not found", ""), Reason::NotYet, false),
            ("invalid", refused(422, "invalid", ""), Reason::FormatFailed, false),
            ("overload", refused(429, "too many", ""), Reason::NotYet, true),
            ("outage", refused(500, "etcd", ""), Reason::NotYet, true),
            ("taken", PublishError::NameTaken, Reason::NameTaken, false),
        ];
        for (row, error, reason, transient) in rows {
            assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{row}");
            assert!(error.message("team-a", "github").contains("team-a"), "{row}");
        }
    }

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
