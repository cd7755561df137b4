//! The keyring in the Secret `bowline-keyring` of the operator's namespace.

use std::pin::pin;
use std::time::Duration;

use bowline_api::keyring::{ROTATION_REQUESTED, SECRET};
use bowline_api::names;
use bowline_runtime::telemetry::chain;
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use tokio_util::sync::CancellationToken;

use super::protection::FoundKeyring;
use super::stored::StoredKeyring;
use super::{Keyring, KeyringError, KeyringFault, KeyringRenewal, ProtectError, Protection, SharedKeyring};
use crate::vault::call::{CallError, bounded};
use crate::vault::id::{KeyId, NoRandomBytes};
use crate::vault::kms::Kms;
use crate::vault::record::{ENDING_TYPE, RECORD_TYPE};

/// Type of a keyring Secret that the operator created. One that somebody else created may have any type.
const KEYRING_TYPE: &str = "bowline.dev/keyring";
/// How often a KMS is asked again for keys that it could not unwrap.
const UNWRAP_AGAIN: Duration = Duration::from_secs(10);

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
    NotProtected(#[from] ProtectError),
    #[error(transparent)]
    NoRandomBytes(#[from] NoRandomBytes),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl KeyringLoadError {
    /// Whether the KMS is the reason.
    pub(crate) const fn is_of_kms(&self) -> bool {
        matches!(
            self,
            Self::NotProtected(ProtectError::Kms(_)) | Self::Refused(KeyringError::NotUnwrapped { .. })
        )
    }
}

/// The keyring's Secret, and how it is protected.
#[derive(Clone)]
pub(crate) struct KeyringSecret {
    secrets: Api<Secret>,
    protection: Option<Protection>,
}

impl KeyringSecret {
    pub(crate) fn new(client: Client, namespace: &str, protection: Option<Protection>) -> Self {
        Self { secrets: Api::namespaced(client, namespace), protection }
    }

    /// Reads the keyring. If there is none, creates one, but only while no record exists. A key that seals without the
    /// protection that it should have is replaced by a new one.
    pub(crate) async fn load_or_create(&self, now: Timestamp) -> Result<Keyring, KeyringLoadError> {
        // Before anything is read: who fixes the KMS need not look at the keyring.
        self.wraps_with().await?;
        let secret = match bounded(self.secrets.get_opt(SECRET)).await? {
            Some(secret) => secret,
            None => self.create(now).await?,
        };
        let found = self.found(secret, None).await?;
        if self.protection.as_ref().is_none_or(|protection| protection.is_met_by(&found.stored)) {
            return Ok(found.keyring);
        }
        Ok(self.renew(&found, KeyringRenewal::default(), now).await?.unwrap_or(found.keyring))
    }

    async fn create(&self, now: Timestamp) -> Result<Secret, KeyringLoadError> {
        // After looking for the keyring: a record written before it was deleted must be seen.
        for type_ in [RECORD_TYPE, ENDING_TYPE] {
            let any = ListParams::default().fields(&format!("type={type_}")).limit(1);
            if !bounded(self.secrets.list_metadata(&any)).await?.items.is_empty() {
                return Err(KeyringLoadError::MissingWhileRecordsExist);
            }
        }
        let keyring = Keyring::generate(now)?;
        let stored = match &self.protection {
            Some(protection) if !protection.decrypt_only => {
                StoredKeyring::wrap(&keyring, &protection.kms).await
            }
            _ => Ok(StoredKeyring::of(&keyring)),
        };
        let stored = stored.map_err(ProtectError::Kms)?;
        match bounded(self.secrets.create(&PostParams::default(), &to_secret(&stored))).await {
            // What the API server stores is used, in case it differs from what was sent.
            Ok(secret) => Ok(secret),
            Err(error) if error.status().is_some_and(kube::core::Status::is_already_exists) => {
                Ok(bounded(self.secrets.get(SECRET)).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the keyring; keys that are `known` are not asked of the KMS.
    pub(crate) async fn look(&self, known: Option<&Keyring>) -> Result<FoundKeyring, KeyringLoadError> {
        self.found(bounded(self.secrets.get(SECRET)).await?, known).await
    }

    async fn found(&self, secret: Secret, known: Option<&Keyring>) -> Result<FoundKeyring, KeyringLoadError> {
        let stored = parse(&secret)?;
        let keyring = stored.open(self.kms(), known).await?;
        let wraps_with = self.wraps_with().await?;
        Ok(FoundKeyring { secret, stored, keyring, wraps_with })
    }

    /// Whether the KMS is well, if there is one; and the key with which it encrypts now, if it is to wrap.
    pub(crate) async fn wraps_with(&self) -> Result<Option<String>, ProtectError> {
        let Some(protection) = &self.protection else { return Ok(None) };
        let key_id = protection.kms.key_id().await?;
        Ok((!protection.decrypt_only).then_some(key_id))
    }

    /// Writes the keyring as it should be stored. Returns it, if it was stored otherwise.
    pub(crate) async fn renew(
        &self,
        found: &FoundKeyring,
        renewal: KeyringRenewal,
        now: Timestamp,
    ) -> Result<Option<Keyring>, KeyringLoadError> {
        let renewed = found.renewed(self.protection.as_ref(), renewal, now).await?;
        let Some((stored, keyring)) = renewed else { return Ok(None) };
        let mut secret = found.secret.clone();
        // With its resourceVersion: what somebody else changes meanwhile is not overwritten.
        secret.data = to_secret(&stored).data;
        secret.metadata.annotations.as_mut().map(|all| all.remove(ROTATION_REQUESTED));
        bounded(self.secrets.replace(SECRET, &PostParams::default(), &secret)).await?;
        Ok(Some(keyring))
    }

    /// Adds a key that seals from now on. The former ones stay: they open what they have sealed.
    pub(crate) async fn rotate(&self, known: &Keyring, now: Timestamp) -> Result<KeyId, KeyringLoadError> {
        let found = self.look(Some(known)).await?;
        let renewal = KeyringRenewal { rotate: true, ..KeyringRenewal::default() };
        Ok(*self.renew(&found, renewal, now).await?.unwrap_or(found.keyring).primary().id())
    }

    /// Watches the Secret until `shutdown`, and offers each version. A deleted one is reported, not replaced. One that the KMS
    /// does not unwrap is tried again.
    pub(crate) async fn follow(&self, keyring: &SharedKeyring, shutdown: CancellationToken) {
        let versions = watch_object(self.secrets.clone(), SECRET).default_backoff();
        let mut versions = pin!(versions.take_until(shutdown.cancelled_owned()));
        let mut latest = None;
        loop {
            let waits_for_kms = keyring.fault().is_some_and(|fault| fault.is_of_kms());
            tokio::select! {
                version = versions.next() => match version {
                    None => return,
                    Some(Ok(secret)) => latest = secret,
                    Some(Err(error)) => {
                        tracing::warn!(error = %chain(&error), "the watch of the keyring failed and starts again");
                        continue;
                    }
                },
                () = tokio::time::sleep(UNWRAP_AGAIN), if waits_for_kms => {}
            }
            if let Some(fault) = keyring.offer(self.offered(latest.as_ref(), &keyring.current()).await) {
                tracing::error!(%fault, "the keyring's Secret is not as it should be");
            }
        }
    }

    async fn offered(&self, secret: Option<&Secret>, known: &Keyring) -> Result<Keyring, KeyringFault> {
        let stored = parse(secret.ok_or(KeyringFault::Gone)?).map_err(KeyringFault::Refused)?;
        stored.open(self.kms(), Some(known)).await.map_err(KeyringFault::Refused)
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.protection.is_some()
    }

    fn kms(&self) -> Option<&Kms> {
        self.protection.as_ref().map(|protection| &protection.kms)
    }
}

fn parse(secret: &Secret) -> Result<StoredKeyring, KeyringError> {
    StoredKeyring::parse(
        secret.data.iter().flatten().map(|(name, value)| (name.as_str(), value.0.as_slice())),
    )
}

fn to_secret(keyring: &StoredKeyring) -> Secret {
    let entries = keyring.to_entries().into_iter();
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
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
        let mut secret = serde_json::to_value(stored_secret(&[FIRST])).unwrap();
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
            let secret = KeyringSecret::new(api_server(watch), "bowline-system", None);
            let following = secret.follow(&shared, CancellationToken::new());
            timeout(Duration::from_mins(10), following).await.unwrap_err();
            assert_eq!(shared.fault(), fault, "{name}");
            assert_eq!(shared.current().primary().id().to_string(), FIRST, "{name}");
        }
    }

    fn stored_secret(ids: &[&str]) -> Secret {
        to_secret(&StoredKeyring::of(&keyring(ids)))
    }

    #[test]
    fn the_secret_reads_back_as_the_keyring() {
        let read = parse(&stored_secret(&[FIRST, SECOND])).unwrap();
        assert_eq!((read.primary.to_string().as_str(), read.keys.len()), (FIRST, 2));
    }

    #[tokio::test]
    async fn a_version_that_is_gone_or_no_keyring_is_a_fault() {
        let known = keyring(&[FIRST]);
        let keeper = KeyringSecret::new(api_server(Watch::Broken), "bowline-system", None);
        assert_eq!(keeper.offered(None, &known).await.unwrap_err(), KeyringFault::Gone);
        let mut secret = stored_secret(&[FIRST]);
        assert!(keeper.offered(Some(&secret), &known).await.is_ok());
        secret.data = None;
        let refused = KeyringFault::Refused(KeyringError::NoKey);
        assert_eq!(keeper.offered(Some(&secret), &known).await.unwrap_err(), refused);
    }
}
