//! Signatures of ID tokens (RFC 7515, RFC 7517, RFC 7518, RFC 8037), verified with `ring`.
//!
//! The algorithm comes from the token's header, which an attacker can write. So it must be one of the asymmetric algorithms
//! below, the provider must announce it, and the key must be of its type. `none` and HMAC are never accepted, and a key in the
//! header itself (`jwk`, `jku`, `x5c`) is ignored.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Why an ID token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFlaw {
    #[error("it is not a signed token")]
    Malformed,
    /// `crit` (RFC 7515 §4.1.11), or the `typ` of another kind of token.
    #[error("its header asks for something that is not supported")]
    Header,
    #[error("it is signed with an algorithm that is not accepted")]
    Algorithm,
    /// No key fits, or more than one.
    #[error("no key of the provider fits it")]
    NoKey,
    #[error("its signature is wrong")]
    Signature,
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

/// How `ring` verifies an algorithm.
enum Scheme {
    Rsa(&'static RsaParameters),
    /// Key type, curve, and the leading bytes of a public key.
    Curve(&'static str, &'static str, &'static [u8], &'static dyn VerificationAlgorithm),
}

fn scheme(algorithm: &str) -> Option<Scheme> {
    use Scheme::{Curve, Rsa};
    const UNCOMPRESSED: &[u8] = &[4];
    Some(match algorithm {
        "RS256" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => Curve("EC", "P-256", UNCOMPRESSED, &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => Curve("EC", "P-384", UNCOMPRESSED, &signature::ECDSA_P384_SHA384_FIXED),
        "EdDSA" => Curve("OKP", "Ed25519", &[], &signature::ED25519),
        _ => return None,
    })
}

/// A public key from the provider's key set.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// Whether it may be used for this algorithm.
    fn fits(&self, algorithm: &str, scheme: &Scheme) -> bool {
        let (kty, crv) = match scheme {
            Scheme::Rsa(_) => ("RSA", None),
            Scheme::Curve(kty, crv, ..) => (*kty, Some(*crv)),
        };
        self.kty == kty
            && self.crv.as_deref() == crv
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm)
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
    }

    /// `None` if the signature is wrong.
    fn verify(&self, scheme: &Scheme, message: &[u8], signature: &[u8]) -> Option<()> {
        match *scheme {
            Scheme::Rsa(parameters) => {
                let (n, e) = (number(self.n.as_deref()?)?, number(self.e.as_deref()?)?);
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).ok()
            }
            Scheme::Curve(.., prefix, algorithm) => {
                let x = decoded(self.x.as_deref()?)?;
                let y = self.y.as_deref().map_or(Some(Vec::new()), decoded)?;
                let point = [prefix, &x, &y].concat();
                UnparsedPublicKey::new(algorithm, point).verify(message, signature).ok()
            }
        }
    }
}

/// The claims of a token that is signed by one of `keys` with one of the `announced` algorithms.
pub(crate) fn verified(
    token: &str,
    keys: &[Jwk],
    announced: &[String],
) -> Result<Map<String, Value>, TokenFlaw> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(TokenFlaw::Malformed) };
    let message = [header, ".", payload].concat();
    let header: Map<String, Value> = json(header).ok_or(TokenFlaw::Malformed)?;
    let signature = decoded(signature).ok_or(TokenFlaw::Malformed)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let is_token =
        header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")));
    if header.contains_key("crit") || !is_token {
        return Err(TokenFlaw::Header);
    }
    let algorithm = text("alg").filter(|alg| announced.iter().any(|one| one == alg));
    let algorithm = algorithm.ok_or(TokenFlaw::Algorithm)?;
    let scheme = scheme(algorithm).ok_or(TokenFlaw::Algorithm)?;
    let fitting = keys.iter().filter(|key| key.fits(algorithm, &scheme));
    // Without `kid` exactly one key must fit (OpenID Connect Core §10.1).
    let mut fitting = fitting.filter(|key| text("kid").is_none_or(|kid| key.kid.as_deref() == Some(kid)));
    let (Some(key), None) = (fitting.next(), fitting.next()) else { return Err(TokenFlaw::NoKey) };
    key.verify(&scheme, message.as_bytes(), &signature).ok_or(TokenFlaw::Signature)?;
    json(payload).ok_or(TokenFlaw::Malformed)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// A number without leading zeros, which `ring` refuses and some providers write.
fn number(text: &str) -> Option<Vec<u8>> {
    Some(decoded(text)?.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&decoded(part)?).ok()
}
