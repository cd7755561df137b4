//! State before sign-in: where to go afterwards, the token of the sign-in form, and the request to the `OpenID` provider.
//! A sealed cookie holds it for ten minutes.

use std::time::Duration;

use axum::http::HeaderMap;
use bowline_api::opaque::{NoRandomness, random_text};
use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::session::{self, SessionError, cookie_value};
use crate::session_key::{Purpose, SessionKeys};

pub const COOKIE: &str = "__Host-bowline-sign-in";

const LIFETIME: Duration = Duration::from_mins(10);
const PATH_LETTERS: usize = 512;

pub const HOME: &str = "/connections";

#[derive(Clone, Serialize, Deserialize)]
pub struct Before {
    next: String,
    pub form: String,
    made_at: Timestamp,
    pub oidc: Option<AuthRequest>,
}

/// The secrets of an authentication request to the `OpenID` provider.
#[derive(Clone, Serialize, Deserialize)]
pub struct AuthRequest {
    /// RFC 6749 §10.12.
    pub state: String,
    /// `OpenID` Connect Core §3.1.2.1.
    pub nonce: String,
    /// RFC 7636 §4.1.
    pub verifier: String,
}

impl AuthRequest {
    pub fn new() -> Result<Self, NoRandomness> {
        let fresh = || random_text().map(|text| text.expose_secret().to_owned());
        Ok(Self { state: fresh()?, nonce: fresh()?, verifier: fresh()? })
    }
}

impl Before {
    /// For a browser that asked for `path`.
    pub fn new(path: &str, now: Timestamp) -> Result<Self, NoRandomness> {
        let form = random_text()?;
        let next = if is_our_path(path) { path } else { HOME };
        Ok(Self { next: next.to_owned(), form: form.expose_secret().to_owned(), made_at: now, oidc: None })
    }

    /// From the cookie, if it is valid and not too old.
    pub fn of(headers: &HeaderMap, keys: &SessionKeys, now: Timestamp) -> Option<Self> {
        let before: Self = keys.open(Purpose::SignIn, cookie_value(headers, COOKIE)?)?;
        let age = u64::try_from(now.as_second() - before.made_at.as_second()).ok()?;
        (age < LIFETIME.as_secs()).then_some(before)
    }

    pub fn to_cookie(&self, keys: &SessionKeys) -> Result<String, SessionError> {
        let sealed = keys.seal(Purpose::SignIn, self)?;
        Ok(session::cookie(COOKIE, &sealed, LIFETIME))
    }

    /// Where to go after sign-in: checked again, so that only our own paths are returned.
    pub fn next(&self) -> &str {
        if is_our_path(&self.next) { &self.next } else { HOME }
    }
}

/// Whether browsers resolve `path` to our own host.
pub(crate) fn is_our_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.len() <= PATH_LETTERS && path.starts_with('/') && !path.contains("//") && path.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    #[test]
    fn nobody_is_sent_anywhere_else() {
        for path in ["/", "/connections", "/connections/team-a/github-work", "/callback/a.b"] {
            assert!(is_our_path(path), "{path}");
        }
        let long = format!("/{}", "a".repeat(600));
        for path in [
            "",
            "connections",
            "//evil.example.com",
            "/\\evil.example.com",
            "\\\\evil",
            "/%09/evil.example.com",
            "/\t/evil",
            "https://evil.example.com",
            "https:evil",
            "data:text/html,x",
            "javascript:alert(1)",
            "/@evil.example.com",
            "//bowline@evil.example.com",
            "/connections//evil.example.com",
            "/a?next=//evil",
            "/a#b",
            "/a\r\nSet-Cookie:b",
            "/ä",
            &long,
        ] {
            assert!(!is_our_path(path), "{path:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_forgotten_after_ten_minutes() {
        let key = SessionKeys::new(&[7; 32]).unwrap();
        let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        let before = Before::new("/workspaces/marketing", at(0)).unwrap();
        let cookie = before.to_cookie(&key).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.split(';').next().unwrap().parse().unwrap());
        assert_eq!(Before::of(&headers, &key, at(599)).unwrap().next(), "/workspaces/marketing");
        assert!(Before::of(&headers, &key, at(600)).is_none());
        assert_eq!(Before::new("//evil", at(0)).unwrap().next(), HOME);
    }
}
