//! What an `OpenID` provider publishes: its metadata (`OpenID` Connect Discovery) and its keys (RFC 7517).

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::jws::Jwk;
use bowline_oauth::http::{Http, Request, SendError};
use bowline_oauth::request::{self, RequestError};

/// A request to the `OpenID` provider failed. Shows nothing of the request, which may contain a code and a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenIdError {
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

#[derive(Deserialize)]
pub(crate) struct OpenIdProvider {
    pub(crate) issuer: String,
    #[serde(rename = "authorization_endpoint")]
    pub(crate) authorization: Url,
    #[serde(rename = "token_endpoint")]
    pub(crate) token: Url,
    jwks_uri: Url,
    /// Algorithms of its ID tokens.
    #[serde(rename = "id_token_signing_alg_values_supported")]
    pub(crate) algorithms: Vec<String>,
    #[serde(rename = "token_endpoint_auth_methods_supported", default = "basic_alone")]
    auth_methods: Vec<String>,
    #[serde(skip)]
    pub(crate) keys: Vec<Jwk>,
}

/// The default of an absent list (Discovery §3).
fn basic_alone() -> Vec<String> {
    vec!["client_secret_basic".to_owned()]
}

impl OpenIdProvider {
    /// Fetches the metadata of `issuer`, which it must name exactly, and its keys.
    pub(crate) async fn fetch(http: &dyn Http, issuer: &str) -> Result<Self, OpenIdError> {
        #[derive(Deserialize)]
        struct JwkSet {
            keys: Vec<Value>,
        }
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let address = address.parse().map_err(|_| OpenIdError::Unreadable("address"))?;
        let metadata: Self = ask(http, request::bare(Method::GET, &address)?, "metadata").await?;
        if metadata.issuer != issuer {
            return Err(OpenIdError::OtherIssuer);
        }
        // Browsers are redirected to the first one: no `javascript:`.
        let allowed =
            |url: &&Url| url.scheme() == "https" || url.scheme() == "http" && http.network().allow_http;
        if ![&metadata.authorization, &metadata.token, &metadata.jwks_uri].iter().all(allowed) {
            return Err(OpenIdError::NotHttps);
        }
        let set: JwkSet = ask(http, request::bare(Method::GET, &metadata.jwks_uri)?, "keys").await?;
        // A key set may contain keys of other types.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(Self { keys, ..metadata })
    }

    /// Whether the client authenticates with `client_secret_post`.
    pub(crate) fn takes_secret_in_body(&self) -> bool {
        let takes = |method| self.auth_methods.iter().any(|known| known == method);
        takes("client_secret_post") && !takes("client_secret_basic")
    }
}

/// Sends a request and reads a JSON response with status 200.
pub(crate) async fn ask<T: DeserializeOwned>(
    http: &dyn Http,
    request: Request,
    what: &'static str,
) -> Result<T, OpenIdError> {
    let received = http.send(request).await?;
    match received.status {
        StatusCode::OK => serde_json::from_slice(&received.body).map_err(|_| OpenIdError::Unreadable(what)),
        status => Err(OpenIdError::Status { what, status }),
    }
}
