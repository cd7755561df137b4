//! Who is hit when a connection's Secrets go: by namespace, as far as the caller may look.

mod command;
mod references;

use std::fmt::Write as _;

use futures::try_join;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

pub(super) use command::Args;
pub(super) use references::{Via, references};

use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection};

use super::age::relative;
use super::describe::shares;
use super::rights::{Seen, seen};
use super::session::Session;
use super::table::Cell;

/// How many workloads of a namespace are named.
const NAMED: usize = 12;

/// Everything that loses the token.
pub(super) struct Impact {
    pub places: Vec<Place>,
    /// Whether it is shared with places that the caller may not list.
    pub hidden: bool,
}

/// One Secret and who uses it.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub namespace: String,
    pub secret: String,
    /// The workspace by which it is there; none for the connection's own namespace.
    pub workspace: Option<String>,
    /// Workloads that reference the Secret, by kind, name and way.
    pub users: Vec<User>,
    /// Kinds that the caller may not list there.
    pub unseen: Vec<&'static str>,
}

/// A workload that references a Secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub kind: &'static str,
    pub name: String,
    pub via: Via,
}

/// Looks for everything that uses the connection: where it is shared, and in its own namespace if `own`.
pub(super) async fn gather(
    session: &Session,
    connection: &IntegrationConnection,
    own: bool,
) -> anyhow::Result<Impact> {
    let (shares, hidden) = match shares(session, connection).await? {
        Seen::Yes(shares) => (shares, false),
        Seen::MayNot => (Vec::new(), true),
    };
    let mut impact = Impact { places: places(connection, &shares, own), hidden };
    for place in &mut impact.places {
        look(session, place).await?;
    }
    Ok(impact)
}

fn places(connection: &IntegrationConnection, shares: &[ConnectionShare], own: bool) -> Vec<Place> {
    let place = |namespace: Option<String>, secret: String, workspace| Place {
        namespace: namespace.unwrap_or_default(),
        secret,
        workspace,
        users: Vec::new(),
        unseen: Vec::new(),
    };
    let published = connection.status.as_ref().and_then(|status| status.secret.as_ref());
    let own =
        published.filter(|_| own).map(|secret| place(connection.namespace(), secret.name.clone(), None));
    let elsewhere = shares.iter().map(|share| {
        let of = &share.spec.connection;
        let secret = share.status.as_ref().and_then(|status| status.secret_name.clone());
        let secret = secret.unwrap_or_else(|| connection_id(&of.namespace, &of.name));
        place(share.namespace(), secret, Some(share.spec.workspace.clone()))
    });
    own.into_iter().chain(elsewhere).collect()
}

async fn look(session: &Session, place: &mut Place) -> anyhow::Result<()> {
    let deployment = |it: &Deployment| it.spec.as_ref().and_then(|spec| spec.template.spec.clone());
    let stateful = |it: &StatefulSet| it.spec.as_ref().and_then(|spec| spec.template.spec.clone());
    let cron = |it: &CronJob| {
        it.spec.as_ref().and_then(|spec| spec.job_template.spec.as_ref()?.template.spec.clone())
    };
    let (here, secret) = (&place.namespace, &place.secret);
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
            Seen::Yes(users) => place.users.extend(users),
            Seen::MayNot => place.unseen.push(kind),
        }
    }
    Ok(())
}

async fn users<K>(
    session: &Session,
    namespace: &str,
    secret: &str,
    kind: &'static str,
    pod: impl Fn(&K) -> Option<PodSpec>,
) -> anyhow::Result<Seen<Vec<User>>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(session.client.clone(), namespace);
    let Seen::Yes(all) = seen(api.list(&ListParams::default()).await)? else { return Ok(Seen::MayNot) };
    let user = |object: &K| {
        let via = references(&pod(object)?).remove(secret)?;
        Some(User { kind, name: object.name_any(), via })
    };
    Ok(Seen::Yes(all.iter().filter_map(user).collect()))
}

impl Impact {
    /// Whether anybody beyond the connection's own namespace loses the token.
    pub fn reaches_others(&self) -> bool {
        self.hidden || self.places.iter().any(|place| place.workspace.is_some())
    }

    /// In words: what goes, and who uses it.
    pub fn render(&self, connection: &IntegrationConnection, now: Timestamp) -> String {
        let mut text = String::new();
        if self.places.is_empty() && !self.hidden {
            text.push_str("No Secret is published, so no workload loses one.\n");
            return text;
        }
        text.push_str("These Secrets are removed:\n");
        for place in &self.places {
            text.push_str(&place.lines());
        }
        if self.hidden {
            let workspace = connection.spec.workspace.as_deref().unwrap_or_default();
            let workspace = Cell::new(workspace).text;
            let _ = writeln!(
                text,
                "  and those in namespaces of workspace {workspace}, whose shares you may not list"
            );
        }
        let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
        if let Some(end) = token.and_then(|token| token.expires_at.as_ref()).filter(|end| end.0 > now) {
            let _ = writeln!(
                text,
                "Running pods keep the token they have read; it ends {} unless the provider ends it sooner.",
                relative(end, now)
            );
        }
        text
    }
}

impl Place {
    fn lines(&self) -> String {
        let workspace =
            self.workspace.as_ref().map(|name| format!(" (workspace {name})")).unwrap_or_default();
        let mut text = format!("  {}: Secret {}{workspace}\n", self.namespace, self.secret);
        for User { kind, name, via } in self.users.iter().take(NAMED) {
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
                "secret": {"name": "github", "uid": "u", "resourceVersion": "1", "revision": 1}},
        }))
        .unwrap()
    }

    fn share() -> ConnectionShare {
        serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing",
                "provider": "github", "owner": "alice"}}))
        .unwrap()
    }

    #[test]
    fn what_goes_is_told_by_namespace_with_who_uses_it() {
        let mut impact = Impact { places: places(&connection(), &[share()], true), hidden: false };
        let mut via = Via::default();
        via.env.insert("app".into());
        impact.places[0].users.push(User { kind: "Deployment", name: "web".into(), via });
        impact.places[1].unseen = vec!["CronJobs", "Pods"];
        assert!(impact.reaches_others());
        assert_eq!(
            impact.render(&connection(), "2026-01-01T00:20:00Z".parse().unwrap()),
            "These Secrets are removed:\n  team-a: Secret github\n    Deployment web, by env\n\
             \x20 jobs: Secret team-a.github (workspace marketing)\n    you may not list CronJobs, Pods there\n\
             Running pods keep the token they have read; it ends in 10m unless the provider ends it sooner.\n"
        );
    }

    #[test]
    fn unsharing_hits_nobody_at_home() {
        let impact = Impact { places: places(&connection(), &[share()], false), hidden: false };
        let namespaces: Vec<_> = impact.places.iter().map(|place| place.namespace.as_str()).collect();
        assert_eq!(namespaces, ["jobs"]);
    }

    #[test]
    fn what_may_not_be_seen_counts_as_others() {
        let alone = Impact { places: places(&connection(), &[], true), hidden: false };
        let hidden = Impact { places: places(&connection(), &[], true), hidden: true };
        assert!(!alone.reaches_others() && hidden.reaches_others());
        let text = hidden.render(&connection(), Timestamp::UNIX_EPOCH);
        assert!(text.contains("workspace marketing, whose shares you may not list"), "{text}");
    }
}
