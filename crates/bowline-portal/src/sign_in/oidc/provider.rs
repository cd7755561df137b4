//! What an `OpenID` provider publishes: its metadata (`OpenID` Connect Discovery) and its keys (RFC 7517).

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::jws::Key;
use bowline_oauth::http::{Http, Request, SendError};
use bowline_oauth::request::{self, RequestError};

/// A request to the `OpenID` provider failed. Shows nothing of the request, which may contain a code and a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("a request to the sign-in provider cannot be built")]
    Request(#[from] RequestError),
    #[error("the sign-in provider did not answer")]
    NoAnswer(#[from] SendError),
    #[error("the sign-in provider answered {} to the request for its {what}", .status.as_u16())]
    Status { what: &'static str, status: StatusCode },
    #[error("the sign-in provider's {0} cannot be read")]
    Unreadable(&'static str),
    /// Nothing in the metadata counts then.
    #[error(
        "the sign-in provider's metadata is of another issuer: write --oidc-issuer exactly as the provider does"
    )]
    OtherIssuer,
    #[error("the sign-in provider's metadata names an address that is not https://")]
    NotHttps,
}

/// What an `OpenID` provider publishes.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    /// The authorization endpoint.
    pub(crate) authorization: Url,
    /// The token endpoint.
    pub(crate) token: Url,
    /// Algorithms of its ID tokens.
    pub(crate) algorithms: Vec<String>,
    /// Whether the client authenticates with `client_secret_post`.
    pub(crate) secret_in_body: bool,
    pub(crate) keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default = "basic_alone")]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// The default of an absent list (Discovery §3).
fn basic_alone() -> Vec<String> {
    vec!["client_secret_basic".to_owned()]
}

impl Provider {
    /// Fetches the metadata of `issuer`, which it must name exactly, and its keys.
    pub(crate) async fn fetch(http: &dyn Http, issuer: &str) -> Result<Self, ProviderError> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let address = address.parse().map_err(|_| ProviderError::Unreadable("address"))?;
        let metadata: Metadata = ask(http, request::bare(Method::GET, &address)?, "metadata").await?;
        if metadata.issuer != issuer {
            return Err(ProviderError::OtherIssuer);
        }
        let Metadata { authorization_endpoint: authorization, token_endpoint: token, jwks_uri, .. } =
            metadata;
        // Browsers are redirected to the first one: no `javascript:`.
        let allowed =
            |url: &&Url| url.scheme() == "https" || url.scheme() == "http" && http.network().allow_http;
        if ![&authorization, &token, &jwks_uri].iter().all(allowed) {
            return Err(ProviderError::NotHttps);
        }
        let set: KeySet = ask(http, request::bare(Method::GET, &jwks_uri)?, "keys").await?;
        let takes =
            |method| metadata.token_endpoint_auth_methods_supported.iter().any(|known| known == method);
        Ok(Self {
            issuer: metadata.issuer,
            authorization,
            token,
            algorithms: metadata.id_token_signing_alg_values_supported,
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
            // A key set may contain keys of other types.
            keys: set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect(),
        })
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Sends a request and reads a JSON response with status 200.
pub(crate) async fn ask<T: DeserializeOwned>(
    http: &dyn Http,
    request: Request,
    what: &'static str,
) -> Result<T, ProviderError> {
    let received = http.send(request).await?;
    match received.status {
        StatusCode::OK => serde_json::from_slice(&received.body).map_err(|_| ProviderError::Unreadable(what)),
        status => Err(ProviderError::Status { what, status }),
    }
}
