//! What a provider issued to us: the part of a record that is sealed.

use std::collections::BTreeMap;
use std::fmt;

use bowline_api::terms::ConnectionTerms;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{IssuedKeys, secret_text};
use crate::vault::seal::length_prefixed;

/// A grant: credential, lifetimes, and what it is bound to. Times are whole seconds, UTC.
///
/// `Debug` shows what kind of credential it is, and no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Grant {
    pub credential: Credential,
    /// Claims of the id token that are kept, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// Scopes the provider says it granted; `None` if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    pub obtained_at: Timestamp,
    /// When the access token expires; `None` if the provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the refresh token expires; `None` if the provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<Timestamp>,
    /// Whether a refresh moves that time, as the last one showed: then the grant lives as long as it is used. `None` until
    /// two answers could be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_end_moves: Option<bool>,
    /// When the provider issued the refresh token; `None` if it was imported, because then nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_issued_at: Option<Timestamp>,
    /// Further values the catalogue publishes, by key of the published Secret (`instance_url`, …).
    #[serde(default, serialize_with = "secret_text::named", skip_serializing_if = "BTreeMap::is_empty")]
    pub published_extras: BTreeMap<String, SecretString>,
    /// Who consented to what. If any of it differs now, the grant is not used.
    pub bound_to: Binding,
    /// The credentials Secret it was read from, if it did not come from an exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceVersion>,
    #[serde(default)]
    pub consent: Consent,
}

/// How a grant was obtained, and what its owner agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Consent {
    #[serde(default, rename = "way")]
    pub grant_type: GrantType,
    /// The scopes that were requested, and so reviewed. Empty for an imported grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// Whether the owner has confirmed the account, if the grant type does not prove who finished it.
    #[serde(default)]
    pub confirmed: bool,
    /// The person behind the owner's name, if the grant type shows it: a digest of issuer and subject at their sign-in
    /// provider (`OpenID` Connect Core §5.7). There a name may be given to another person, this may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Where its token may go, and which scopes may be requested with it: what its owner agreed to. `None` of a grant of before this
    /// was kept, and where no person consents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<ConnectionTerms>,
    /// When the owner consented, or typed the key in the portal; `None` for an imported grant, because then nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<Timestamp>,
    /// When the consent ends, whatever is done with it; `None` if the provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// How a grant was obtained (RFC 6749 §1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum GrantType {
    /// It was imported or minted: it may be used elsewhere too.
    #[default]
    #[serde(alias = "brought")]
    Imported,
    /// The person who began consented in a browser (RFC 6749 §4.1): the grant is ours alone.
    #[serde(rename = "redirect")]
    AuthorizationCode,
    /// Somebody consented on another device (RFC 8628): the grant is ours alone, but who consented is not proved.
    #[serde(rename = "device")]
    DeviceCode,
}

impl Consent {
    /// Whether it was issued to us, so that nobody else has it.
    pub(crate) fn is_ours(&self) -> bool {
        self.grant_type != GrantType::Imported
    }

    /// Whether the owner has to confirm the account before anything is published.
    pub(crate) fn awaits_confirmation(&self) -> bool {
        self.grant_type == GrantType::DeviceCode && !self.confirmed
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Credential {
    /// Tokens of OAuth 2.0 (RFC 6749 §1.4, §1.5).
    #[serde(rename = "oauth")]
    OAuth {
        /// `None` if the provider issued none: then there is nothing to refresh with.
        #[serde(default, serialize_with = "secret_text::optional", skip_serializing_if = "Option::is_none")]
        refresh_token: Option<SecretString>,
        /// `None` if only a refresh token was provided and not used yet.
        #[serde(default, serialize_with = "secret_text::optional", skip_serializing_if = "Option::is_none")]
        access_token: Option<SecretString>,
        /// As the provider wrote it (RFC 6749 §7.1), usually `Bearer`.
        token_type: String,
    },
    ApiKey {
        #[serde(serialize_with = "secret_text::one")]
        api_key: SecretString,
    },
    Basic {
        username: String,
        #[serde(serialize_with = "secret_text::one")]
        password: SecretString,
    },
    /// Digests of keys that we issued. The keys are not here.
    IssuedKeys { keys: IssuedKeys },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    /// The Kubernetes user who consented.
    pub owner: String,
    /// The issuer if it was discovered, else the origin of the token endpoint.
    pub authority: String,
    /// Every address that may receive a token, a code, a key or the client secret, by its place in the description of the
    /// provider (`/endpoints/token`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
    /// Our client id there; `None` where there is no client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The account at the provider; `None` until it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// Where a grant would be sent, and for whom. What is `None` is not compared.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    pub owner: Option<&'a str>,
    pub authority: &'a str,
    pub addresses: &'a BTreeMap<String, String>,
    pub client_id: Option<&'a str>,
}

/// What differs from what a grant is bound to. As text it names the thing; of an address it shows the origin and no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("the owner")]
    Owner,
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Addresses(Vec<MovedAddress>),
    #[error("the issuer")]
    Authority,
    #[error("the client id of the app")]
    Client,
}

/// An address that is not the one a grant is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovedAddress {
    place: String,
    /// `None` if there was none.
    bound: Option<String>,
    now: String,
}

impl fmt::Display for MovedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bound, now) = (self.bound.as_deref().map(origin), origin(&self.now));
        write!(f, "{} (", self.place.trim_start_matches('/').replace('/', "."))?;
        match bound {
            None => write!(f, "there was none, now {now})"),
            Some(bound) if bound == now => write!(f, "another path at {now})"),
            Some(bound) => write!(f, "was {bound}, now {now})"),
        }
    }
}

/// Scheme, host and port: no part of an address that could hold a secret.
fn origin(address: &str) -> String {
    Url::parse(address).map_or_else(|_| "?".to_owned(), |url| url.origin().ascii_serialization())
}

/// Places of addresses that a grant may do without. The first two receive the client secret and nothing of a grant; the next two
/// serve probes, which go only where the grant is [bound to](Binding::names). The last are where tools sign in: who may change the
/// connection chooses that by the Secret's format.
const DISPENSABLE: [&str; 7] = [
    "/endpoints/pushedAuthorizationRequest",
    "/endpoints/deviceAuthorization",
    "/endpoints/introspection",
    "/probe/call/url",
    "/logins/git/url",
    "/logins/registry/url",
    "/logins/http/url",
];

impl Binding {
    /// Whether the grant may be sent on these terms. One that was obtained without a client may be sent by any. An address
    /// that is gone receives nothing, so only those that are there now are compared.
    pub(crate) fn fits(&self, terms: &Terms) -> Result<(), Mismatch> {
        let differs = |bound: &str, now: Option<&str>| now.is_some_and(|now| now != bound);
        let moved = self.moved(terms.addresses);
        match self.client_id.as_deref() {
            _ if differs(&self.owner, terms.owner) => Err(Mismatch::Owner),
            _ if !moved.is_empty() => Err(Mismatch::Addresses(moved)),
            _ if self.authority != terms.authority => Err(Mismatch::Authority),
            Some(bound) if differs(bound, terms.client_id) => Err(Mismatch::Client),
            _ => Ok(()),
        }
    }

    /// Whether the grant may be sent to this address, which stands at this place of the description.
    pub(crate) fn names(&self, place: &str, address: &str) -> bool {
        self.addresses.get(place).is_some_and(|bound| bound == address)
    }

    fn moved(&self, addresses: &BTreeMap<String, String>) -> Vec<MovedAddress> {
        // An issuer that begins to offer them must not end what was consented to before.
        let came_later = |place: &str| DISPENSABLE.contains(&place) && !self.addresses.contains_key(place);
        let moved = addresses
            .iter()
            .filter(|(place, now)| self.addresses.get(*place) != Some(now) && !came_later(place));
        let moved = moved.map(|(place, now)| {
            let bound = self.addresses.get(place).cloned();
            MovedAddress { place: place.clone(), bound, now: now.clone() }
        });
        moved.collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The provider's own id of the account: does not change when the account is renamed.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceVersion {
    pub uid: String,
    pub resource_version: String,
    /// Digest of its data: a change of metadata alone is ignored.
    pub digest: String,
}

impl Grant {
    /// An empty grant: what a provider's first answer is added to.
    pub(crate) fn empty(bound_to: Binding, consent: Consent, obtained_at: Timestamp) -> Self {
        Self {
            credential: Credential::OAuth {
                refresh_token: None,
                access_token: None,
                token_type: "Bearer".to_owned(),
            },
            claims: BTreeMap::new(),
            scopes: None,
            obtained_at,
            expires_at: None,
            refresh_expires_at: None,
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: BTreeMap::new(),
            bound_to,
            source: None,
            consent,
        }
    }

    /// The account that a later grant must be of. None while nobody has confirmed it: otherwise somebody who types two codes
    /// in a row would confirm the first by the second.
    pub(crate) fn pinned_account(&self) -> Option<&Account> {
        self.bound_to.account.as_ref().filter(|_| !self.consent.awaits_confirmation())
    }

    /// The grant as JSON, to be sealed next; wiped from memory when dropped.
    pub(in crate::vault) fn to_plaintext(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        secret_text::to_json(self)
    }

    /// The grant in a plaintext that was just opened. The parser's error quotes what it cannot read, so it is not passed on.
    pub(in crate::vault) fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }
}

/// Shows that two records hold grants of one account by one client at one authority, without opening either: SHA-256 of the
/// length-prefixed authority, client id and account id, as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SiblingKey(String);

impl SiblingKey {
    pub(crate) fn of(binding: &Binding) -> Option<Self> {
        let account = binding.account.as_ref()?;
        let client_id = binding.client_id.as_deref().unwrap_or_default();
        let parts = [binding.authority.as_bytes(), client_id.as_bytes(), account.id.as_bytes()];
        Some(Self(hex::encode(Sha256::digest(length_prefixed(&parts)))))
    }
}

impl TryFrom<String> for SiblingKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        hex::decode_to_slice(&text, &mut [0; 32]).map_err(|_| "a sibling key is 64 hexadecimal digits")?;
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<SiblingKey> for String {
    fn from(key: SiblingKey) -> Self {
        key.0
    }
}
