//! A JWT that signs the digest of a body.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::NotHeard;

/// When the token was issued, as text, if it is by one of the keys and for this body. `keys` are JWKs of P-256.
pub(super) fn issued_at(keys: &[SecretString], token: &str, body: &[u8]) -> Result<String, NotHeard> {
    let (message, signature) = token.rsplit_once('.').ok_or(NotHeard::WrongSignature)?;
    let (header, claims) = message.split_once('.').ok_or(NotHeard::WrongSignature)?;
    let (header, claims) = (json(header)?, json(claims)?);
    // No other algorithm, whatever the token says.
    if header["alg"] != "ES256" || !header["kid"].is_string() {
        return Err(NotHeard::WrongSignature);
    }
    let parsed = keys.iter().filter_map(|key| serde_json::from_str::<Value>(key.expose_secret()).ok());
    let key = parsed.into_iter().find(|key| key["kid"] == header["kid"]).ok_or(NotHeard::UnknownKey)?;
    let point = [vec![4], bytes(&key["x"])?, bytes(&key["y"])?].concat();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotHeard::WrongSignature)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(message.as_bytes(), &signature)
        .map_err(|_| NotHeard::WrongSignature)?;
    if claims["request_body_sha256"] != hex::encode(digest(&SHA256, body)) {
        return Err(NotHeard::WrongSignature);
    }
    claims["iat"].as_i64().map(|issued| issued.to_string()).ok_or(NotHeard::NotNow)
}

fn json(part: &str) -> Result<Value, NotHeard> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| NotHeard::WrongSignature)?;
    serde_json::from_slice(&bytes).map_err(|_| NotHeard::WrongSignature)
}

fn bytes(coordinate: &Value) -> Result<Vec<u8>, NotHeard> {
    let text = coordinate.as_str().ok_or(NotHeard::WrongSignature)?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| NotHeard::WrongSignature)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    /// Signs as a provider does.
    pub(in crate::webhook) struct Signer {
        kid: &'static str,
        pair: EcdsaKeyPair,
    }

    impl Signer {
        pub(in crate::webhook) fn new(kid: &'static str) -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
            Self { kid, pair: pair.unwrap() }
        }

        pub(in crate::webhook) fn jwk(&self) -> String {
            let point = &self.pair.public_key().as_ref()[1..];
            let [x, y] = [&point[..32], &point[32..]].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.kid, "x": x, "y": y}).to_string()
        }

        pub(in crate::webhook) fn token(&self, algorithm: &str, body: &str, issued: i64) -> String {
            let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let digest = hex::encode(digest(&SHA256, body.as_bytes()));
            let header = part(json!({"alg": algorithm, "kid": self.kid, "typ": "JWT"}));
            let message = format!("{header}.{}", part(json!({"iat": issued, "request_body_sha256": digest})));
            let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
        }
    }
}
