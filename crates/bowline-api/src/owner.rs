//! Who may own a connection, by user name alone. The schema has the same rules as CEL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Method;

/// What the user names of `ServiceAccount`s begin with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// What a Kubernetes user name refers to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[schemars(transform = crate::schema::undescribed)]
pub enum SubjectKind {
    /// A person, or a pipeline that signs in as one.
    #[default]
    User,
    /// A `ServiceAccount`, named `system:serviceaccount:NAMESPACE:NAME`.
    ServiceAccount,
}

impl SubjectKind {
    /// The kind of a user. `None`: nobody, or another `system:` user, which can own nothing and be a member of nothing.
    pub fn of(user: &str) -> Option<Self> {
        if let Some(account) = user.strip_prefix(SERVICE_ACCOUNT) {
            let (namespace, name) = account.split_once(':')?;
            return (is_dns(namespace, b"-") && is_dns(name, b"-.")).then_some(Self::ServiceAccount);
        }
        (!user.is_empty() && !user.starts_with("system:")).then_some(Self::User)
    }
}

/// Namespace and name of a `ServiceAccount`; `None` for every other user.
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let is_one = SubjectKind::of(user) == Some(SubjectKind::ServiceAccount);
    user.strip_prefix(SERVICE_ACCOUNT).filter(|_| is_one)?.split_once(':')
}

/// Whether `user` may own a connection with this `spec.method`, and with or without `spec.credentials`.
///
/// With method `TokenExchange` only a `ServiceAccount` does, whose token is exchanged. It owns only what needs no person's consent: a token that is minted, or a grant or key that somebody else
/// manages in a Secret.
pub fn may_own(user: &str, method: Option<Method>, has_credentials: bool) -> bool {
    match SubjectKind::of(user) {
        Some(SubjectKind::User) => method != Some(Method::TokenExchange),
        Some(SubjectKind::ServiceAccount) => match method {
            Some(Method::ClientCredentials | Method::JwtBearer | Method::TokenExchange) => true,
            Some(
                Method::AuthorizationCode | Method::DeviceCode | Method::IssuedKey | Method::LinkSession,
            ) => false,
            Some(Method::RefreshToken | Method::ApiKey | Method::BasicAuth) | None => has_credentials,
        },
        None => false,
    }
}

/// Whether the text is lowercase letters and digits, with these characters only inside.
fn is_dns(text: &str, inside: &[u8]) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| edge(byte) || inside.contains(byte))
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROBOT: &str = "system:serviceaccount:team-a:billing";

    #[test]
    fn a_user_name_says_what_it_stands_for() {
        let rows = [
            ("alice@example.com", Some(SubjectKind::User)),
            ("oidc:alice", Some(SubjectKind::User)),
            ("System:admin", Some(SubjectKind::User)),
            (ROBOT, Some(SubjectKind::ServiceAccount)),
            ("system:serviceaccount:a:b.c", Some(SubjectKind::ServiceAccount)),
            ("", None),
            ("system:", None),
            ("system:admin", None),
            ("system:node:a", None),
            ("system:serviceaccounts:a", None),
            ("system:serviceaccount:a", None),
            ("system:serviceaccount:a:", None),
            ("system:serviceaccount::b", None),
            ("system:serviceaccount:a.b:c", None),
            ("system:serviceaccount:a:b:c", None),
            ("system:serviceaccount:A:b", None),
            ("system:serviceaccount:a:-b", None),
        ];
        for (user, kind) in rows {
            assert_eq!(SubjectKind::of(user), kind, "{user}");
        }
    }

    #[test]
    fn a_service_account_owns_what_no_person_consents_to() {
        let methods = [
            (None, false, true),
            (Some(Method::AuthorizationCode), false, false),
            (Some(Method::DeviceCode), false, false),
            (Some(Method::LinkSession), false, false),
            (Some(Method::RefreshToken), false, true),
            (Some(Method::ClientCredentials), true, true),
            (Some(Method::JwtBearer), true, true),
            (Some(Method::ApiKey), false, true),
            (Some(Method::BasicAuth), false, true),
        ];
        for (method, alone, with_credentials) in methods {
            assert_eq!(may_own(ROBOT, method, false), alone, "{method:?}");
            assert_eq!(may_own(ROBOT, method, true), with_credentials, "{method:?} with credentials");
            assert!(!may_own("alice", Some(Method::TokenExchange), false), "she has no token to exchange");
            assert_eq!(service_account(ROBOT), Some(("team-a", "billing")));
            assert_eq!(
                (service_account("alice"), service_account("system:serviceaccount:a:b:c")),
                (None, None)
            );
            for has_credentials in [false, true] {
                assert!(may_own("alice", method, has_credentials), "{method:?}");
                assert!(!may_own("system:admin", method, has_credentials), "{method:?}");
                assert!(!may_own("", method, has_credentials), "{method:?}");
            }
        }
    }
}
