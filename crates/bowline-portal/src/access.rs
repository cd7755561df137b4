//! Asks the API server what a user may do (`SubjectAccessReview`), with all their groups.
//!
//! For a page an answer is cached for some seconds; for a change it is always requested again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_api::names::GROUP;
use bowline_api::opaque::Digest;
use bowline_runtime::clock::Clock;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::error::{PageError, answered};
use crate::session::Session;
use crate::view::key_of;

const CACHED_SECONDS: i64 = 5;
const REMEMBERED: usize = 100_000;

/// What a user may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission<'a> {
    /// A verb of Kubernetes, or `connect`, `share`, `assign-owner`.
    verb: &'a str,
    resource: &'a str,
    /// Empty: all namespaces, or a cluster-scoped kind.
    namespace: &'a str,
    /// Empty: all objects.
    name: &'a str,
}

impl Permission<'static> {
    /// Seeing the state of all providers.
    pub(crate) const PROVIDERS: Self =
        Self { verb: "list", resource: "integrationproviders", namespace: "", name: "" };
}

impl<'a> Permission<'a> {
    /// One connection, those of a namespace, or all.
    pub(crate) fn connection(verb: &'a str, namespace: &'a str, name: &'a str) -> Self {
        Self { verb, resource: "integrationconnections", namespace, name }
    }

    pub(crate) fn about(verb: &'a str, connection: &'a ObjectMeta) -> Self {
        let (namespace, name) = key_of(connection);
        Self::connection(verb, namespace, name)
    }

    /// Seeing a workspace.
    pub(crate) fn workspace(name: &'a str) -> Self {
        Self { verb: "get", resource: "workspaces", namespace: "", name }
    }

    /// Seeing the bindings of a namespace.
    pub(crate) fn bindings(namespace: &'a str) -> Self {
        Self { verb: "list", resource: "connectionbindings", namespace, name: "" }
    }

    fn attributes(&self) -> ResourceAttributes {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: filled(self.resource),
            verb: filled(self.verb),
            namespace: filled(self.namespace),
            name: filled(self.name),
            ..ResourceAttributes::default()
        }
    }

    /// Under which the answer for a session is cached. No part but the last, the name, can contain a slash.
    fn cache_key(&self, session: &Session) -> Digest {
        let Self { verb, resource, namespace, name } = self;
        Digest::of(&format!("{}/{verb}/{resource}/{namespace}/{name}", session.digest().as_str()))
    }
}

pub(crate) struct Access {
    reviews: Api<SubjectAccessReview>,
    clock: Clock,
    answers: Mutex<HashMap<Digest, (bool, Timestamp)>>,
}

impl Access {
    pub(crate) fn new(client: Client, clock: Clock) -> Self {
        Self { reviews: Api::all(client), clock, answers: Mutex::default() }
    }

    /// For a page: the answer may be some seconds old.
    pub(crate) async fn allows(
        &self,
        session: &Session,
        permission: Permission<'_>,
    ) -> Result<bool, PageError> {
        let key = permission.cache_key(session);
        let now = self.clock.now();
        let answer = self.answers().get(&key).copied();
        let is_fresh =
            |asked_at: Timestamp| (0..CACHED_SECONDS).contains(&(now.as_second() - asked_at.as_second()));
        if let Some((allowed, _)) = answer.filter(|(_, asked_at)| is_fresh(*asked_at)) {
            return Ok(allowed);
        }
        let allowed = self.allows_now(session, permission).await?;
        let mut answers = self.answers();
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(key, (allowed, now));
        Ok(allowed)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Digest, (bool, Timestamp)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a change: never cached.
    pub(crate) async fn allows_now(
        &self,
        session: &Session,
        permission: Permission<'_>,
    ) -> Result<bool, PageError> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(session.user().to_owned()),
                groups: Some(session.groups.clone()),
                uid: session.uid.clone(),
                extra: Some(session.extra.clone()).filter(|extra| !extra.is_empty()),
                resource_attributes: Some(permission.attributes()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = answered(self.reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed && !status.denied.unwrap_or_default()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::session::Groups;

    #[test]
    fn no_two_permissions_and_no_two_sessions_share_a_cached_answer() {
        let session = || Session::begin("alice", Groups::Claimed(Vec::new()), Timestamp::UNIX_EPOCH).unwrap();
        let (one, other) = (session(), session());
        let mail = Permission::connection("get", "team-a", "mail");
        let key = mail.cache_key(&one);
        assert_eq!(key, mail.cache_key(&one));
        assert_ne!(key, mail.cache_key(&other));
        for permission in [
            Permission { verb: "delete", ..mail },
            Permission { resource: "workspaces", ..mail },
            Permission { namespace: "team-b", ..mail },
            Permission { name: "", ..mail },
        ] {
            assert_ne!(key, permission.cache_key(&one), "{permission:?}");
        }
    }
}
