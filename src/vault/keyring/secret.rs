//! The keyring in the Secret `bowline-keyring` of the operator's namespace.

use std::pin::pin;

use bowline_api::names;
use bowline_runtime::telemetry::chain;
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use tokio_util::sync::CancellationToken;

use super::{Keyring, KeyringError, KeyringFault, SharedKeyring};
use crate::vault::call::{CallError, bounded};
use crate::vault::id::{KeyId, NoRandomBytes};
use crate::vault::record::{ENDING_TYPE, RECORD_TYPE};

pub(crate) const KEYRING_SECRET: &str = "bowline-keyring";
/// Type of a keyring Secret that the operator created. One that somebody else created may have any type.
const KEYRING_TYPE: &str = "bowline.dev/keyring";

/// Why there is no keyring. The reason why the operator is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringLoadError {
    #[error(
        "Secret bowline-keyring is missing while records exist: put it back from a backup; a new one opens none of them"
    )]
    MissingWhileRecordsExist,
    #[error(transparent)]
    Refused(#[from] KeyringError),
    #[error(transparent)]
    NoRandomBytes(#[from] NoRandomBytes),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Reads the keyring. If there is none, creates one, but only while no record exists.
pub(crate) async fn load_or_create(
    secrets: &Api<Secret>,
    now: Timestamp,
) -> Result<Keyring, KeyringLoadError> {
    if let Some(secret) = bounded(secrets.get_opt(KEYRING_SECRET)).await? {
        return Ok(parse(&secret)?);
    }
    // After looking for the keyring: a record written before it was deleted must be seen.
    for type_ in [RECORD_TYPE, ENDING_TYPE] {
        let any = ListParams::default().fields(&format!("type={type_}")).limit(1);
        if !bounded(secrets.list_metadata(&any)).await?.items.is_empty() {
            return Err(KeyringLoadError::MissingWhileRecordsExist);
        }
    }
    let keyring = Keyring::generate(now)?;
    match bounded(secrets.create(&PostParams::default(), &to_secret(&keyring))).await {
        // What the API server stores is used, in case it differs from what was sent.
        Ok(secret) => Ok(parse(&secret)?),
        Err(error) if error.status().is_some_and(kube::core::Status::is_already_exists) => {
            Ok(parse(&bounded(secrets.get(KEYRING_SECRET)).await?)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds a key that seals from now on. The former ones stay: they open what they have sealed.
pub(crate) async fn rotate(secrets: &Api<Secret>, now: Timestamp) -> Result<KeyId, KeyringLoadError> {
    let mut secret = bounded(secrets.get(KEYRING_SECRET)).await?;
    let keyring = parse(&secret)?.rotated(now)?;
    // With its resourceVersion: what somebody else changes meanwhile is not overwritten.
    secret.data = to_secret(&keyring).data;
    bounded(secrets.replace(KEYRING_SECRET, &PostParams::default(), &secret)).await?;
    Ok(*keyring.primary().id())
}

/// Watches the Secret until `shutdown`, and offers each version. A deleted one is reported, not replaced.
pub(crate) async fn follow(secrets: Api<Secret>, keyring: &SharedKeyring, shutdown: CancellationToken) {
    let versions = watch_object(secrets, KEYRING_SECRET).default_backoff();
    let mut versions = pin!(versions.take_until(shutdown.cancelled_owned()));
    while let Some(version) = versions.next().await {
        match version {
            Ok(secret) => {
                if let Some(fault) = keyring.offer(offered(secret.as_ref())) {
                    tracing::error!(%fault, "the keyring's Secret is not as it should be");
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the watch of the keyring failed and starts again");
            }
        }
    }
}

fn offered(secret: Option<&Secret>) -> Result<Keyring, KeyringFault> {
    parse(secret.ok_or(KeyringFault::Gone)?).map_err(KeyringFault::Refused)
}

fn parse(secret: &Secret) -> Result<Keyring, KeyringError> {
    Keyring::parse(secret.data.iter().flatten().map(|(name, value)| (name.as_str(), value.0.as_slice())))
}

fn to_secret(keyring: &Keyring) -> Secret {
    let entries = keyring.to_entries().into_iter();
    Secret {
        metadata: ObjectMeta {
            name: Some(KEYRING_SECRET.to_owned()),
            labels: Some([(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some(KEYRING_TYPE.to_owned()),
        data: Some(entries.map(|(name, value)| (name, ByteString(value.to_vec()))).collect()),
        ..Secret::default()
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::http::{StatusCode, Uri};
    use axum::response::{IntoResponse, Response};
    use futures::stream;
    use kube::Client;
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::super::fixtures::{FIRST, SECOND, keyring};
    use super::*;

    /// How a watch goes on after the first list, which has the keyring.
    #[derive(Clone, Copy)]
    enum Watch {
        Deleted,
        /// It is too old, so everything is listed again; with the keyring or without it.
        Expired {
            listed_again: bool,
        },
        Broken,
    }

    /// An API server whose first list has the keyring and whose first watch goes like this.
    fn api_server(watch: Watch) -> Client {
        let asked = Arc::new(Mutex::new((0, 0)));
        let serve = move |uri: Uri| {
            let mut asked = asked.lock().unwrap();
            let is_watch = uri.query().is_some_and(|query| query.contains("watch=true"));
            *if is_watch { &mut asked.1 } else { &mut asked.0 } += 1;
            let answer = match (is_watch, watch, *asked) {
                (true, _, (_, 2..)) => pending(None),
                (true, Watch::Deleted, _) => pending(Some(json!({"type": "DELETED", "object": stored("2")}))),
                (true, Watch::Expired { .. }, _) => pending(Some(json!({"type": "ERROR", "object": {
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                    "reason": "Expired", "message": "too old"}}))),
                (true, Watch::Broken, _) => StatusCode::BAD_GATEWAY.into_response(),
                (false, Watch::Expired { listed_again: false }, (2.., _)) => list(&[]),
                (false, ..) => list(&[stored("1")]),
            };
            std::future::ready(answer)
        };
        Client::new(Router::new().fallback(serve), "bowline-system")
    }

    /// The keyring's Secret as the API server has it.
    fn stored(version: &str) -> Value {
        let mut secret = serde_json::to_value(to_secret(&keyring(&[FIRST]))).unwrap();
        secret["metadata"]["resourceVersion"] = version.into();
        secret
    }

    fn list(items: &[Value]) -> Response {
        let metadata = json!({"resourceVersion": "1"});
        json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items})
            .to_string()
            .into_response()
    }

    /// A watch that shows this and stays open.
    fn pending(event: Option<Value>) -> Response {
        let shown = event.map(|event| Ok::<_, Infallible>(format!("{event}\n")));
        Body::from_stream(stream::iter(shown).chain(stream::pending())).into_response()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_complete_list_without_it_or_a_deletion_means_that_the_keyring_is_gone() {
        let rows = [
            ("it is deleted", Watch::Deleted, Some(KeyringFault::Gone)),
            ("listed again, it is missing", Watch::Expired { listed_again: false }, Some(KeyringFault::Gone)),
            ("listed again, it is there", Watch::Expired { listed_again: true }, None),
            ("the watch breaks", Watch::Broken, None),
        ];
        for (name, watch, fault) in rows {
            let shared = SharedKeyring::new(keyring(&[FIRST]));
            let secrets = Api::namespaced(api_server(watch), "bowline-system");
            let following = follow(secrets, &shared, CancellationToken::new());
            timeout(Duration::from_mins(10), following).await.unwrap_err();
            assert_eq!(shared.fault(), fault, "{name}");
            assert_eq!(shared.current().primary().id().to_string(), FIRST, "{name}");
        }
    }

    #[test]
    fn the_secret_reads_back_as_the_keyring() {
        let made = keyring(&[FIRST, SECOND]);
        let read = parse(&to_secret(&made)).unwrap();
        assert_eq!(read.primary().id(), made.primary().id());
        assert_eq!(read.keys.len(), 2);
    }

    #[test]
    fn a_version_that_is_gone_or_no_keyring_is_a_fault() {
        assert_eq!(offered(None).unwrap_err(), KeyringFault::Gone);
        let mut secret = to_secret(&keyring(&[FIRST]));
        assert!(offered(Some(&secret)).is_ok());
        secret.data = None;
        assert_eq!(offered(Some(&secret)).unwrap_err(), KeyringFault::Refused(KeyringError::NoKey));
    }
}
