//! Sign-in with an `OpenID` provider: authorization code with state, nonce and PKCE (`OpenID` Connect Core §3.1, RFC 7636).
//!
//! | module | holds |
//! |---|---|
//! | [`provider`] | what the provider publishes: addresses, algorithms, keys |
//! | [`jws`] | who signed a token |
//! | [`id_token`] | whether it is for us and for this sign-in |
//! | [`identity`] | whom it names |

pub(crate) mod id_token;
pub(crate) mod identity;
pub(crate) mod jws;
pub(crate) mod provider;

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use self::id_token::{Expected, TokenFlaw};
use self::jws::SignatureFlaw;
use self::provider::{Provider, ProviderError, ask};
use super::before::AuthRequest;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Oidc;
use bowline_oauth::http::{Http, Request};
use bowline_oauth::request::{self, RequestError};
use bowline_runtime::telemetry::chain;

/// How long the provider's metadata and keys are cached.
const KEPT: Duration = Duration::from_mins(10);

/// Minimum time between two requests for new keys, after a token that no cached key verifies.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The client of the `OpenID` provider.
pub(crate) struct OpenId {
    settings: Oidc,
    http: Box<dyn Http>,
    redirect: String,
    known: Mutex<Option<(Arc<Provider>, Timestamp)>>,
}

impl OpenId {
    pub(crate) fn new(settings: Oidc, http: Box<dyn Http>, redirect: String) -> Self {
        Self { settings, http, redirect, known: Mutex::default() }
    }

    /// The address to redirect the browser to, and what the browser keeps until it returns.
    pub(crate) async fn begin(&self, now: Timestamp) -> Result<(Url, AuthRequest), Failure> {
        let provider = self.provider(KEPT, now).await?;
        let kept = AuthRequest::new()?;
        let challenge = Sha256::digest(&kept.verifier);
        let others = self.settings.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
        let scopes: Vec<&str> = std::iter::once("openid").chain(others).collect();
        let mut address = provider.authorization.clone();
        address.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.redirect),
            ("scope", &scopes.join(" ")),
            ("state", &kept.state),
            ("nonce", &kept.nonce),
            ("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ]);
        Ok((address, kept))
    }

    /// The session of the user that the provider names. The caller has checked the state.
    pub(crate) async fn finish(
        &self,
        code: &SecretString,
        kept: &AuthRequest,
        now: Timestamp,
    ) -> Result<Session, Failure> {
        let mut provider = self.provider(KEPT, now).await?;
        let token = self.exchange(&provider, code, &kept.verifier).await;
        let token = token.map_err(|error| not_vouched(chain(&error)))?;
        let expected = Expected { client_id: &self.settings.client_id, nonce: &kept.nonce };
        let mut claims = id_token::verified(token.expose_secret(), &provider, expected, now);
        if let Err(TokenFlaw::Signature(SignatureFlaw::NoKey | SignatureFlaw::Wrong)) = claims {
            // The provider may have rotated its keys.
            provider = self.provider(LOOK_AGAIN, now).await?;
            claims = id_token::verified(token.expose_secret(), &provider, expected, now);
        }
        let claims =
            claims.map_err(|flaw| not_vouched(format_args!("the ID token does not count: {flaw}")))?;
        identity::session(&self.settings, &claims, now)
    }

    /// Metadata and keys that are younger than `age`.
    async fn provider(&self, age: Duration, now: Timestamp) -> Result<Arc<Provider>, Failure> {
        if let Some(provider) = self.known(age, now) {
            return Ok(provider);
        }
        let read = Provider::fetch(&*self.http, &self.settings.issuer).await;
        let provider = Arc::new(read.map_err(|error| Failure::internal(&error))?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Arc::clone(&provider), now));
        Ok(provider)
    }

    fn known(&self, age: Duration, now: Timestamp) -> Option<Arc<Provider>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (provider, read_at) = known.as_ref()?;
        let seconds = u64::try_from(now.as_second() - read_at.as_second()).ok()?;
        (seconds < age.as_secs()).then(|| Arc::clone(provider))
    }

    /// Exchanges the code for an ID token, once.
    async fn exchange(
        &self,
        provider: &Provider,
        code: &SecretString,
        verifier: &str,
    ) -> Result<SecretString, ProviderError> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: SecretString,
        }
        let request = self.exchange_request(provider, code, verifier)?;
        let Answer { id_token } = ask(&*self.http, request, "ID token").await?;
        Ok(id_token)
    }

    /// RFC 6749 §4.1.3, with client authentication as in §2.3.1.
    fn exchange_request(
        &self,
        provider: &Provider,
        code: &SecretString,
        verifier: &str,
    ) -> Result<Request, RequestError> {
        let client_id = self.settings.client_id.as_str();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &self.redirect),
            ("code_verifier", verifier),
        ];
        let secret = self.settings.client_secret.as_ref();
        if let Some(secret) = secret.filter(|_| !provider.secret_in_body) {
            let mut request = request::form(&provider.token, &fields)?;
            request::authorize_client(&mut request, client_id, secret)?;
            return Ok(request);
        }
        fields.push(("client_id", client_id));
        fields.extend(secret.map(|secret| ("client_secret", secret.expose_secret())));
        request::form(&provider.token, &fields)
    }
}

fn not_vouched(why: impl Display) -> Failure {
    tracing::warn!(%why, "a sign-in by OpenID did not work");
    Failure::sign_in("Your sign-in provider did not confirm who you are.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
