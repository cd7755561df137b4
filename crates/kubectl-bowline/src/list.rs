//! `list`: connections, or what a namespace may use.

mod unused;
mod usable;

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use futures::TryStreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};

use crate::age::since;
use crate::binding;
use crate::output::{Column, ListView, Output, json, row, yaml};
use crate::screen::{Paint, Screen};
use crate::session::{Namespaced, UserSession, plain};
use crate::table::{Cell, phase};
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::AccountStatus;

const EXAMPLES: &str = "Examples:
  kubectl bowline list                        connections of your namespace
  kubectl bowline list -A -o wide             all, with workspace and more
  kubectl bowline list --usable -n marketing  what pods there may use, and the
                                              Secret to mount
  kubectl bowline list --bindings -A          which workloads use them
  kubectl bowline list --unused 90d -A        what no workload reports
                                              to have used for so long
  kubectl bowline list --watch                and every change, until you stop
  kubectl bowline list -o name                for scripts";

/// List connections: whose, which account, whether they work and why not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is one flag")]
pub(crate) struct ListArgs {
    /// Connections of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// What the namespace may use: its own connections, and those shared into it
    #[arg(long, conflicts_with_all = ["all_namespaces", "watch"])]
    usable: bool,
    /// Bindings instead: which workload uses which connection, and whether that works
    #[arg(long, conflicts_with_all = ["usable", "watch"])]
    bindings: bool,
    /// Connections and bindings that no workload reports to have used for this long, such as 90d, since they
    /// were created at the latest
    #[arg(long, value_name = "AGE", value_parser = unused::age, conflicts_with_all = ["usable", "bindings", "watch"])]
    unused: Option<Duration>,
    /// Another format than the table
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
    /// Show every change until you stop it
    #[arg(short, long)]
    watch: bool,
}

impl ListArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        if self.usable {
            return usable::run(session, self.output, screen).await;
        }
        if let Some(age) = self.unused {
            return unused::run(session, self.all_namespaces, (age, self.output), screen).await;
        }
        if self.watch {
            return self.watch(session, screen).await;
        }
        if self.bindings {
            return self.show("bindings", &binding::view(self.all_namespaces), session, screen).await;
        }
        self.show("connections", &self.view(), session, screen).await
    }

    /// Lists the objects of a kind, which are called `what`.
    async fn show<K: Namespaced + serde::Serialize>(
        &self,
        what: &str,
        view: &ListView<K>,
        session: &UserSession,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let (listed, empty) = if self.all_namespaces {
            (session.all(&ListParams::default()).await??, format!("No {what} found."))
        } else {
            let namespace = &session.namespace;
            let empty =
                format!("No {what} found in namespace {namespace}; -n chooses another, -A takes all.");
            (session.within(namespace).await??, empty)
        };
        view.show(&listed, self.output, session.clock.now(), &empty, screen)
    }

    fn view(&self) -> ListView<IntegrationConnection> {
        let usual = if self.all_namespaces { COLUMNS } else { &COLUMNS[1..] };
        ListView { name, usual, wide: WIDE }
    }

    /// First the present objects, then one row for each change; a lost connection to the API server is established again.
    async fn watch(&self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connections: Api<DeserializeGuard<IntegrationConnection>> =
            if self.all_namespaces { Api::all(session.client.clone()) } else { session.api() };
        // A refusal ends the command at once; the watcher would retry forever.
        connections.list(&ListParams::default().limit(1)).await.map_err(plain)?;
        let mut events = pin!(watcher(connections, watcher::Config::default()).default_backoff());
        let view = self.view();
        let is_table = matches!(self.output, None | Some(Output::Wide));
        let (mut known, mut table) = (Vec::new(), None);
        while let Some(event) = events.try_next().await.context("the watch ended")? {
            let is_gone = matches!(event, Event::Delete(_));
            let text = match event {
                Event::Init => {
                    known.clear();
                    continue;
                }
                Event::InitApply(item) => {
                    known.extend(session.readable(item));
                    continue;
                }
                Event::InitDone if is_table => {
                    let (fitted, text) =
                        view.table(&known, self.output, session.clock.now(), screen.colours());
                    table = Some(fitted);
                    text
                }
                Event::InitDone => known.iter().map(|item| self.document(item)).collect::<Result<_, _>>()?,
                Event::Apply(item) | Event::Delete(item) => match (session.readable(item), &table) {
                    (None, _) => String::new(),
                    (Some(item), None) => self.document(&item)?,
                    (Some(item), Some(table)) => {
                        table.line(&changed(&view.columns(self.output), &item, is_gone, session.clock.now()))
                    }
                },
            };
            screen.result(&text)?;
            session.warn(screen);
        }
        Ok(())
    }

    /// One object of a stream.
    fn document(&self, item: &IntegrationConnection) -> anyhow::Result<String> {
        match self.output {
            Some(Output::Yaml) => Ok(format!("---\n{}", yaml(item)?)),
            Some(Output::Json) => json(item),
            _ => Ok(name(item) + "\n"),
        }
    }
}

fn name(connection: &IntegrationConnection) -> String {
    format!("integrationconnection.bowline.dev/{}", connection.name_any())
}

const STATUS: &str = "STATUS";

/// The columns of the definition, in its order. The first one is shown only if connections of several namespaces are listed.
const COLUMNS: &[Column<IntegrationConnection>] = &[
    ("NAMESPACE", |it, _| Cell::some(it.namespace())),
    ("NAME", |it, _| Cell::new(it.name_any())),
    ("PROVIDER", |it, _| Cell::new(&it.spec.provider)),
    ("ACCOUNT", |it, _| Cell::some(it.account().map(AccountStatus::word))),
    ("OWNER", |it, _| Cell::new(&it.spec.owner)),
    ("READY", |it, _| status(it, ConditionType::Ready)),
    (STATUS, |it, _| phase(it)),
    ("REASON", |it, _| Cell::new(it.reason())),
    ("SHARED", |it, _| status(it, ConditionType::Shared)),
    ("REFRESHED", |it, now| {
        Cell::new(since(it.token().and_then(|token| token.last_refreshed_at.as_ref()), now))
    }),
    ("AGE", |it, now| Cell::new(since(it.metadata.creation_timestamp.as_ref(), now))),
];

const WIDE: &[Column<IntegrationConnection>] = &[
    ("WORKSPACE", |it, _| Cell::some(it.spec.workspace.as_ref())),
    ("EXPIRES", |it, _| Cell::some(it.token_expires_at().map(|at| at.to_string()))),
    ("DEPENDENTS", |it, _| Cell::some(it.dependents().map(|bindings| bindings.count.to_string()))),
    ("LAST USED", |it, now| {
        Cell::new(since(it.status.as_ref().and_then(|status| status.last_used_at.as_ref()), now))
    }),
];

fn status(connection: &IntegrationConnection, type_: ConditionType) -> Cell {
    Cell::some(connection.condition(type_).map(|condition| &condition.status))
}

/// The row of a connection that was changed or deleted.
fn changed(
    columns: &[Column<IntegrationConnection>],
    connection: &IntegrationConnection,
    is_gone: bool,
    now: Timestamp,
) -> Vec<Cell> {
    let mut cells = row(columns, connection, now);
    for (cell, (title, _)) in cells.iter_mut().zip(columns) {
        if is_gone && *title == STATUS {
            *cell = Cell::new("Deleted").painted(Some(Paint::Bad));
        }
    }
    cells
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
    use kube::CustomResourceExt;
    use serde_json::json;

    use super::*;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "github", "namespace": "team-a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"provider": "github", "owner": "alice@example.com", "workspace": "marketing"},
            "status": {
                "phase": "Active", "account": {"id": "583231", "name": "octocat"},
                "token": {"expiresAt": "2026-01-01T02:00:00Z", "lastRefreshedAt": "2026-01-01T00:55:00Z"},
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Connected", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "Shared", "status": "False", "reason": "OwnerNotMember", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ],
            },
        }))
        .unwrap()
    }

    /// Values by their columns.
    fn texts(connection: &IntegrationConnection) -> BTreeMap<&'static str, String> {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let columns = COLUMNS.iter().chain(WIDE);
        columns.map(|(title, cell)| (*title, cell(connection, now).text)).collect()
    }

    #[test]
    fn a_row_says_what_kubectl_would_say_and_more() {
        let row = texts(&connection());
        for (column, value) in [
            ("NAMESPACE", "team-a"),
            ("NAME", "github"),
            ("PROVIDER", "github"),
            ("ACCOUNT", "octocat"),
            ("OWNER", "alice@example.com"),
            ("READY", "True"),
            ("STATUS", "Active"),
            ("REASON", "Connected"),
            ("SHARED", "False"),
            ("REFRESHED", "5m"),
            ("AGE", "60m"),
            ("WORKSPACE", "marketing"),
            ("EXPIRES", "2026-01-01T02:00:00Z"),
        ] {
            assert_eq!(row[column], value, "{column}");
        }
    }

    #[test]
    fn a_connection_nobody_looked_at_yet_has_a_row() {
        let row = texts(&IntegrationConnection { status: None, ..connection() });
        for column in ["ACCOUNT", "READY", "STATUS", "REASON", "SHARED", "REFRESHED"] {
            assert_eq!(row[column], "<none>", "{column}");
        }
    }

    #[test]
    fn a_phase_and_a_reason_of_a_later_version_are_shown_as_they_are() {
        let mut later = connection();
        let status = later.status.as_mut().unwrap();
        status.phase = Some(serde_json::from_value(json!("Hibernating")).unwrap());
        status.conditions[0].reason = "SunTooFar".into();
        let row = texts(&later);
        assert_eq!((row["STATUS"].as_str(), row["REASON"].as_str()), ("Hibernating", "SunTooFar"));
    }

    #[test]
    fn the_columns_are_those_of_the_definition() {
        let titles = |columns: &[Column<IntegrationConnection>]| -> Vec<_> {
            columns.iter().map(|(title, _)| (*title).to_owned()).collect()
        };
        let version = IntegrationConnection::crd().spec.versions.remove(0);
        let columns = version.additional_printer_columns.unwrap();
        let (usual, wide): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|column| column.priority.unwrap_or(0) == 0);
        let upper = |columns: Vec<CustomResourceColumnDefinition>| -> Vec<_> {
            columns.into_iter().map(|column| column.name.to_uppercase()).collect()
        };
        assert_eq!(titles(&COLUMNS[2..]), upper(usual));
        assert_eq!(titles(WIDE), upper(wide));
    }

    #[test]
    fn a_deleted_connection_says_so_in_place_of_its_phase() {
        let row = changed(COLUMNS, &connection(), true, Timestamp::UNIX_EPOCH);
        let texts: Vec<_> = row.iter().map(|cell| cell.text.as_str()).collect();
        assert!(texts.contains(&"Deleted") && !texts.contains(&"Active"), "{texts:?}");
    }
}
