//! Reading the Secrets that users provide or keep: by name, by type, never listing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_api::names::{LABEL_INTAKE_FOR, TYPE_CREDENTIAL, TYPE_INTAKE};
use bowline_oauth::app::App;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;

use super::outcome::Outcome;
use super::refusal::IntakeError;
use super::work::{Announcement, Job};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Reads Secrets in the namespaces of connections.
pub(crate) struct Secrets {
    kube: Client,
}

/// A Secret of one of our types.
pub(super) struct UserSecret {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) data: BTreeMap<String, ByteString>,
}

/// Why a Secret was not read.
pub(super) enum NotRead {
    /// It may not be taken.
    Refused(IntakeError),
    /// The operator has no right to read Secrets there; it will be tried again.
    Forbidden,
    /// The API server did not give it; it will be tried again.
    Unreachable,
}

impl NotRead {
    /// The outcome of what began with reading `what`, a Secret in `namespace`.
    pub(super) fn outcome(self, what: &str, namespace: &str) -> Outcome {
        let message = match self {
            Self::Refused(why) => return Outcome::IntakeRefused { why },
            Self::Forbidden => format!(
                "{what} cannot be read: the operator has no right to Secrets in namespace {namespace}. An administrator has to give it (docs/permissions.md); then it goes on by itself."
            ),
            Self::Unreachable => format!("{what} could not be read now. It is tried again."),
        };
        Outcome::IntakeDelayed { message }
    }
}

/// Why there is no app registration to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoApp {
    /// It is not there or cannot be used: what is wrong, and who can fix it.
    #[error("{0}")]
    Missing(String),
    /// Its Secret, of this name, could not be read now.
    #[error("Secret {0} could not be read now.")]
    NotRead(String),
}

impl From<NoApp> for Outcome {
    fn from(none: NoApp) -> Self {
        match none {
            NoApp::Missing(message) => Self::SecretMissing { message },
            // It passes, and says nothing of the app.
            NoApp::NotRead(_) => Self::Stale,
        }
    }
}

impl Secrets {
    /// Reads with this client, which must not retry by itself.
    pub(crate) fn new(kube: Client) -> Self {
        Self { kube }
    }

    /// The app registration that the job's requests prove themselves with; `None` for kinds of credential that need none.
    pub(super) async fn app(&self, job: &Job) -> Result<Option<Arc<App>>, NoApp> {
        let Some(name) = &job.own_app else {
            let needed = !matches!(job.method, Method::ApiKey | Method::BasicAuth);
            return match job.target.app() {
                Some(app) => Ok(Some(Arc::clone(app))),
                None if needed => Err(NoApp::Missing(format!(
                    "Provider {} has no app registration. {}",
                    job.target.provider(),
                    job.target.whom_to_ask()
                ))),
                None => Ok(None),
            };
        };
        let secret = self.credential(&job.place.namespace, name).await.map_err(|why| match why {
            NotRead::Refused(_) => NoApp::Missing(format!(
                "There is no Secret {name} of type {TYPE_CREDENTIAL} here. Whoever keeps the team's app must apply it."
            )),
            NotRead::Unreachable | NotRead::Forbidden => NoApp::NotRead(name.clone()),
        })?;
        App::parse(&secret.data)
            .map(|app| Some(Arc::new(app)))
            .map_err(|error| NoApp::Missing(format!("Secret {name}: {error}")))
    }

    /// The same for requests that only a client can send.
    pub(super) async fn client(&self, job: &Job) -> Result<Arc<App>, Outcome> {
        self.app(job).await?.ok_or(Outcome::Stale)
    }

    /// The announced intake Secret, if it is the announced one and meant for this connection.
    pub(super) async fn announced(
        &self,
        job: &Job,
        announcement: &Announcement,
    ) -> Result<UserSecret, NotRead> {
        let Some((name, uid)) = &announcement.secret else {
            return Err(NotRead::Refused(IntakeError::BadAnnouncement));
        };
        let secret = self.get(&job.place.namespace, name).await?;
        if secret.uid().as_deref() != Some(uid) {
            return Err(NotRead::Refused(IntakeError::Swapped));
        }
        if secret.labels().get(LABEL_INTAKE_FOR) != Some(&job.place.name) {
            return Err(NotRead::Refused(IntakeError::ForAnother));
        }
        of_type(secret, TYPE_INTAKE)
    }

    /// A Secret that somebody else keeps: it is never changed or deleted.
    pub(super) async fn credential(&self, namespace: &str, name: &str) -> Result<UserSecret, NotRead> {
        of_type(self.get(namespace, name).await?, TYPE_CREDENTIAL)
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Secret, NotRead> {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        match timeout(CALL_LIMIT, api.get_opt(name)).await {
            Ok(Ok(Some(secret))) => Ok(secret),
            Ok(Ok(None)) => Err(NotRead::Refused(IntakeError::NotThere)),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), secret = name, "a Secret could not be read");
                let forbidden = matches!(&error, kube::Error::Api(status) if status.is_forbidden());
                Err(if forbidden { NotRead::Forbidden } else { NotRead::Unreachable })
            }
            Err(_) => Err(NotRead::Unreachable),
        }
    }

    /// Deletes an intake Secret, if it is still the one that was read. What cannot be deleted now has lost its worth all the
    /// same and is reported.
    pub(super) async fn consume(&self, namespace: &str, secret: &UserSecret) {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: Some(secret.uid.clone()), resource_version: None });
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

fn of_type(secret: Secret, type_: &'static str) -> Result<UserSecret, NotRead> {
    if secret.type_.as_deref() != Some(type_) {
        return Err(NotRead::Refused(IntakeError::WrongType { expected: type_ }));
    }
    Ok(UserSecret {
        name: secret.name_any(),
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
        data: secret.data.unwrap_or_default(),
    })
}
