//! Requests that are signed as a whole.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde::Deserialize;

use super::asked::{Asked, Wrong};
use super::data::Violation;
use super::machine::TEST_KEY;

/// The longest that a signature may count, in seconds.
const MOST: i64 = 3600;

fn key() -> Option<RsaKeyPair> {
    let body: String = TEST_KEY.split("-----").nth(2)?.split_whitespace().collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(body).ok()?).ok()
}

/// A signature with [`TEST_KEY`], as providers sign their messages: RSA PKCS #1 v1.5 with SHA-256, in base64. `None` if the key is
/// none.
pub fn signature(text: &[u8]) -> Option<String> {
    let pair = key()?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
    Some(STANDARD.encode(signature))
}

/// The public half of [`TEST_KEY`] in PEM.
pub fn verifying_key() -> String {
    let public = key().map(|pair| pair.public_key().as_ref().to_vec()).unwrap_or_default();
    let long = |length: usize| {
        let [.., high, low] = length.to_be_bytes();
        [0x82, high, low]
    };
    let bits = [&[0x03][..], &long(public.len() + 1), &[0], &public].concat();
    let algorithm =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let info = [&[0x30][..], &long(algorithm.len() + bits.len()), &algorithm, &bits].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(info))
}

/// How apps sign: RSA PKCS #1 v1.5 with SHA-256, in base64.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedRequests {
    /// Name of the header with the signature.
    header: String,
    /// Name of the header that says until when it counts.
    expires_header: String,
    /// What stands between time, method, address and body.
    between: String,
}

impl SignedRequests {
    pub fn check(&self, asked: &Asked, now: i64) -> Result<(), Wrong> {
        let wrong = |why: &str| Violation::Signature.because(why);
        let expires = text(&asked.headers, &self.expires_header)
            .ok_or_else(|| wrong("it does not say until when it counts"))?;
        let ends: i64 = expires.parse().map_err(|_| wrong("its end is no time"))?;
        if ends <= now || ends > now + MOST {
            return Err(wrong("its end is over, or too far away"));
        }
        let signature = text(&asked.headers, &self.header).and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or_else(|| wrong("it is missing"))?;
        let head = [expires, asked.method.as_str(), asked.url.as_str(), ""].join(&self.between);
        let signed = [head.into_bytes(), asked.raw.clone()].concat();
        let pair = key().ok_or_else(|| wrong("there is no key"))?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
            .verify(&signed, &signature)
            .map_err(|_| wrong("it is of another request"))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
