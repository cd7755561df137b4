//! Asks the API server what a user may do (`SubjectAccessReview`), with all their groups.
//!
//! For a page an answer is cached for some seconds; for a change it is always requested again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

const KEPT: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 100_000;

/// What a user may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    fn key(&self, session: &Session) -> String {
        let Self { verb, resource, namespace, name } = self;
        format!("{}/{verb}/{resource}/{namespace}/{name}", session.digest().as_str())
    }
}

pub(crate) struct Access {
    reviews: Api<SubjectAccessReview>,
    clock: Clock,
    kept: Mutex<HashMap<Digest, (bool, Timestamp)>>,
}

impl Access {
    pub(crate) fn new(client: Client, clock: Clock) -> Self {
        Self { reviews: Api::all(client), clock, kept: Mutex::default() }
    }

    /// For a page: the answer may be some seconds old.
    pub(crate) async fn allows(
        &self,
        session: &Session,
        permission: Permission<'_>,
    ) -> Result<bool, PageError> {
        let (key, now) = (Digest::of(&permission.key(session)), self.clock.now());
        if let Some(allowed) = self.remembered(&key, now) {
            return Ok(allowed);
        }
        let allowed = self.allows_now(session, permission).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REMEMBERED {
            kept.clear();
        }
        kept.insert(key, (allowed, now));
        Ok(allowed)
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
                groups: Some(session.groups().to_vec()),
                resource_attributes: Some(permission.attributes()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = answered(self.reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed && !status.denied.unwrap_or_default()))
    }

    fn remembered(&self, key: &Digest, now: Timestamp) -> Option<bool> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (allowed, asked_at) = kept.get(key)?;
        let age = now.as_second() - asked_at.as_second();
        u64::try_from(age).is_ok_and(|age| age < KEPT.as_secs()).then_some(*allowed)
    }
}
