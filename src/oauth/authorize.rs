//! The authorization request: where a person's browser is sent (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9126).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use k8s_openapi::jiff::Timestamp;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::ClientRequest;
use super::http::{Http, Received, Request};
use super::request::{self, RequestError};
use crate::attempt::state::random_text;
use crate::catalog::Description;
use crate::catalog::entry::{Authorize, Pkce};
use crate::catalog::protocol::ClientAuth;

/// What is asked of the person. No `Debug`: it holds the state.
#[derive(Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// Where the browser comes back to, exactly as registered.
    pub redirect_uri: &'a str,
    /// Proves that the callback belongs to this try. At least 128 random bits.
    pub state: &'a SecretString,
    /// Scopes to ask for. None: no scope parameter, and the provider decides.
    pub scopes: &'a [String],
    /// Which account is expected, as its owner types it to sign in. Sent where the catalogue says that the provider
    /// takes such a hint (`login_hint`, or GitHub's `login`), and left out elsewhere.
    pub login_hint: Option<&'a str>,
}

/// An authorization request that is ready. `Debug` shows neither the state in the address nor the verifier.
pub struct Begun {
    /// Where to send the browser. Holds the state, or a reference that can be used once.
    pub address: Url,
    /// The PKCE verifier. Never leaves the operator, but with the code.
    pub verifier: SecretString,
    /// How long the provider keeps a pushed request. `None`: nothing was pushed.
    pub pushed_for: Option<Duration>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("pushed_for", &self.pushed_for).finish_non_exhaustive()
    }
}

/// Makes the authorization request of a new try: a fresh verifier, and the provider's own parameters.
///
/// Where a pushed authorization request endpoint is known, the parameters go there first, the client authenticated as at
/// the token endpoint, and the browser carries only a reference. A push that fails fails the try: there is no way back
/// to a request in the open. It may be repeated, with a new try.
///
/// # Errors
/// The description lacks the authorization endpoint or would send a parameter twice, or the push failed.
pub async fn begin(
    http: &dyn Http,
    description: &Description,
    app: &App,
    request: &AuthorizationRequest<'_>,
    now: Timestamp,
) -> Result<Begun, Failure> {
    let unbuilt = |error| classify::unbuilt(&error);
    let verifier = random_text().map_err(|_| unbuilt(RequestError::NoRandomness))?;
    let asked = Asked::of(description, &app.client_id, request, &verifier).map_err(unbuilt)?;
    let Some(endpoint) = &description.endpoints.pushed_authorization_request else {
        return Ok(Begun { address: asked.address(), verifier, pushed_for: None });
    };
    let push = ClientRequest { http, description, app, operation: Operation::Push, now };
    let answered = push
        .send(|secret| asked.pushed(endpoint, description, &app.client_id, secret))
        .await
        .map_err(|failure| failure.without_echo(request.state.expose_secret()))?;
    let received = &answered.received;
    let (reference, lifetime) =
        reference(answered.document.data(), received).ok_or_else(|| classify::unconfirmed(received))?;
    let address = asked.by_reference(&app.client_id, &reference);
    Ok(Begun { address, verifier, pushed_for: Some(lifetime) })
}

/// An authorization request before it is decided how it travels.
struct Asked {
    endpoint: Url,
    parameters: Vec<(String, String)>,
}

impl Asked {
    /// The crate's parameters, and then the provider's own.
    fn of(
        description: &Description,
        client_id: &str,
        request: &AuthorizationRequest<'_>,
        verifier: &SecretString,
    ) -> Result<Self, RequestError> {
        let endpoint = description.endpoints.authorization.clone();
        let endpoint = endpoint.ok_or(RequestError::NoAuthorizationEndpoint)?;
        // Of the crate's address only the query is wanted: what the endpoint's own query has is kept beside it.
        let mut bare = endpoint.clone();
        bare.set_query(None);
        let client =
            BasicClient::new(ClientId::new(client_id.to_owned())).set_auth_uri(AuthUrl::from_url(bare));
        let state = CsrfToken::new(request.state.expose_secret().to_owned());
        let mut standard = client
            .authorize_url(|| state)
            .set_redirect_uri(Cow::Owned(request::redirect_url(request.redirect_uri)?));
        if description.authorize.pkce != Pkce::Off {
            let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
            standard = standard.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        let (address, _) = standard.url();
        let parameters =
            address.query_pairs().into_owned().chain(own_parameters(description, request, verifier));
        let asked = Self { parameters: parameters.collect(), endpoint };
        asked.each_once()?;
        Ok(asked)
    }

    /// RFC 6749 §3.1: no parameter twice. Those of the endpoint's own query count.
    fn each_once(&self) -> Result<(), RequestError> {
        let own = self.endpoint.query_pairs().map(|(name, _)| name.into_owned());
        let mut seen = BTreeSet::new();
        let mut names = own.chain(self.parameters.iter().map(|(name, _)| name.clone()));
        names
            .find(|name| !seen.insert(name.clone()))
            .map_or(Ok(()), |name| Err(RequestError::RepeatedParameter(name)))
    }

    /// All in the open.
    fn address(&self) -> Url {
        let mut address = self.endpoint.clone();
        address.query_pairs_mut().extend_pairs(&self.parameters);
        address
    }

    /// RFC 9126 §4: the client and the reference, nothing else.
    fn by_reference(&self, client_id: &str, reference: &str) -> Url {
        let mut address = self.endpoint.clone();
        address.query_pairs_mut().append_pair("client_id", client_id).append_pair("request_uri", reference);
        address
    }

    /// RFC 9126 §2.1.
    fn pushed(
        &self,
        endpoint: &Url,
        description: &Description,
        client_id: &str,
        secret: Option<&SecretString>,
    ) -> Result<Request, RequestError> {
        // Where the client proves itself in the body, its id is there already.
        let in_header = description.client_auth(secret.is_some()) == Some(ClientAuth::Basic);
        let fields = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> =
            fields.filter(|(name, _)| in_header || *name != "client_id").collect();
        request::authenticated_form(endpoint, &fields, description, client_id, secret)
    }
}

/// Scopes in the provider's way, what the catalogue adds, the hint and the nonce.
fn own_parameters(
    description: &Description,
    request: &AuthorizationRequest<'_>,
    verifier: &SecretString,
) -> Vec<(String, String)> {
    let Authorize { scope_parameter, params, optional_params, .. } = &description.authorize;
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
    let separator = description.scopes.separator.as_deref().filter(|_| !request.scopes.is_empty());
    if let Some(separator) = separator {
        add(scope_parameter.name(), request.scopes.join(separator));
    }
    // An id token is what a nonce is for.
    if request.scopes.iter().any(|scope| scope == "openid") {
        add("nonce", nonce(verifier));
    }
    let hint =
        ["login_hint", "login"].into_iter().find(|name| optional_params.iter().any(|known| known == name));
    if let (Some(name), Some(account)) = (hint, request.login_hint.filter(|hint| !hint.is_empty())) {
        add(name, account.to_owned());
    }
    for (name, value) in params {
        add(name, value.clone());
    }
    parameters
}

/// The longest reference that is put into an address.
const MAX_REFERENCE: usize = 2048;

/// RFC 9126 §2.2: 201 with `request_uri` and `expires_in`. Some answer 200.
fn reference(data: Option<&Value>, received: &Received) -> Option<(String, Duration)> {
    let data = data.filter(|_| matches!(received.status.as_u16(), 200 | 201))?;
    let reference = data.get("request_uri")?.as_str()?;
    let sound = (1..=MAX_REFERENCE).contains(&reference.len()) && !reference.contains(char::is_control);
    let lifetime = data.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0)?;
    sound.then(|| (reference.to_owned(), Duration::from_secs(lifetime)))
}

/// The nonce that goes with a verifier (`OpenID` Connect Core §3.1.2.1): it binds an id token to the try as the verifier
/// binds the code, and tells nothing of the verifier.
pub(super) fn nonce(verifier: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(b"bowline nonce\0");
    hash.update(verifier.expose_secret().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}
