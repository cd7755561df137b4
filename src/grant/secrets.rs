//! Reading the Secrets that people bring or keep: by name, by type, never listing.

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
use kube::{Api, ResourceExt};
use tokio::time::timeout;

use super::actor::Grants;
use super::intake::{Announcement, IntakeError};
use super::outcome::Outcome;
use super::work::Job;

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A Secret that may be read.
pub struct Brief {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its data.
    pub data: BTreeMap<String, ByteString>,
}

/// Why a Secret was not read.
pub enum Unread {
    /// It may not be taken.
    Refused(IntakeError),
    /// The operator has no right to read Secrets there; it will be tried again.
    Forbidden,
    /// The API server did not give it; it will be tried again.
    Unreachable,
}

impl Unread {
    /// The outcome of what began with reading `what`, a Secret in `namespace`.
    pub fn outcome(self, what: &str, namespace: &str) -> Outcome {
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
pub enum NoApp {
    /// It is not there or cannot be used: what is wrong, and who can mend it.
    #[error("{0}")]
    Missing(String),
    /// Its Secret, of this name, could not be read now.
    #[error("Secret {0} could not be read now.")]
    Unread(String),
}

impl From<NoApp> for Outcome {
    fn from(none: NoApp) -> Self {
        match none {
            NoApp::Missing(message) => Self::SecretMissing { message },
            // It passes, and says nothing of the app.
            NoApp::Unread(_) => Self::Stale,
        }
    }
}

impl Grants {
    /// The app registration that the job's requests prove themselves with; `None` for kinds of credential that need none.
    ///
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
        let brief = match self.fetch(&job.place.namespace, name, TYPE_CREDENTIAL).await {
            Ok(brief) => brief,
            Err(Unread::Refused(_)) => {
                return Err(NoApp::Missing(format!(
                    "There is no Secret {name} of type {TYPE_CREDENTIAL} here. Whoever keeps the team's app must apply it."
                )));
            }
            Err(Unread::Unreachable | Unread::Forbidden) => return Err(NoApp::Unread(name.clone())),
        };
        App::parse(&brief.data)
            .map(|app| Some(Arc::new(app)))
            .map_err(|error| NoApp::Missing(format!("Secret {name}: {error}")))
    }

    /// The announced intake Secret, if it is the announced one and meant for this connection.
    pub(super) async fn announced(&self, job: &Job, announcement: &Announcement) -> Result<Brief, Unread> {
        let Some((name, uid)) = &announcement.secret else {
            return Err(Unread::Refused(IntakeError::BadAnnouncement));
        };
        let secret = self.get(&job.place.namespace, name).await?;
        if secret.uid().as_deref() != Some(uid) {
            return Err(Unread::Refused(IntakeError::Swapped));
        }
        if secret.labels().get(LABEL_INTAKE_FOR) != Some(&job.place.name) {
            return Err(Unread::Refused(IntakeError::ForAnother));
        }
        brief(secret, TYPE_INTAKE)
    }

    /// A Secret of one of our types.
    pub(super) async fn fetch(
        &self,
        namespace: &str,
        name: &str,
        type_: &'static str,
    ) -> Result<Brief, Unread> {
        brief(self.get(namespace, name).await?, type_)
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Secret, Unread> {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        match timeout(CALL_LIMIT, api.get_opt(name)).await {
            Ok(Ok(Some(secret))) => Ok(secret),
            Ok(Ok(None)) => Err(Unread::Refused(IntakeError::NotThere)),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), secret = name, "a Secret could not be read");
                let forbidden = matches!(&error, kube::Error::Api(status) if status.is_forbidden());
                Err(if forbidden { Unread::Forbidden } else { Unread::Unreachable })
            }
            Err(_) => Err(Unread::Unreachable),
        }
    }

    /// Deletes an intake Secret, if it is still the one that was read. What cannot be deleted now has lost its worth all the
    /// same and is reported.
    pub(super) async fn consume(&self, namespace: &str, brief: &Brief) {
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: Some(brief.uid.clone()), resource_version: None });
        match timeout(CALL_LIMIT, api.delete(&brief.name, &params)).await {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), secret = brief.name, "a consumed intake Secret could not be deleted");
            }
            Err(_) => {
                tracing::warn!(secret = brief.name, "a consumed intake Secret could not be deleted in time");
            }
        }
    }
}

fn brief(secret: Secret, type_: &'static str) -> Result<Brief, Unread> {
    if secret.type_.as_deref() != Some(type_) {
        return Err(Unread::Refused(IntakeError::WrongType { expected: type_ }));
    }
    Ok(Brief {
        name: secret.name_any(),
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
        data: secret.data.unwrap_or_default(),
    })
}
