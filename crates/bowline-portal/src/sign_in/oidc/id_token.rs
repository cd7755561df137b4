//! Validates ID tokens (`OpenID` Connect Core §3.1.3.7).

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::jws::{self, SignatureFlaw};
use super::provider::Provider;
use crate::session::same;

/// Allowed clock skew, in seconds.
const SKEW: i64 = 60;

/// Why an ID token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFlaw {
    #[error(transparent)]
    Signature(#[from] SignatureFlaw),
    #[error("another issuer made it")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    /// `exp` has passed or is missing.
    #[error("it has expired")]
    Expired,
    /// `iat` or `nbf` is in the future, or `iat` is missing.
    #[error("it is not valid yet")]
    NotYet,
    /// `nonce` differs or is missing.
    #[error("it answers another sign-in")]
    Nonce,
}

/// What the token must contain.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
}

/// The claims of a valid token.
pub(crate) fn verified(
    token: &str,
    provider: &Provider,
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<Map<String, Value>, TokenFlaw> {
    let claims = jws::verified(token, &provider.keys, &provider.algorithms)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64")]
    let [earliest, latest] = [now.as_second() - SKEW, now.as_second() + SKEW].map(|second| second as f64);
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    if text("iss") != Some(&provider.issuer) {
        return Err(TokenFlaw::Issuer);
    }
    if !is_for(&claims, expected.client_id) {
        return Err(TokenFlaw::Audience);
    }
    if time("exp").is_none_or(|exp| exp <= earliest) {
        return Err(TokenFlaw::Expired);
    }
    let not_before = claims.contains_key("nbf").then(|| time("nbf"));
    if [Some(time("iat")), not_before].into_iter().flatten().any(|time| time.is_none_or(|time| time > latest))
    {
        return Err(TokenFlaw::NotYet);
    }
    if !text("nonce").is_some_and(|nonce| same(nonce, expected.nonce)) {
        return Err(TokenFlaw::Nonce);
    }
    Ok(claims)
}

/// Whether `aud` contains our client. With other audiences `azp` is required; if present, it must be our client.
fn is_for(claims: &Map<String, Value>, client_id: &str) -> bool {
    let (ours, several) = match claims.get("aud") {
        Some(Value::String(aud)) => (aud == client_id, false),
        Some(Value::Array(all)) => (all.iter().any(|aud| aud == client_id), all.len() > 1),
        _ => (false, false),
    };
    ours && claims.get("azp").map_or(!several, |azp| azp == client_id)
}
