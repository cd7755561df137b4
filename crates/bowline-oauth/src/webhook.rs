//! Reads a message that a provider sent: whether it is signed, and which accounts it is about.
//!
//! A message is a hint. It has the grant looked at, and never condemns it by itself: a signature proves who sent it, not what
//! became of a grant meanwhile.

mod jwt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use k8s_openapi::jiff::Timestamp;
use ring::hmac;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use webpki::RawPublicKeyEntity;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;

use super::limits::{AnswerPart, fits};
use crate::catalog::webhook::{Webhook, WebhookEvent, WebhookScheme, WebhookValue};

/// How far the time of a message may be from ours, in seconds: what was recorded earlier is refused.
const TOLERANCE: u64 = 300;
/// Beyond this a time is in milliseconds.
const MILLISECONDS: i64 = 100_000_000_000;

/// What a signed message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A test of the address: send this back.
    Challenge(String),
    /// Grants of accounts whose id is this, or begins with this and a slash, may have ended.
    Ended { account: String },
    /// Nothing that matters here.
    Nothing,
}

/// A message that is not believed. The text says nothing to whoever sent it that they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    #[error("the message has no signature")]
    Unsigned,
    #[error("the signature does not fit")]
    WrongSignature,
    #[error("the message was sent more than five minutes ago, or has no time")]
    NotNow,
    #[error("the message is not JSON")]
    NotJson,
    /// What the message calls its key is not repeated: anybody may have written it.
    #[error("the message is signed with a key that is not known here")]
    UnknownKey,
}

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The address that the provider was given for it.
    pub url: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Secrets or public keys, as they stand in a file: blocks in PEM, or else one a line.
pub fn keys(text: &str) -> Vec<SecretString> {
    const END: &str = "-----END PUBLIC KEY-----";
    if text.contains(END) {
        let blocks = text.split_inclusive(END).filter(|block| block.contains(END));
        return blocks.map(SecretString::from).collect();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(SecretString::from).collect()
}

/// Reads a message. Several keys while one is being replaced.
pub fn hear(
    webhook: &Webhook,
    keys: &[SecretString],
    delivery: Delivery<'_>,
    now: Timestamp,
) -> Result<Heard, NotHeard> {
    let Delivery { headers, body, .. } = delivery;
    // Some values are in the body, so it is parsed before the signature is known: by a parser without side effects, and bounded
    // by the server's limit.
    let document: Value = serde_json::from_slice(body).map_err(|_| NotHeard::NotJson)?;
    let value = |place: &WebhookValue| find(place, headers, &document);
    let signature = value(&webhook.signature).ok_or(NotHeard::Unsigned)?;
    let signature = signature.strip_prefix(&webhook.prefix).ok_or(NotHeard::Unsigned)?;
    let sent = if webhook.scheme == WebhookScheme::BodyDigestJwt {
        Some(jwt::issued_at(keys, signature, body)?)
    } else {
        let time = webhook.time.as_ref().map(|time| value(time).ok_or(NotHeard::NotNow)).transpose()?;
        let signed = signed(&webhook.signs, time.as_deref().unwrap_or_default(), delivery);
        if !keys.iter().any(|key| is_by(webhook.scheme, key, &signed, signature)) {
            return Err(NotHeard::WrongSignature);
        }
        time
    };
    if sent.is_some_and(|time| !is_now(&time, now)) {
        return Err(NotHeard::NotNow);
    }
    if let Some(text) = webhook.challenge.as_ref().and_then(|place| place.text(&document)) {
        return Ok(Heard::Challenge(text));
    }
    let event = webhook.events.iter().find(|event| is_event(event, headers, &document));
    let account = event.and_then(|event| account(event, &document));
    Ok(account.map_or(Heard::Nothing, |account| Heard::Ended { account }))
}

/// Whether the signature of this text is by this key.
fn is_by(scheme: WebhookScheme, key: &SecretString, signed: &[u8], signature: &str) -> bool {
    let key = key.expose_secret();
    if scheme == WebhookScheme::HmacSha256 {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        return hex::decode(signature).is_ok_and(|signature| hmac::verify(&key, signed, &signature).is_ok());
    }
    let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
    let Ok(info) = SubjectPublicKeyInfoDer::from_pem_slice(key.as_bytes()) else { return false };
    RawPublicKeyEntity::try_from(&info)
        .is_ok_and(|key| key.verify_signature(RSA_PKCS1_2048_8192_SHA256, signed, &signature).is_ok())
}

fn find(place: &WebhookValue, headers: &HeaderMap, document: &Value) -> Option<String> {
    if let Some(pointer) = &place.body {
        return pointer.text(document);
    }
    let header = headers.get(place.header.as_ref()?)?.to_str().ok()?;
    match &place.item {
        None => Some(header.to_owned()),
        Some(item) => {
            let mut items = header.split(',').filter_map(|part| part.trim().split_once('='));
            items.find(|(name, _)| name == item).map(|(_, value)| value.to_owned())
        }
    }
}

/// The bytes that are signed. The body need not be text.
fn signed(template: &str, time: &str, delivery: Delivery<'_>) -> Vec<u8> {
    let (before, after) = template.split_once("{body}").unwrap_or((template, ""));
    let filled = |part: &str| part.replace("{url}", delivery.url).replace("{time}", time).into_bytes();
    [filled(before), delivery.body.to_vec(), filled(after)].concat()
}

fn is_now(time: &str, now: Timestamp) -> bool {
    let number = time.parse::<i64>().map(|time| if time > MILLISECONDS { time / 1000 } else { time });
    let seconds = number.or_else(|_| time.parse::<Timestamp>().map(Timestamp::as_second));
    seconds.is_ok_and(|time| now.as_second().abs_diff(time) <= TOLERANCE)
}

fn is_event(event: &WebhookEvent, headers: &HeaderMap, document: &Value) -> bool {
    let has = |(name, value): (&String, &String)| headers.get(name).is_some_and(|found| found == value);
    event.headers.iter().all(has)
        && event.body.iter().all(|field| field.at.text(document).as_ref() == Some(&field.is))
}

/// The beginning of the account's id; `None` if a part of it is missing, or it is longer than any that we keep.
fn account(event: &WebhookEvent, document: &Value) -> Option<String> {
    let parts: Option<Vec<_>> = event.account.iter().map(|part| part.text(document)).collect();
    let account = parts.filter(|parts| !parts.is_empty())?.join("/");
    fits(AnswerPart::AccountId, &account).is_ok().then_some(account)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;
    use crate::catalog;

    const SECRET: &str = "correct horse battery staple";
    const NOW: i64 = 1_800_000_000;
    const URL: &str = "https://portal.example.com/webhooks/bank";

    fn entry(name: &str) -> &'static Webhook {
        catalog::get(name).unwrap().webhook.as_ref().unwrap()
    }

    /// The signature as a sender computes it.
    fn signed_with(secret: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex::encode(hmac::sign(&key, text.as_bytes()))
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn heard(name: &str, pairs: &[(&str, &str)], body: &str, now: i64) -> Result<Heard, NotHeard> {
        let secrets = [SecretString::from("the former one"), SecretString::from(SECRET)];
        let now = Timestamp::from_second(now).unwrap();
        let delivery = Delivery { url: URL, headers: &headers(pairs), body: body.as_bytes() };
        hear(entry(name), &secrets, delivery, now)
    }

    fn slack(body: &str, sent: i64, now: i64) -> Result<Heard, NotHeard> {
        let (sent, signed) = (sent.to_string(), signed_with(SECRET, &format!("v0:{sent}:{body}")));
        let signature = format!("v0={signed}");
        let pairs = [("x-slack-request-timestamp", sent.as_str()), ("x-slack-signature", &signature)];
        heard("slack", &pairs, body, now)
    }

    #[test]
    fn a_withdrawal_names_the_accounts_that_are_looked_at() {
        let body = json!({"type": "event_callback", "team_id": "T1", "event": {"type": "tokens_revoked"}})
            .to_string();
        assert_eq!(slack(&body, NOW, NOW), Ok(Heard::Ended { account: "T1".into() }));
        let body = json!({"action": "revoked", "sender": {"id": 583_231}}).to_string();
        let signature = format!("sha256={}", signed_with(SECRET, &body));
        let pairs = [("x-github-event", "github_app_authorization"), ("x-hub-signature-256", &*signature)];
        assert_eq!(
            heard("github-app-user", &pairs, &body, NOW),
            Ok(Heard::Ended { account: "583231".into() })
        );
        let other = [("x-github-event", "push"), ("x-hub-signature-256", &*signature)];
        assert_eq!(heard("github-app-user", &other, &body, NOW), Ok(Heard::Nothing));
    }

    #[test]
    fn a_test_of_the_address_is_answered_only_if_it_is_signed() {
        let body = json!({"type": "url_verification", "challenge": "3eZbrw1a"}).to_string();
        assert_eq!(slack(&body, NOW, NOW), Ok(Heard::Challenge("3eZbrw1a".into())));
        assert_eq!(heard("slack", &[], &body, NOW), Err(NotHeard::Unsigned));
    }

    #[test]
    fn what_is_old_replayed_changed_or_signed_by_others_is_not_believed() {
        let body = json!({"team_id": "T1", "event": {"type": "app_uninstalled"}}).to_string();
        assert!(slack(&body, NOW - 300, NOW).is_ok());
        assert_eq!(slack(&body, NOW - 301, NOW), Err(NotHeard::NotNow));
        assert_eq!(slack(&body, NOW + 301, NOW), Err(NotHeard::NotNow));
        // The time is signed, so a recorded message cannot be given another.
        let signature = format!("v0={}", signed_with(SECRET, &format!("v0:{}:{body}", NOW - 4000)));
        let now = NOW.to_string();
        let pairs = [("x-slack-request-timestamp", now.as_str()), ("x-slack-signature", &signature)];
        assert_eq!(heard("slack", &pairs, &body, NOW), Err(NotHeard::WrongSignature));
        let signature = format!("sha256={}", signed_with("another", &body));
        let pairs = [("x-hub-signature-256", signature.as_str())];
        assert_eq!(heard("github-app-user", &pairs, &body, NOW), Err(NotHeard::WrongSignature));
        for (signature, expected) in [
            ("sha256=zz", NotHeard::WrongSignature),
            ("sha256=", NotHeard::WrongSignature),
            ("sha1=00", NotHeard::Unsigned),
        ] {
            let pairs = [("x-hub-signature-256", signature)];
            assert_eq!(heard("github-app-user", &pairs, &body, NOW), Err(expected), "{signature}");
        }
        assert_eq!(heard("slack", &[], "{", NOW), Err(NotHeard::NotJson));
    }

    #[test]
    fn an_item_of_a_list_and_milliseconds_in_the_body_are_read() {
        let body = r#"{"type":"account.application.deauthorized","account":"acct_1"}"#;
        let header = format!("t={NOW}, v1={}", signed_with(SECRET, &format!("{NOW}.{body}")));
        let (now, secrets) = (Timestamp::from_second(NOW).unwrap(), [SecretString::from(SECRET)]);
        let pairs = headers(&[("stripe-signature", &header)]);
        let delivery = Delivery { url: URL, headers: &pairs, body: body.as_bytes() };
        let heard = hear(entry("stripe-connect"), &secrets, delivery, now);
        assert_eq!(heard, Ok(Heard::Ended { account: "acct_1".into() }));
        let body = json!({"webhookTimestamp": NOW * 1000, "type": "OAuthApp", "action": "revoked", "organizationId": "o"});
        let body = body.to_string();
        let signature = signed_with(SECRET, &body);
        let pairs = headers(&[("linear-signature", &signature)]);
        let delivery = Delivery { url: URL, headers: &pairs, body: body.as_bytes() };
        let heard = hear(entry("linear"), &secrets, delivery, now);
        assert_eq!(heard, Ok(Heard::Ended { account: "o".into() }));
    }

    /// RSA in base64, over the address and the body.
    fn salt_edge(url: &str, body: &str, now: i64) -> Result<Heard, NotHeard> {
        use bowline_testbed::emulator::{TEST_KEY, verifying_key};
        let key = crate::assertion::SigningKey::read(TEST_KEY, None).unwrap();
        let signature =
            BASE64_STANDARD.encode(key.rsa_signature(format!("{url}|{body}").as_bytes()).unwrap());
        let pairs = headers(&[("signature", &signature)]);
        let delivery = Delivery { url: URL, headers: &pairs, body: body.as_bytes() };
        let now = Timestamp::from_second(now).unwrap();
        hear(entry("salt-edge"), &keys(&verifying_key()), delivery, now)
    }

    #[test]
    fn a_message_signed_with_rsa_counts_for_its_address_and_its_time() {
        let at = |time: &str| {
            json!({"data": {"connection_id": "1", "customer_id": "c-1", "error_class": "ConsentRevoked"},
                "meta": {"version": "6", "time": time}})
            .to_string()
        };
        let sent = Timestamp::from_second(NOW).unwrap().to_string();
        let body = at(&sent);
        assert_eq!(salt_edge(URL, &body, NOW), Ok(Heard::Ended { account: "c-1".into() }));
        assert_eq!(salt_edge(URL, &body, NOW + 301), Err(NotHeard::NotNow));
        let elsewhere = "https://portal.example.com/webhooks/other";
        assert_eq!(salt_edge(elsewhere, &body, NOW), Err(NotHeard::WrongSignature));
        let pairs = headers(&[("signature", "AAAA")]);
        let delivery = Delivery { url: URL, headers: &pairs, body: body.as_bytes() };
        let now = Timestamp::from_second(NOW).unwrap();
        for text in ["", "no key", &bowline_testbed::emulator::verifying_key()] {
            let heard = hear(entry("salt-edge"), &keys(text), delivery, now);
            assert_eq!(heard, Err(NotHeard::WrongSignature), "{text}");
        }
    }

    #[test]
    fn a_jwt_counts_for_its_body_and_its_time_and_by_a_key_that_is_known() {
        let body = json!({"webhook_type": "ITEM", "webhook_code": "ERROR", "item_id": "item-1"}).to_string();
        let known = jwt::tests::Signer::new("key-1");
        let heard = |token: &str, body: &str, now: i64| {
            let pairs = headers(&[("plaid-verification", token)]);
            let delivery = Delivery { url: URL, headers: &pairs, body: body.as_bytes() };
            hear(entry("plaid"), &keys(&known.jwk()), delivery, Timestamp::from_second(now).unwrap())
        };
        let token = known.token("ES256", &body, NOW);
        assert_eq!(heard(&token, &body, NOW), Ok(Heard::Ended { account: "item-1".into() }));
        assert_eq!(heard(&token, &body, NOW + 301), Err(NotHeard::NotNow));
        assert_eq!(heard(&token, &body.replace("item-1", "item-2"), NOW), Err(NotHeard::WrongSignature));
        assert_eq!(heard(&known.token("none", &body, NOW), &body, NOW), Err(NotHeard::WrongSignature));
        let other = jwt::tests::Signer::new("key-2").token("ES256", &body, NOW);
        assert_eq!(heard(&other, &body, NOW), Err(NotHeard::UnknownKey));
        let forged = jwt::tests::Signer::new("key-1").token("ES256", &body, NOW);
        assert_eq!(heard(&forged, &body, NOW), Err(NotHeard::WrongSignature));
        for text in ["", "a.b", "a.b.c", "...."] {
            assert_eq!(heard(text, &body, NOW), Err(NotHeard::WrongSignature), "{text}");
        }
    }
}
