//! Who is affected when a connection's Secrets are removed: by namespace, as far as the caller may look.

mod command;
mod references;

use std::fmt::Write as _;

use futures::try_join;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

pub(crate) use command::ImpactArgs;
pub(crate) use references::{Via, references};

use crate::age::relative;
use crate::reading::{Readable, seen};
use crate::related::{SecretPlace, hidden, published, shares_of};
use crate::session::UserSession;
use crate::table::Cell;
use bowline_api::{ConnectionShare, IntegrationConnection};

/// How many workloads of a namespace are named.
const NAMED: usize = 12;

/// Everything that loses the token.
pub(crate) struct Impact {
    pub(crate) secrets: Vec<AffectedSecret>,
    /// Whether it is shared with namespaces that the caller may not list.
    pub(crate) hidden: bool,
}

/// One Secret and who uses it.
#[derive(Debug, PartialEq)]
pub(crate) struct AffectedSecret {
    pub(crate) place: SecretPlace,
    /// Its name, or the one it will have.
    pub(crate) name: String,
    /// Workloads that reference the Secret, by kind, name and way.
    pub(crate) users: Vec<Workload>,
    /// Kinds that the caller may not list there.
    pub(crate) unseen: Vec<&'static str>,
}

/// A workload that references a Secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) via: Via,
}

/// Looks for everything that uses the connection: where it is shared, and in its own namespace if `own`.
pub(crate) async fn gather(
    session: &UserSession,
    connection: &IntegrationConnection,
    own: bool,
) -> anyhow::Result<Impact> {
    let (shares, hidden) = match shares_of(session, connection).await? {
        Readable::Yes(shares) => (shares, false),
        Readable::MayNot => (Vec::new(), true),
    };
    let mut impact = Impact { secrets: affected(connection, &shares, own), hidden };
    for secret in &mut impact.secrets {
        look(session, secret).await?;
    }
    Ok(impact)
}

fn affected(
    connection: &IntegrationConnection,
    shares: &[ConnectionShare],
    own: bool,
) -> Vec<AffectedSecret> {
    let places = published(connection, shares).into_iter().filter(|place| own || place.workspace.is_some());
    let secret = |place: SecretPlace| AffectedSecret {
        // A share's Secret is named by the connection's id.
        name: place.name.clone().unwrap_or_else(|| connection.id()),
        place,
        users: Vec::new(),
        unseen: Vec::new(),
    };
    places.map(secret).collect()
}

async fn look(session: &UserSession, affected: &mut AffectedSecret) -> anyhow::Result<()> {
    let deployment = |it: &Deployment| it.spec.as_ref().and_then(|spec| spec.template.spec.clone());
    let stateful = |it: &StatefulSet| it.spec.as_ref().and_then(|spec| spec.template.spec.clone());
    let cron = |it: &CronJob| {
        it.spec.as_ref().and_then(|spec| spec.job_template.spec.as_ref()?.template.spec.clone())
    };
    let (here, secret) = (&affected.place.namespace, &affected.name);
    let found = try_join!(
        users(session, here, secret, "Deployment", deployment),
        users(session, here, secret, "StatefulSet", stateful),
        users(session, here, secret, "CronJob", cron),
        users(session, here, secret, "Pod", |it: &Pod| it.spec.clone()),
    )?;
    for (kind, seen) in
        [("Deployments", found.0), ("StatefulSets", found.1), ("CronJobs", found.2), ("Pods", found.3)]
    {
        match seen {
            Readable::Yes(users) => affected.users.extend(users),
            Readable::MayNot => affected.unseen.push(kind),
        }
    }
    Ok(())
}

async fn users<K>(
    session: &UserSession,
    namespace: &str,
    secret: &str,
    kind: &'static str,
    pod: impl Fn(&K) -> Option<PodSpec>,
) -> anyhow::Result<Readable<Vec<Workload>>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let all: Readable<Vec<K>> = seen(session.within(namespace).await)?;
    let user = |object: &K| {
        let via = references(&pod(object)?).remove(secret)?;
        Some(Workload { kind, name: object.name_any(), via })
    };
    Ok(all.map(|all| all.iter().filter_map(user).collect()))
}

impl Impact {
    /// Whether anybody beyond the connection's own namespace loses the token.
    pub(crate) fn reaches_others(&self) -> bool {
        self.hidden || self.secrets.iter().any(|secret| secret.place.workspace.is_some())
    }

    /// In words: what goes, and who uses it.
    pub(crate) fn render(&self, connection: &IntegrationConnection, now: Timestamp) -> String {
        if self.secrets.is_empty() && !self.hidden {
            return "No Secret is published, so no workload loses one.\n".to_owned();
        }
        let mut text = "These Secrets are removed:\n".to_owned();
        text.extend(self.secrets.iter().map(AffectedSecret::lines));
        if self.hidden {
            let _ = writeln!(text, "  {}", Cell::new(hidden(connection)).text);
        }
        if let Some(at) = connection.token_expires_at().filter(|at| *at > now) {
            let _ = writeln!(
                text,
                "Running pods keep the token they have read; it expires {} unless the provider ends it sooner.",
                relative(&Time(at), now)
            );
        }
        text
    }
}

impl AffectedSecret {
    fn lines(&self) -> String {
        let mut text = format!("  {}\n", self.place);
        for Workload { kind, name, via } in self.users.iter().take(NAMED) {
            let _ = writeln!(text, "    {kind} {name}, by {via}");
        }
        if let Some(more) = self.users.len().checked_sub(NAMED).filter(|more| *more > 0) {
            let _ = writeln!(text, "    and {more} more");
        }
        if !self.unseen.is_empty() {
            let _ = writeln!(text, "    you may not list {} there", self.unseen.join(", "));
        } else if self.users.is_empty() {
            text.push_str("    no pod, Deployment, StatefulSet or CronJob there names it\n");
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice", "workspace": "marketing", "shared": true},
            "status": {"token": {"expiresAt": "2026-01-01T00:30:00Z"},
                "secret": {"name": "github"}},
        }))
        .unwrap()
    }

    fn share() -> ConnectionShare {
        serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing"},
            "status": {"secretName": "team-a.github"}}))
        .unwrap()
    }

    #[test]
    fn what_is_removed_is_listed_by_namespace_with_who_uses_it() {
        let mut impact = Impact { secrets: affected(&connection(), &[share()], true), hidden: false };
        let mut via = Via::default();
        via.env.insert("app".into());
        impact.secrets[0].users.push(Workload { kind: "Deployment", name: "web".into(), via });
        impact.secrets[1].unseen = vec!["CronJobs", "Pods"];
        assert!(impact.reaches_others());
        assert_eq!(
            impact.render(&connection(), "2026-01-01T00:20:00Z".parse().unwrap()),
            "These Secrets are removed:\n  team-a: Secret github\n    Deployment web, by env\n\
             \x20 jobs: Secret team-a.github (workspace marketing)\n    you may not list CronJobs, Pods there\n\
             Running pods keep the token they have read; it expires in 10m unless the provider ends it sooner.\n"
        );
    }

    #[test]
    fn unsharing_affects_nobody_at_home() {
        let impact = Impact { secrets: affected(&connection(), &[share()], false), hidden: false };
        let namespaces: Vec<_> = impact.secrets.iter().map(|it| it.place.namespace.as_str()).collect();
        assert_eq!(namespaces, ["jobs"]);
    }

    #[test]
    fn what_may_not_be_seen_counts_as_others() {
        let alone = Impact { secrets: affected(&connection(), &[], true), hidden: false };
        let hidden = Impact { secrets: affected(&connection(), &[], true), hidden: true };
        assert!(!alone.reaches_others() && hidden.reaches_others());
        let text = hidden.render(&connection(), Timestamp::UNIX_EPOCH);
        assert!(
            text.contains("in namespaces of workspace marketing whose shares you may not list"),
            "{text}"
        );
    }
}
