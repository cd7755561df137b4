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

use crate::output::{Column, ListView, Output, json, row, titles, yaml};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use crate::table::Table;
use bowline_api::IntegrationConnection;
use rows::{COLUMNS, WIDE, changed};

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
        let (listed, empty) = if self.all_namespaces {
            (session.all(&ListParams::default()).await??, "No connections found.".to_owned())
        } else {
            let namespace = &session.namespace;
            let empty =
                format!("No connections found in namespace {namespace}; -n chooses another, -A takes all.");
            (session.within(namespace).await??, empty)
        };
        self.view().show(&listed, self.output, session.clock.now(), &empty, screen)
    }

    fn view(&self) -> ListView<IntegrationConnection> {
        let usual = if self.all_namespaces { COLUMNS } else { &COLUMNS[1..] };
        ListView { name, usual, wide: WIDE }
    }

    /// First what is there, then one row for each change; a lost connection to the API server is established again.
    async fn watch(&self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connections: Api<DeserializeGuard<IntegrationConnection>> =
            if self.all_namespaces { Api::all(session.client.clone()) } else { session.api() };
        // A refusal ends the command at once; the watcher would try again for ever.
        connections.list(&ListParams::default().limit(1)).await.map_err(plain)?;
        let mut events = pin!(watcher(connections, watcher::Config::default()).default_backoff());
        let columns = self.view().columns(self.output);
        let mut known = Vec::new();
        let mut table = None;
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
                Event::InitDone => self.opening(&columns, &known, &mut table, session, screen)?,
                Event::Apply(item) | Event::Delete(item) => match (session.readable(item), &table) {
                    (None, _) => String::new(),
                    (Some(item), None) => self.document(&item)?,
                    (Some(item), Some(table)) => {
                        table.line(&changed(&columns, &item, is_gone, session.clock.now()))
                    }
                },
            };
            screen.result(&text)?;
            session.warn(screen);
        }
        Ok(())
    }

    /// What is there, and the table to which changes are added if it is shown as one.
    fn opening(
        &self,
        columns: &[Column<IntegrationConnection>],
        items: &[IntegrationConnection],
        table: &mut Option<Table>,
        session: &UserSession,
        screen: &Screen,
    ) -> anyhow::Result<String> {
        if !matches!(self.output, None | Some(Output::Wide)) {
            return items.iter().map(|item| self.document(item)).collect();
        }
        let rows: Vec<_> = items.iter().map(|item| row(columns, item, session.clock.now())).collect();
        let (fitted, text) = Table::fit(&titles(columns), &rows, screen.colours());
        *table = Some(fitted);
        Ok(text)
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
