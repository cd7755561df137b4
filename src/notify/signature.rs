//! The signature of a notification, as the Standard Webhooks specification has it: HMAC-SHA256 of `ID.TIMESTAMP.BODY`, in base64
//! behind `v1,`. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

pub(super) const ID: &str = "webhook-id";
/// Seconds since 1970: a receiver refuses what is too old.
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

/// Before a secret that is written in base64.
const ENCODED: &str = "whsec_";

/// The key of a secret; `None` if there is none in it.
pub(super) fn key(secret: &SecretString) -> Option<hmac::Key> {
    let text = secret.expose_secret();
    let bytes = match text.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => text.as_bytes().to_vec(),
    };
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

pub(super) fn sign(secret: &SecretString, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    Some(format!("v1,{}", STANDARD.encode(hmac::sign(&key(secret)?, &signed))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_base64_behind_its_mark_and_else_as_it_is() {
        let signed = |secret: &str| sign(&SecretString::from(secret), "a", "1", b"{}");
        assert_eq!(signed("whsec_c2VjcmV0"), signed("secret"));
        assert_ne!(signed("secret"), signed("other"));
        assert!(signed("").is_none() && signed("whsec_").is_none() && signed("whsec_!").is_none());
    }
}
