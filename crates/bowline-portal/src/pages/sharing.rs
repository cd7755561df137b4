//! With whom a connection is shared, for its page.

use std::sync::Arc;

use bowline_api::{ConnectionShare, Workspace};
use kube::ResourceExt;

use super::super::App;
use super::super::failure::Failure;
use super::super::session::Session;
use super::super::view::owned::keeper;
use super::super::view::status::condition;
use super::super::view::time::Moment;
use super::super::view::words::Reader;
use super::make::workspaces;
use super::subject::Subject;
use super::workspace::sees;

/// With whom it is shared.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    /// The workspace that it names.
    pub workspace: Option<String>,
    /// Whether the reader sees the workspace's page.
    pub linked: bool,
    /// Whether it is to be shared with it.
    pub shared: bool,
    /// Who shared it.
    pub by: Option<String>,
    /// Since when.
    pub since: Option<Moment>,
    /// Where it is published by that.
    pub namespaces: Vec<String>,
    /// Whether the reader may share it, or take it back.
    pub may: bool,
    /// The workspaces that the reader can share with.
    pub choices: Vec<String>,
    /// Why not.
    pub why_not: Option<String>,
    /// What keeps it from being shared as it should.
    pub message: Option<String>,
    /// Who can mend what the message says.
    pub mends: Option<String>,
}

/// What the page says of it.
pub async fn sharing(
    app: &App,
    session: &Session,
    subject: &Subject,
    reader: Reader<'_>,
) -> Result<Sharing, Failure> {
    let Subject { connection, may, .. } = subject;
    let status = connection.status.clone().unwrap_or_default();
    let shared = connection.spec.shared.unwrap_or_default();
    let why_not = why_not(subject);
    let workspace = connection.spec.workspace.as_deref().and_then(|name| app.cluster.workspace(name));
    let linked = match &workspace {
        Some(workspace) => sees(app, session, workspace).await?,
        None => false,
    };
    let trouble = condition(&status, "Shared").filter(|told| shared && told.status != "True");
    Ok(Sharing {
        workspace: connection.spec.workspace.clone(),
        linked,
        shared,
        by: status.sharing.as_ref().map(|sharing| sharing.shared_by.clone()),
        since: status.sharing.as_ref().map(|sharing| Moment::new(sharing.shared_at.0, reader.now)),
        namespaces: shares_of(app, subject).iter().filter_map(|share| share.namespace()).collect(),
        may: why_not.is_none(),
        choices: if may.edit() { workspaces(app, session) } else { Vec::new() },
        why_not,
        mends: trouble.map(|_| who_mends(workspace.as_deref(), reader)),
        message: trouble.map(|told| reader.sentence(&told.message, &connection.spec.owner)),
    })
}

fn why_not(Subject { connection, may, .. }: &Subject) -> Option<String> {
    let kept = keeper(connection, "shared").or_else(|| keeper(connection, "workspace"));
    match (kept, may.edit(), may.share || connection.spec.shared.unwrap_or_default()) {
        (Some(keeper), ..) => {
            Some(format!("Sharing is kept by {keeper}: change it where that tool reads it from."))
        }
        (None, false, _) => Some("Only its owner shares a connection.".to_owned()),
        (None, true, false) => Some("You have no right to share in this namespace.".to_owned()),
        (None, true, true) => None,
    }
}

/// Who puts the owner back on the list, or makes the workspace.
fn who_mends(workspace: Option<&Workspace>, reader: Reader<'_>) -> String {
    let contact = workspace.and_then(|workspace| workspace.spec.contact.as_deref());
    contact.map_or_else(|| "your platform team".to_owned(), |contact| reader.name(contact))
}

/// The shares of a connection, by their namespaces.
pub fn shares_of(app: &App, subject: &Subject) -> Vec<Arc<ConnectionShare>> {
    let uid = subject.connection.uid().unwrap_or_default();
    let mut shares = app.cluster.shares.state();
    shares.retain(|share| share.spec.connection.uid == uid);
    shares.sort_by_key(|share| share.namespace());
    shares
}
