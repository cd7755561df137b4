//! Our registration at a provider.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};

/// Key of the client id in an app Secret.
pub(crate) const CLIENT_ID: &str = "client_id";
/// Key of the client secret.
pub const CLIENT_SECRET: &str = "client_secret";
/// Key of the former client secret, while it is being replaced.
pub(crate) const CLIENT_SECRET_PREVIOUS: &str = "client_secret_previous";

/// Client id and secrets. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct App {
    /// Client id (RFC 6749 §2.2).
    pub client_id: String,
    /// Client secret; none for a public client.
    pub client_secret: Option<SecretString>,
    /// The former secret: tried once if the provider refuses the current one.
    pub client_secret_previous: Option<SecretString>,
    /// Which version of which Secret it was read from first: `<uid>/<resourceVersion>`. Distinguishes registrations without
    /// revealing anything; empty if it is not known.
    pub version: Option<String>,
}

/// An app Secret that cannot be used. Names the key, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    #[error("the key {0} is missing")]
    Missing(&'static str),
    /// The value is not text of printable characters.
    #[error("the value of {0} is not plain text")]
    NotText(&'static str),
}

impl App {
    /// Reads the data of an app Secret. White space around values is dropped: files end with a line break. An empty
    /// secret counts as absent.
    pub fn parse(data: &BTreeMap<String, ByteString>) -> Result<Self, AppError> {
        Ok(Self {
            client_id: value(data, CLIENT_ID)?.ok_or(AppError::Missing(CLIENT_ID))?.to_owned(),
            client_secret: value(data, CLIENT_SECRET)?.map(SecretString::from),
            client_secret_previous: value(data, CLIENT_SECRET_PREVIOUS)?.map(SecretString::from),
            version: None,
        })
    }

    /// The same, read from this version of a Secret.
    #[must_use]
    pub fn of_version(mut self, uid: &str, resource_version: &str) -> Self {
        self.version = Some(format!("{uid}/{resource_version}"));
        self
    }

    /// The secrets to try, the current one first; one `None` for a public client.
    pub(super) fn secrets(&self) -> Vec<(WhichSecret, Option<&SecretString>)> {
        let current = self.client_secret.as_ref();
        let differs = |previous: &&SecretString| {
            current.is_some_and(|current| previous.expose_secret() != current.expose_secret())
        };
        let previous = self.client_secret_previous.as_ref().filter(differs);
        let previous = previous.map(|previous| (WhichSecret::Previous, Some(previous)));
        std::iter::once((WhichSecret::Current, current)).chain(previous).collect()
    }
}

fn value<'a>(data: &'a BTreeMap<String, ByteString>, key: &'static str) -> Result<Option<&'a str>, AppError> {
    let Some(ByteString(bytes)) = data.get(key) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| AppError::NotText(key))?.trim();
    if text.chars().any(char::is_control) {
        return Err(AppError::NotText(key));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Which client secret the provider accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichSecret {
    /// `client_secret`, or none for a public client.
    Current,
    /// `client_secret_previous`: the current one was refused.
    Previous,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(data: &[(&str, &[u8])]) -> Result<App, AppError> {
        let entry = |(key, value): &(&str, &[u8])| ((*key).to_owned(), ByteString(value.to_vec()));
        App::parse(&data.iter().map(entry).collect())
    }

    #[test]
    fn an_app_is_read_from_the_data_of_its_secret() {
        let app = parse(&[("client_id", b"id\n"), ("client_secret", b" canary ")]).unwrap();
        assert_eq!(app.client_id, "id");
        assert_eq!(app.client_secret.as_ref().unwrap().expose_secret(), "canary");
        assert!(app.client_secret_previous.is_none());
        assert!(!format!("{app:?}").contains("canary"));
    }

    #[test]
    fn the_error_names_the_key() {
        type Pairs = &'static [(&'static str, &'static [u8])];
        let rows: [(Pairs, _); 4] = [
            (&[], AppError::Missing(CLIENT_ID)),
            (&[("client_id", b" \n")], AppError::Missing(CLIENT_ID)),
            (&[("client_id", b"\xff")], AppError::NotText(CLIENT_ID)),
            (&[("client_id", b"id"), ("client_secret", b"a\0b")], AppError::NotText(CLIENT_SECRET)),
        ];
        for (data, want) in rows {
            assert_eq!(parse(data).unwrap_err(), want, "{data:?}");
        }
        assert!(parse(&[("client_id", b"id"), ("client_secret", b"")]).unwrap().client_secret.is_none());
    }
}
