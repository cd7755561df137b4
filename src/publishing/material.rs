//! What can be published, and why it sometimes cannot be written. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use bowline_api::ConsumerConfig;
use bowline_api::connection::{Format, SecretType};
use bowline_oauth::answer::UNKNOWN_TYPE;

use crate::vault::record::IssuedKeys;
use crate::vault::{Credential, Grant};

/// Keys of a Secret and their values.
pub(super) type StringData = BTreeMap<String, Zeroizing<String>>;

/// What can be published from a grant. There is no field for a refresh token.
pub struct Material<'a> {
    pub credential: PublishedCredential<'a>,
    /// `None` if the provider does not say when it expires.
    pub expires_at: Option<Timestamp>,
    pub scopes: &'a [String],
    pub account_id: Option<&'a str>,
    pub account_name: Option<&'a str>,
    /// What the catalogue adds, by key: `webhook_secret`, `instance_url`.
    pub extras: &'a BTreeMap<String, SecretString>,
    /// Settings of the consumer.
    pub config: Option<&'a ConsumerConfig>,
}

#[derive(Clone, Copy)]
pub enum PublishedCredential<'a> {
    OAuth {
        access_token: &'a SecretString,
        token_type: &'a str,
    },
    ApiKey(&'a SecretString),
    Basic {
        username: &'a str,
        password: &'a SecretString,
    },
    /// The digests of keys that we issued.
    IssuedKeys(&'a IssuedKeys),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpublishable {
    #[error("there is no token to publish yet")]
    NoToken,
    /// Its access token must not be used (RFC 6749 §7.1).
    #[error(
        "the provider gave an access token of a type that nobody here can present; an administrator of the provider must fix it"
    )]
    TokenType,
}

impl<'a> Material<'a> {
    pub(crate) fn of(grant: &'a Grant) -> Result<Self, Unpublishable> {
        let credential = match &grant.credential {
            Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE => {
                return Err(Unpublishable::TokenType);
            }
            Credential::OAuth { access_token, token_type, refresh_token: _ } => {
                let access_token = access_token.as_ref().ok_or(Unpublishable::NoToken)?;
                PublishedCredential::OAuth { access_token, token_type }
            }
            Credential::ApiKey { api_key } => PublishedCredential::ApiKey(api_key),
            Credential::Basic { username, password } => PublishedCredential::Basic { username, password },
            Credential::IssuedKeys { keys } => PublishedCredential::IssuedKeys(keys),
        };
        let account = grant.bound_to.account.as_ref();
        Ok(Self {
            credential,
            expires_at: grant.expires_at,
            scopes: grant.scopes.as_deref().unwrap_or_default(),
            account_id: account.map(|account| account.id.as_str()),
            account_name: account.and_then(|account| account.name.as_deref()),
            extras: &grant.published_extras,
            config: None,
        })
    }
}

impl<'a> PublishedCredential<'a> {
    /// The access token, the key or the password; of keys that we issued, the list of their digests.
    pub(super) fn secret(self) -> Cow<'a, str> {
        match self {
            Self::OAuth { access_token: secret, .. }
            | Self::ApiKey(secret)
            | Self::Basic { password: secret, .. } => secret.expose_secret().into(),
            Self::IssuedKeys(keys) => listed(keys).into(),
        }
    }

    /// The key that has [`Self::secret`] in format Raw.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::OAuth { .. } => "access_token",
            Self::ApiKey(_) => "api_key",
            Self::Basic { .. } => "password",
            Self::IssuedKeys(_) => "issued_keys",
        }
    }

    pub(super) fn username(self) -> Option<&'a str> {
        let Self::Basic { username, .. } = self else { return None };
        Some(username)
    }
}

/// A key that we issued, as an application that is shown it recognizes it.
#[derive(Serialize)]
struct PublishedKey<'a> {
    id: &'a str,
    sha256: &'a str,
    /// From then on it is not valid, also where this list is an old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
}

/// The keys in JSON, the newest first.
pub(super) fn listed(keys: &IssuedKeys) -> String {
    let published = keys.iter().map(|key| PublishedKey {
        id: &key.id,
        sha256: key.sha256.as_str(),
        not_after: key.expires_at,
    });
    published.map(|key| json!(key)).collect::<Value>().to_string()
}

/// Why the material cannot be written in the format. Names keys, never values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContentError {
    #[error("the value of {key} has control characters and cannot be written as {format:?}; use format Raw")]
    ControlCharacters { key: String, format: Format },
    /// RFC 7617 §2.
    #[error(
        "the value of username has a colon, so no tool can sign in with it as {format:?} has it; use format Raw"
    )]
    Colon { format: Format },
    #[error(
        "the value of {key} is longer than {most} bytes, and tools read no longer one from {format:?}; use format Raw"
    )]
    TooLong { key: &'static str, format: Format, most: usize },
    #[error(
        "what is published of keys that Bowline issues signs in nowhere, so it cannot be written as {format:?}; use format Raw or Env"
    )]
    SignsInNowhere { format: Format },
    /// The description of the provider lacks it.
    #[error(
        "format {format:?} needs {field}, which is not known of provider {provider}: an administrator of the cluster sets spec.overlay.{field} on the IntegrationProvider, or choose format Raw"
    )]
    LoginUnknown { format: Format, provider: String, field: String },
    /// A key that no Secret can have, or that Env cannot spell.
    #[error(
        "{key} cannot be a key of this Secret; the catalogue entry of the provider must name it differently"
    )]
    KeyInvalid { key: String },
    /// A key that is reserved or there twice.
    #[error("{key} may not be added by a catalogue entry")]
    KeyReserved { key: String },
    #[error("the values are larger than 512 KiB together")]
    TooLarge,
    #[error("a Secret of type {} needs {needed}; correct spec.secret.template.data", .type_.as_str())]
    TypeUnmet { type_: SecretType, needed: &'static str },
    #[error(
        "this version of the operator does not know the Secret type {type_}; correct spec.secret.template.type"
    )]
    TypeUnknown { type_: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{Binding, Consent};

    fn grant(access_token: Option<&str>, token_type: &str) -> Grant {
        Grant {
            credential: Credential::OAuth {
                refresh_token: Some("r".into()),
                access_token: access_token.map(Into::into),
                token_type: token_type.to_owned(),
            },
            claims: BTreeMap::new(),
            scopes: None,
            obtained_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            refresh_expires_at: None,
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: BTreeMap::new(),
            bound_to: Binding {
                owner: "alice".into(),
                authority: "x".into(),
                addresses: BTreeMap::new(),
                client_id: None,
                account: None,
            },
            source: None,
            consent: Consent::default(),
        }
    }

    #[test]
    fn a_token_of_a_type_nobody_can_present_is_not_published() {
        let refused = |grant: &Grant| Material::of(grant).err();
        assert_eq!(refused(&grant(Some("a"), "Bearer")), None);
        assert_eq!(refused(&grant(Some("a"), UNKNOWN_TYPE)), Some(Unpublishable::TokenType));
        assert_eq!(refused(&grant(None, "Bearer")), Some(Unpublishable::NoToken));
    }
}
