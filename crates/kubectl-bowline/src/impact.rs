//! `impact`: who is affected when a connection's Secrets are removed, by namespace, as far as the caller may look.

mod bindings;
mod references;

use std::fmt::Write as _;

use clap::ValueEnum;
use futures::try_join;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use bindings::UnseenBindings;
pub(crate) use references::{Via, references};

use crate::age::relative;
use crate::output;
use crate::reading::Readable;
use crate::related::{SecretPlace, hidden, published, shares_of};
use crate::session::Namespaced;
use crate::table::{Cell, Table, printable};
use crate::{Screen, UserSession};
use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection};

const EXAMPLES: &str = "Examples:
  kubectl bowline impact github-work          who loses the token with it
  kubectl bowline impact github-work -o json  the same for scripts

Lists each Secret of the connection, also where it is shared and those of
bindings, and the pods, Deployments, StatefulSets and CronJobs that name it in
env, envFrom or volumes. Looks with your own rights and says where you may
not; changes nothing.
disconnect and unshare list the same before they change anything.";

const HEADING: &[&str] = &["NAMESPACE", "SECRET", "WORKSPACE", "BINDING", "KIND", "NAME", "BY"];

/// List who loses the token when a connection is removed
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImpactArgs {
    /// The connection
    name: String,
    /// Another format than the table
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<ReportFormat>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum ReportFormat {
    /// As JSON
    Json,
    /// As YAML
    Yaml,
}

impl ImpactArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        let impact = gather(session, &connection, true).await?;
        match self.output {
            Some(ReportFormat::Json) => screen.result(&output::json(&report(&connection, &impact))?)?,
            Some(ReportFormat::Yaml) => screen.result(&output::yaml(&report(&connection, &impact))?)?,
            None => {
                if !impact.secrets.is_empty() {
                    screen.result(&Table::fit(HEADING, &rows(&impact), screen.colours()).1)?;
                }
                for remark in remarks(&connection, &impact) {
                    screen.progress(&remark);
                }
            }
        }
        Ok(())
    }
}

fn rows(impact: &Impact) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for AffectedSecret { place, used_by, .. } in &impact.secrets {
        let [workspace, binding] =
            [&place.workspace, &place.binding].map(|it| it.as_deref().unwrap_or_default());
        let row = |kind: &str, user: &str, by: &str| {
            [&place.namespace, &place.name, workspace, binding, kind, user, by].map(Cell::new).into()
        };
        rows.extend(used_by.iter().map(|user| row(&user.kind, &user.name, &user.via.to_string())));
        if used_by.is_empty() {
            rows.push(row("", "", ""));
        }
    }
    rows
}

/// What the table cannot show.
fn remarks(connection: &IntegrationConnection, impact: &Impact) -> Vec<String> {
    let mut remarks = Vec::new();
    if impact.is_empty() {
        remarks.push("No Secret is published, so no workload loses one.".to_owned());
    }
    for secret in impact.secrets.iter().filter(|secret| !secret.not_listed.is_empty()) {
        let (kinds, namespace) = (secret.not_listed.join(", "), &secret.place.namespace);
        remarks.push(format!("You may not list {kinds} in {namespace}: more may use it there."));
    }
    if impact.hidden {
        remarks.push(printable(format!("It is published {} too.", hidden(connection))));
    }
    if !impact.unseen.is_empty() {
        remarks.push(format!("It is used by {}.", impact.unseen));
    }
    remarks
}

/// The answer for programs; `complete` says whether the user may list everything that was searched.
fn report(connection: &IntegrationConnection, impact: &Impact) -> Value {
    json!({
        "connection": connection.id(),
        "secrets": impact.secrets,
        "unseenBindings": impact.unseen,
        "complete": !impact.hidden && impact.unseen.is_empty() && impact.secrets.iter().all(|secret| secret.not_listed.is_empty()),
    })
}

/// How many workloads of a namespace are listed.
const NAMED: usize = 12;

pub(crate) struct Impact {
    pub(crate) secrets: Vec<AffectedSecret>,
    /// Whether it is shared with namespaces that the caller may not list.
    pub(crate) hidden: bool,
    /// Bindings that use it and that the caller may not list.
    pub(crate) unseen: UnseenBindings,
}

#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AffectedSecret {
    #[serde(flatten)]
    pub(crate) place: SecretPlace,
    pub(crate) used_by: Vec<Workload>,
    /// Kinds that the caller may not list there.
    pub(crate) not_listed: Vec<String>,
}

#[derive(Serialize, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(rename = "by")]
    pub(crate) via: Via,
}

/// Searches for everything that uses the connection: where it is shared, and in its own namespace if `own`.
pub(crate) async fn gather(
    session: &UserSession,
    connection: &IntegrationConnection,
    own: bool,
) -> anyhow::Result<Impact> {
    let shares = shares_of(session, connection).await?;
    let known = shares.as_deref().unwrap_or_default();
    let bindings = bindings::of(session, connection, known).await?;
    let mut impact = Impact {
        secrets: affected(connection, known, &bindings, own),
        hidden: shares.is_err(),
        unseen: UnseenBindings::of(connection, &bindings, own),
    };
    for secret in &mut impact.secrets {
        look(session, secret).await?;
    }
    Ok(impact)
}

fn affected(
    connection: &IntegrationConnection,
    shares: &[ConnectionShare],
    bindings: &[ConnectionBinding],
    own: bool,
) -> Vec<AffectedSecret> {
    let of_bindings = bindings.iter().map(|binding| bindings::place(binding, shares));
    let places = published(connection, shares).into_iter().chain(of_bindings);
    let places = places.filter(|place| own || place.workspace.is_some());
    places.map(|place| AffectedSecret { place, used_by: Vec::new(), not_listed: Vec::new() }).collect()
}

async fn look(session: &UserSession, secret: &mut AffectedSecret) -> anyhow::Result<()> {
    let place = &secret.place;
    let found = try_join!(
        users(session, place, |it: &Deployment| it.spec.as_ref()?.template.spec.clone()),
        users(session, place, |it: &StatefulSet| it.spec.as_ref()?.template.spec.clone()),
        users(session, place, |it: &CronJob| {
            it.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.clone()
        }),
        users(session, place, |it: &Pod| it.spec.clone()),
    )?;
    let (deployments, sets, jobs, pods) = found;
    let by_kind = [("Deployments", deployments), ("StatefulSets", sets), ("CronJobs", jobs), ("Pods", pods)];
    for (kind, users) in by_kind {
        match users {
            Ok(users) => secret.used_by.extend(users),
            Err(_) => secret.not_listed.push(kind.to_owned()),
        }
    }
    Ok(())
}

/// The workloads of one kind that use the Secret, if the caller may list them.
async fn users<K: Namespaced>(
    session: &UserSession,
    place: &SecretPlace,
    pod: impl Fn(&K) -> Option<PodSpec>,
) -> anyhow::Result<Readable<Vec<Workload>>> {
    let user = |object: &K| {
        let via = references(&pod(object)?).remove(&place.name)?;
        Some(Workload { kind: K::kind(&()).into_owned(), name: object.name_any(), via })
    };
    let all = session.within::<K>(&place.namespace).await?;
    Ok(all.map(|all| all.iter().filter_map(user).collect()))
}

impl Impact {
    fn is_empty(&self) -> bool {
        self.secrets.is_empty() && !self.hidden && self.unseen.is_empty()
    }

    /// Whether anybody outside the connection's own namespace loses the token, or a workflow that has bound it.
    pub(crate) fn reaches_others(&self) -> bool {
        let is_others = |place: &SecretPlace| place.workspace.is_some() || place.binding.is_some();
        self.hidden || !self.unseen.is_empty() || self.secrets.iter().any(|secret| is_others(&secret.place))
    }

    /// In words: what is removed, and who uses it.
    pub(crate) fn render(&self, connection: &IntegrationConnection, now: Timestamp) -> String {
        if self.is_empty() {
            return "No Secret is published, so no workload loses one.\n".to_owned();
        }
        let mut text = "These Secrets are removed:\n".to_owned();
        text.extend(self.secrets.iter().map(AffectedSecret::lines));
        if self.hidden {
            let _ = writeln!(text, "  {}", printable(hidden(connection)));
        }
        if !self.unseen.is_empty() {
            let _ = writeln!(text, "  of {}", self.unseen);
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
        for Workload { kind, name, via } in self.used_by.iter().take(NAMED) {
            let _ = writeln!(text, "    {kind} {name}, by {via}");
        }
        if self.used_by.len() > NAMED {
            let _ = writeln!(text, "    and {} more", self.used_by.len() - NAMED);
        }
        if !self.not_listed.is_empty() {
            let _ = writeln!(text, "    you may not list {} there", self.not_listed.join(", "));
        } else if self.used_by.is_empty() {
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
        let mut impact = Impact {
            secrets: affected(&connection(), &[share()], &[], true),
            hidden: false,
            unseen: UnseenBindings::default(),
        };
        let mut via = Via::default();
        via.env.insert("app".into());
        impact.secrets[0].used_by.push(Workload { kind: "Deployment".into(), name: "web".into(), via });
        impact.secrets[1].not_listed = vec!["CronJobs".into(), "Pods".into()];
        assert!(impact.reaches_others());
        assert_eq!(
            impact.render(&connection(), "2026-01-01T00:20:00Z".parse().unwrap()),
            "These Secrets are removed:\n  team-a: Secret github\n    Deployment web, by env\n\
             \x20 jobs: Secret team-a.github (workspace marketing)\n    you may not list CronJobs, Pods there\n\
             Running pods keep the token they have read; it expires in 10m unless the provider ends it sooner.\n"
        );
    }

    #[test]
    fn a_binding_loses_a_secret_of_its_own() {
        let binding = |namespace: &str| -> ConnectionBinding {
            serde_json::from_value(json!({"metadata": {"name": "post", "namespace": namespace},
                "spec": {"connection": "team-a.github"}, "status": {"secretName": "post"}}))
            .unwrap()
        };
        let both = [binding("team-a"), binding("jobs")];
        let of_both = |own| {
            let secrets = affected(&connection(), &[share()], &both, own);
            Impact { secrets, hidden: false, unseen: UnseenBindings::default() }
        };
        let text = of_both(true).render(&connection(), Timestamp::UNIX_EPOCH);
        for line in [
            "  team-a: Secret post (binding post)\n",
            "  jobs: Secret post (workspace marketing, binding post)\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let elsewhere = of_both(false).render(&connection(), Timestamp::UNIX_EPOCH);
        assert!(elsewhere.contains("jobs: Secret post (") && !elsewhere.contains("team-a: "), "{elsewhere}");
        let alone = affected(&connection(), &[], &both[..1], true);
        assert!(Impact { secrets: alone, hidden: false, unseen: UnseenBindings::default() }.reaches_others());
    }

    #[test]
    fn unsharing_affects_nobody_at_home() {
        let impact = Impact {
            secrets: affected(&connection(), &[share()], &[], false),
            hidden: false,
            unseen: UnseenBindings::default(),
        };
        let namespaces: Vec<_> = impact.secrets.iter().map(|it| it.place.namespace.as_str()).collect();
        assert_eq!(namespaces, ["jobs"]);
    }

    #[test]
    fn what_may_not_be_seen_counts_as_others() {
        let alone = Impact {
            secrets: affected(&connection(), &[], &[], true),
            hidden: false,
            unseen: UnseenBindings::default(),
        };
        let hidden = Impact {
            secrets: affected(&connection(), &[], &[], true),
            hidden: true,
            unseen: UnseenBindings::default(),
        };
        assert!(!alone.reaches_others() && hidden.reaches_others());
        let text = hidden.render(&connection(), Timestamp::UNIX_EPOCH);
        assert!(
            text.contains("in namespaces of workspace marketing whose shares you may not list"),
            "{text}"
        );
    }

    fn of_both_namespaces() -> Impact {
        let secret = |namespace: &str, name: &str, workspace: Option<&str>| AffectedSecret {
            place: SecretPlace {
                namespace: namespace.into(),
                name: name.into(),
                is_written: true,
                workspace: workspace.map(Into::into),
                binding: None,
            },
            used_by: Vec::new(),
            not_listed: Vec::new(),
        };
        let mut via = Via { volume: true, ..Via::default() };
        via.env.insert("app".into());
        let mut here = secret("team-a", "github", None);
        here.used_by.push(Workload { kind: "Deployment".into(), name: "web".into(), via });
        let mut there = secret("jobs", "team-a.github", Some("marketing"));
        there.not_listed = vec!["Pods".into()];
        Impact { secrets: vec![here, there], hidden: false, unseen: UnseenBindings::default() }
    }

    #[test]
    fn each_user_is_a_row_and_a_secret_without_one_too() {
        let text = Table::fit(HEADING, &rows(&of_both_namespaces()), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["team-a", "github", "<none>", "<none>", "Deployment", "web", "env,", "volume"]);
        assert_eq!(lines[2], ["jobs", "team-a.github", "marketing", "<none>", "<none>", "<none>", "<none>"]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn what_may_not_be_seen_is_said() {
        let mut impact = of_both_namespaces();
        assert_eq!(
            remarks(&connection(), &impact),
            ["You may not list Pods in jobs: more may use it there."]
        );
        impact.hidden = true;
        assert!(remarks(&connection(), &impact)[1].contains("workspace marketing"));
        let none = Impact { secrets: Vec::new(), hidden: false, unseen: UnseenBindings::default() };
        assert_eq!(remarks(&connection(), &none), ["No Secret is published, so no workload loses one."]);
    }

    #[test]
    fn programs_are_told_whether_that_is_all() {
        assert_eq!(
            report(&connection(), &of_both_namespaces()),
            json!({"connection": "team-a.github", "complete": false,
                "unseenBindings": {"names": [], "more": 0}, "secrets": [
                {"namespace": "team-a", "name": "github", "notListed": [],
                    "usedBy": [{"kind": "Deployment", "name": "web", "by": ["env", "volume"]}]},
                {"namespace": "jobs", "name": "team-a.github", "workspace": "marketing", "usedBy": [],
                    "notListed": ["Pods"]}]})
        );
    }
}
