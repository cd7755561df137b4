//! Signed assertions (RFC 7521, RFC 7523): our client proves itself with a private key instead of a secret.

use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bowline_api::opaque::random_text;
use k8s_openapi::jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::alg_id::{ECDSA_P256, ECDSA_P384};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{AlgorithmIdentifier, CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::pem::{self, PemFlaw};
use crate::catalog::assertion::{Assertion, RsaSignature};

/// A private key in PEM, with the id under which the provider knows it. `Debug` shows neither.
#[derive(Clone)]
pub struct SigningKey {
    pem: SecretString,
    key_id: Option<String>,
    /// SHA-256 of its certificate (`x5t#S256`, RFC 7515 §4.1.8).
    thumbprint: Option<String>,
}

/// A key that cannot sign: what was found, and what is accepted. Repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}. A private key in PEM is accepted (PKCS #8, PKCS #1 or SEC 1): RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519"
)]
pub struct NotASigningKey(#[from] pub PemFlaw);

/// Why there is no assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    #[error("the private key of the app Secret signed nothing")]
    Unsigned,
    #[error("the provider takes signatures of RSA alone: the private key of the app Secret is none")]
    NotRsa,
}

enum KeyPair {
    Rsa(Box<RsaKeyPair>),
    Curve(&'static Curve, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// An elliptic curve on which we sign.
struct Curve {
    /// Its name in a JWT's header (RFC 7518 §3.4).
    algorithm: &'static str,
    signing: &'static EcdsaSigningAlgorithm,
    /// Identifies its keys in PKCS #8: two object identifiers.
    identifier: AlgorithmIdentifier,
}

static CURVES: [Curve; 2] = [
    Curve { algorithm: "ES256", signing: &ECDSA_P256_SHA256_FIXED_SIGNING, identifier: ECDSA_P256 },
    Curve { algorithm: "ES384", signing: &ECDSA_P384_SHA384_FIXED_SIGNING, identifier: ECDSA_P384 },
];

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.pem.expose_secret() == other.pem.expose_secret()
    }
}

impl SigningKey {
    /// A key in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub fn read(pem: &str, key_id: Option<String>) -> Result<Self, NotASigningKey> {
        let key = Self { pem: pem.into(), key_id, thumbprint: None };
        key.pair().map(|_| key)
    }

    /// A new P-256 key that nobody else has.
    pub(crate) fn generate() -> Result<Self, AssertionError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let der = der.map_err(|_| AssertionError::NoRandomness)?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der.as_ref())
        );
        Ok(Self { pem: pem.into(), key_id: None, thumbprint: None })
    }

    /// The key with its certificate in PEM, which each assertion names. `None`: it is no certificate, or another key's.
    pub(crate) fn certified(self, certificate: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let public = match self.pair().ok()? {
            KeyPair::Rsa(pair) => pair.public().as_ref().to_vec(),
            KeyPair::Curve(_, pair) => pair.public_key().as_ref().to_vec(),
            KeyPair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        };
        // As it is written in a certificate (RFC 5280 §4.1.2.7).
        let is_its = der.windows(public.len()).any(|part| part == public);
        let thumbprint = Some(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&der)));
        is_its.then_some(Self { thumbprint, ..self })
    }

    fn pair(&self) -> Result<KeyPair, NotASigningKey> {
        let der = pem::private_key(self.pem.expose_secret())?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(KeyPair::Ed25519).ok();
                rsa(RsaKeyPair::from_pkcs8(der).ok())
                    .or_else(|| CURVES.iter().find_map(|curve| curve.pair(der)))
                    .or_else(ed25519)
            }
            PrivateKeyDer::Sec1(der) => {
                let der = der.secret_sec1_der();
                CURVES.iter().find_map(|curve| curve.pair(&pkcs8(&curve.identifier, der)))
            }
            _ => None,
        };
        pair.ok_or_else(|| pem::unusable(&der).into())
    }

    /// An assertion with these claims (RFC 7523 §3), used once. Of a claim that is there twice the last counts.
    pub(crate) fn assertion<'a>(
        &self,
        rules: &Assertion,
        claims: impl Iterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Result<SecretString, AssertionError> {
        let identifier = random_text().map_err(|_| AssertionError::NoRandomness)?;
        let now = now.as_second();
        let mut all: Map<String, Value> =
            claims.map(|(name, value)| (name.to_owned(), value.into())).collect();
        all.insert("iat".to_owned(), (now - rules.is_dated_back_by()).into());
        all.insert("exp".to_owned(), (now + rules.lives()).into());
        all.insert("jti".to_owned(), identifier.expose_secret().into());
        self.sign(&Value::Object(all), rules.rsa)
    }

    /// A signature of a text by PKCS #1 v1.5 with SHA-256 (RFC 8017 §8.2), for which the key has to be one of RSA.
    pub(crate) fn rsa_signature(&self, text: &[u8]) -> Result<Vec<u8>, AssertionError> {
        match self.pair().map_err(|_| AssertionError::Unsigned)? {
            pair @ KeyPair::Rsa(_) => {
                signature(&pair, RsaSignature::Rs256, text).ok_or(AssertionError::Unsigned)
            }
            KeyPair::Curve(..) | KeyPair::Ed25519(_) => Err(AssertionError::NotRsa),
        }
    }

    /// A JWT with these claims (RFC 7519, RFC 7515 §3.1).
    fn sign(&self, claims: &Value, rsa: RsaSignature) -> Result<SecretString, AssertionError> {
        let pair = self.pair().map_err(|_| AssertionError::Unsigned)?;
        let algorithm = match &pair {
            KeyPair::Rsa(_) if rsa == RsaSignature::Ps256 => "PS256",
            KeyPair::Rsa(_) => "RS256",
            KeyPair::Curve(curve, _) => curve.algorithm,
            KeyPair::Ed25519(_) => "EdDSA",
        };
        let mut header: Map<String, Value> =
            [("alg".to_owned(), algorithm.into()), ("typ".to_owned(), "JWT".into())].into_iter().collect();
        header.extend(self.key_id.clone().map(|id| ("kid".to_owned(), id.into())));
        header.extend(self.thumbprint.clone().map(|digest| ("x5t#S256".to_owned(), digest.into())));
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = Zeroizing::new(format!("{}.{}", part(&Value::Object(header)), part(claims)));
        let signature = signature(&pair, rsa, message.as_bytes()).ok_or(AssertionError::Unsigned)?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        Ok(SecretString::from(format!("{}.{signature}", *message)))
    }
}

fn rsa(pair: Option<RsaKeyPair>) -> Option<KeyPair> {
    pair.map(|pair| KeyPair::Rsa(Box::new(pair)))
}

impl Curve {
    fn pair(&'static self, pkcs8: &[u8]) -> Option<KeyPair> {
        let pair = EcdsaKeyPair::from_pkcs8(self.signing, pkcs8, &SystemRandom::new()).ok()?;
        Some(KeyPair::Curve(self, pair))
    }
}

/// A key in PKCS #8 (RFC 5958 §2): version, algorithm, and the key in the format of that algorithm, such as SEC 1 (RFC 5915).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = element(0x30, &[algorithm]);
    let key = element(0x04, &[key]);
    element(0x30, &[&[0x02, 0x01, 0x00], &algorithm, &key])
}

/// An element in DER (X.690 §8.1) of less than 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let content = Zeroizing::new(parts.concat());
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    Zeroizing::new([&[tag], length, &content].concat())
}

fn signature(pair: &KeyPair, rsa: RsaSignature, message: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    match pair {
        KeyPair::Rsa(pair) => {
            let mut signature = vec![0; pair.public().modulus_len()];
            let padding: &dyn RsaEncoding = match rsa {
                RsaSignature::Rs256 => &RSA_PKCS1_SHA256,
                RsaSignature::Ps256 => &RSA_PSS_SHA256,
            };
            pair.sign(padding, &random, message, &mut signature).ok()?;
            Some(signature)
        }
        KeyPair::Curve(_, pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        KeyPair::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    use serde_json::json;

    use super::*;

    fn in_pem(der: &[u8]) -> String {
        block("PRIVATE KEY", der)
    }

    /// A new P-256 key in PEM.
    pub(crate) fn pem() -> String {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        in_pem(pkcs8.as_ref())
    }

    pub(crate) fn key() -> SigningKey {
        SigningKey::read(&pem(), Some("key-1".to_owned())).unwrap()
    }

    pub(crate) fn parts(jwt: &str) -> (Value, Value, String, Vec<u8>) {
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let read = |part| serde_json::from_slice(&decode(part)).unwrap();
        (read(header), read(claims), message.to_owned(), decode(signature))
    }

    #[test]
    fn an_assertion_names_the_client_and_its_one_audience_and_is_signed() {
        let key = key();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let claims = [("iss", "client"), ("sub", "client"), ("aud", "https://id.example.com")];
        let assertion = || key.assertion(&Assertion::default(), claims.into_iter(), now).unwrap();
        let (one, other) = (assertion(), assertion());
        let (header, claims, message, signature) = parts(one.expose_secret());
        assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": "key-1"}));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("client"), &json!("client")));
        assert_eq!(claims["aud"], "https://id.example.com");
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_799_999_990), &json!(1_800_000_120)));
        assert_ne!(claims["jti"], parts(other.expose_secret()).1["jti"], "each is used once");
        let KeyPair::Curve(_, pair) = key.pair().unwrap() else { unreachable!() };
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
        public.verify(message.as_bytes(), &signature).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn an_ed25519_key_signs_too() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = SigningKey::read(&in_pem(pkcs8.as_ref()), None).unwrap();
        let jwt = key.sign(&json!({"a": 1}), RsaSignature::Rs256).unwrap();
        let (header, _, message, signature) = parts(jwt.expose_secret());
        assert_eq!(header, json!({"alg": "EdDSA", "typ": "JWT"}));
        let KeyPair::Ed25519(pair) = key.pair().unwrap() else { unreachable!() };
        let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
        public.verify(message.as_bytes(), &signature).unwrap();
    }

    /// The key of a PKCS #8 document that ring wrote as SEC 1, and the same with the curve's name in it, as OpenSSL writes it.
    fn sec1(pkcs8: &[u8], curve: &Curve) -> [String; 2] {
        let begins = pkcs8.windows(4).position(|part| part == [0x02, 0x01, 0x01, 0x04]).unwrap();
        let content = &pkcs8[begins..];
        let (head, public) = content.split_at(5 + usize::from(content[4]));
        // The curve's identifier follows that of the algorithm.
        let named = element(0xa0, &[&curve.identifier[9..]]);
        [element(0x30, &[content]), element(0x30, &[head, &named, public])]
            .map(|der| block("EC PRIVATE KEY", &der))
    }

    fn block(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    }

    #[test]
    fn a_key_in_sec1_signs_as_it_does_in_pkcs8() {
        let verified: [&dyn VerificationAlgorithm; 2] = [&ECDSA_P256_SHA256_FIXED, &ECDSA_P384_SHA384_FIXED];
        for (curve, algorithm) in CURVES.iter().zip(verified) {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve.signing, &SystemRandom::new()).unwrap();
            let of_pkcs8 = in_pem(pkcs8.as_ref());
            let KeyPair::Curve(_, pair) = SigningKey::read(&of_pkcs8, None).unwrap().pair().unwrap() else {
                unreachable!()
            };
            let public = UnparsedPublicKey::new(algorithm, pair.public_key().as_ref());
            let [bare, named] = sec1(pkcs8.as_ref(), curve);
            let after_parameters = block("EC PARAMETERS", &curve.identifier[9..]) + &named;
            for text in [of_pkcs8, bare, named, after_parameters] {
                let jwt = SigningKey::read(&text, None)
                    .unwrap()
                    .sign(&json!({"a": 1}), RsaSignature::Rs256)
                    .unwrap();
                let (header, _, message, signature) = parts(jwt.expose_secret());
                assert_eq!(header["alg"], curve.algorithm);
                public.verify(message.as_bytes(), &signature).unwrap();
            }
        }
    }

    #[test]
    fn an_rsa_key_signs_from_pkcs1_and_pkcs8() {
        let pkcs1 = include_bytes!("samples/rsa-test-only.der");
        let texts = [
            block("RSA PRIVATE KEY", pkcs1),
            in_pem(&pkcs8(&rustls_pki_types::alg_id::RSA_ENCRYPTION, pkcs1)),
        ];
        for text in texts {
            let key = SigningKey::read(&text, None).unwrap();
            let jwt = key.sign(&json!({"a": 1}), RsaSignature::Rs256).unwrap();
            let (header, _, message, signature) = parts(jwt.expose_secret());
            assert_eq!(header["alg"], "RS256");
            let KeyPair::Rsa(pair) = key.pair().unwrap() else { unreachable!() };
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            public.verify(message.as_bytes(), &signature).unwrap();
        }
    }

    #[test]
    fn what_cannot_sign_is_named_with_what_can() {
        let p521 = element(0x30, &[&element(0xa0, &[&rustls_pki_types::alg_id::ECDSA_P521[9..]])]);
        let small = pkcs8(&rustls_pki_types::alg_id::RSA_ENCRYPTION, b"canary");
        let generated = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let [_, whole] = sec1(generated.unwrap().as_ref(), &CURVES[0]);
        let whole = PrivateKeyDer::from_pem_slice(whole.as_bytes()).unwrap().secret_der().to_vec();
        // Two bytes of tag and length, the version, the private key of 32 bytes, the curve: and no public key.
        let half = element(0x30, &[&whole[2..2 + 3 + 34 + 12]]);
        let rows = [
            ("key".to_owned(), "it is not PEM"),
            (block("CERTIFICATE", b"canary"), "it holds a certificate and no private key"),
            (in_pem(b"canary"), "it holds a key of another algorithm"),
            (in_pem(&small), "it holds an RSA key of another size"),
            (block("EC PRIVATE KEY", &p521), "it holds a key on the elliptic curve P-521"),
            (block("EC PRIVATE KEY", &half), "it holds an elliptic curve key without its public part"),
        ];
        for (text, found) in rows {
            let said = SigningKey::read(&text, None).unwrap_err().to_string();
            assert!(said.starts_with(found) && said.contains("P-256, P-384 or Ed25519"), "{said}");
        }
    }

    #[test]
    fn an_rsa_key_signs_as_the_provider_wants_it() {
        let key = SigningKey::read(bowline_testbed::emulator::TEST_KEY, None).unwrap();
        let KeyPair::Rsa(pair) = key.pair().unwrap() else { unreachable!() };
        let ways: [(_, _, &'static dyn VerificationAlgorithm); 2] = [
            (RsaSignature::Rs256, "RS256", &RSA_PKCS1_2048_8192_SHA256),
            (RsaSignature::Ps256, "PS256", &RSA_PSS_2048_8192_SHA256),
        ];
        for (way, name, algorithm) in ways {
            let jwt = key.sign(&json!({"a": 1}), way).unwrap();
            let (header, _, message, signature) = parts(jwt.expose_secret());
            assert_eq!(header, json!({"alg": name, "typ": "JWT"}));
            let public = UnparsedPublicKey::new(algorithm, pair.public().as_ref());
            public.verify(message.as_bytes(), &signature).unwrap();
        }
    }

    #[test]
    fn a_certificate_is_named_if_it_is_the_keys() {
        let certificate = |pem: &str| {
            let key = rcgen::KeyPair::from_pem(pem).unwrap();
            rcgen::CertificateParams::new(["app".to_owned()]).unwrap().self_signed(&key).unwrap()
        };
        let (one, other) = (pem(), pem());
        let key = || SigningKey::read(&one, None).unwrap();
        let its = certificate(&one);
        let jwt = key().certified(&its.pem()).unwrap().sign(&json!({}), RsaSignature::Rs256).unwrap();
        let (header, ..) = parts(jwt.expose_secret());
        assert_eq!(header["x5t#S256"], BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(its.der())));
        for wrong in [certificate(&other).pem(), one.clone(), String::new()] {
            assert!(key().certified(&wrong).is_none());
        }
    }
}
