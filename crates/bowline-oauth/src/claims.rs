//! Claims of an id token (`OpenID` Connect Core §3.1.3.7).
//!
//! It came from the token endpoint over TLS, so the signature need not be checked; the claims must be.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::issuer;
use super::limits::MAX_ID_TOKEN;
use crate::catalog::Description;

/// The claims that are kept; the others are not our business.
const KEPT: [&str; 11] = [
    "sub",
    "email",
    "email_verified",
    "name",
    "preferred_username",
    "tid",
    "oid",
    "hd",
    "iss",
    "upn",
    "realmid",
];

/// The allowed clock skew, in seconds.
const SKEW: i64 = 120;

/// Why an id token is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsFlaw {
    /// Not three parts with a JSON object in the middle.
    #[error("it cannot be read")]
    Unreadable,
    #[error("it has more than {} bytes", MAX_ID_TOKEN)]
    TooLong,
    #[error("another issuer made it")]
    Issuer,
    /// `aud` or `azp` is not our client id.
    #[error("it is for another client")]
    Audience,
    /// It has no `nonce`, although one was sent.
    #[error("it does not say which request it answers")]
    NoNonce,
    /// `nonce` is that of another request.
    #[error("it answers another request")]
    OtherNonce,
    #[error("it has expired")]
    Expired,
}

/// The kept claims of a token that is for us, from the description's issuer if that is known, not expired, and with the
/// nonce that was sent, if one was.
pub(crate) fn read(
    token: &str,
    description: &Description,
    client_id: &str,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, ClaimsFlaw> {
    if token.len() > MAX_ID_TOKEN {
        return Err(ClaimsFlaw::TooLong);
    }
    let claims = payload(token).ok_or(ClaimsFlaw::Unreadable)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if let Some(expected) = &description.endpoints.issuer {
        let iss = text("iss").ok_or(ClaimsFlaw::Issuer)?;
        if !issuer::is_of(iss, expected, text("tid")) {
            return Err(ClaimsFlaw::Issuer);
        }
    }
    if !is_for(&claims, client_id) || text("azp").is_some_and(|azp| azp != client_id) {
        return Err(ClaimsFlaw::Audience);
    }
    match (nonce, text("nonce")) {
        (Some(_), None) => return Err(ClaimsFlaw::NoNonce),
        (Some(sent), Some(found)) if sent != found => return Err(ClaimsFlaw::OtherNonce),
        _ => {}
    }
    let exp = claims.get("exp").and_then(Value::as_f64);
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64")]
    if exp.is_some_and(|exp| exp < now.as_second().saturating_sub(SKEW) as f64) {
        return Err(ClaimsFlaw::Expired);
    }
    let kept = |name: &&str| Some(((*name).to_owned(), as_text(claims.get(*name)?)?));
    Ok(KEPT.iter().filter_map(kept).collect())
}

/// The claims as a document from which account paths can be read.
pub fn document(claims: &BTreeMap<String, String>) -> Value {
    claims.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// The claims of a JWT, unchecked.
pub(crate) fn payload(token: &str) -> Option<Value> {
    let (header, rest) = token.split_once('.')?;
    let (payload, _) = rest.split_once('.')?;
    let header = BASE64_URL_SAFE_NO_PAD.decode(header.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Value>(&header).ok().filter(Value::is_object)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

fn is_for(claims: &Value, client_id: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(aud)) => aud == client_id,
        Some(Value::Array(list)) => list.iter().any(|aud| aud.as_str() == Some(client_id)),
        _ => false,
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{description, id_token};

    fn judged(claims: &Value) -> Result<BTreeMap<String, String>, ClaimsFlaw> {
        let mut description = description();
        description.core.endpoints.issuer = Some("https://login.example.com".parse().unwrap());
        let now = Timestamp::from_second(1000).unwrap();
        read(&id_token(claims), &description, "client", None, now)
    }

    #[test]
    fn claims_count_only_for_us_from_the_issuer_and_in_time() {
        let good =
            json!({"iss": "https://login.example.com", "aud": "client", "exp": 1000, "sub": "7", "x": 1});
        let kept = judged(&good).unwrap();
        assert_eq!((kept["sub"].as_str(), kept.contains_key("x")), ("7", false));
        let rows = [
            (json!({"aud": ["other", "client"]}), Ok(())),
            (json!({"exp": 881}), Ok(())),
            (json!({"exp": 879}), Err(ClaimsFlaw::Expired)),
            (json!({"aud": "other"}), Err(ClaimsFlaw::Audience)),
            (json!({"aud": null}), Err(ClaimsFlaw::Audience)),
            (json!({"azp": "other"}), Err(ClaimsFlaw::Audience)),
            (json!({"iss": "https://evil.example.com"}), Err(ClaimsFlaw::Issuer)),
            (json!({"iss": null}), Err(ClaimsFlaw::Issuer)),
        ];
        for (change, want) in rows {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(judged(&claims).map(|_| ()), want, "{change}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", middle in "[A-Za-z0-9_=-]{0,40}") {
            for token in [text, format!("a.{middle}.b")] {
                let _ = read(&token, &description(), "client", Some("n"), Timestamp::UNIX_EPOCH);
            }
        }
    }
}
