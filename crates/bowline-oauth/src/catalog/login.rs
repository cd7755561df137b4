//! Where tools sign in with a token, a key or a password, and as whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where tools present the token, the key or the password as the password of HTTP Basic (RFC 7617): for the formats `Netrc`,
/// `GitCredentials` and `DockerConfigJson` of a published Secret. The operator sends nothing there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct Logins<U> {
    /// Git over HTTPS.
    pub git: Login<U>,
    /// The container registry.
    pub registry: Login<U>,
    /// An API or a repository of packages that takes Basic.
    pub http: Login<U>,
}

/// Where one kind of tool signs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[schemars(bound = "U: Default + JsonSchema")]
pub struct Login<U> {
    /// Address of the server. Absent means that such a tool cannot sign in.
    pub url: U,
    /// User name beside a token or a key. A user name and password have their own.
    pub username: Option<String>,
}

/// Where an entry has user names, which may have placeholders.
pub(super) const USERNAMES: [&str; 3] =
    ["/logins/git/username", "/logins/registry/username", "/logins/http/username"];

/// Whether the address at this place of a description is one at which tools sign in, and we do not.
pub(crate) fn is_of_logins(place: &str) -> bool {
    place.starts_with("/logins/")
}

/// A user name that is empty, or has a colon or a control character (RFC 7617 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logins.{0}.username: HTTP Basic cannot carry it")]
pub(crate) struct LoginFlaw(&'static str);

impl<U> Logins<U> {
    /// All of them, with their names in an entry.
    pub fn named(&self) -> [(&'static str, &Login<U>); 3] {
        [("git", &self.git), ("registry", &self.registry), ("http", &self.http)]
    }

    pub(super) fn usernames(&self) -> impl Iterator<Item = &String> {
        self.named().into_iter().filter_map(|(_, login)| login.username.as_ref())
    }

    /// Refuses user names that HTTP Basic cannot carry.
    pub(super) fn check(&self) -> Result<(), LoginFlaw> {
        let is_bad = |name: &str| name.is_empty() || name.contains(':') || name.chars().any(char::is_control);
        let bad = self.named().into_iter().find(|(_, login)| login.username.as_deref().is_some_and(is_bad));
        bad.map_or(Ok(()), |(name, _)| Err(LoginFlaw(name)))
    }
}
