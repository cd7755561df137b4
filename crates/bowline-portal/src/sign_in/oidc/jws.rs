//! Signatures of ID tokens (RFC 7515, RFC 7517, RFC 7518, RFC 8037), verified with `ring`.
//!
//! The algorithm comes from the token's header, which anybody can write. It therefore counts only if it is an asymmetric
//! one of the list below, the provider announces it, and the key is of its kind. `none` and HMAC are not on the list, and
//! a key that the header itself carries (`jwk`, `jku`, `x5c`) is never looked at.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Why a token's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureFlaw {
    /// Not three parts, or a part that is not what it should be.
    #[error("it is not a signed token")]
    Malformed,
    /// The header demands something that we do not know (RFC 7515 §4.1.11), or names another type of token.
    #[error("its header asks for something that is not supported")]
    Header,
    /// The algorithm is none of ours, or the provider does not announce it.
    #[error("it is signed with an algorithm that is not accepted")]
    Algorithm,
    /// None of the provider's keys, or more than one, can have signed it.
    #[error("no key of the provider fits it")]
    NoKey,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is wrong")]
    Wrong,
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

/// A public key of the provider, as its key set writes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
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

impl Key {
    /// Whether it may have signed a token with this algorithm.
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

    /// `None` if the signature is not this key's.
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

/// The claims of a compact token that one of the provider's `keys` has signed, with an algorithm that it announces.
pub(crate) fn verified(
    token: &str,
    keys: &[Key],
    announced: &[String],
) -> Result<Map<String, Value>, SignatureFlaw> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(SignatureFlaw::Malformed) };
    let message = [header, ".", payload].concat();
    let header: Map<String, Value> = json(header).ok_or(SignatureFlaw::Malformed)?;
    let signature = decoded(signature).ok_or(SignatureFlaw::Malformed)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let is_token =
        header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")));
    if header.contains_key("crit") || !is_token {
        return Err(SignatureFlaw::Header);
    }
    let algorithm = text("alg").filter(|alg| announced.iter().any(|one| one == alg));
    let algorithm = algorithm.ok_or(SignatureFlaw::Algorithm)?;
    let scheme = scheme(algorithm).ok_or(SignatureFlaw::Algorithm)?;
    let fitting = keys.iter().filter(|key| key.fits(algorithm, &scheme));
    // Without `kid` there must be no choice (OpenID Connect Core §10.1).
    let mut fitting = fitting.filter(|key| text("kid").is_none_or(|kid| key.kid.as_deref() == Some(kid)));
    let (Some(key), None) = (fitting.next(), fitting.next()) else { return Err(SignatureFlaw::NoKey) };
    key.verify(&scheme, message.as_bytes(), &signature).ok_or(SignatureFlaw::Wrong)?;
    json(payload).ok_or(SignatureFlaw::Malformed)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// A number, without the zeros that some write in front of it.
fn number(text: &str) -> Option<Vec<u8>> {
    Some(decoded(text)?.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&decoded(part)?).ok()
}
