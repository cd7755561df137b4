//! `impact`: what stands and falls with a connection, before anybody takes it away.

use bowline_api::IntegrationConnection;
use bowline_api::names::connection_id;
use clap::ValueEnum;
use kube::ResourceExt;
use serde::Serialize;

use super::super::output::{json, yaml};
use super::super::screen::Screen;
use super::super::session::Session;
use super::super::table::{Cell, Table};
use super::{Impact, Place, User, gather};

const EXAMPLES: &str = "Examples:
  kubectl bowline impact github-work          who loses the token with it
  kubectl bowline impact github-work -o json  the same for scripts

Lists each Secret of the connection, also where it is shared, and the pods,
Deployments, StatefulSets and CronJobs that name it in env, envFrom or volumes.
Looks with your own rights and says where you may not; changes nothing.
disconnect and unshare show the same before they ask.";

const HEADING: &[&str] = &["NAMESPACE", "SECRET", "WORKSPACE", "KIND", "NAME", "BY"];

/// Say who loses the token when a connection is taken away
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct Args {
    /// The connection
    name: String,
    /// Another form than the table
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As JSON
    Json,
    /// As YAML
    Yaml,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        let impact = gather(session, &connection, true).await?;
        match self.output {
            Some(Form::Json) => screen.result(&json(&report(&connection, &impact))?)?,
            Some(Form::Yaml) => screen.result(&yaml(&report(&connection, &impact))?)?,
            None => {
                if !impact.places.is_empty() {
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
    for place in &impact.places {
        let row = |kind: &str, name: &str, by: String| {
            let workspace = place.workspace.as_deref().unwrap_or_default();
            [&place.namespace, &place.secret, workspace, kind, name, &by].map(Cell::new).into()
        };
        rows.extend(place.users.iter().map(|user| row(user.kind, &user.name, user.via.to_string())));
        if place.users.is_empty() {
            rows.push(row("", "", String::new()));
        }
    }
    rows
}

/// What the table cannot show.
fn remarks(connection: &IntegrationConnection, impact: &Impact) -> Vec<String> {
    let mut remarks = Vec::new();
    if impact.places.is_empty() && !impact.hidden {
        remarks.push("No Secret is published, so no workload loses one.".to_owned());
    }
    for Place { namespace, unseen, .. } in impact.places.iter().filter(|place| !place.unseen.is_empty()) {
        remarks
            .push(format!("You may not list {} in {namespace}: more may use it there.", unseen.join(", ")));
    }
    if impact.hidden {
        let workspace = Cell::new(connection.spec.workspace.as_deref().unwrap_or_default()).text;
        remarks.push(format!(
            "It is shared with workspace {workspace} too, in namespaces whose shares you may not list."
        ));
    }
    remarks
}

/// The answer for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    connection: String,
    secrets: Vec<Published<'a>>,
    /// Whether the user might list everything that was looked for.
    complete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Published<'a> {
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a str>,
    used_by: Vec<UsedBy<'a>>,
    /// Kinds that the user may not list there.
    not_listed: &'a [&'static str],
}

#[derive(Serialize)]
struct UsedBy<'a> {
    kind: &'static str,
    name: &'a str,
    by: Vec<&'static str>,
}

fn report<'a>(connection: &IntegrationConnection, impact: &'a Impact) -> Report<'a> {
    let used_by = |User { kind, name, via }: &'a User| UsedBy { kind, name, by: via.ways() };
    let published = |place: &'a Place| Published {
        namespace: &place.namespace,
        name: &place.secret,
        workspace: place.workspace.as_deref(),
        used_by: place.users.iter().map(used_by).collect(),
        not_listed: &place.unseen,
    };
    Report {
        connection: connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any()),
        secrets: impact.places.iter().map(published).collect(),
        complete: !impact.hidden && impact.places.iter().all(|place| place.unseen.is_empty()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::Via;
    use super::*;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice", "workspace": "marketing", "shared": true}}))
        .unwrap()
    }

    fn impact() -> Impact {
        let place = |namespace: &str, secret: &str, workspace: Option<&str>| Place {
            namespace: namespace.into(),
            secret: secret.into(),
            workspace: workspace.map(Into::into),
            users: Vec::new(),
            unseen: Vec::new(),
        };
        let mut via = Via { volume: true, ..Via::default() };
        via.env.insert("app".into());
        let mut here = place("team-a", "github", None);
        here.users.push(User { kind: "Deployment", name: "web".into(), via });
        let mut there = place("jobs", "team-a.github", Some("marketing"));
        there.unseen = vec!["Pods"];
        Impact { places: vec![here, there], hidden: false }
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
        let none = Impact { places: Vec::new(), hidden: false };
        assert_eq!(remarks(&connection(), &none), ["No Secret is published, so no workload loses one."]);
    }

    #[test]
    fn programs_are_told_whether_that_is_all() {
        let told = serde_json::to_value(report(&connection(), &impact())).unwrap();
        assert_eq!(
            told,
            json!({"connection": "team-a.github", "complete": false, "secrets": [
                {"namespace": "team-a", "name": "github", "notListed": [],
                    "usedBy": [{"kind": "Deployment", "name": "web", "by": ["env", "volume"]}]},
                {"namespace": "jobs", "name": "team-a.github", "workspace": "marketing", "usedBy": [],
                    "notListed": ["Pods"]}]})
        );
    }
}
