//! Who shares a connection under an id, remembered for as long as there may be somebody who uses that id.
//!
//! The id `<namespace>.<name>` is what workloads in other namespaces mount. When its connection is gone, somebody else could
//! make another one under the same id: those workloads would use another person's account without a word. So the first owner
//! is remembered before the first share is made: in a Secret of the operator's namespace, which nobody else may write.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::names::{LABEL_MANAGED_BY, MANAGED_BY, TYPE_SHARER};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

const CALL_LIMIT: Duration = Duration::from_secs(5);
const KEY: &str = "sharer.json";

/// Who shares a connection under an id.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sharer {
    /// The connection's id.
    pub(crate) id: String,
    /// The connection's UID.
    pub(crate) uid: String,
    pub(crate) owner: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SharerError {
    #[error("the Secret does not hold a sharer")]
    Content(#[from] serde_json::Error),
    #[error("the API server did not accept it")]
    Write(#[from] kube::Error),
    #[error("no answer from the API server")]
    Unanswered(#[from] tokio::time::error::Elapsed),
}

impl Sharer {
    pub(crate) fn of(connection: &IntegrationConnection) -> Self {
        Self {
            id: connection.id(),
            uid: connection.uid().unwrap_or_default(),
            owner: connection.spec.owner.clone(),
        }
    }

    /// Whether `now` is another connection of another owner. One that was made again by the same owner is not, nor one that
    /// was transferred, which needs the verbs `assign-owner` and `share`.
    pub(crate) fn was_replaced_by(&self, now: &Self) -> bool {
        self.uid != now.uid && self.owner != now.owner
    }

    pub(crate) fn read(secret: &Secret) -> Result<Self, SharerError> {
        let content = secret.data.as_ref().and_then(|data| data.get(KEY));
        Ok(serde_json::from_slice(content.map_or(&[][..], |content| &content.0))?)
    }

    fn secret(&self, before: Option<&Secret>) -> Result<Secret, SharerError> {
        let metadata = ObjectMeta {
            name: Some(secret_name(&self.id)),
            labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
            resource_version: before.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(serde_json::to_vec(self)?))]);
        Ok(Secret { metadata, data: Some(data), type_: Some(TYPE_SHARER.to_owned()), ..Secret::default() })
    }

    /// Writes it, in place of what was `before`, and returns what is stored.
    pub(crate) async fn remember(
        &self,
        secrets: &Api<Secret>,
        before: Option<&Secret>,
    ) -> Result<Secret, SharerError> {
        let (secret, parameters) = (self.secret(before)?, PostParams::default());
        let written = match before {
            Some(_) => timeout(CALL_LIMIT, secrets.replace(&secret.name_any(), &parameters, &secret)).await?,
            None => timeout(CALL_LIMIT, secrets.create(&parameters, &secret)).await?,
        };
        Ok(written?)
    }
}

/// The name of the Secret for an id.
pub(crate) fn secret_name(id: &str) -> String {
    let digest = hex::encode(Sha256::digest(id));
    format!("sharer-{}", digest.get(..40).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sharer(uid: &str, owner: &str) -> Sharer {
        Sharer { id: "team-a.mail".into(), uid: uid.into(), owner: owner.into() }
    }

    #[test]
    fn only_another_connection_of_another_owner_is_a_replacement() {
        let first = sharer("1", "alice");
        for (now, replaced) in [
            (sharer("1", "alice"), false),
            (sharer("2", "alice"), false),
            (sharer("1", "bob"), false),
            (sharer("2", "bob"), true),
        ] {
            assert_eq!(first.was_replaced_by(&now), replaced, "{now:?}");
        }
    }

    #[test]
    fn it_reads_what_it_wrote_and_nothing_else() {
        let first = sharer("1", "alice");
        assert_eq!(Sharer::read(&first.secret(None).unwrap()).unwrap(), first);
        assert!(Sharer::read(&Secret::default()).is_err());
        assert_ne!(secret_name("team-a.mail"), secret_name("team.a-mail"));
    }
}
