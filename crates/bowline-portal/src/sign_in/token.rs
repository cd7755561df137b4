//! Sign-in with a token that the API server accepts (`TokenReview`).
//!
//! A token for the API server itself is used once and not kept: a session then ends with the token, and after an hour if that
//! cannot be known. A token for an audience of the portal's own is worth nothing elsewhere, so it is sealed into the session
//! and reviewed again ([`super::recheck`]).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::error::{PageError, answered};
use crate::session::{Groups, Session, SessionError};
use crate::session_key::SessionKeys;

const LONGEST: usize = 12 * 1024;

/// A session whose end is not known, and which cannot be checked again.
const UNCHECKED: SignedDuration = SignedDuration::from_hours(1);

/// The session of the token's user.
pub(crate) async fn sign_in(
    client: &Client,
    audience: Option<&str>,
    token: SecretString,
    keys: &SessionKeys,
    now: Timestamp,
) -> Result<Session, PageError> {
    let user = review(client, audience, &token).await?.ok_or_else(not_accepted)?;
    Ok(session(user, audience, token, keys, now)?)
}

/// Whose token it is; `None` if the API server does not accept it.
pub(crate) async fn review(
    client: &Client,
    audience: Option<&str>,
    token: &SecretString,
) -> Result<Option<UserInfo>, PageError> {
    let text = token.expose_secret();
    if text.is_empty() || text.len() > LONGEST {
        return Ok(None);
    }
    let audiences = audience.map(|audience| vec![audience.to_owned()]);
    let spec = TokenReviewSpec { audiences, token: Some(text.to_owned()) };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = answered(reviews.create(&PostParams::default(), &review)).await?;
    Ok(accepted(audience, answer.status.unwrap_or_default()))
}

fn accepted(audience: Option<&str>, status: TokenReviewStatus) -> Option<UserInfo> {
    let named = status.audiences.unwrap_or_default();
    // A server without support for audiences returns none, and has not checked ours.
    let for_us = audience.is_none_or(|audience| named.iter().any(|name| name == audience));
    status.user.filter(|_| status.authenticated == Some(true) && for_us)
}

fn session(
    user: UserInfo,
    audience: Option<&str>,
    token: SecretString,
    keys: &SessionKeys,
    now: Timestamp,
) -> Result<Session, SessionError> {
    let UserInfo { username, groups, uid, extra } = user;
    let groups = Groups::OfTheApiServer(groups.unwrap_or_default());
    let mut session = Session::begin(&username.unwrap_or_default(), groups, now)?;
    session.uid = uid.filter(|uid| !uid.is_empty());
    session.extra = extra.unwrap_or_default();
    let end = expiry(token.expose_secret());
    if let Some(end) = end {
        session = session.until(end)?;
    }
    if audience.is_some() {
        let mut checked = session.clone();
        checked.token = Some(token);
        if checked.to_cookie(keys).is_ok() {
            return Ok(checked);
        }
    }
    if end.is_some() { Ok(session) } else { session.until(now + UNCHECKED) }
}

/// When a token expires that is a JWT (RFC 7519 §4.1.4). The API server has verified it.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "saturates, and far ends are cut anyway")]
    Timestamp::from_second(claims.exp as i64).ok()
}

fn not_accepted() -> PageError {
    PageError::sign_in(
        "The cluster does not accept this token: it may be incomplete, expired or issued for another audience.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(user: &str, audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(audiences.iter().map(ToString::to_string).collect()),
            user: Some(person(user)),
            ..TokenReviewStatus::default()
        }
    }

    fn person(user: &str) -> UserInfo {
        UserInfo { username: Some(user.into()), ..UserInfo::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn keys() -> SessionKeys {
        SessionKeys::new(&[7; 32]).unwrap()
    }

    fn begun(user: UserInfo, audience: Option<&str>, token: &str) -> Result<Session, SessionError> {
        session(user, audience, token.into(), &keys(), at(0))
    }

    fn jwt(claims: &str) -> String {
        format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn only_an_authenticated_person_is_signed_in() {
        assert_eq!(accepted(None, status("alice", &[])), Some(person("alice")));
        let refused = TokenReviewStatus { authenticated: Some(false), ..status("alice", &[]) };
        assert_eq!(accepted(None, refused), None);
        assert_eq!(accepted(None, TokenReviewStatus::default()), None);
        let account = person("system:serviceaccount:bowline-system:bowline");
        assert_eq!(begun(account, None, "t").unwrap_err(), SessionError::ReservedUser);
    }

    #[test]
    fn a_token_for_somebody_else_is_none() {
        let ours = Some("bowline-portal");
        assert!(accepted(ours, status("alice", &["bowline-portal"])).is_some());
        assert!(accepted(ours, status("alice", &["https://kubernetes.default.svc"])).is_none());
        assert!(accepted(ours, status("alice", &[])).is_none());
    }

    /// Each row: the token's claims, if it is a JWT; and a second at which the session is there, and one at which it is over.
    #[test]
    fn a_session_ends_with_its_token_and_after_an_hour_if_nobody_knows() {
        for (token, there, over) in [
            (jwt(r#"{"exp": 900}"#), 899, 900),
            (jwt(r#"{"exp": 900.9}"#), 899, 900),
            (jwt(r#"{"exp": 1e18}"#), 3599, 3600),
            (jwt(r#"{"exp": 99999999}"#), 28_799, 28_800),
            (jwt("{}"), 3599, 3600),
            ("opaque".to_owned(), 3599, 3600),
        ] {
            let cookie = begun(person("alice"), None, &token).unwrap().to_cookie(&keys()).unwrap();
            let headers = [(axum::http::header::COOKIE, cookie.split(';').next().unwrap().parse().unwrap())];
            let headers = headers.into_iter().collect();
            let read = |second| Session::of(&headers, &keys(), at(second));
            assert!(read(there).is_some() && read(over).is_none(), "{token}");
        }
        assert_eq!(begun(person("alice"), None, &jwt(r#"{"exp": 59}"#)).unwrap_err(), SessionError::TooShort);
    }

    #[test]
    fn only_a_token_for_the_portal_is_kept_to_be_checked_again() {
        assert!(begun(person("alice"), None, "opaque").unwrap().token.is_none());
        assert!(begun(person("alice"), Some("ours"), "opaque").unwrap().token.is_some());
        let long = "x".repeat(5000);
        let session = begun(person("alice"), Some("ours"), &long).unwrap();
        assert!(session.token.is_none(), "it does not fit, so the session is a short one");
        assert!(session.to_cookie(&keys()).is_ok());
    }

    #[test]
    fn what_limits_a_token_goes_into_the_session() {
        let extra = [("scopes.authorization.openshift.io".to_owned(), vec!["user:info".to_owned()])];
        let user = UserInfo { uid: Some("u-1".into()), extra: Some(extra.clone().into()), ..person("alice") };
        let cookie = begun(user.clone(), None, "t").unwrap().to_cookie(&keys()).unwrap();
        let headers = [(axum::http::header::COOKIE, cookie.split(';').next().unwrap().parse().unwrap())];
        let session = Session::of(&headers.into_iter().collect(), &keys(), at(1)).unwrap();
        assert_eq!((session.uid.as_deref(), &session.extra), (Some("u-1"), &extra.into()));
        assert!(session.is_of(&user));
        for other in [
            UserInfo { uid: Some("u-2".into()), ..user.clone() },
            UserInfo { username: Some("bob".into()), ..user.clone() },
            UserInfo { groups: Some(vec!["admins".into()]), ..user },
        ] {
            assert!(!session.is_of(&other), "{other:?}");
        }
    }
}
