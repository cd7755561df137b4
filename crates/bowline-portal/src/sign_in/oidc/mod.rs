//! Sign-in with an `OpenID` provider: authorization code with state, nonce and PKCE (`OpenID` Connect Core §3.1, RFC 7636).

mod id_token;
mod jws;
mod provider;

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

use self::jws::TokenFlaw;
use self::provider::{OpenIdError, OpenIdProvider, ask};
use super::before::AuthRequest;
use crate::error::PageError;
use crate::session::Session;
use crate::settings::Oidc;
use bowline_oauth::http::Http;
use bowline_oauth::request;
use bowline_runtime::telemetry::chain;

/// How long the provider's metadata and keys are cached.
const CACHED: Duration = Duration::from_mins(10);

/// Minimum time between two requests for new keys, after a token that no cached key verifies.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub(crate) struct OpenId {
    settings: Oidc,
    http: Box<dyn Http>,
    redirect: String,
    cached: Mutex<Option<(Arc<OpenIdProvider>, Timestamp)>>,
}

impl OpenId {
    pub(crate) fn new(settings: Oidc, http: Box<dyn Http>, redirect: String) -> Self {
        Self { settings, http, redirect, cached: Mutex::default() }
    }

    /// The address to redirect the browser to, and what the browser keeps until it returns.
    pub(crate) async fn begin(&self, now: Timestamp) -> Result<(Url, AuthRequest), PageError> {
        let provider = self.provider(CACHED, now).await?;
        let sent = AuthRequest::new()?;
        let challenge = Sha256::digest(&sent.verifier);
        let others = self.settings.claims.scopes.iter().map(String::as_str);
        let others = others.filter(|scope| !["", "openid"].contains(scope));
        let scopes: Vec<&str> = std::iter::once("openid").chain(others).collect();
        let mut address = provider.authorization.clone();
        address.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &self.redirect),
            ("scope", &scopes.join(" ")),
            ("state", &sent.state),
            ("nonce", &sent.nonce),
            ("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ]);
        Ok((address, sent))
    }

    /// The session of the user that the provider names. The caller has checked the state.
    pub(crate) async fn finish(
        &self,
        code: &SecretString,
        sent: &AuthRequest,
        now: Timestamp,
    ) -> Result<Session, PageError> {
        let mut provider = self.provider(CACHED, now).await?;
        let token = self.exchange(&provider, code, &sent.verifier).await;
        let token = token.map_err(|error| not_vouched(chain(&error)))?;
        let verified = |provider: &OpenIdProvider| {
            id_token::verified(token.expose_secret(), provider, &self.settings.client_id, &sent.nonce, now)
        };
        let mut claims = verified(&provider);
        if let Err(TokenFlaw::NoKey | TokenFlaw::Signature) = claims {
            // The provider may have rotated its keys.
            provider = self.provider(LOOK_AGAIN, now).await?;
            claims = verified(&provider);
        }
        let claims =
            claims.map_err(|flaw| not_vouched(format_args!("the ID token does not count: {flaw}")))?;
        id_token::session(&self.settings, &claims, now)
    }

    /// Metadata and keys that are younger than `age`.
    async fn provider(&self, age: Duration, now: Timestamp) -> Result<Arc<OpenIdProvider>, PageError> {
        let is_young = |read_at: Timestamp| {
            u64::try_from(now.as_second() - read_at.as_second()).is_ok_and(|seconds| seconds < age.as_secs())
        };
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((provider, _)) = cached.filter(|(_, read_at)| is_young(*read_at)) {
            return Ok(provider);
        }
        let read = OpenIdProvider::fetch(&*self.http, &self.settings.issuer).await;
        let provider = Arc::new(read.map_err(|error| PageError::internal(&error))?);
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((Arc::clone(&provider), now));
        Ok(provider)
    }

    /// Exchanges the code for an ID token, once (RFC 6749 §4.1.3, with client authentication as in §2.3.1).
    async fn exchange(
        &self,
        provider: &OpenIdProvider,
        code: &SecretString,
        verifier: &str,
    ) -> Result<SecretString, OpenIdError> {
        #[derive(Deserialize)]
        struct IdTokenResponse {
            id_token: SecretString,
        }
        let Oidc { client_id, client_secret, .. } = &self.settings;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &self.redirect),
            ("code_verifier", verifier),
        ];
        let (in_body, in_header) = match client_secret {
            Some(secret) if provider.takes_secret_in_body() => (Some(secret), None),
            secret => (None, secret.as_ref()),
        };
        if in_header.is_none() {
            fields.push(("client_id", client_id));
        }
        fields.extend(in_body.map(|secret| ("client_secret", secret.expose_secret())));
        let mut request = request::form(&provider.token, &fields)?;
        if let Some(secret) = in_header {
            request::authorize_client(&mut request, client_id, secret)?;
        }
        let IdTokenResponse { id_token } = ask(&*self.http, request, "ID token").await?;
        Ok(id_token)
    }
}

fn not_vouched(why: impl Display) -> PageError {
    tracing::warn!(%why, "a sign-in by OpenID did not work");
    PageError::sign_in("Your sign-in provider did not confirm who you are.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
