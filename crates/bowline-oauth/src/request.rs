//! Builds requests with the `oauth2` crate: parameters, encoding, client authentication.
//!
//! The crate builds and sends in one go and reads the answer strictly, so it is given a client that keeps the request
//! instead of sending it. Building stays pure, and sending and reading are ours.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, PkceCodeVerifier,
    RedirectUrl, RefreshToken, SyncHttpClient, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use super::http::Request;
use crate::catalog::Description;
use crate::catalog::entry::{DeviceFlow, Pkce};
use crate::catalog::protocol::{ClientAuth, Encoding};

/// A request that cannot be built. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Neither the provider object nor discovery names the endpoint.
    #[error("the token endpoint is not known: set endpoints.token or endpoints.issuer")]
    NoTokenEndpoint,
    /// The provider wants a client secret and the app Secret has none, or the other way round.
    #[error(
        "the provider takes no client authentication that fits the app Secret: check client_secret there"
    )]
    NoClientAuth,
    /// A parameter of the description is one that the standard sets.
    #[error("the parameter {0} would be sent twice")]
    RepeatedParameter(String),
    /// A header of the description is not one.
    #[error("the header {0} cannot be sent")]
    BadHeader(String),
    /// Neither the provider object nor discovery names the endpoint.
    #[error("the authorization endpoint is not known: set endpoints.authorization or endpoints.issuer")]
    NoAuthorizationEndpoint,
    /// Neither the provider object nor discovery names the endpoint.
    #[error(
        "the device authorization endpoint is not known: set endpoints.deviceAuthorization or endpoints.issuer"
    )]
    NoDeviceEndpoint,
    /// The redirect URI is not an address.
    #[error("the redirect URI is not an address: check the portal's address")]
    BadRedirectUri,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The crate could not build the request.
    #[error("the request cannot be built")]
    Unbuildable,
}

type TokenClient = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A refresh request (RFC 6749 §6). No scopes: those of the grant.
pub fn refresh(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
    refresh_token: &SecretString,
    scopes: &[String],
) -> Result<Request, RequestError> {
    let client = token_client(description, client_id, secret)?;
    let token = RefreshToken::new(refresh_token.expose_secret().to_owned());
    let mut request = client.exchange_refresh_token(&token);
    for (name, value) in parameters(description, scopes)? {
        request = request.add_extra_param(name, value);
    }
    let keeper = Keeper::default();
    // Always an error: nothing was sent.
    drop(request.request(&keeper));
    finish(keeper.request()?, description)
}

/// A request for a token with the app registration alone (RFC 6749 §4.4).
pub fn client_credentials(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
    scopes: &[String],
) -> Result<Request, RequestError> {
    let client = token_client(description, client_id, secret)?;
    let mut request = client.exchange_client_credentials();
    for (name, value) in parameters(description, scopes)? {
        request = request.add_extra_param(name, value);
    }
    let keeper = Keeper::default();
    // Always an error: nothing was sent.
    drop(request.request(&keeper));
    finish(keeper.request()?, description)
}

/// Exchanges an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5).
pub fn exchange(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
    code: &SecretString,
    verifier: &SecretString,
    redirect_uri: &str,
) -> Result<Request, RequestError> {
    let client = token_client(description, client_id, secret)?;
    let back = redirect_url(redirect_uri)?;
    let code = AuthorizationCode::new(code.expose_secret().to_owned());
    let mut request = client.exchange_code(code).set_redirect_uri(Cow::Owned(back));
    if description.authorize.pkce != Pkce::Off {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
    }
    for (name, value) in parameters(description, &[])? {
        request = request.add_extra_param(name, value);
    }
    let keeper = Keeper::default();
    // Always an error: nothing was sent.
    drop(request.request(&keeper));
    finish(keeper.request()?, description)
}

/// Asks for a device code (RFC 8628 §3.1).
pub fn device_authorization(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
    scopes: &[String],
) -> Result<Request, RequestError> {
    let url = &description.endpoints.device_authorization;
    let url = url.as_ref().ok_or(RequestError::NoDeviceEndpoint)?;
    let DeviceFlow { authenticated, params } = &description.device;
    let own = extended(params, description, scopes)?;
    let mut fields: Vec<(&str, &str)> = pairs(&own);
    let mut request = if *authenticated {
        authenticated_form(url, &fields, description, client_id, secret)?
    } else {
        fields.push(("client_id", client_id));
        form(url, &fields)?
    };
    add_headers(&mut request, &description.token_request.headers)?;
    Ok(request)
}

/// Asks whether a device code was granted (RFC 8628 §3.4).
pub fn device_token(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
    device_code: &SecretString,
) -> Result<Request, RequestError> {
    let url = description.endpoints.token.as_ref().ok_or(RequestError::NoTokenEndpoint)?;
    let own = parameters(description, &[])?;
    let mut fields = pairs(&own);
    fields.push(("grant_type", "urn:ietf:params:oauth:grant-type:device_code"));
    fields.push(("device_code", device_code.expose_secret()));
    finish(authenticated_form(url, &fields, description, client_id, secret)?, description)
}

fn pairs(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Where the browser comes back to.
pub(super) fn redirect_url(text: &str) -> Result<RedirectUrl, RequestError> {
    RedirectUrl::new(text.to_owned()).map_err(|_| RequestError::BadRedirectUri)
}

fn token_client(
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
) -> Result<TokenClient, RequestError> {
    let token_url = description.endpoints.token.clone().ok_or(RequestError::NoTokenEndpoint)?;
    let auth = description.client_auth(secret.is_some()).ok_or(RequestError::NoClientAuth)?;
    let client = BasicClient::new(ClientId::new(client_id.to_owned()))
        .set_token_uri(TokenUrl::from_url(token_url))
        .set_auth_type(if auth == ClientAuth::Basic { AuthType::BasicAuth } else { AuthType::RequestBody });
    Ok(match secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
        None => client,
    })
}

/// The description's own parameters of a token request, and the scopes.
fn parameters(description: &Description, scopes: &[String]) -> Result<Vec<(String, String)>, RequestError> {
    extended(&description.token_request.params, description, scopes)
}

/// Parameters beyond the standard's, and the scopes in the provider's way of writing them.
fn extended(
    given: &BTreeMap<String, String>,
    description: &Description,
    scopes: &[String],
) -> Result<Vec<(String, String)>, RequestError> {
    const STANDARD: [&str; 8] = [
        "grant_type",
        "refresh_token",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "code_verifier",
        "device_code",
    ];
    let mut parameters: Vec<(String, String)> = given.clone().into_iter().collect();
    if let Some(separator) = description.scopes.separator.as_deref().filter(|_| !scopes.is_empty()) {
        parameters.push(("scope".to_owned(), scopes.join(separator)));
    }
    let twice = parameters.iter().filter(|(name, _)| name == "scope").count() > 1;
    // RFC 6749 §3.2: no parameter twice.
    match given.keys().find(|name| STANDARD.contains(&name.as_str()) || twice && *name == "scope") {
        Some(name) => Err(RequestError::RepeatedParameter(name.clone())),
        None => Ok(parameters),
    }
}

/// The client that keeps what it should send.
#[derive(Default)]
struct Keeper(RefCell<Option<Request>>);

#[derive(Debug, thiserror::Error)]
#[error("kept, not sent")]
struct Kept;

impl SyncHttpClient for Keeper {
    type Error = Kept;

    fn call(&self, request: Request) -> Result<oauth2::HttpResponse, Kept> {
        *self.0.borrow_mut() = Some(request);
        Err(Kept)
    }
}

impl Keeper {
    fn request(self) -> Result<Request, RequestError> {
        self.0.into_inner().ok_or(RequestError::Unbuildable)
    }
}

/// Puts the description's headers on, and rewrites the form as JSON where the provider wants that.
fn finish(mut request: Request, description: &Description) -> Result<Request, RequestError> {
    if description.token_request.encoding == Encoding::Json {
        let fields: serde_json::Map<_, _> = form_urlencoded::parse(request.body())
            .map(|(name, value)| (name.into_owned(), value.into()))
            .collect();
        *request.body_mut() = serde_json::Value::Object(fields).to_string().into_bytes();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    add_headers(&mut request, &description.token_request.headers)?;
    Ok(request)
}

/// Adds headers of a description.
pub fn add_headers(request: &mut Request, headers: &BTreeMap<String, String>) -> Result<(), RequestError> {
    for (name, value) in headers {
        let bad = || RequestError::BadHeader(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        request.headers_mut().insert(parsed, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(())
}

/// A request without a body.
pub fn bare(method: http::Method, url: &Url) -> Result<Request, RequestError> {
    let builder = http::Request::builder().method(method).uri(url.as_str());
    builder.body(Vec::new()).map_err(|_| RequestError::Unbuildable)
}

/// A POST with a form.
pub fn form(url: &Url, fields: &[(&str, &str)]) -> Result<Request, RequestError> {
    let mut request = bare(http::Method::POST, url)?;
    *request.body_mut() =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(request)
}

/// A request with JSON.
pub fn json(method: http::Method, url: &Url, body: &serde_json::Value) -> Result<Request, RequestError> {
    let mut request = bare(method, url)?;
    *request.body_mut() = body.to_string().into_bytes();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// A header value that is never shown.
pub fn sensitive(value: &str, name: &str) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| RequestError::BadHeader(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Adds the client's id and secret to a POST with form fields, in the way that the description prefers.
pub fn authenticated_form(
    url: &Url,
    fields: &[(&str, &str)],
    description: &Description,
    client_id: &str,
    secret: Option<&SecretString>,
) -> Result<Request, RequestError> {
    match (description.client_auth(secret.is_some()), secret) {
        (Some(ClientAuth::Basic), Some(secret)) => {
            let mut request = form(url, fields)?;
            authorize(&mut request, &basic(client_id, secret))?;
            Ok(request)
        }
        (Some(ClientAuth::Post), Some(secret)) => {
            let client = [("client_id", client_id), ("client_secret", secret.expose_secret())];
            form(url, &[fields, &client].concat())
        }
        (Some(ClientAuth::None), None) => form(url, &[fields, &[("client_id", client_id)]].concat()),
        _ => Err(RequestError::NoClientAuth),
    }
}

/// Id and secret for the Authorization header, form-encoded first (RFC 6749 §2.3.1).
pub fn basic(client_id: &str, secret: &SecretString) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// Puts a bearer token on a request (RFC 6750 §2.1).
pub fn bear(request: &mut Request, token: &SecretString) -> Result<(), RequestError> {
    authorize(request, &format!("Bearer {}", token.expose_secret()))
}

/// Sets the Authorization header.
pub fn authorize(request: &mut Request, value: &str) -> Result<(), RequestError> {
    request.headers_mut().insert(AUTHORIZATION, sensitive(value, AUTHORIZATION.as_str())?);
    Ok(())
}
