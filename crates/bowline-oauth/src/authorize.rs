//! The authorization request: where a person's browser is redirected (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9126).

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bowline_api::opaque::random_text;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::ClientRequest;
use super::http::{Http, Received, Request, Sent};
use super::request::{Client, RequestError};
use crate::catalog::Description;
use crate::catalog::entry::{Authorize, Pkce};
use crate::catalog::errors::Class;
use crate::catalog::protocol::{ClientAuth, Encoding, ProviderAccount};

/// What the person is asked for. No `Debug`: it contains the state.
#[derive(Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// Where the browser comes back to, exactly as registered.
    pub redirect_uri: &'a str,
    /// Proves that the callback belongs to this attempt. At least 128 random bits.
    pub state: &'a SecretString,
    /// Scopes to request. None: no scope parameter, and the provider decides.
    pub scopes: &'a [String],
    /// The expected account, so that the person need not choose among several. Sent if the catalogue says that the provider
    /// accepts a hint: the e-mail address as `login_hint` (`OpenID` Connect Core §3.1.2.1), the name as GitHub's `login`.
    pub expected: Option<&'a ProviderAccount>,
}

/// An authorization request that is ready. `Debug` shows neither the state in the address nor the verifier.
pub struct Begun {
    /// Where to redirect the browser. Contains the state, or a reference that can be used once.
    pub address: Url,
    /// The PKCE verifier. Leaves the operator only together with the code.
    pub verifier: SecretString,
    /// Whether the request carries the verifier's challenge: then the code is exchanged with the verifier, and only then.
    pub sends_challenge: bool,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

/// Builds the authorization request of a new attempt: a new verifier, and the provider's own parameters.
///
/// If a pushed authorization request endpoint is known, the parameters are sent there first, the client authenticates as at
/// the token endpoint, and the browser gets only a reference. Some servers announce that endpoint and refuse it to clients that
/// are not set up for it: then the parameters go through the browser, unless the server accepts nothing but a reference (RFC
/// 9126 §5). If the endpoint cannot be reached, the attempt fails. You may repeat it, with a new attempt.
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
    let verifier = random_text().map_err(|_| RequestError::NoRandomness)?;
    let endpoint = description.endpoints.authorization.as_ref();
    let mut address = endpoint.ok_or(RequestError::NoAuthorizationEndpoint)?.clone();
    let sends_challenge = description.authorize.pkce != Pkce::None;
    let mut parameters = standard_parameters(description, &app.client_id, request, &verifier)?;
    parameters.extend(own_parameters(description, request, &verifier));
    each_once(&address, &parameters)?;
    let Some(endpoint) = &description.endpoints.pushed_authorization_request else {
        address.query_pairs_mut().extend_pairs(&parameters);
        return Ok(Begun { address, verifier, sends_challenge });
    };
    let push = ClientRequest { http, description, app, operation: Operation::Push, now };
    let answered = match push.send(|client| pushed(endpoint, client, &parameters)).await {
        Ok(answered) => answered,
        Err(failure) if is_refused(&failure) && !description.authorize.require_pushed => {
            address.query_pairs_mut().extend_pairs(&parameters);
            return Ok(Begun { address, verifier, sends_challenge });
        }
        Err(failure) => return Err(failure.without_echo(request.state.expose_secret())),
    };
    let received = &answered.received;
    let reference =
        reference(answered.document.data(), received).ok_or_else(|| classify::unconfirmed(received))?;
    // RFC 9126 §4: the client and the reference, nothing else.
    address.query_pairs_mut().extend_pairs([("client_id", &app.client_id), ("request_uri", &reference)]);
    Ok(Begun { address, verifier, sends_challenge })
}

/// Whether the provider does not want this push, and not only now.
fn is_refused(failure: &Failure) -> bool {
    failure.sent == Sent::Refused && failure.class != Class::Transient
}

fn standard_parameters<'a>(
    description: &Description,
    client_id: &str,
    request: &AuthorizationRequest<'_>,
    verifier: &SecretString,
) -> Result<Vec<(&'a str, String)>, RequestError> {
    Url::parse(request.redirect_uri).map_err(|_| RequestError::BadRedirectUri)?;
    let mut parameters = vec![
        ("response_type", "code".to_owned()),
        ("client_id", client_id.to_owned()),
        ("redirect_uri", request.redirect_uri.to_owned()),
        ("state", request.state.expose_secret().to_owned()),
    ];
    if description.authorize.pkce != Pkce::None {
        // RFC 7636 §4.2.
        let digest = Sha256::digest(verifier.expose_secret());
        parameters.push(("code_challenge", BASE64_URL_SAFE_NO_PAD.encode(digest)));
        parameters.push(("code_challenge_method", "S256".to_owned()));
    }
    Ok(parameters)
}

/// Scopes in the provider's format, what the catalogue adds, the hint and the nonce.
fn own_parameters<'a>(
    description: &'a Description,
    request: &AuthorizationRequest<'_>,
    verifier: &SecretString,
) -> Vec<(&'a str, String)> {
    let Authorize { scope_parameter, params, optional_params, .. } = &description.authorize;
    let scopes = description.scopes.joined(request.scopes).map(|scopes| (scope_parameter.name(), scopes));
    let nonce = nonce(request.scopes, verifier).map(|nonce| ("nonce", nonce));
    let (email, name) = request.expected.map(|account| (&account.email, &account.name)).unzip();
    let hints = [("login_hint", email), ("login", name)].into_iter().filter_map(|(parameter, hint)| {
        let hint = hint?.as_ref().filter(|hint| !hint.is_empty())?;
        optional_params.iter().any(|known| known == parameter).then(|| (parameter, hint.clone()))
    });
    let catalogued = params.iter().map(|(name, value)| (name.as_str(), value.clone()));
    scopes.into_iter().chain(nonce).chain(hints).chain(catalogued).collect()
}

/// RFC 6749 §3.1: no parameter twice. Those in the endpoint's own query count.
fn each_once(endpoint: &Url, parameters: &[(&str, String)]) -> Result<(), RequestError> {
    let own = endpoint.query_pairs().map(|(name, _)| name.into_owned());
    let mut seen = BTreeSet::new();
    let mut names = own.chain(parameters.iter().map(|(name, _)| (*name).to_owned()));
    names
        .find(|name| !seen.insert(name.clone()))
        .map_or(Ok(()), |name| Err(RequestError::RepeatedParameter(name)))
}

/// RFC 9126 §2.1.
fn pushed(
    endpoint: &Url,
    client: &Client<'_>,
    parameters: &[(&str, String)],
) -> Result<Request, RequestError> {
    // Authenticating the client adds its id if the provider does not read it from the header.
    let in_header = client.way() == Some(ClientAuth::Basic);
    let fields = parameters.iter().map(|(name, value)| (*name, value.as_str()));
    let fields: Vec<_> = fields.filter(|(name, _)| in_header || *name != "client_id").collect();
    client.proven(endpoint, &fields, Encoding::Form)
}

/// The longest reference that is accepted.
const MAX_REFERENCE: usize = 2048;

/// RFC 9126 §2.2: 201 with `request_uri`. Some return 200. Its lifetime does not matter: the browser uses it at once.
fn reference(data: Option<&Value>, received: &Received) -> Option<String> {
    let data = data.filter(|_| matches!(received.status.as_u16(), 200 | 201))?;
    let reference = data.get("request_uri")?.as_str()?;
    let sound = (1..=MAX_REFERENCE).contains(&reference.len()) && !reference.contains(char::is_control);
    sound.then(|| reference.to_owned())
}

/// The nonce of a request (`OpenID` Connect Core §3.1.2.1). None if no id token is requested, because it protects only that.
pub(super) fn nonce(scopes: &[String], verifier: &SecretString) -> Option<String> {
    scopes.iter().any(|scope| scope == "openid").then(|| nonce_of(verifier))
}

/// It binds an id token to the attempt as the verifier binds the code, and reveals nothing of the verifier.
pub(super) fn nonce_of(verifier: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(b"bowline nonce\0");
    hash.update(verifier.expose_secret().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::catalog::errors::Class;
    use crate::fixtures::{Script, answer, app, description};
    use crate::http::Sent;

    const BACK: &str = "https://portal.example.com/callback/example";
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn entry(spec: &Value) -> Description {
        let spec: bowline_api::provider::IntegrationProviderSpec =
            serde_json::from_value(spec.clone()).unwrap();
        let entry = crate::catalog::get(&spec.type_).unwrap();
        crate::catalog::resolve(entry, &spec, "example", &[].into()).unwrap()
    }

    async fn begun(http: &Script, description: &Description, scopes: &[&str]) -> Result<Begun, Failure> {
        let state = SecretString::from("state-canary");
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = AuthorizationRequest {
            redirect_uri: BACK,
            state: &state,
            scopes: &scopes,
            expected: Some(&ProviderAccount {
                id: "7".into(),
                name: Some("ann".into()),
                email: Some("ann@example.com".into()),
            }),
        };
        let outcome = begin(http, description, &app(), &request, NOW).await;
        let shown = format!("{outcome:?}");
        assert!(!shown.contains("canary") && !shown.contains("challenge"), "{shown}");
        outcome
    }

    /// The parameters of the address; panics on one that is repeated.
    async fn sent(description: &Description, scopes: &[&str]) -> (BTreeMap<String, String>, SecretString) {
        let begun = begun(&Script::new([]), description, scopes).await.unwrap();
        let mut parameters = BTreeMap::new();
        for (name, value) in begun.address.query_pairs().into_owned() {
            assert!(parameters.insert(name.clone(), value).is_none(), "{name} twice");
        }
        (parameters, begun.verifier)
    }

    #[tokio::test]
    async fn the_standards_parameters_are_sent_and_a_fresh_challenge() {
        let mut own_query = description();
        own_query.core.endpoints.authorization =
            Some("https://provider.example.com/authorize?brand=x".parse().unwrap());
        let (parameters, verifier) = sent(&own_query, &["read", "write"]).await;
        let digest = Sha256::digest(verifier.expose_secret().as_bytes());
        let want = [
            ("brand", "x"),
            ("client_id", "client"),
            ("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(digest)),
            ("code_challenge_method", "S256"),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", "read write"),
            ("state", "state-canary"),
        ];
        assert_eq!(parameters, want.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(verifier.expose_secret().len(), 43);
        let (_, other) = sent(&own_query, &[]).await;
        assert_ne!(verifier.expose_secret(), other.expose_secret());
    }

    #[tokio::test]
    async fn each_provider_gets_what_its_entry_says() {
        type Rows<'a> = [(Value, &'a [&'a str], &'a [(&'a str, Option<&'a str>)])];
        let rows: &Rows = &[
            (
                json!({"type": "google"}),
                &["openid", "email"],
                &[
                    ("access_type", Some("offline")),
                    ("prompt", Some("consent")),
                    ("include_granted_scopes", None),
                    ("login_hint", Some("ann@example.com")),
                ],
            ),
            (
                json!({"type": "github"}),
                &["repo"],
                &[("login", Some("ann")), ("login_hint", None), ("nonce", None)],
            ),
            (
                json!({"type": "slack"}),
                &["chat:write", "users:read"],
                &[
                    ("scope", Some("chat:write,users:read")),
                    ("code_challenge", None),
                    ("code_challenge_method", None),
                    ("login_hint", None),
                ],
            ),
            (
                json!({"type": "slack", "parameters": {"scope_parameter": "user_scope"}}),
                &["chat:write"],
                &[("user_scope", Some("chat:write")), ("scope", None)],
            ),
            (json!({"type": "notion"}), &["anything"], &[("scope", None), ("owner", Some("user"))]),
            (json!({"type": "microsoft"}), &["openid"], &[("response_mode", Some("query"))]),
            (json!({"type": "dropbox"}), &["files.content.read"], &[("token_access_type", Some("offline"))]),
            (
                json!({"type": "generic-oauth2", "parameters": {"audience": "api"}, "endpoints": {
                    "authorization": "https://id.example.com/a", "token": "https://id.example.com/t"}}),
                &["x"],
                &[("audience", Some("api")), ("resource", None)],
            ),
        ];
        for (spec, scopes, want) in rows {
            let (parameters, _) = sent(&entry(spec), scopes).await;
            for (name, value) in *want {
                assert_eq!(parameters.get(*name).map(String::as_str), *value, "{spec} {name}");
            }
        }
        let tenant = entry(&json!({"type": "microsoft", "parameters": {"tenant": "contoso.example"}}));
        let address = begun(&Script::new([]), &tenant, &[]).await.unwrap().address;
        assert_eq!(address.path(), "/contoso.example/oauth2/v2.0/authorize");
    }

    #[test]
    fn no_entry_widens_a_grant_by_earlier_ones_or_repeats_the_standard() {
        for (name, entry) in crate::catalog::entries() {
            for parameter in entry.authorize.params.keys() {
                let standard = [
                    "include_granted_scopes",
                    "scope",
                    "state",
                    "redirect_uri",
                    "response_type",
                    "client_id",
                ];
                assert!(!standard.contains(&parameter.as_str()), "{name} {parameter}");
            }
        }
    }

    #[tokio::test]
    async fn a_nonce_goes_with_openid_and_tells_nothing_of_the_verifier() {
        let (parameters, verifier) = sent(&description(), &["openid"]).await;
        assert_eq!(parameters["nonce"], nonce_of(&verifier));
        assert_ne!(parameters["nonce"], parameters["code_challenge"]);
        assert!(!sent(&description(), &["read"]).await.0.contains_key("nonce"));
    }

    #[tokio::test]
    async fn a_parameter_is_never_sent_twice() {
        let mut twice = description();
        twice.core.authorize.params = [("state".to_owned(), "mine".to_owned())].into();
        let mut own_query = description();
        own_query.core.endpoints.authorization =
            Some("https://provider.example.com/a?scope=all".parse().unwrap());
        for description in [twice, own_query] {
            let failure = begun(&Script::new([]), &description, &["read"]).await.unwrap_err();
            assert_eq!((failure.class, failure.sent), (Class::Config, Sent::NotSent));
        }
        let mut nowhere = description();
        nowhere.core.endpoints.authorization = None;
        let failure = begun(&Script::new([]), &nowhere, &[]).await.unwrap_err();
        assert!(failure.summary.contains("endpoints.authorization"), "{}", failure.summary);
    }

    fn pushing(ways: &[ClientAuth]) -> Description {
        let mut description = description();
        description.core.client_auth = ways.to_vec();
        description.core.endpoints.pushed_authorization_request =
            Some("https://provider.example.com/par".parse().unwrap());
        description
    }

    #[tokio::test]
    async fn a_pushed_request_leaves_only_a_reference_in_the_browser() {
        for way in [ClientAuth::Basic, ClientAuth::Post] {
            let script = Script::of(201, r#"{"request_uri":"urn:r:1","expires_in":60}"#);
            let begun = begun(&script, &pushing(&[way]), &["read"]).await.unwrap();
            assert_eq!(
                begun.address.as_str(),
                "https://provider.example.com/authorize?client_id=client&request_uri=urn%3Ar%3A1"
            );
            let request = &script.requests()[0];
            assert_eq!(request.headers().contains_key("authorization"), way == ClientAuth::Basic);
            let body = script.body();
            let names: Vec<String> =
                url::form_urlencoded::parse(body.as_bytes()).map(|(name, _)| name.into_owned()).collect();
            let unique: BTreeSet<&String> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{body}");
            for name in ["client_id", "state", "code_challenge", "redirect_uri", "scope"] {
                assert!(names.iter().any(|sent| sent == name), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_push_that_is_refused_falls_back_to_the_browser_unless_only_pushed_requests_are_accepted() {
        let refusals = [
            (400, r#"{"error":"invalid_request"}"#),
            (401, r#"{"error":"invalid_client"}"#),
            (403, ""),
            (404, ""),
        ];
        for (status, body) in refusals {
            let mut description = pushing(&[ClientAuth::Basic]);
            let begun_plain = begun(&Script::of(status, body), &description, &["read"]).await.unwrap();
            let address = begun_plain.address.as_str();
            assert!(address.contains("code_challenge=") && !address.contains("request_uri"), "{address}");
            description.core.authorize.require_pushed = true;
            assert!(begun(&Script::of(status, body), &description, &[]).await.is_err(), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_push_whose_answer_is_no_refusal_fails() {
        let rows = [
            (503, "", Class::Transient),
            (429, "", Class::Transient),
            (201, "{}", Class::Bug),
            (201, r#"{"request_uri":"","expires_in":60}"#, Class::Bug),
            (201, r#"{"request_uri":"urn:\nx","expires_in":60}"#, Class::Bug),
            (204, "", Class::Bug),
        ];
        for (status, body, class) in rows {
            let failure =
                begun(&Script::of(status, body), &pushing(&[ClientAuth::Basic]), &[]).await.unwrap_err();
            assert_eq!(failure.class, class, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_push_is_repeated_with_the_previous_client_secret() {
        let rotating = App { client_secret_previous: Some(SecretString::from("old")), ..app() };
        let refused = Ok(answer(401, &[], r#"{"error":"invalid_client"}"#));
        // The lifetime of the reference is ignored.
        let good = Ok(answer(201, &[], r#"{"request_uri":"urn:r:2"}"#));
        let script = Script::new([refused, good]);
        let state = SecretString::from("s");
        let request = AuthorizationRequest { redirect_uri: BACK, state: &state, scopes: &[], expected: None };
        assert!(begin(&script, &pushing(&[ClientAuth::Basic]), &rotating, &request, NOW).await.is_ok());
        assert_eq!(script.requests().len(), 2);
    }
}
