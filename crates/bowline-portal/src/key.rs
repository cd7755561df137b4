//! The session key: from a file, or from a Secret in the portal's own namespace that the first replica creates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bowline_api::opaque::{NoRandomness, random_text};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use secrecy::ExposeSecret;

use crate::seal::{KeyTooShort, SessionKey};
use crate::settings::Settings;

/// Name of the Secret.
pub const SECRET: &str = "bowline-portal-session";
/// Its key.
const KEY: &str = "key";

/// The session key is not available.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the session key from {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    TooShort(#[from] KeyTooShort),
    #[error("cannot read or make the Secret {SECRET}, which holds the session key")]
    Secret(#[source] kube::Error),
    #[error("the Secret {SECRET} has no entry {KEY}")]
    NoEntry,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Reads the key, or creates it.
pub(crate) async fn obtain(client: &Client, settings: &Settings) -> Result<SessionKey, KeyError> {
    if let Some(path) = &settings.session_key_file {
        let bytes = std::fs::read(path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        return Ok(SessionKey::new(&bytes)?);
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    if let Some(secret) = secrets.get_opt(SECRET).await.map_err(KeyError::Secret)? {
        return from_secret(&secret);
    }
    match secrets.create(&PostParams::default(), &fresh()?).await {
        Ok(secret) => from_secret(&secret),
        // Another replica was faster: its key counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            from_secret(&secrets.get(SECRET).await.map_err(KeyError::Secret)?)
        }
        Err(error) => Err(KeyError::Secret(error)),
    }
}

fn fresh() -> Result<Secret, KeyError> {
    let key = random_text()?.expose_secret().as_bytes().to_vec();
    Ok(Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(key))])),
        ..Secret::default()
    })
}

fn from_secret(secret: &Secret) -> Result<SessionKey, KeyError> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(KEY)).ok_or(KeyError::NoEntry)?;
    Ok(SessionKey::new(&bytes.0)?)
}
