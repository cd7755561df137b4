//! Device flow (RFC 8628): a person types a code elsewhere, and we poll.

use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::answer;
use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use super::network::Network;
use crate::catalog::Description;

/// RFC 8628 §3.4.
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The pause between two polls if the provider gives none (RFC 8628 §3.2), and what `slow_down` adds (§3.5).
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// The longest lifetime of a device code that is accepted.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// The longest address or device code that is kept.
const MAX_TEXT: usize = 2048;

/// The longest code for people.
const MAX_USER_CODE: usize = 64;

/// What a person needs to finish elsewhere, and what we poll with. `Debug` does not show the device code.
#[derive(Clone)]
pub struct DeviceAuthorization {
    /// What we poll with: a credential.
    pub device_code: SecretString,
    /// What the person types. Printable, at most 64 characters.
    pub user_code: String,
    /// Where to type it: `https`, or `http` where the provider's network allows it.
    pub verification_uri: Url,
    /// The same page with the code filled in. Left out if it is on another host.
    pub verification_uri_complete: Option<Url>,
    /// The lifetime of both codes, from before the request: more than zero, at most [`MAX_LIFETIME`].
    pub expires_in: Duration,
    /// The minimum pause between two polls, at least a second.
    pub interval: Duration,
}

impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// The result of one poll.
#[derive(Clone, Debug)]
pub enum Poll {
    /// Nobody has decided yet.
    Pending,
    /// The same, and the pause grows by [`INTERVAL`] for this and all later polls.
    SlowDown,
    /// Tokens. The device code is used up.
    Granted(Box<Granted>),
    Denied,
    Expired,
}

/// Requests codes (RFC 8628 §3.1). You may repeat this: unused codes expire.
///
/// # Errors
/// The provider has no such endpoint or refused, or its answer lacks what a person needs.
pub async fn authorize(
    http: &dyn Http,
    description: &Description,
    app: &App,
    scopes: &[String],
    now: Timestamp,
) -> Result<DeviceAuthorization, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::DeviceAuthorization, now };
    let answered = asked.send(|client| client.device_authorization(scopes)).await?;
    let read = |data| read(data, http.network());
    answered.document.data().and_then(read).ok_or_else(|| classify::unconfirmed(&answered.received))
}

/// Polls once whether the person has decided (RFC 8628 §3.4). The caller observes the pauses.
///
/// # Errors
/// Anything except the outcomes of [`Poll`]. If it is temporary, poll again later, with a growing pause (§3.5). If
/// [`Failure::sent`] leaves open whether the provider acted, the grant may have been issued and lost: then the next poll is
/// refused, and the person begins again.
pub async fn poll(
    http: &dyn Http,
    description: &Description,
    app: &App,
    device_code: &SecretString,
    now: Timestamp,
) -> Result<Poll, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::DevicePoll, now };
    let device_code = device_code.expose_secret();
    let grant = [("grant_type", DEVICE_CODE_GRANT), ("device_code", device_code)];
    match asked.tokens(&grant, &[], None).await {
        Ok(granted) => Ok(Poll::Granted(Box::new(granted))),
        Err(failure) => match failure.code.as_deref() {
            Some("authorization_pending") => Ok(Poll::Pending),
            Some("slow_down") => Ok(Poll::SlowDown),
            // The standard code, and Microsoft's.
            Some("access_denied" | "authorization_declined") => Ok(Poll::Denied),
            Some("expired_token") => Ok(Poll::Expired),
            _ => Err(failure.without_echo(device_code)),
        },
    }
}

/// RFC 8628 §3.2. Google writes `verification_url`.
fn read(data: &Value, network: &Network) -> Option<DeviceAuthorization> {
    let text = |name: &str, longest: usize| {
        let text = data.get(name)?.as_str()?.trim();
        let sound = (1..=longest).contains(&text.len()) && !text.contains(char::is_control);
        sound.then_some(text)
    };
    let page = |name: &str| text(name, MAX_TEXT).and_then(|text| page(text, network));
    let verification_uri = page("verification_uri").or_else(|| page("verification_url"))?;
    let complete = page("verification_uri_complete").or_else(|| page("verification_url_complete"));
    let expires_in = seconds(data.get("expires_in")?)?.min(MAX_LIFETIME);
    let interval = data.get("interval").and_then(seconds).unwrap_or(INTERVAL);
    Some(DeviceAuthorization {
        device_code: SecretString::from(text("device_code", MAX_TEXT)?),
        user_code: text("user_code", MAX_USER_CODE).filter(|code| is_typeable(code))?.to_owned(),
        verification_uri_complete: complete.filter(|url| url.origin() == verification_uri.origin()),
        verification_uri,
        expires_in,
        interval: interval.clamp(Duration::from_secs(1), expires_in.max(Duration::from_secs(1))),
    })
}

/// An address that a person may be sent to.
fn page(text: &str, network: &Network) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let scheme = url.scheme() == "https" || url.scheme() == "http" && network.allow_http;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    (scheme && plain).then_some(url)
}

/// RFC 8628 §6.1: for people, on any keyboard.
fn is_typeable(code: &str) -> bool {
    code.chars().all(|char| char.is_ascii_graphic() || char == ' ')
}

/// More than zero.
fn seconds(value: &Value) -> Option<Duration> {
    answer::seconds(value).filter(|span| !span.is_zero())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::catalog::errors::Class;
    use crate::fixtures::{Script, answer, app, description};
    use crate::http::Sent;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn codes() -> Value {
        json!({
            "device_code": "dc-canary", "user_code": "WDJB-MJHT", "verification_uri": "https://provider.example.com/device",
            "verification_uri_complete": "https://provider.example.com/device?user_code=WDJB-MJHT", "expires_in": 600,
        })
    }

    async fn asked(script: &Script, description: &Description) -> Result<DeviceAuthorization, Failure> {
        authorize(script, description, &app(), &["a".to_owned(), "b".to_owned()], NOW).await
    }

    async fn polled(status: u16, body: &str) -> Result<Poll, Failure> {
        let device_code = SecretString::from("dc-canary");
        let script = Script::of(status, body);
        let outcome = poll(&script, &description(), &app(), &device_code, NOW).await;
        assert!(!format!("{outcome:?}").contains("canary"));
        let sent = script.body();
        assert!(sent.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"), "{sent}");
        assert!(sent.contains("device_code=dc-canary"), "{sent}");
        outcome
    }

    #[tokio::test]
    async fn codes_are_asked_for_and_read() {
        let script = Script::of(200, &codes().to_string());
        let found = asked(&script, &description()).await.unwrap();
        assert_eq!(
            (found.user_code.as_str(), found.expires_in, found.interval),
            ("WDJB-MJHT", Duration::from_mins(10), INTERVAL)
        );
        assert!(found.verification_uri_complete.is_some());
        assert!(!format!("{found:?}").contains("canary"));
        let request = &script.requests()[0];
        assert_eq!(request.uri(), "https://provider.example.com/device");
        assert!(request.headers().contains_key("authorization"));
        assert_eq!(script.body(), "scope=a+b");

        let mut open = description();
        open.core.device.authenticated = false;
        open.core.token_request.headers = [("accept".to_owned(), "application/json".to_owned())].into();
        let script = Script::of(200, &codes().to_string());
        asked(&script, &open).await.unwrap();
        assert!(!script.requests()[0].headers().contains_key("authorization"));
        assert_eq!(
            (script.body().as_str(), &script.requests()[0].headers()["accept"]),
            ("scope=a+b&client_id=client", &http::HeaderValue::from_static("application/json"))
        );
    }

    #[test]
    fn what_providers_write_instead_is_understood_and_what_is_wild_is_refused() {
        let read_with = |change: Value| {
            let mut codes = codes();
            codes.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            read(&codes, &Network::default())
        };
        let google =
            read_with(json!({"verification_uri": null, "verification_url": "https://www.google.com/device"}))
                .unwrap();
        assert_eq!(google.verification_uri.as_str(), "https://www.google.com/device");
        assert!(google.verification_uri_complete.is_none(), "on another host");
        let spans =
            |change| read_with(change).map(|found| (found.expires_in.as_secs(), found.interval.as_secs()));
        assert_eq!(spans(json!({"expires_in": "900", "interval": "7"})), Some((900, 7)));
        assert_eq!(spans(json!({"expires_in": 1e9, "interval": 0})), Some((1800, 5)));
        assert_eq!(spans(json!({"interval": 1e9})), Some((600, 600)));
        assert_eq!(spans(json!({"interval": 0.2})), Some((600, 1)));
        for change in [
            json!({"expires_in": null}),
            json!({"expires_in": 0}),
            json!({"expires_in": -1}),
            json!({"expires_in": "soon"}),
            json!({"device_code": ""}),
            json!({"device_code": null}),
            json!({"user_code": "a\u{202e}b"}),
            json!({"user_code": "x".repeat(65)}),
            json!({"user_code": "a\nb"}),
            json!({"verification_uri": "http://provider.example.com/device"}),
            json!({"verification_uri": "javascript:alert(1)"}),
            json!({"verification_uri": "https://user@evil.example/"}),
            json!({"verification_uri": null}),
        ] {
            assert!(read_with(change.clone()).is_none(), "{change}");
        }
    }

    #[tokio::test]
    async fn each_answer_to_a_poll_means_what_the_standard_says() {
        // GitHub says so with status 200, others with 400 or 403 or 428.
        for status in [200, 400, 403, 428] {
            let error = |code: &str| json!({"error": code, "error_description": "x"}).to_string();
            assert!(matches!(polled(status, &error("authorization_pending")).await, Ok(Poll::Pending)));
            assert!(matches!(polled(status, &error("slow_down")).await, Ok(Poll::SlowDown)));
            assert!(matches!(polled(status, &error("access_denied")).await, Ok(Poll::Denied)));
            assert!(matches!(polled(status, &error("authorization_declined")).await, Ok(Poll::Denied)));
            assert!(matches!(polled(status, &error("expired_token")).await, Ok(Poll::Expired)));
            let lost = polled(status, &error("invalid_grant")).await.unwrap_err();
            assert_eq!((lost.class, lost.proves_revoked), (Class::Reauth, false));
        }
        let Ok(Poll::Granted(granted)) =
            polled(200, r#"{"access_token":"at-canary","refresh_token":"rt-canary"}"#).await
        else {
            panic!("no tokens")
        };
        assert!(granted.answer.refresh_token.is_some());
        let down = polled(503, "").await.unwrap_err();
        assert_eq!((down.class, down.sent), (Class::Transient, Sent::MaybeSent));
        let echo = polled(400, r#"{"error":"dc-canary"}"#).await.unwrap_err();
        assert_eq!(echo.code, None);
    }

    #[tokio::test]
    async fn a_provider_without_the_endpoint_is_a_matter_of_configuration() {
        let mut none = description();
        none.core.endpoints.device_authorization = None;
        let failure = asked(&Script::new([]), &none).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::NotSent));
        let refused = Script::new([Ok(answer(200, &[], r#"{"error":"device_flow_disabled"}"#))]);
        assert_eq!(
            asked(&refused, &description()).await.unwrap_err().code.as_deref(),
            Some("device_flow_disabled")
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(name in "[a-z_]{1,30}", text in "\\PC{0,60}", number in any::<f64>()) {
            for value in [json!(text), json!(number)] {
                for known in [name.as_str(), "expires_in", "interval", "user_code", "verification_uri"] {
                    let mut codes = codes();
                    codes[known] = value.clone();
                    let _ = read(&codes, &Network::default());
                }
            }
        }
    }
}
