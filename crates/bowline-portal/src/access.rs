//! Asks the API server what a user may do (`SubjectAccessReview`), with all their groups.
//!
//! For a page an answer is cached for some seconds; for a change it is always requested again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::names::GROUP;
use bowline_api::opaque::Digest;
use bowline_runtime::clock::Clock;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::failure::{Failure, answered};
use crate::session::Session;

const KEPT: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 100_000;
const AT_ONCE: usize = 16;

/// What to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question<'a> {
    /// A verb of Kubernetes, or `connect`, `share`, `assign-owner`.
    verb: &'a str,
    resource: &'a str,
    /// Empty: all namespaces, or a cluster-scoped kind.
    namespace: &'a str,
    /// Empty: all objects.
    name: &'a str,
}

impl Question<'static> {
    /// Seeing the state of all providers.
    pub(crate) const PROVIDERS: Self =
        Self { verb: "list", resource: "integrationproviders", namespace: "", name: "" };
}

impl<'a> Question<'a> {
    /// One connection, those of a namespace, or all.
    pub(crate) fn connection(verb: &'a str, namespace: &'a str, name: &'a str) -> Self {
        Self { verb, resource: "integrationconnections", namespace, name }
    }

    pub(crate) fn about(verb: &'a str, connection: &'a IntegrationConnection) -> Self {
        let ObjectMeta { namespace, name, .. } = &connection.metadata;
        Self::connection(verb, namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
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
    pub(crate) async fn allows(&self, session: &Session, question: Question<'_>) -> Result<bool, Failure> {
        let (key, now) = (Digest::of(&question.key(session)), self.clock.now());
        if let Some(allowed) = self.remembered(&key, now) {
            return Ok(allowed);
        }
        let allowed = self.allows_now(session, question).await?;
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
        question: Question<'_>,
    ) -> Result<bool, Failure> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(session.user().to_owned()),
                groups: Some(session.groups().to_vec()),
                resource_attributes: Some(question.attributes()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = answered(self.reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed && !status.denied.unwrap_or_default()))
    }

    /// Those of `of` that the user may, in the same order.
    pub(crate) async fn filter<T>(
        &self,
        session: &Session,
        of: impl IntoIterator<Item = T>,
        question: impl for<'a> Fn(&'a T) -> Question<'a>,
    ) -> Result<Vec<T>, Failure> {
        let question = &question;
        let asked = stream::iter(of).map(async |item| {
            let allowed = self.allows(session, question(&item)).await?;
            Ok::<_, Failure>(allowed.then_some(item))
        });
        let answers: Vec<Result<Option<T>, Failure>> = asked.buffered(AT_ONCE).collect().await;
        answers.into_iter().filter_map(Result::transpose).collect()
    }

    fn remembered(&self, key: &Digest, now: Timestamp) -> Option<bool> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (allowed, asked_at) = kept.get(key)?;
        let age = now.as_second() - asked_at.as_second();
        u64::try_from(age).is_ok_and(|age| age < KEPT.as_secs()).then_some(*allowed)
    }
}
