//! Checks compact JWS (RFC 7515 §3.1) by public keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

/// A public key that signatures are checked with.
#[derive(Clone, Debug)]
pub enum VerifyingKey {
    /// An RSA key in DER (RS256, PS256).
    Rsa(Vec<u8>),
    /// An uncompressed point on P-256 (ES256).
    P256(Vec<u8>),
}

/// A JWT whose signature was checked.
#[derive(Clone, Debug)]
pub struct VerifiedJwt {
    /// Header.
    pub header: Map<String, Value>,
    /// Claims.
    pub claims: Map<String, Value>,
}

impl VerifiedJwt {
    /// A claim that is text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// A claim that is a number.
    pub fn number(&self, claim: &str) -> Option<i64> {
        self.claims.get(claim).and_then(Value::as_i64)
    }

    /// Whether it is meant for this audience, and for no other (RFC 7519 §4.1.3).
    pub fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::Array(all)) => all.len() == 1 && all[0] == audience,
            Some(one) => one == audience,
            None => false,
        }
    }
}

impl VerifyingKey {
    /// The public half of an RSA key in PEM (PKCS #8).
    pub fn of_rsa_pem(pem: &str) -> Option<Self> {
        let (_, body) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
        let (body, _) = body.split_once("-----END")?;
        let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
        Some(Self::Rsa(RsaKeyPair::from_pkcs8(&der).ok()?.public().as_ref().to_vec()))
    }

    /// A P-256 key of a JWK set (RFC 7517).
    pub fn of_jwk(key: &Value) -> Option<Self> {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
        let is_ours = key.get("crv").is_some_and(|curve| curve == "P-256");
        is_ours.then(|| Some(Self::P256([vec![4], bytes("x")?, bytes("y")?].concat())))?
    }

    /// The claims of a JWT that this key signed; `None` for every other.
    pub fn verified(&self, jwt: &str) -> Option<VerifiedJwt> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let read = |part: &str| serde_json::from_slice::<Map<String, Value>>(&decoded(part)?).ok();
        let (header, claims, signature) = (read(header)?, read(claims)?, decoded(signature)?);
        let name = header.get("alg")?.as_str()?;
        let (algorithm, key): (&'static dyn VerificationAlgorithm, _) = match self {
            Self::Rsa(key) if name == "RS256" => (&RSA_PKCS1_2048_8192_SHA256, key),
            Self::Rsa(key) if name == "PS256" => (&RSA_PSS_2048_8192_SHA256, key),
            Self::P256(key) if name == "ES256" => (&ECDSA_P256_SHA256_FIXED, key),
            _ => return None,
        };
        let fits = UnparsedPublicKey::new(algorithm, key).verify(message.as_bytes(), &signature).is_ok();
        fits.then_some(VerifiedJwt { header, claims })
    }
}
