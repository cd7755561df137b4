//! Responses as endpoints produce them, and how a fault changes them on the wire.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use futures::stream::{self, StreamExt as _};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::connection::Switch;
use super::faults::{Action, RetryAfter};

/// An OAuth error answer (RFC 6749 §5.2) or a resource server's (RFC 6750 §3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub error: &'static str,
    pub description: &'static str,
    /// The WWW-Authenticate header.
    pub challenge: Option<&'static str>,
}

impl Refusal {
    pub const fn of(error: &'static str, description: &'static str) -> Self {
        Self { status: 400, error, description, challenge: None }
    }

    pub const fn grant(description: &'static str) -> Self {
        Self::of("invalid_grant", description)
    }

    pub const fn client(description: &'static str) -> Self {
        let challenge = Some("Basic realm=\"sandbox\"");
        Self { status: 401, error: "invalid_client", description, challenge }
    }

    pub const fn bearer(description: &'static str) -> Self {
        let challenge = Some("Bearer realm=\"sandbox\", error=\"invalid_token\"");
        Self { status: 401, error: "invalid_token", description, challenge }
    }
}

pub(super) enum Content {
    Json(Value),
    Html(String),
    Empty,
}

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, String)>,
    pub content: Content,
}

impl Answer {
    pub fn json(value: impl Into<Value>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Json(value.into()) }
    }

    /// The same answer with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub fn html(status: StatusCode, page: String) -> Self {
        // A code or a request number in the address must not be passed on to another site (RFC 9700 §4.2.4).
        let headers = vec![(header::REFERRER_POLICY, "no-referrer".to_owned())];
        Self { status, headers, content: Content::Html(page) }
    }

    pub fn empty() -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Empty }
    }

    /// A redirect that turns a POST into a GET, so that a password form is never sent on (RFC 9700 §4.12).
    pub fn see_other(location: String) -> Self {
        let headers = vec![(header::LOCATION, location)];
        Self { status: StatusCode::SEE_OTHER, headers, content: Content::Empty }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = json!({ "error": refusal.error, "error_description": refusal.description });
        let challenge = refusal.challenge.map(|text| (header::WWW_AUTHENTICATE, text.to_owned()));
        Self {
            status: StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST),
            headers: challenge.into_iter().collect(),
            content: Content::Json(body),
        }
    }
}

/// The response as it is sent, changed by `action`. `None` means that the connection is cut.
pub(super) fn deliver(
    answer: Answer,
    action: Option<&Action>,
    switch: &Switch,
    now: u64,
) -> Option<Response<Body>> {
    let response = match action {
        None | Some(Action::Delay { .. } | Action::NoRefreshToken | Action::FewerScopes { .. }) => {
            send(answer)
        }
        Some(Action::Drop { .. }) => {
            switch.cut();
            return None;
        }
        Some(Action::Truncated) => broken_off(answer, true),
        Some(Action::ClosedMidBody) => broken_off(answer, false),
        Some(Action::HalfJson) => half_json(answer),
        Some(Action::Patch { set, remove }) => send(patched(answer, set, remove)),
        Some(Action::FormEncoded) => form_encoded(answer),
        Some(instead) => replaced(instead, now),
    };
    Some(response)
}

/// A cut connection sends nothing; hyper still needs a response.
pub(super) fn never_sent() -> Response<Body> {
    Response::new(Body::empty())
}

fn send(answer: Answer) -> Response<Body> {
    let (content_type, body) = body_of(&answer);
    build(answer, content_type, Body::from(body))
}

fn body_of(answer: &Answer) -> (&'static str, Bytes) {
    match &answer.content {
        Content::Json(value) => ("application/json", value.to_string().into()),
        Content::Html(page) => ("text/html; charset=utf-8", page.clone().into()),
        Content::Empty => ("text/plain", Bytes::new()),
    }
}

fn build(answer: Answer, content_type: &str, body: Body) -> Response<Body> {
    let mut response = plain(answer.status, content_type, body);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn plain(status: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // RFC 6749 §5.1 requires it wherever the response may contain a token.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// The first half of the body, then the connection closes.
fn broken_off(answer: Answer, announce_length: bool) -> Response<Body> {
    let (content_type, whole) = body_of(&answer);
    let half = whole.slice(..whole.len() / 2);
    let end = stream::once(async {
        // One turn of the scheduler lets the first half leave before the connection closes.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    let halves = stream::iter([Ok(half)]).chain(end);
    let mut response = build(answer, content_type, Body::from_stream(halves));
    if announce_length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    }
    response
}

fn half_json(answer: Answer) -> Response<Body> {
    let (content_type, whole) = body_of(&answer);
    let half = whole.slice(..whole.len() / 2);
    build(answer, content_type, Body::from(half))
}

fn patched(mut answer: Answer, set: &serde_json::Map<String, Value>, remove: &[String]) -> Answer {
    if let (true, Content::Json(Value::Object(members))) = (answer.status.is_success(), &mut answer.content) {
        members.extend(set.clone());
        members.retain(|name, _| !remove.contains(name));
    }
    answer
}

fn form_encoded(answer: Answer) -> Response<Body> {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    if let Content::Json(Value::Object(members)) = &answer.content {
        for (name, value) in members {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.append_pair(name, &value);
        }
    }
    let body = Body::from(text.finish());
    build(answer, "application/x-www-form-urlencoded", body)
}

/// The response of a fault that replaces the real one.
fn replaced(action: &Action, now: u64) -> Response<Body> {
    let json = |status, value: Value| plain(code(status), "application/json", Body::from(value.to_string()));
    match action {
        Action::Error { error } => {
            json(if error == "invalid_client" { 401 } else { 400 }, json!({ "error": error }))
        }
        Action::NotOk { error } => json(200, json!({ "ok": false, "error": error })),
        Action::Html { status } => {
            let page = "<!doctype html><title>Sign in to the network</title><p>Please sign in.";
            plain(code(*status), "text/html", Body::from(page))
        }
        Action::Redirect { status, location } => {
            let mut response = plain(code(*status), "text/plain", Body::empty());
            if let Ok(location) = HeaderValue::from_str(location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Action::Huge { bytes } => plain(StatusCode::OK, "application/json", huge(*bytes)),
        Action::Answer { status, body, headers, retry_after, .. } => {
            let mut response = plain(code(*status), "text/plain", Body::from(body.clone()));
            let retry_after = retry_after.map(|after| ("retry-after", retry_after_text(after, now)));
            let named = headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
            for (name, value) in named.chain(retry_after) {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        // The others change the real response, which `deliver` has done.
        _ => never_sent(),
    }
}

/// A token response whose padding is sent in pieces, so that it is never in memory as a whole.
fn huge(bytes: usize) -> Body {
    const PIECE: &[u8] = &[b'x'; 16 * 1024];
    let head = stream::iter([Bytes::from_static(
        b"{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"padding\":\"",
    )]);
    let pieces = stream::iter((0..bytes.div_ceil(PIECE.len())).map(|_| Bytes::from_static(PIECE)));
    let tail = stream::iter([Bytes::from_static(b"\"}")]);
    Body::from_stream(head.chain(pieces).chain(tail).map(Ok::<_, Infallible>))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn retry_after_text(after: RetryAfter, now: u64) -> String {
    match after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::DateIn(seconds) => i64::try_from(now / 1000 + seconds)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok())
            .unwrap_or_default(),
    }
}
