//! Requests to providers: parameters, encoding, client authentication. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::assertion::{AssertionError, SigningKey};
use super::certificate::CertificateFlaw;
use super::headers;
use super::http::Request;
use crate::catalog::Description;
use crate::catalog::assertion::AssertionAudience;
use crate::catalog::calls::Verb;
use crate::catalog::entry::DeviceFlow;
use crate::catalog::protocol::{ClientAuth, Encoding, Proofs};
use crate::catalog::scope_part;

/// A request that cannot be built. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the token endpoint is not known: set endpoints.token or endpoints.issuer")]
    NoTokenEndpoint,
    /// The provider requires a client secret and the app Secret has none, or the reverse.
    #[error(
        "the provider takes no client authentication that fits the app Secret: check client_secret, private_key or tls.crt there"
    )]
    NoClientAuth,
    #[error(
        "the provider takes no request without a TLS client certificate: put tls.crt and tls.key into the app Secret"
    )]
    NoCertificate,
    #[error(transparent)]
    Certificate(#[from] CertificateFlaw),
    #[error("the app Secret has no key to sign the assertion with: it needs private_key, or key.json")]
    NoSigningKey,
    /// A parameter of the description is one that the standard sets.
    #[error("the parameter {0} would be sent twice")]
    RepeatedParameter(String),
    #[error("the header {0} cannot be sent")]
    BadHeader(String),
    #[error("the authorization endpoint is not known: set endpoints.authorization or endpoints.issuer")]
    NoAuthorizationEndpoint,
    #[error(
        "the device authorization endpoint is not known: set endpoints.deviceAuthorization or endpoints.issuer"
    )]
    NoDeviceEndpoint,
    #[error("the redirect URI is not an address: check the portal's address")]
    BadRedirectUri,
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    #[error("the request cannot be built")]
    Unbuildable,
}

/// Our client at one provider, with the secret that authenticates this request.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) description: &'a Description,
    pub(crate) id: &'a str,
    pub(crate) secret: Option<&'a SecretString>,
    /// Signs an assertion instead, where the provider takes that.
    pub(crate) private_key: Option<&'a SigningKey>,
    /// The connection presents a certificate, which proves the client where the provider takes that.
    pub(crate) has_certificate: bool,
    pub(crate) now: Timestamp,
}

impl Client<'_> {
    /// A token request (RFC 6749 §3.2): what the grant type needs, what the description adds, and the scopes.
    pub(crate) fn token(&self, grant: &[(&str, &str)], scopes: &[String]) -> Result<Request, RequestError> {
        let is_refresh = grant.first() == Some(&("grant_type", "refresh_token"));
        let endpoints = &self.description.endpoints;
        let url = endpoints.refresh.as_ref().filter(|_| is_refresh).or(endpoints.token.as_ref());
        let url = url.ok_or(RequestError::NoTokenEndpoint)?;
        let request = &self.description.token_request;
        let parts = scope_part::requested(&self.description.scopes.parts, scopes);
        let scopes = self.description.scopes.joined(scopes);
        let fields = [grant, &own_fields(&request.params, scopes.as_deref())?].concat();
        let mut asked = self.proven_with(url, &fields, parts, request.encoding)?;
        add_headers(&mut asked, &request.headers)?;
        Ok(asked)
    }

    /// Requests a device code (RFC 8628 §3.1).
    pub(crate) fn device_authorization(&self, scopes: &[String]) -> Result<Request, RequestError> {
        let url = self.description.endpoints.device_authorization.as_ref();
        let url = url.ok_or(RequestError::NoDeviceEndpoint)?;
        let DeviceFlow { authenticated, params } = &self.description.device;
        let scopes = self.description.scopes.joined(scopes);
        let fields = own_fields(params, scopes.as_deref())?;
        let mut asked = if *authenticated {
            self.proven(url, &fields, Encoding::Form)?
        } else {
            form(url, &[&fields[..], &[("client_id", self.id)]].concat())?
        };
        add_headers(&mut asked, &self.description.token_request.headers)?;
        Ok(asked)
    }

    /// A POST of the fields, in which the client authenticates with the method that the description prefers.
    pub(crate) fn proven(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        encoding: Encoding,
    ) -> Result<Request, RequestError> {
        self.proven_with(url, fields, Map::new(), encoding)
    }

    /// The same with members that only JSON can have.
    fn proven_with(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        members: Map<String, Value>,
        encoding: Encoding,
    ) -> Result<Request, RequestError> {
        let way = self.way().ok_or(RequestError::NoClientAuth)?;
        let signs = matches!(way, ClientAuth::PrivateKeyJwt | ClientAuth::BearerJwt);
        let assertion = if signs { Some(self.assertion(way)?) } else { None };
        let mut fields = fields.to_vec();
        if !matches!(way, ClientAuth::Basic | ClientAuth::BearerJwt | ClientAuth::Omitted) {
            fields.push(("client_id", self.id));
        }
        if way == ClientAuth::Post {
            fields.push(("client_secret", self.secret.ok_or(RequestError::NoClientAuth)?.expose_secret()));
        }
        if let Some(assertion) = assertion.as_ref().filter(|_| way == ClientAuth::PrivateKeyJwt) {
            fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            fields.push(("client_assertion", assertion.expose_secret()));
        }
        let mut request = match encoding {
            Encoding::Form => form(url, &fields)?,
            Encoding::Json => {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                json(http::Method::POST, url, &fields.chain(members).collect())?
            }
        };
        if let Some(assertion) = assertion.as_ref().filter(|_| way == ClientAuth::BearerJwt) {
            bear(&mut request, assertion)?;
        }
        if way == ClientAuth::Basic {
            self.prove_by_header(&mut request)?;
        }
        Ok(request)
    }

    /// How the client proves itself.
    pub(crate) fn way(&self) -> Option<ClientAuth> {
        let proofs = Proofs {
            secret: self.secret.is_some(),
            private_key: self.private_key.is_some(),
            certificate: self.has_certificate,
        };
        self.description.client_auth(proofs)
    }

    fn assertion(&self, way: ClientAuth) -> Result<SecretString, RequestError> {
        let rules = &self.description.token_request.assertion;
        let key = self.private_key.ok_or(RequestError::NoClientAuth)?;
        if way == ClientAuth::BearerJwt && rules.audience == AssertionAudience::Unsaid {
            return Ok(key.assertion(rules, [("iss", self.id)].into_iter(), self.now)?);
        }
        let audience = self.description.assertion_audience().ok_or(RequestError::NoTokenEndpoint)?;
        let claims = [("iss", self.id), ("sub", self.id), ("aud", audience)];
        Ok(key.assertion(rules, claims.into_iter(), self.now)?)
    }

    /// Whether encoding changes what Basic authentication sends.
    pub(crate) fn is_changed_by_basic(&self) -> bool {
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>() != text;
        self.way() == Some(ClientAuth::Basic)
            && (encoded(self.id) || self.secret.is_some_and(|secret| encoded(secret.expose_secret())))
    }

    /// Id and secret in the Authorization header, form-encoded first (RFC 6749 §2.3.1).
    pub(crate) fn prove_by_header(&self, request: &mut Request) -> Result<(), RequestError> {
        authorize_client(request, self.id, self.secret.ok_or(RequestError::NoClientAuth)?)
    }
}

/// Parameters beyond the standard's, and the scopes.
fn own_fields<'a>(
    params: &'a BTreeMap<String, String>,
    scopes: Option<&'a str>,
) -> Result<Vec<(&'a str, &'a str)>, RequestError> {
    const STANDARD: [&str; 13] = [
        "grant_type",
        "refresh_token",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "assertion",
        "subject_token",
        "subject_token_type",
        "code",
        "redirect_uri",
        "code_verifier",
        "device_code",
    ];
    // RFC 6749 §3.2: no parameter twice.
    let is_repeated =
        |name: &&String| STANDARD.contains(&name.as_str()) || scopes.is_some() && *name == "scope";
    if let Some(name) = params.keys().find(is_repeated) {
        return Err(RequestError::RepeatedParameter(name.clone()));
    }
    let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(params.chain(scopes.map(|scopes| ("scope", scopes))).collect())
}

/// Adds a description's headers.
pub(crate) fn add_headers(
    request: &mut Request,
    given: &BTreeMap<String, String>,
) -> Result<(), RequestError> {
    for (name, value) in given {
        let bad = || RequestError::BadHeader(name.clone());
        if headers::is_ours(name) {
            return Err(bad());
        }
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        request.headers_mut().insert(parsed, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(())
}

/// Adds a header whose value is never shown.
pub(crate) fn add_sensitive(request: &mut Request, name: &str, value: &str) -> Result<(), RequestError> {
    let bad = || RequestError::BadHeader(name.to_owned());
    if headers::is_ours(name) {
        return Err(bad());
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    request.headers_mut().insert(parsed, sensitive(value, name)?);
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

/// A call of an API, before the credential is added.
pub(crate) fn api_call(
    method: Verb,
    url: &Url,
    headers: &BTreeMap<String, String>,
    body: Option<&serde_json::Value>,
) -> Result<Request, RequestError> {
    let mut request = match body {
        Some(body) => json(method.into(), url, body)?,
        None => bare(method.into(), url)?,
    };
    add_headers(&mut request, headers)?;
    Ok(request)
}

pub(crate) fn json(
    method: http::Method,
    url: &Url,
    body: &serde_json::Value,
) -> Result<Request, RequestError> {
    let mut request = bare(method, url)?;
    *request.body_mut() = body.to_string().into_bytes();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// A header value that is never shown.
pub(crate) fn sensitive(value: &str, name: &str) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| RequestError::BadHeader(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Adds a parameter with a secret to the address of a request. Nothing shows that address.
pub(crate) fn add_to_query(
    request: &mut Request,
    name: &str,
    value: &SecretString,
) -> Result<(), RequestError> {
    let mut url = Url::parse(&request.uri().to_string()).map_err(|_| RequestError::Unbuildable)?;
    url.query_pairs_mut().append_pair(name, value.expose_secret());
    *request.uri_mut() = url.as_str().parse().map_err(|_| RequestError::Unbuildable)?;
    Ok(())
}

/// Puts a bearer token on a request (RFC 6750 §2.1).
pub(crate) fn bear(request: &mut Request, token: &SecretString) -> Result<(), RequestError> {
    authorize(request, &format!("Bearer {}", token.expose_secret()))
}

/// Puts id and secret of a client on a request, form-encoded first (RFC 6749 §2.3.1).
pub fn authorize_client(request: &mut Request, id: &str, secret: &SecretString) -> Result<(), RequestError> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    authorize(request, &format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

fn authorize(request: &mut Request, value: &str) -> Result<(), RequestError> {
    request.headers_mut().insert(AUTHORIZATION, sensitive(value, AUTHORIZATION.as_str())?);
    Ok(())
}
