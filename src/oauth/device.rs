//! Device flow (RFC 8628): a person types a code elsewhere, and we ask from time to time.

use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::guard::Reach;
use super::http::Http;
use super::request;
use crate::catalog::Description;

/// The pause between two polls where the provider names none (RFC 8628 §3.2), and what `slow_down` adds (§3.5).
pub const INTERVAL: Duration = Duration::from_secs(5);

/// The longest that a device code is believed to live.
pub const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// The longest address or device code that is kept.
const MAX_TEXT: usize = 2048;

/// The longest code for people.
const MAX_USER_CODE: usize = 64;

/// What a person needs to finish elsewhere, and what we ask with. `Debug` does not show the device code.
#[derive(Clone)]
pub struct DeviceAuthorization {
    /// What we ask with: a credential.
    pub device_code: SecretString,
    /// What the person types. Printable, at most 64 characters.
    pub user_code: String,
    /// Where to type it: `https`, or `http` where insecure providers are allowed.
    pub verification_uri: Url,
    /// The same page with the code filled in. Left out if it is on another host.
    pub verification_uri_complete: Option<Url>,
    /// How long both codes live, from before the request: more than nothing, at most [`MAX_LIFETIME`].
    pub expires_in: Duration,
    /// Least pause between two polls, at least a second.
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

/// What one poll brought.
#[derive(Clone, Debug)]
pub enum Poll {
    /// Nobody has decided yet.
    Pending,
    /// The same, and the pause grows by [`INTERVAL`] for this and every later poll.
    SlowDown,
    /// Tokens. The device code is spent.
    Granted(Box<Granted>),
    /// The person said no.
    Denied,
    /// The codes are too old.
    Expired,
}

/// Asks for codes (RFC 8628 §3.1). May be repeated: codes that nobody uses lapse.
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
    let build = |secret: Option<&SecretString>| {
        request::device_authorization(description, &app.client_id, secret, scopes)
    };
    let answered = asked.send(build).await?;
    let read = |data| read(data, http.reach());
    answered.document.data().and_then(read).ok_or_else(|| classify::unconfirmed(&answered.received))
}

/// Asks once whether the person has decided (RFC 8628 §3.4). The caller keeps the pauses.
///
/// # Errors
/// Anything but the outcomes of [`Poll`]. Of a class that passes, ask again later, with a growing pause (§3.5); but where
/// [`Failure::sent`] leaves open whether the provider acted, the grant may have been given and lost: then the next poll
/// is refused, and the person begins again.
pub async fn poll(
    http: &dyn Http,
    description: &Description,
    app: &App,
    device_code: &SecretString,
    now: Timestamp,
) -> Result<Poll, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::DevicePoll, now };
    let build = |secret: Option<&SecretString>| {
        request::device_token(description, &app.client_id, secret, device_code)
    };
    match asked.tokens(None, build).await {
        Ok(granted) => Ok(Poll::Granted(Box::new(granted))),
        Err(failure) => match failure.code.as_deref() {
            Some("authorization_pending") => Ok(Poll::Pending),
            Some("slow_down") => Ok(Poll::SlowDown),
            // The standard's word, and Microsoft's.
            Some("access_denied" | "authorization_declined") => Ok(Poll::Denied),
            Some("expired_token") => Ok(Poll::Expired),
            _ => Err(failure.without_echo(device_code.expose_secret())),
        },
    }
}

/// RFC 8628 §3.2. Google writes `verification_url`.
fn read(data: &Value, reach: Reach) -> Option<DeviceAuthorization> {
    let text = |name: &str, longest: usize| {
        let text = data.get(name)?.as_str()?.trim();
        let sound = (1..=longest).contains(&text.len()) && !text.contains(char::is_control);
        sound.then_some(text)
    };
    let page = |name: &str| text(name, MAX_TEXT).and_then(|text| page(text, reach));
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
fn page(text: &str, reach: Reach) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let scheme = url.scheme() == "https" || url.scheme() == "http" && reach == Reach::Anywhere;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    (scheme && plain).then_some(url)
}

/// RFC 8628 §6.1: for people, on any keyboard.
fn is_typeable(code: &str) -> bool {
    code.chars().all(|char| char.is_ascii_graphic() || char == ' ')
}

/// More than nothing, as number or text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero())
}
