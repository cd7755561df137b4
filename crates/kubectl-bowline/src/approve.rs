//! `approve`: what waits for its owner, beside what is in force, and the owner's approval of exactly that.

use anyhow::{anyhow, bail};
use kube::ResourceExt;

use crate::exit::Usage;
use crate::screen::Paint;
use crate::table::{Cell, Table, line, printable};
use crate::wait::WaitArgs;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_APPROVE_TERMS;
use bowline_api::terms::{ConnectionTerms, Proposer, TermsStatus};

const EXAMPLES: &str = "Examples:
  kubectl bowline approve                        list what waits here
  kubectl bowline approve github-work            look, and confirm
  kubectl bowline approve github-work --dry-run  only look
  kubectl bowline approve github-work --yes      do not ask

Shows where the token goes and which scopes are requested: what you agreed to,
which is in force, and what somebody else asks for. Approves exactly what was
shown: if it changes meanwhile, nothing is approved. Only the owner may do it.";

/// Approve where a connection is shared and what it requests
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// The connection; without it those that wait are listed
    name: Option<String>,
    /// Show what waits, and approve nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl ApproveArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, dry_run, yes, wait } = self;
        let Some(name) = name else { return list(session, screen).await };
        let before = session.connection(&name).await?;
        let Some((agreed, proposed, digest)) = before.waiting_terms() else {
            return Ok(screen.result(&format!("{name}: nothing waits for approval.\n"))?);
        };
        let sides = side_by_side(&before, agreed, proposed, screen.colours());
        if dry_run {
            return Ok(screen.result(&sides)?);
        }
        screen.progress(sides.trim_end());
        if !yes {
            confirm(&name, screen)?;
        }
        session.annotate(&before, ANNOTATION_APPROVE_TERMS, digest).await?;
        if !wait.begin(&format!("Approving what {name} asks for"), screen) {
            return Ok(());
        }
        let is_handled = |now: &IntegrationConnection| {
            now.annotations().get(ANNOTATION_APPROVE_TERMS).map(String::as_str) != Some(digest)
        };
        let so_far = |_: &IntegrationConnection| {
            format!("the operator has not handled the approval of {name} yet; it stays given")
        };
        let after = wait.until(session, &name, is_handled, so_far).await?;
        match after.waiting_terms() {
            None => Ok(screen.result(&format!("{name}: approved.\n"))?),
            Some(_) => {
                bail!("{name} asks for something else now, which is not approved: look at it again")
            }
        }
    }
}

/// The connections of the namespace for which something waits.
async fn list(session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
    let found = session.within::<IntegrationConnection>(&session.namespace).await?;
    let found = found.map_err(|error| anyhow!(error))?;
    let waiting = found.iter().filter(|connection| connection.waiting_terms().is_some());
    let rows: Vec<Vec<Cell>> = waiting.map(row).collect();
    if rows.is_empty() {
        screen.progress(&format!("Nothing waits for approval in namespace {}.", session.namespace));
        return Ok(());
    }
    let (_, text) = Table::fit(&["NAME", "OWNER", "CHANGED BY"], &rows, screen.colours());
    Ok(screen.result(&text)?)
}

fn row(connection: &IntegrationConnection) -> Vec<Cell> {
    vec![
        Cell::new(connection.name_any()),
        Cell::new(&connection.spec.owner),
        Cell::new(changed_by(connection)),
    ]
}

fn changed_by(connection: &IntegrationConnection) -> &str {
    match connection.terms().and_then(TermsStatus::proposer) {
        Some(Proposer::User(by)) => by,
        Some(Proposer::Unknown) => "not known",
        Some(Proposer::Workspace) | None => "its workspace alone",
    }
}

fn confirm(name: &str, screen: &mut Screen) -> anyhow::Result<()> {
    match screen.ask(&format!("Approve this for {name}? [y/N] "))? {
        None => Err(Usage("no answer: pass --yes").into()),
        Some(answer) if ["y", "Y", "yes"].contains(&answer.as_str()) => Ok(()),
        Some(_) => bail!("nothing was approved"),
    }
}

/// What is in force and what is proposed; a `+` marks what is new.
fn side_by_side(
    connection: &IntegrationConnection,
    agreed: &ConnectionTerms,
    proposed: &ConnectionTerms,
    colours: bool,
) -> String {
    let workspace = |terms: &ConnectionTerms| vec![terms.workspace.clone().unwrap_or_default()];
    let shared = |terms: &ConnectionTerms| vec![if terms.shared { "yes" } else { "no" }.to_owned()];
    let namespaces = |terms: &ConnectionTerms| -> Vec<String> {
        terms.namespaces.iter().flatten().filter(|_| terms.shared).cloned().collect()
    };
    let scopes = |terms: &ConnectionTerms| -> Vec<String> {
        if terms.scopes.is_empty() {
            return vec!["(the provider's default)".to_owned()];
        }
        terms.scopes.iter().cloned().collect()
    };
    let rows = [
        ("Workspace", workspace(agreed), workspace(proposed)),
        ("Shared", shared(agreed), shared(proposed)),
        ("Namespaces", namespaces(agreed), namespaces(proposed)),
        ("Scopes", scopes(agreed), scopes(proposed)),
    ];
    let rows: Vec<_> = rows.into_iter().flat_map(|(title, now, then)| cells(title, &now, &then)).collect();
    let (_, table) = Table::fit(&["TERMS", "AGREED", "PROPOSED"], &rows, colours);
    let by = line("Changed by", &printable(changed_by(connection)));
    let owner = line("Owner", &printable(&connection.spec.owner));
    format!("{}{by}{owner}\n{table}", line("Connection", &printable(connection.id())))
}

/// The entries of one of the terms, one below the other.
fn cells(title: &str, now: &[String], then: &[String]) -> Vec<Vec<Cell>> {
    let blank = || Cell { text: String::new(), paint: None };
    let count = now.len().max(then.len()).max(1);
    let entry = |list: &[String], index: usize, is_new: bool| match list.get(index) {
        Some(text) if is_new => Cell::new(format!("{} +", printable(text))).painted(Some(Paint::Bad)),
        Some(text) => Cell::new(text),
        None if index == 0 => Cell::new(""),
        None => blank(),
    };
    let row = |index: usize| {
        let is_new = then.get(index).is_some_and(|text| !text.is_empty() && !now.contains(text));
        let name = if index == 0 { Cell::new(title) } else { blank() };
        vec![name, entry(now, index, false), entry(then, index, is_new)]
    };
    (0..count).map(row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_and_new_stand_side_by_side() {
        let connection: IntegrationConnection = serde_json::from_value(json!({
            "metadata": {"name": "mail", "namespace": "team-a"},
            "spec": {"provider": "google", "owner": "alice"},
            "status": {"terms": {"agreed": {"workspace": "old", "shared": true, "namespaces": ["jobs"], "scopes": ["read"]},
                "proposed": {"workspace": "w\u{1b}[2J", "shared": true, "namespaces": ["jobs", "mail"], "scopes": []},
                "digest": "d", "by": "pipeline"}},
        }))
        .unwrap();
        let (agreed, proposed, _) = connection.waiting_terms().unwrap();
        assert_eq!(
            side_by_side(&connection, agreed, proposed, false),
            "\
Connection:     team-a.mail
Changed by:     pipeline
Owner:          alice

TERMS        AGREED   PROPOSED
Workspace    old      w\u{fffd}[2J +
Shared       yes      yes
Namespaces   jobs     jobs
                      mail +
Scopes       read     (the provider's default) +
"
        );
        assert_eq!(row(&connection)[2].text, "pipeline");
    }
}
