//! Sign-in by an `OpenID` provider: authorization code, own state, nonce and PKCE (`OpenID` Connect Core §3.1, RFC 7636).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bowline_api::opaque::Digest;
use k8s_openapi::jiff::Timestamp;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::super::failure::Failure;
use super::super::session::{Groups, Session};
use super::super::settings::Oidc;
use super::before::OidcTry;
use super::http::Http;

/// How long the provider's metadata and keys are kept.
const KEPT: Duration = Duration::from_mins(10);

type Ready = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Our side of the `OpenID` provider.
pub struct OpenId {
    settings: Oidc,
    http: Http,
    redirect: String,
    metadata: Mutex<Option<(Arc<CoreProviderMetadata>, Timestamp)>>,
}

impl OpenId {
    /// Our side, with the address to come back to.
    pub fn new(settings: Oidc, http: Http, redirect: String) -> Self {
        Self { settings, http, redirect, metadata: Mutex::default() }
    }

    /// Where to send the browser, and what must come back.
    pub async fn begin(&self, now: Timestamp) -> Result<(Url, OidcTry), Failure> {
        let client = self.client(now).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        );
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (address, state, nonce) = request.set_pkce_challenge(challenge).url();
        let kept = OidcTry {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        };
        Ok((address, kept))
    }

    /// The session of whom the provider names. `kept` is what this browser began with, its state checked by the caller.
    pub async fn finish(
        &self,
        code: &SecretString,
        kept: OidcTry,
        now: Timestamp,
    ) -> Result<Session, Failure> {
        let client = self.client(now).await?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .map_err(|error| Failure::internal(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(kept.verifier));
        // Its Debug, and the Display of some causes, may show the answer: what is logged is that it failed.
        let answer =
            request.request_async(&self.http).await.map_err(|_| not_vouched("the code was not accepted"))?;
        let token = answer.id_token().ok_or_else(|| not_vouched("there was no ID token"))?;
        let metadata = self.metadata(now).await?;
        let algorithms = metadata.id_token_signing_alg_values_supported().iter();
        // What the provider announces, and never an unsigned token.
        let signed = algorithms.filter(|algorithm| **algorithm != CoreJwsSigningAlgorithm::None).cloned();
        let verifier = client.id_token_verifier().set_allowed_algs(signed);
        token
            .claims(&verifier, &Nonce::new(kept.nonce))
            .map_err(|_| not_vouched("the ID token is not valid"))?;
        let claims =
            claims_of(&token.to_string()).ok_or_else(|| not_vouched("the ID token cannot be read"))?;
        session(&self.settings, &claims, now)
    }

    async fn client(&self, now: Timestamp) -> Result<Ready, Failure> {
        let metadata = self.metadata(now).await?;
        let Oidc { client_id, client_secret, .. } = &self.settings;
        let secret =
            client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let redirect = RedirectUrl::new(self.redirect.clone()).map_err(|error| Failure::internal(&error))?;
        let id = ClientId::new(client_id.clone());
        let client = CoreClient::from_provider_metadata((*metadata).clone(), id, secret);
        Ok(client.set_redirect_uri(redirect))
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<CoreProviderMetadata>, Failure> {
        if let Some(metadata) = self.kept(now) {
            return Ok(metadata);
        }
        let issuer =
            IssuerUrl::new(self.settings.issuer.clone()).map_err(|error| Failure::internal(&error))?;
        let read = CoreProviderMetadata::discover_async(issuer, &self.http).await;
        let metadata = Arc::new(read.map_err(|error| Failure::internal(&error))?);
        let mut kept = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((Arc::clone(&metadata), now));
        Ok(metadata)
    }

    fn kept(&self, now: Timestamp) -> Option<Arc<CoreProviderMetadata>> {
        let kept = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        let (metadata, read_at) = kept.as_ref()?;
        let age = u64::try_from(now.as_second() - read_at.as_second()).ok()?;
        (age < KEPT.as_secs()).then(|| Arc::clone(metadata))
    }
}

fn not_vouched(why: &'static str) -> Failure {
    tracing::warn!(why, "a sign-in by OpenID did not work");
    Failure::sign_in("Your sign-in provider did not vouch for you.")
}

/// The claims of a token whose signature was verified before.
fn claims_of(token: &str) -> Option<Map<String, Value>> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Whom the claims name, as the API server would.
fn session(settings: &Oidc, claims: &Map<String, Value>, now: Timestamp) -> Result<Session, Failure> {
    let Oidc { username_claim, groups_claim, groups_prefix, .. } = settings;
    let name = claims.get(username_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Failure::sign_in(&format!("Your sign-in provider sent no claim `{username_claim}`.")));
    };
    if username_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Failure::sign_in("Your sign-in provider has not verified your e-mail address."));
    }
    let groups = match claims.get(groups_claim) {
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(group)) => vec![group.as_str()],
        _ => Vec::new(),
    };
    let groups = groups.into_iter().map(|group| format!("{groups_prefix}{group}")).collect();
    let user = format!("{}{name}", settings.prefix());
    let session = Session::begin(&user, Groups::Claimed(groups), now)
        .map_err(|refused| Failure::sign_in(&refused.to_string()))?;
    let subject = claims.get("sub").and_then(Value::as_str);
    // Core §2: every ID token has one, at most 255 characters.
    let subject = subject.ok_or_else(|| not_vouched("the ID token names no subject"))?;
    Ok(session.of_person(Digest::of_person(&settings.issuer, subject)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(claim: &str) -> Oidc {
        Oidc {
            issuer: "https://issuer.example.com".into(),
            client_id: "portal".into(),
            client_secret: None,
            username_claim: claim.into(),
            username_prefix: Some("oidc:".into()),
            groups_claim: "groups".into(),
            groups_prefix: "oidc:".into(),
            scopes: Vec::new(),
        }
    }

    fn judged(claim: &str, claims: &Value) -> Result<Session, Failure> {
        session(&settings(claim), claims.as_object().unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn user_and_groups_carry_their_prefixes() {
        let session = judged("sub", &json!({"sub": "alice", "groups": ["staff", 7]})).unwrap();
        assert_eq!(session.user(), "oidc:alice");
        assert_eq!(session.groups(), ["oidc:staff", "system:authenticated"]);
    }

    #[test]
    fn a_name_that_went_to_somebody_else_is_another_person() {
        let person = |claims: Value| judged("name", &claims).unwrap().person().cloned().unwrap();
        let before = person(json!({"sub": "1", "name": "alice"}));
        assert_eq!(before, person(json!({"sub": "1", "name": "alice.smith"})));
        assert_ne!(before, person(json!({"sub": "2", "name": "alice"})));
        assert!(judged("name", &json!({"name": "alice"})).is_err(), "a person without a subject is nobody");
    }

    #[test]
    fn an_e_mail_address_counts_only_if_it_is_verified() {
        let mail = "alice@example.com";
        assert!(judged("email", &json!({"sub": "1", "email": mail, "email_verified": true})).is_ok());
        for unverified in [
            json!({"email": mail}),
            json!({"email": mail, "email_verified": false}),
            json!({"email": mail, "email_verified": "true"}),
            json!({"email": "", "email_verified": true}),
        ] {
            assert!(judged("email", &unverified).is_err(), "{unverified}");
        }
    }

    #[test]
    fn nobody_signs_in_as_kubernetes_itself() {
        let bare =
            Oidc { username_prefix: Some("-".into()), groups_prefix: String::new(), ..settings("sub") };
        let judged = |claims: Value| session(&bare, claims.as_object().unwrap(), Timestamp::UNIX_EPOCH);
        assert!(judged(json!({"sub": "system:admin"})).is_err());
        let session = judged(json!({"sub": "alice", "groups": ["system:masters"]})).unwrap();
        assert_eq!(session.groups(), ["system:authenticated"]);
    }

    #[test]
    fn claims_are_read_from_the_middle_of_a_token() {
        let token = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"alice"}"#));
        assert_eq!(claims_of(&token).unwrap()["sub"], "alice");
        assert!(claims_of("nonsense").is_none());
    }
}
