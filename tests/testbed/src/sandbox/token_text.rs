//! Token values: how they are created, and the only form of them that leaves the sandbox's memory again.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The first 16 hexadecimal digits of a token's SHA-256: how the ledger names a token.
pub fn fingerprint(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    hex(&digest[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A new value with 256 bits of randomness after `prefix`.
pub(super) fn fresh(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// A code short enough to type: eight letters that cannot be mistaken for one another (RFC 8628 §6.1).
pub(super) fn typeable() -> String {
    const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    let letters: String =
        random::<8>().iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
    format!("{}-{}", &letters[..4], &letters[4..])
}

/// The S256 challenge of a PKCE verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// The key that ID tokens are signed with: one for all realms, new with each process.
static SIGNER: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let pair = document.map_err(drop).and_then(|document| {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).map_err(drop)
    });
    pair.unwrap_or_else(|()| std::process::abort())
});

/// A compact JWS over `claims`, signed with ES256 (RFC 7518 §3.4).
pub(super) fn signed(claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT","kid":"sandbox"}"#);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = SIGNER.sign(&SystemRandom::new(), input.as_bytes());
    let signature = signature.unwrap_or_else(|_| std::process::abort());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The key set that verifies what [`signed`] signs (RFC 7517).
pub(super) fn keys() -> Value {
    let point = SIGNER.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let key =
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "sandbox", "x": x, "y": y});
    json!({ "keys": [key] })
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        // Predictable tokens are worse than none, even in a sandbox.
        std::process::abort();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_gives_the_value_of_rfc_7636_appendix_b() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn fresh_values_differ_and_their_fingerprints_do_not_contain_them() {
        let (one, two) = (fresh("t_"), fresh("t_"));
        assert_ne!(one, two);
        assert_eq!(fingerprint(&one).len(), 16);
        assert!(!one.contains(&fingerprint(&one)));
    }
}
