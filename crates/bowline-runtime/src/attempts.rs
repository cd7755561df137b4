//! Reading and writing attempts. Every change applies to the version that was read: the first process takes the step.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};

use bowline_api::attempt::secret::{NotAnAttempt, from_secret, to_secret};
use bowline_api::attempt::{Attempt, LIFETIME};
use bowline_api::names;
use bowline_api::opaque::Digest;

/// An attempt as it was read: consumed by the write that changes it.
#[derive(Debug)]
pub struct StoredAttempt {
    /// Name of its Secret.
    pub name: String,
    pub attempt: Attempt,
    uid: String,
    resource_version: String,
}

impl StoredAttempt {
    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// `metadata.resourceVersion`.
    pub fn version(&self) -> &str {
        &self.resource_version
    }

    /// Its id in `status.lastAttempt`: the request that it answers, or otherwise the UID of its Secret.
    pub fn id(&self) -> &str {
        self.attempt.request.as_deref().unwrap_or(&self.uid)
    }

    /// Orders attempts by age, also those that began within one second: times have whole seconds.
    pub fn order(&self) -> (Timestamp, u64) {
        (self.attempt.started_at, self.resource_version.parse().unwrap_or_default())
    }
}

/// Why an attempt was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Another process took the step, or the attempt is gone.
    #[error("somebody else took this step")]
    Taken,
    #[error(transparent)]
    NotAnAttempt(#[from] NotAnAttempt),
    #[error("the attempt cannot be written as JSON")]
    NotSerializable(#[source] serde_json::Error),
    #[error("the API server did not accept the request on an attempt")]
    Kube(#[source] kube::Error),
}

impl From<kube::Error> for AttemptError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if [404, 409].contains(&status.code) => Self::Taken,
            error => Self::Kube(error),
        }
    }
}

/// The attempts of one namespace.
#[derive(Clone)]
pub struct Attempts {
    api: Api<Secret>,
}

impl Attempts {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    /// Creates one. [`AttemptError::Taken`] if there is one of that name.
    pub async fn create(&self, name: &str, attempt: &Attempt) -> Result<StoredAttempt, AttemptError> {
        let secret = to_secret(name, attempt).map_err(AttemptError::NotSerializable)?;
        // What is not found here is the namespace: nobody took anything.
        let created = self.api.create(&PostParams::default(), &secret).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 409 => AttemptError::Taken,
            error => AttemptError::Kube(error),
        });
        read(&created?)
    }

    pub async fn get(&self, name: &str) -> Result<Option<StoredAttempt>, AttemptError> {
        self.api.get_opt(name).await?.as_ref().map(read).transpose()
    }

    /// All attempts of one user that can be read.
    pub async fn of_user(&self, user: &str) -> Result<Vec<StoredAttempt>, AttemptError> {
        self.labelled(names::LABEL_ATTEMPT_USER, Digest::of(user).short()).await
    }

    /// All attempts of one connection that can be read.
    pub async fn of_connection(&self, uid: &str) -> Result<Vec<StoredAttempt>, AttemptError> {
        let mut found = self.labelled(names::LABEL_ATTEMPT_CONNECTION, uid).await?;
        // The label is only for selecting.
        found.retain(|stored| stored.attempt.connection.uid == uid);
        Ok(found)
    }

    async fn labelled(&self, label: &str, value: &str) -> Result<Vec<StoredAttempt>, AttemptError> {
        let with_label = ListParams::default().labels(&format!("{label}={value}"));
        Ok(self.api.list(&with_label).await?.items.iter().flat_map(read).collect())
    }

    /// Takes the next step, if no other process has taken it.
    pub async fn replace(
        &self,
        stored: StoredAttempt,
        next: &Attempt,
    ) -> Result<StoredAttempt, AttemptError> {
        let StoredAttempt { name, attempt: _, uid, resource_version } = stored;
        let mut secret = to_secret(&name, next).map_err(AttemptError::NotSerializable)?;
        secret.metadata.uid = Some(uid);
        secret.metadata.resource_version = Some(resource_version);
        read(&self.api.replace(&name, &PostParams::default(), &secret).await?)
    }

    /// Deletes the Secret of an attempt, readable or not, unless it changed since it was seen.
    pub async fn remove(&self, secret: &Secret) -> Result<(), AttemptError> {
        let preconditions = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
        let only_this = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api.delete(&secret.name_any(), &only_this).await.map_err(AttemptError::from) {
            Ok(_) | Err(AttemptError::Taken) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// An attempt from a Secret that was read or watched. It expires at most [`LIFETIME`] after the Secret was created, whatever
/// it says itself.
pub fn read(secret: &Secret) -> Result<StoredAttempt, AttemptError> {
    let mut attempt = from_secret(secret)?;
    if let Some(made) = secret.creation_timestamp() {
        attempt.expires_at = attempt.expires_at.min(made.0 + LIFETIME);
    }
    Ok(StoredAttempt {
        name: secret.name_any(),
        attempt,
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
    })
}
