//! Sign-in by a proxy in front of the portal, which names the user in a header and authenticates with a secret.

use axum::http::HeaderMap;
use secrecy::ExposeSecret;

use crate::error::PageError;
use crate::session::{Groups, Session, same};
use crate::settings::Proxy;
use k8s_openapi::jiff::Timestamp;

/// Header with the proxy's secret.
pub const SECRET_HEADER: &str = "x-bowline-proxy-secret";

/// The session of the user that the proxy names.
pub(crate) fn sign_in(settings: &Proxy, headers: &HeaderMap, now: Timestamp) -> Result<Session, PageError> {
    let user = user(settings, headers).ok_or_else(|| {
        PageError::sign_in("The proxy in front of this portal did not name you or did not authenticate.")
    })?;
    Ok(Session::begin(user, groups(settings, headers), now)?)
}

/// Whether this request names the session's user, in the same groups.
pub(crate) fn confirms(settings: &Proxy, headers: &HeaderMap, session: &Session) -> bool {
    // A proxy may name them in any order.
    let sorted = |mut groups: Vec<String>| {
        groups.sort_unstable();
        groups
    };
    user(settings, headers) == Some(session.user())
        && sorted(groups(settings, headers).counting()) == sorted(session.groups.clone())
}

fn groups(settings: &Proxy, headers: &HeaderMap) -> Groups {
    let groups = headers.get_all(settings.groups_header.as_str());
    let groups = groups.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    Groups::Claimed(groups.map(str::trim).filter(|group| !group.is_empty()).map(ToOwned::to_owned).collect())
}

/// The user that the proxy names; `None` without the secret, or if a header is repeated.
fn user<'a>(settings: &Proxy, headers: &'a HeaderMap) -> Option<&'a str> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    };
    if !same(one(SECRET_HEADER)?, settings.secret.expose_secret()) {
        return None;
    }
    one(&settings.user_header).map(str::trim).filter(|user| !user.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings() -> Proxy {
        Proxy {
            secret: "hush".into(),
            user_header: "x-forwarded-user".into(),
            groups_header: "x-forwarded-groups".into(),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_header_without_the_secret_names_nobody() {
        let user = ("x-forwarded-user", "alice");
        for sent in [
            vec![user],
            vec![user, (SECRET_HEADER, "guess")],
            vec![user, (SECRET_HEADER, "")],
            vec![user, ("x-forwarded-user", "bob"), (SECRET_HEADER, "hush")],
            vec![(SECRET_HEADER, "hush")],
        ] {
            assert!(sign_in(&settings(), &headers(&sent), Timestamp::UNIX_EPOCH).is_err(), "{sent:?}");
        }
    }

    #[test]
    fn the_proxy_that_proves_itself_names_user_and_groups() {
        let sent = headers(&[
            ("x-forwarded-user", "alice"),
            ("x-forwarded-groups", "staff, system:masters"),
            (SECRET_HEADER, "hush"),
        ]);
        let session = sign_in(&settings(), &sent, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(session.groups, ["staff", "system:authenticated"]);
        assert!(confirms(&settings(), &sent, &session));
    }

    #[test]
    fn class_10_a_session_is_over_when_the_proxy_names_other_groups() {
        let named = |user, groups| {
            headers(&[("x-forwarded-user", user), ("x-forwarded-groups", groups), (SECRET_HEADER, "hush")])
        };
        let session = sign_in(&settings(), &named("alice", "staff,admins"), Timestamp::UNIX_EPOCH).unwrap();
        let stays = |user, groups| confirms(&settings(), &named(user, groups), &session);
        assert!(stays("alice", "staff,admins") && stays("alice", " admins , staff"));
        assert!(!stays("alice", "staff") && !stays("alice", "") && !stays("bob", "staff,admins"));
    }
}
