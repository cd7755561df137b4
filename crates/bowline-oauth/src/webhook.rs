//! Reads a message that a provider sent: whether it is signed, and which accounts it is about.
//!
//! A message is a hint. It has the grant looked at, and never condemns it by itself: a signature proves who sent it, not what
//! became of a grant meanwhile.

use http::HeaderMap;
use k8s_openapi::jiff::Timestamp;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::limits::{AnswerPart, fits};
use crate::catalog::webhook::{Webhook, WebhookEvent, WebhookValue};

/// How far the time of a message may be from ours, in seconds: what was recorded earlier is refused.
const TOLERANCE: i64 = 300;
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
}

/// Reads a message. Several secrets while one is being replaced.
pub fn hear(
    webhook: &Webhook,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Heard, NotHeard> {
    // Some values are in the body, so it is parsed before the signature is known: by a parser without side effects, and bounded
    // by the server's limit.
    let document: Value = serde_json::from_slice(body).map_err(|_| NotHeard::NotJson)?;
    let value = |place: &WebhookValue| find(place, headers, &document);
    let signature = value(&webhook.signature).ok_or(NotHeard::Unsigned)?;
    let signature = signature.strip_prefix(&webhook.prefix).ok_or(NotHeard::Unsigned)?;
    let signature = hex::decode(signature).map_err(|_| NotHeard::WrongSignature)?;
    let time = webhook.time.as_ref().map(|time| value(time).ok_or(NotHeard::NotNow)).transpose()?;
    let signed = signed(&webhook.signs, time.as_deref().unwrap_or_default(), body);
    let is_by = |secret: &SecretString| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        hmac::verify(&key, &signed, &signature).is_ok()
    };
    if !secrets.iter().any(is_by) {
        return Err(NotHeard::WrongSignature);
    }
    if time.is_some_and(|time| !is_now(&time, now)) {
        return Err(NotHeard::NotNow);
    }
    if let Some(text) = webhook.challenge.as_ref().and_then(|place| place.text(&document)) {
        return Ok(Heard::Challenge(text));
    }
    let event = webhook.events.iter().find(|event| is_event(event, headers, &document));
    let account = event.and_then(|event| account(event, &document));
    Ok(account.map_or(Heard::Nothing, |account| Heard::Ended { account }))
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
fn signed(template: &str, time: &str, body: &[u8]) -> Vec<u8> {
    let (before, after) = template.split_once("{body}").unwrap_or((template, ""));
    let filled = |part: &str| part.replace("{time}", time).into_bytes();
    [filled(before), body.to_vec(), filled(after)].concat()
}

fn is_now(time: &str, now: Timestamp) -> bool {
    let seconds = time.parse::<i64>().map(|time| if time > MILLISECONDS { time / 1000 } else { time });
    seconds.is_ok_and(|time| (now.as_second() - time).abs() <= TOLERANCE)
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
        hear(entry(name), &secrets, &headers(pairs), body.as_bytes(), now)
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
        let heard = hear(entry("stripe-connect"), &secrets, &pairs, body.as_bytes(), now);
        assert_eq!(heard, Ok(Heard::Ended { account: "acct_1".into() }));
        let body = json!({"webhookTimestamp": NOW * 1000, "type": "OAuthApp", "action": "revoked", "organizationId": "o"});
        let body = body.to_string();
        let signature = signed_with(SECRET, &body);
        let pairs = headers(&[("linear-signature", &signature)]);
        let heard = hear(entry("linear"), &secrets, &pairs, body.as_bytes(), now);
        assert_eq!(heard, Ok(Heard::Ended { account: "o".into() }));
    }
}
