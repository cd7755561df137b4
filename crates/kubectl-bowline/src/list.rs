//! `list`: connections, or what a namespace may use.

mod rows;
mod usable;

use std::pin::pin;

use anyhow::Context;
use futures::TryStreamExt;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};

use crate::output::{Output, json, list_of, yaml};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use crate::table::Table;
use bowline_api::IntegrationConnection;
use rows::Columns;

const EXAMPLES: &str = "Examples:
  kubectl bowline list                        connections of your namespace
  kubectl bowline list -A -o wide             all, with workspace and expiry
  kubectl bowline list --usable -n marketing  what pods there may use, and the
                                              Secret to mount
  kubectl bowline list --watch                and every change, until you stop
  kubectl bowline list -o name                for scripts";

/// List connections: whose, which account, whether they work and why not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Connections of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// What the namespace may use: its own connections, and those shared into it
    #[arg(long, conflicts_with_all = ["all_namespaces", "watch"])]
    usable: bool,
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
        if self.watch {
            return self.watch(session, screen).await;
        }
        let listed = if self.all_namespaces {
            session.all(&ListParams::default()).await
        } else {
            session.within(&session.namespace).await
        };
        let items: Vec<_> = listed.map_err(plain)?.into_iter().map(stripped).collect();
        let text = match self.output {
            Some(Output::Json) => json(&list_of(&items))?,
            Some(Output::Yaml) => yaml(&list_of(&items))?,
            _ if items.is_empty() => {
                self.say_empty(session, screen);
                return Ok(());
            }
            _ => self.opening(&items, session, screen)?.1,
        };
        Ok(screen.result(&text)?)
    }

    fn columns(&self) -> Columns {
        Columns::new(self.all_namespaces, self.output == Some(Output::Wide))
    }

    fn say_empty(&self, session: &UserSession, screen: &mut Screen) {
        if self.all_namespaces {
            screen.progress("No connections found.");
        } else {
            screen.progress(&format!(
                "No connections found in namespace {}; -n chooses another, -A takes all.",
                session.namespace
            ));
        }
    }

    /// First what is there, then one row for each change; a lost connection to the API server is established again.
    async fn watch(&self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let client = session.client.clone();
        let connections: Api<DeserializeGuard<IntegrationConnection>> =
            if self.all_namespaces { Api::all(client) } else { Api::namespaced(client, &session.namespace) };
        // A refusal ends the command at once; the watcher would try again for ever.
        connections.list(&ListParams::default().limit(1)).await.map_err(plain)?;
        let mut events = pin!(watcher(connections, watcher::Config::default()).default_backoff());
        let mut known = Vec::new();
        let mut table = None;
        while let Some(event) = events.try_next().await.context("the watch ended")? {
            let text = match event {
                Event::Init => {
                    known.clear();
                    continue;
                }
                Event::InitApply(item) => {
                    known.extend(session.readable(item).map(stripped));
                    continue;
                }
                Event::InitDone => {
                    let (fitted, text) = self.opening(&known, session, screen)?;
                    table = fitted;
                    text
                }
                Event::Apply(item) => self.change(session.readable(item), false, table.as_ref(), session)?,
                Event::Delete(item) => self.change(session.readable(item), true, table.as_ref(), session)?,
            };
            screen.result(&text)?;
            session.warn(screen);
        }
        Ok(())
    }

    /// What is there, and the table to which changes are added.
    fn opening(
        &self,
        items: &[IntegrationConnection],
        session: &UserSession,
        screen: &Screen,
    ) -> anyhow::Result<(Option<Table>, String)> {
        if self.output.is_some_and(|output| output != Output::Wide) {
            let documents: anyhow::Result<String> = items.iter().map(|item| self.document(item)).collect();
            return Ok((None, documents?));
        }
        let (columns, now) = (self.columns(), session.clock.now());
        let rows: Vec<_> = items.iter().map(|item| columns.row(item, now)).collect();
        let (table, text) = Table::fit(&columns.heading(), &rows, screen.colours());
        Ok((Some(table), text))
    }

    fn change(
        &self,
        item: Option<IntegrationConnection>,
        deleted: bool,
        table: Option<&Table>,
        session: &UserSession,
    ) -> anyhow::Result<String> {
        let Some(item) = item.map(stripped) else { return Ok(String::new()) };
        let Some(table) = table else { return self.document(&item) };
        let (columns, now) = (self.columns(), session.clock.now());
        Ok(table.line(&if deleted { columns.deleted(&item, now) } else { columns.row(&item, now) }))
    }

    /// One object of a stream.
    fn document(&self, item: &IntegrationConnection) -> anyhow::Result<String> {
        match self.output {
            Some(Output::Yaml) => Ok(format!("---\n{}", yaml(item)?)),
            Some(Output::Json) => json(item),
            _ => Ok(format!("integrationconnection.bowline.dev/{}\n", item.name_any())),
        }
    }
}

/// Without what kubectl does not show either.
fn stripped(mut connection: IntegrationConnection) -> IntegrationConnection {
    connection.metadata.managed_fields = None;
    connection
}
