//! `adopt`: go on with the records of former objects, after a restore or a move to another cluster.

use anyhow::anyhow;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::change::confirm;
use crate::each::carry_out_each;
use crate::exit::Usage;
use crate::table::{Cell, Table};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;
use bowline_api::condition::{ConditionType::Authorized, Conditioned};
use bowline_api::reason::Reason;

const EXAMPLES: &str = "Examples:
  kubectl bowline adopt -A                 list what can be adopted
  kubectl bowline adopt github-work        one connection
  kubectl bowline adopt -A --all           all of them

After a restore or a move, a connection is a new object, and its record belongs
to the former one. A record is offered if it is of the same owner, account,
provider, namespace and name. Adopt it, and nobody has to connect again.

Only one cluster may refresh a grant. First stop the operator of the former
cluster. A record whose token has expired may be older than the last refresh:
sending its refresh token can end the grant, so it is held. Connect again, or
pass --even-if-spent if you know that nobody has refreshed it since.

Only the owner may agree, or who has the verb assign-owner.";

const HEADING: &[&str] = &["NAMESPACE", "NAME", "OWNER", "PROVIDER", "RECORD"];

/// Adopt the records of former objects, after a restore or a move
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is one option")]
pub(crate) struct AdoptArgs {
    /// The connection; without it and --all what can be adopted is listed
    name: Option<String>,
    /// Adopt all that can be
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Also records that may be older than the last refresh
    #[arg(long)]
    even_if_spent: bool,
    /// Do not ask for confirmation
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Change nothing; have the API server judge each change
    #[arg(long)]
    dry_run: bool,
}

impl AdoptArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let offered = self.offered(session).await?;
        if offered.is_empty() {
            screen.progress("There is no record to adopt.");
            return Ok(());
        }
        let rows: Vec<Vec<Cell>> = offered.iter().map(row).collect();
        screen.result(&Table::fit(HEADING, &rows, screen.colours()).1)?;
        if self.name.is_none() && !self.all {
            return Ok(());
        }
        let change = ConnectionChange::Adopt { even_if_spent: self.even_if_spent };
        if !offered.iter().any(|connection| change.applies_to(connection)) {
            return Err(
                Usage("the record may have been spent: connect again, or pass --even-if-spent").into()
            );
        }
        if !self.dry_run && !self.yes {
            confirm("adopt", self.name.as_deref().unwrap_or("all of them"), false, screen)?;
        }
        carry_out_each(session, screen, &change, &offered, self.dry_run).await
    }

    /// The connections that have no grant and could adopt a record.
    async fn offered(&self, session: &UserSession) -> anyhow::Result<Vec<IntegrationConnection>> {
        let found = match &self.name {
            Some(name) => vec![session.connection(name).await?],
            None if self.all_namespaces => {
                session.all(&ListParams::default()).await?.map_err(|error| anyhow!(error))?
            }
            None => session.within(&session.namespace).await?.map_err(|error| anyhow!(error))?,
        };
        Ok(found.into_iter().filter(|connection| is_held(connection).is_some()).collect())
    }
}

/// Whether the record that a connection could adopt may have been spent; `None` if there is none.
fn is_held(connection: &IntegrationConnection) -> Option<bool> {
    match connection.reason_of(Authorized)? {
        Reason::AdoptionOffered => Some(false),
        Reason::AdoptionHeld => Some(true),
        _ => None,
    }
}

fn row(connection: &IntegrationConnection) -> Vec<Cell> {
    let record = if is_held(connection) == Some(true) { "may be spent" } else { "there" };
    let spec = &connection.spec;
    let namespace = connection.namespace().unwrap_or_default();
    [namespace.as_str(), &connection.name_any(), &spec.owner, &spec.provider, record].map(Cell::new).into()
}
