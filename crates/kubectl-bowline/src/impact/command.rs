//! `impact`: what depends on a connection, before anybody removes it.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{AffectedSecret, Impact, gather};
use crate::output;
use crate::related::hidden;
use crate::table::{Cell, Table};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;

const EXAMPLES: &str = "Examples:
  kubectl bowline impact github-work          who loses the token with it
  kubectl bowline impact github-work -o json  the same for scripts

Lists each Secret of the connection, also where it is shared, and the pods,
Deployments, StatefulSets and CronJobs that name it in env, envFrom or volumes.
Looks with your own rights and says where you may not; changes nothing.
disconnect and unshare list the same before they change anything.";

const HEADING: &[&str] = &["NAMESPACE", "SECRET", "WORKSPACE", "KIND", "NAME", "BY"];

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
        let workspace = place.workspace.as_deref().unwrap_or_default();
        let row = |kind: &str, user: &str, by: &str| {
            [&place.namespace, &place.name, workspace, kind, user, by].map(Cell::new).into()
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
    if impact.secrets.is_empty() && !impact.hidden {
        remarks.push("No Secret is published, so no workload loses one.".to_owned());
    }
    for secret in impact.secrets.iter().filter(|secret| !secret.not_listed.is_empty()) {
        let (kinds, namespace) = (secret.not_listed.join(", "), &secret.place.namespace);
        remarks.push(format!("You may not list {kinds} in {namespace}: more may use it there."));
    }
    if impact.hidden {
        remarks.push(Cell::new(format!("It is published {} too.", hidden(connection))).text);
    }
    remarks
}

/// The answer for programs; `complete` says whether the user might list everything that was looked for.
fn report(connection: &IntegrationConnection, impact: &Impact) -> Value {
    json!({
        "connection": connection.id(),
        "secrets": impact.secrets,
        "complete": !impact.hidden && impact.secrets.iter().all(|secret| secret.not_listed.is_empty()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Via, Workload};
    use super::*;
    use crate::related::SecretPlace;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice", "workspace": "marketing", "shared": true}}))
        .unwrap()
    }

    fn impact() -> Impact {
        let secret = |namespace: &str, name: &str, workspace: Option<&str>| AffectedSecret {
            place: SecretPlace {
                namespace: namespace.into(),
                name: name.into(),
                is_written: true,
                workspace: workspace.map(Into::into),
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
        Impact { secrets: vec![here, there], hidden: false }
    }

    #[test]
    fn each_user_is_a_row_and_a_secret_without_one_too() {
        let text = Table::fit(HEADING, &rows(&impact()), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["team-a", "github", "<none>", "Deployment", "web", "env,", "volume"]);
        assert_eq!(lines[2], ["jobs", "team-a.github", "marketing", "<none>", "<none>", "<none>"]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn what_may_not_be_seen_is_said() {
        let mut impact = impact();
        assert_eq!(
            remarks(&connection(), &impact),
            ["You may not list Pods in jobs: more may use it there."]
        );
        impact.hidden = true;
        assert!(remarks(&connection(), &impact)[1].contains("workspace marketing"));
        let none = Impact { secrets: Vec::new(), hidden: false };
        assert_eq!(remarks(&connection(), &none), ["No Secret is published, so no workload loses one."]);
    }

    #[test]
    fn programs_are_told_whether_that_is_all() {
        assert_eq!(
            report(&connection(), &impact()),
            json!({"connection": "team-a.github", "complete": false, "secrets": [
                {"namespace": "team-a", "name": "github", "notListed": [],
                    "usedBy": [{"kind": "Deployment", "name": "web", "by": ["env", "volume"]}]},
                {"namespace": "jobs", "name": "team-a.github", "workspace": "marketing", "usedBy": [],
                    "notListed": ["Pods"]}]})
        );
    }
}
