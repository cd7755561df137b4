//! `list`: connections, or what a namespace may use.

mod rows;
pub(super) use rows::{account_word, condition, paint, phase_word};
mod usable;

use std::pin::pin;

use anyhow::Context;
use bowline_api::IntegrationConnection;
use futures::TryStreamExt;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};

use super::output::{Output, json, list_of, yaml};
use super::screen::Screen;
use super::session::{Session, plain};
use super::table::Table;

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
pub(super) struct Args {
    /// Connections of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// What the namespace may use: its own connections, and those shared into it
    #[arg(long, conflicts_with_all = ["all_namespaces", "watch"])]
    usable: bool,
    /// Another form than the table
    #[arg(short, long, value_name = "FORM")]
    output: Option<Output>,
    /// Show every change until you stop it
    #[arg(short, long)]
    watch: bool,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        if self.usable {
            return usable::run(session, self.output, screen).await;
        }
        let connections: Api<IntegrationConnection> = if self.all_namespaces {
            Api::all(session.client.clone())
        } else {
            Api::namespaced(session.client.clone(), &session.namespace)
        };
        if self.watch {
            return self.watch(connections, session, screen).await;
        }
        let mut items = connections.list(&ListParams::default()).await.map_err(plain)?.items;
        items.iter_mut().for_each(strip);
        if items.is_empty() && !self.output.is_some_and(Output::is_objects) {
            self.say_empty(session, screen);
            return Ok(());
        }
        Ok(screen.result(&self.render(&items, session, screen)?)?)
    }

    fn render(
        &self,
        items: &[IntegrationConnection],
        session: &Session,
        screen: &Screen,
    ) -> anyhow::Result<String> {
        match self.output {
            Some(Output::Name) => Ok(items.iter().map(name_line).collect()),
            Some(Output::Json) => json(&list_of(items)),
            Some(Output::Yaml) => yaml(&list_of(items)),
            None | Some(Output::Wide) => {
                let shape = self.shape();
                let rows: Vec<_> = items.iter().map(|item| shape.row(item, session.clock.now())).collect();
                Ok(Table::fit(&shape.heading(), &rows, screen.colours()).1)
            }
        }
    }

    fn shape(&self) -> rows::Shape {
        rows::Shape { namespaces: self.all_namespaces, wide: self.output == Some(Output::Wide) }
    }

    fn say_empty(&self, session: &Session, screen: &mut Screen) {
        if self.all_namespaces {
            screen.progress("No connections found.");
        } else {
            screen.progress(&format!(
                "No connections found in namespace {}; -n chooses another, -A takes all.",
                session.namespace
            ));
        }
    }

    /// First what is there, then one row for each change; a lost connection to the API server is taken up again.
    async fn watch(
        &self,
        connections: Api<IntegrationConnection>,
        session: &Session,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        // A refusal ends the command at once; the watcher would try again for ever.
        connections.list(&ListParams::default().limit(1)).await.map_err(plain)?;
        let mut events = pin!(watcher(connections, watcher::Config::default()).default_backoff());
        let mut known = Vec::new();
        let mut table = None;
        while let Some(event) = events.try_next().await.context("the watch broke off")? {
            let text = match event {
                Event::Init => {
                    known.clear();
                    continue;
                }
                Event::InitApply(mut item) => {
                    strip(&mut item);
                    known.push(item);
                    continue;
                }
                Event::InitDone => self.opening(&known, &mut table, session, screen)?,
                Event::Apply(item) => self.change(item, false, table.as_ref(), session)?,
                Event::Delete(item) => self.change(item, true, table.as_ref(), session)?,
            };
            screen.result(&text)?;
        }
        Ok(())
    }

    fn opening(
        &self,
        known: &[IntegrationConnection],
        table: &mut Option<Table>,
        session: &Session,
        screen: &Screen,
    ) -> anyhow::Result<String> {
        match self.output {
            None | Some(Output::Wide) => {
                let shape = self.shape();
                let rows: Vec<_> = known.iter().map(|item| shape.row(item, session.clock.now())).collect();
                let (fitted, text) = Table::fit(&shape.heading(), &rows, screen.colours());
                *table = Some(fitted);
                Ok(text)
            }
            Some(_) => known.iter().map(|item| self.document(item)).collect(),
        }
    }

    fn change(
        &self,
        mut item: IntegrationConnection,
        deleted: bool,
        table: Option<&Table>,
        session: &Session,
    ) -> anyhow::Result<String> {
        strip(&mut item);
        match table {
            Some(table) => {
                let shape = self.shape();
                let now = session.clock.now();
                Ok(table.line(&if deleted { shape.deleted(&item, now) } else { shape.row(&item, now) }))
            }
            None => self.document(&item),
        }
    }

    /// One object of a stream.
    fn document(&self, item: &IntegrationConnection) -> anyhow::Result<String> {
        match self.output {
            Some(Output::Yaml) => Ok(format!("---\n{}", yaml(item)?)),
            Some(Output::Json) => json(item),
            _ => Ok(name_line(item)),
        }
    }
}

fn name_line(connection: &IntegrationConnection) -> String {
    format!("integrationconnection.bowline.dev/{}\n", connection.name_any())
}

/// Takes away what kubectl does not show either.
fn strip(connection: &mut IntegrationConnection) {
    connection.metadata.managed_fields = None;
}
