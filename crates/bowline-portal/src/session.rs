//! Sessions: sealed cookies; the portal stores nothing, so any replica serves any request and a restart signs nobody out.
//!
//! A session ends with the identity behind it, and after eight hours at the latest. Signing out removes it from the browser;
//! replacing the session keys ends all sessions and every copy of their cookies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bowline_api::opaque::{Digest, NoRandomness, random_text};
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::session_key::{CannotSeal, Purpose, SessionKeys};

/// Cookie with the session. The prefix makes browsers refuse it without `Secure`, with `Domain`, or from a sub-path.
pub const COOKIE: &str = "__Host-bowline";

const LIFETIME: Duration = Duration::from_hours(8);

/// The shortest session that is begun.
const SHORTEST_SECONDS: i64 = 60;

/// Browsers keep no larger cookie.
const COOKIE_BYTES: usize = 3_900;

/// Users and groups that belong to Kubernetes itself.
const RESERVED: &str = "system:";

const AUTHENTICATED: &str = "system:authenticated";

/// One sign-in. `Debug` does not show its id.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    user: String,
    /// The person behind the user name, if the way to sign in identifies them.
    #[serde(default)]
    pub(crate) person: Option<Digest>,
    pub(crate) groups: Vec<String>,
    /// What else the API server knows of the user: an authorizer may look at it, and a token may be limited by it.
    #[serde(default)]
    pub(crate) uid: Option<String>,
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
    id: String,
    issued_at: Timestamp,
    /// When the identity itself ends, such as an ID token.
    #[serde(default)]
    ends_at: Option<Timestamp>,
    /// The token behind it, which is reviewed again.
    #[serde(default, serialize_with = "exposed")]
    pub(crate) token: Option<SecretString>,
}

/// Only ever into a sealed cookie.
#[allow(clippy::ref_option, reason = "what serde passes")]
fn exposed<S: Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

/// Why a session or a sign-in cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("this user name belongs to Kubernetes itself: sign in as a person")]
    ReservedUser,
    #[error("you are in too many groups to fit into a cookie: ask for the groups claim to be filtered")]
    TooManyGroups,
    #[error("what proves who you are expires within a minute: get a new one, or ask for a longer lifetime")]
    TooShort,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    CannotSeal(#[from] CannotSeal),
}

impl Session {
    /// Starts a session with a new id. Of the groups that a third party claims, no reserved one counts but
    /// `system:authenticated`.
    pub fn begin(user: &str, groups: Groups, now: Timestamp) -> Result<Self, SessionError> {
        if user.is_empty() || user.starts_with(RESERVED) {
            return Err(SessionError::ReservedUser);
        }
        let groups = groups.counting();
        let id = random_text()?.expose_secret().to_owned();
        Ok(Self {
            user: user.to_owned(),
            person: None,
            groups,
            uid: None,
            extra: BTreeMap::new(),
            id,
            issued_at: now,
            ends_at: None,
            token: None,
        })
    }

    /// The same, but not for longer than this.
    pub fn until(mut self, end: Timestamp) -> Result<Self, SessionError> {
        // A session that is over at once would send the browser round in circles.
        if end.duration_since(self.issued_at).as_secs() < SHORTEST_SECONDS {
            return Err(SessionError::TooShort);
        }
        self.ends_at = Some(self.ends_at.map_or(end, |known| known.min(end)));
        Ok(self)
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Identifies the session in an attempt.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.id)
    }

    /// Token of this session's forms. Derived differently than [`Session::digest`], so neither reveals the other.
    pub fn form_token(&self) -> String {
        Digest::of(&format!("form:{}", self.id)).as_str().to_owned()
    }

    fn is_over_at(&self, now: Timestamp) -> bool {
        self.is_too_old_at(now) || self.ends_at.is_some_and(|end| end <= now)
    }

    fn is_too_old_at(&self, now: Timestamp) -> bool {
        let age = now.as_second() - self.issued_at.as_second();
        // A small skew between replicas is allowed.
        u64::try_from(age).map_or(age < -60, |age| age >= LIFETIME.as_secs())
    }

    /// Whether it is a session of this user, with the same rights.
    pub(crate) fn is_of(&self, user: &UserInfo) -> bool {
        let UserInfo { username, groups, uid, extra: _ } = user;
        username.as_deref() == Some(&self.user)
            && groups.as_deref().unwrap_or_default() == self.groups
            && uid.as_deref().filter(|uid| !uid.is_empty()) == self.uid.as_deref()
    }

    /// Since when nobody has checked the identity, unless it was checked again later.
    pub(crate) fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    pub fn to_cookie(&self, keys: &SessionKeys) -> Result<String, SessionError> {
        let sealed = keys.seal(Purpose::Session, self)?;
        if sealed.len() > COOKIE_BYTES {
            return Err(SessionError::TooManyGroups);
        }
        Ok(cookie(COOKIE, &sealed, LIFETIME))
    }

    /// The session of a request's cookies, if it is valid.
    pub(crate) fn of(headers: &HeaderMap, keys: &SessionKeys, now: Timestamp) -> Option<Self> {
        let session: Self = keys.open(Purpose::Session, cookie_value(headers, COOKIE)?)?;
        (!session.is_over_at(now)).then_some(session)
    }

    /// Whether these cookies have a session that is over because its identity has ended: that may have been renewed.
    pub(crate) fn has_ended(headers: &HeaderMap, keys: &SessionKeys, now: Timestamp) -> bool {
        let session =
            cookie_value(headers, COOKIE).and_then(|text| keys.open::<Self>(Purpose::Session, text));
        session.is_some_and(|session| session.is_over_at(now) && !session.is_too_old_at(now))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Groups, and who named them.
#[derive(Clone, Debug)]
pub enum Groups {
    /// The API server: all count.
    OfTheApiServer(Vec<String>),
    /// A third party, which cannot grant reserved groups.
    Claimed(Vec<String>),
}

impl Groups {
    /// Those that count.
    pub(crate) fn counting(self) -> Vec<String> {
        match self {
            Self::OfTheApiServer(groups) => groups,
            Self::Claimed(claimed) => {
                let harmless = claimed.into_iter().filter(|group| !group.starts_with(RESERVED));
                harmless.chain([AUTHENTICATED.to_owned()]).collect()
            }
        }
    }
}

/// A cookie that scripts cannot read and other sites cannot send with a form (R29).
pub(crate) fn cookie(name: &str, value: &str, lasts: Duration) -> String {
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; Secure; SameSite=Lax", lasts.as_secs())
}

pub(crate) fn no_cookie(name: &str) -> String {
    cookie(name, "", Duration::ZERO)
}

/// The value of a cookie. `None` if it is missing or repeated: somebody else may have set the second one.
pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = sent.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Compares two secrets in constant time.
pub(crate) fn same(one: &str, other: &str) -> bool {
    Digest::of(one) == Digest::of(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    fn key() -> SessionKeys {
        SessionKeys::new(&[7; 32]).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + second)
    }

    fn begun(user: &str) -> Result<Session, SessionError> {
        Session::begin(user, Groups::Claimed(vec!["staff".into()]), at(0))
    }

    fn sent(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|cookie| (header::COOKIE, cookie.parse().unwrap())).collect()
    }

    /// The headers of a browser that has this cookie.
    fn returned(cookie: &str) -> HeaderMap {
        sent(&[cookie.split(';').next().unwrap()])
    }

    #[test]
    fn a_session_comes_back_at_any_replica_with_the_same_key() {
        let cookie = begun("alice").unwrap().to_cookie(&key()).unwrap();
        let session = Session::of(&returned(&cookie), &key(), at(60)).unwrap();
        assert_eq!(session.user(), "alice");
        assert_eq!(session.groups, ["staff", "system:authenticated"]);
    }

    #[test]
    fn a_session_is_over_after_eight_hours() {
        let cookie = begun("alice").unwrap().to_cookie(&key()).unwrap();
        let read = |second| Session::of(&returned(&cookie), &key(), at(second));
        assert!(read(8 * 3600 - 1).is_some());
        assert!(read(8 * 3600).is_none());
        assert!(read(-61).is_none());
    }

    #[test]
    fn the_cookie_is_safe() {
        let cookie = begun("alice").unwrap().to_cookie(&key()).unwrap();
        for part in
            ["__Host-bowline=", "; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/;", "; Max-Age=28800"]
        {
            assert!(cookie.contains(part), "{part}");
        }
        assert!(!cookie.contains("Domain") && !cookie.contains("alice"));
    }

    #[test]
    fn each_sign_in_has_an_id_of_its_own() {
        let (one, other) = (begun("alice").unwrap(), begun("alice").unwrap());
        assert_ne!(one.digest(), other.digest());
        assert_ne!(one.form_token(), other.form_token());
        assert_ne!(one.form_token(), one.digest().as_str());
        assert!(!format!("{one:?}").contains(&one.id));
    }

    #[test]
    fn users_of_kubernetes_itself_do_not_sign_in() {
        for user in ["", "system:admin", "system:serviceaccount:bowline-system:bowline"] {
            assert_eq!(begun(user).unwrap_err(), SessionError::ReservedUser, "{user}");
        }
    }

    #[test]
    fn nobody_but_the_api_server_puts_people_into_groups_of_kubernetes() {
        let claimed = Groups::Claimed(vec!["system:masters".into(), "staff".into()]);
        let session = Session::begin("alice", claimed, at(0)).unwrap();
        assert_eq!(session.groups, ["staff", "system:authenticated"]);
        let known = Groups::OfTheApiServer(vec!["system:masters".into()]);
        assert_eq!(Session::begin("root", known, at(0)).unwrap().groups, ["system:masters"]);
    }

    #[test]
    fn a_cookie_beside_ours_makes_both_worthless() {
        let value = |cookies: &[&str], name| cookie_value(&sent(cookies), name).map(ToOwned::to_owned);
        assert_eq!(value(&["a=1; b=2"], "b").as_deref(), Some("2"));
        assert_eq!(value(&["a=1; a=2"], "a"), None);
        assert_eq!(value(&["a=1", "a=1"], "a"), None);
        assert_eq!(value(&["b"], "b"), None);
    }

    #[test]
    fn more_groups_than_a_cookie_holds_are_said_and_not_cut() {
        let many = (0..400).map(|n| format!("group-with-a-name-{n}")).collect();
        let session = Session::begin("alice", Groups::Claimed(many), at(0)).unwrap();
        assert_eq!(session.to_cookie(&key()), Err(SessionError::TooManyGroups));
    }
}
