//! Reading the Secrets that users provide or keep: by name, by type, never listing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::names::{ANNOTATION_FOR, LABEL_INTAKE_FOR, TYPE_CREDENTIAL, TYPE_INTAKE};
use bowline_oauth::app::App;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::app_secret::AppSecret;
use super::outcome::Outcome;
use super::refusal::IntakeError;
use super::work::{Announcement, Job};
use crate::vault::SourceVersion;

pub(super) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Reads Secrets in the namespaces of connections, with a client that must not retry by itself.
pub(crate) struct Secrets {
    pub(crate) kube: Client,
}

/// What somebody provides, and which version of which Secret it was read from.
pub(super) struct ProvidedData {
    pub(crate) source: SourceVersion,
    pub(crate) values: BTreeMap<String, ByteString>,
}

impl ProvidedData {
    pub(super) fn of(uid: &str, resource_version: &str, values: BTreeMap<String, ByteString>) -> Self {
        let (uid, resource_version) = (uid.to_owned(), resource_version.to_owned());
        Self { source: SourceVersion { uid, resource_version, digest: digest(&values) }, values }
    }
}

/// A Secret of one of our types.
pub(super) struct UserSecret {
    pub(crate) name: String,
    pub(crate) provided: ProvidedData,
    /// The names of the connections that it is for, as its annotation says.
    purpose: String,
}

impl UserSecret {
    pub(super) fn must_be_for(&self, job: &Job) -> Result<(), IntakeError> {
        must_be_for(&self.name, &self.purpose, job)
    }
}

/// An error unless a Secret says that it is for the job's connection: whoever names a Secret may not be who maintains it.
fn must_be_for(secret: &str, purpose: &str, job: &Job) -> Result<(), IntakeError> {
    let is_for = purpose.split(',').any(|name| name.trim() == job.place.name);
    is_for.then_some(()).ok_or_else(|| IntakeError::SecretForAnother {
        secret: secret.to_owned(),
        namespace: job.place.namespace.clone(),
        name: job.place.name.clone(),
    })
}

fn purpose(secret: &Secret) -> String {
    secret.annotations().get(ANNOTATION_FOR).cloned().unwrap_or_default()
}

impl Secrets {
    /// The app registration with which the job's requests authenticate; `None` for kinds of credential that need none.
    pub(super) async fn app(&self, job: &Job) -> Result<Option<Arc<App>>, Outcome> {
        let missing = |message| Outcome::SecretMissing { message };
        let Some(name) = &job.own_app else {
            let needed = job.method.needs_app();
            return match job.target.app() {
                Some(app) => Ok(Some(Arc::clone(app))),
                None if needed => Err(missing(format!(
                    "Provider {} has no app registration. {}",
                    job.target.provider(),
                    job.target.whom_to_ask()
                ))),
                None => Ok(None),
            };
        };
        let namespace = &job.place.namespace;
        let of = AppSecret { name, namespace, description: job.target.description() };
        let secret = self.get("The app Secret", namespace, name).await.map_err(|why| match why {
            Outcome::IntakeRefused { .. } => missing(of.missing()),
            // A temporary cause, which says nothing about the app.
            _ => Outcome::Stale,
        })?;
        must_be_for(name, &purpose(&secret), job).map_err(|why| missing(why.to_string()))?;
        let app = of.read(&secret).map_err(missing)?;
        of.admitted(&app).map_err(missing)?;
        Ok(Some(Arc::new(app)))
    }

    /// The same for requests that need a client.
    pub(super) async fn client(&self, job: &Job) -> Result<Arc<App>, Outcome> {
        self.app(job).await?.ok_or(Outcome::Stale)
    }

    /// The announced intake Secret, if it has the announced UID and is meant for this connection.
    pub(super) async fn announced(
        &self,
        job: &Job,
        announcement: &Announcement,
    ) -> Result<UserSecret, Outcome> {
        let (name, uid) = announcement.secret.as_ref().ok_or(IntakeError::BadAnnouncement)?;
        let secret = self.get("The intake Secret", &job.place.namespace, name).await?;
        if secret.uid().as_deref() != Some(uid) {
            return Err(IntakeError::Swapped.into());
        }
        if secret.labels().get(LABEL_INTAKE_FOR) != Some(&job.place.name) {
            return Err(IntakeError::ForAnother.into());
        }
        of_type(secret, TYPE_INTAKE)
    }

    /// A Secret that somebody else manages: it is never changed or deleted.
    pub(super) async fn credential(&self, namespace: &str, name: &str) -> Result<UserSecret, Outcome> {
        let secret = self.get("The credentials Secret", namespace, name).await?;
        of_type(secret, TYPE_CREDENTIAL)
    }

    /// `what` begins the sentence that says why it cannot be read.
    async fn get(&self, what: &str, namespace: &str, name: &str) -> Result<Secret, Outcome> {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let forbidden = match timeout(CALL_LIMIT, api.get_opt(name)).await {
            Ok(Ok(found)) => return found.ok_or(IntakeError::NotThere.into()),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), secret = name, "a Secret could not be read");
                matches!(&error, kube::Error::Api(status) if status.is_forbidden())
            }
            Err(_) => false,
        };
        let message = if forbidden {
            format!(
                "{what} cannot be read: the operator has no right to Secrets in namespace {namespace}. An administrator has to give it (docs/permissions.md); then it goes on by itself."
            )
        } else {
            format!("{what} could not be read now. It is tried again.")
        };
        Err(Outcome::IntakeDelayed { message })
    }

    /// Deletes an intake Secret, if it is still the one that was read. If that fails, what came of it is on record, by its UID.
    pub(super) async fn consume(&self, namespace: &str, secret: &UserSecret) {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(secret.provided.source.uid.clone()),
            resource_version: None,
        });
        let name = &secret.name;
        match timeout(CALL_LIMIT, api.delete(name, &params)).await {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), name, "a consumed intake Secret could not be deleted");
            }
            Err(_) => tracing::warn!(name, "a consumed intake Secret could not be deleted in time"),
        }
    }
}

fn of_type(secret: Secret, type_: &'static str) -> Result<UserSecret, Outcome> {
    if secret.type_.as_deref() != Some(type_) {
        return Err(IntakeError::WrongType { expected: type_ }.into());
    }
    let purpose = purpose(&secret);
    let (uid, version) = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
    let name = secret.name_any();
    let provided = ProvidedData::of(&uid, &version, secret.data.unwrap_or_default());
    Ok(UserSecret { name, provided, purpose })
}

fn digest(data: &BTreeMap<String, ByteString>) -> String {
    let mut hash = Sha256::new();
    for (key, ByteString(value)) in data {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    hex::encode(hash.finalize())
}
