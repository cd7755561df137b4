//! How a connection is shared, for its page.

use bowline_api::condition::{ConditionType, Conditioned};
use kube::ResourceExt;

use super::workspace::{own, sees};
use crate::error::PageError;
use crate::subject::Subject;
use crate::view::time::Moment;

#[derive(Clone, Debug, Default)]
pub(crate) struct Sharing {
    /// The workspace that it names, and whether the reader may open its page.
    pub(crate) workspace: Option<String>,
    pub(crate) linked: bool,
    /// Whether it should be shared; by whom and since when it is.
    pub(crate) shared: bool,
    pub(crate) by: Option<String>,
    pub(crate) since: Option<Moment>,
    /// Where it is published as a result.
    pub(crate) namespaces: Vec<String>,
    /// The workspaces that the reader can share with.
    pub(crate) choices: Vec<String>,
    /// Why the reader may neither share it nor stop sharing it.
    pub(crate) why_not: Option<String>,
    /// Why it is not shared as it should be, and who can fix that.
    pub(crate) trouble: Option<(String, String)>,
}

pub(crate) async fn sharing(subject: &Subject) -> Result<Sharing, PageError> {
    let Subject { visit, connection, may, .. } = subject;
    let (spec, status) = (&connection.spec, connection.status.clone().unwrap_or_default());
    let (shared, reader) = (connection.wants_sharing(), visit.reader());
    let workspace = spec.workspace.as_deref().and_then(|name| visit.app.cluster.workspace(name));
    let linked = match &workspace {
        Some(workspace) => sees(visit, workspace).await?,
        None => false,
    };
    // Who can add the owner as a member, or create the workspace.
    let contact = workspace.as_ref().and_then(|workspace| workspace.spec.contact.as_deref());
    let fixer = contact.map_or_else(|| "your platform team".to_owned(), |contact| reader.name(contact));
    let trouble = connection.condition(ConditionType::Shared).filter(|told| shared && told.status != "True");
    Ok(Sharing {
        workspace: spec.workspace.clone(),
        linked,
        shared,
        since: status.sharing.as_ref().map(|sharing| Moment::new(sharing.shared_at.0, reader.now)),
        by: status.sharing.as_ref().map(|sharing| sharing.shared_by.clone()),
        namespaces: subject.shares().iter().filter_map(|share| share.namespace()).collect(),
        choices: if may.edit() { own(visit) } else { Vec::new() },
        why_not: why_not(subject),
        trouble: trouble.map(|told| (reader.sentence(&told.message, &spec.owner), fixer)),
    })
}

fn why_not(subject: &Subject) -> Option<String> {
    let (may, shared) = (subject.may, subject.connection.wants_sharing());
    match subject.keeper("shared").or_else(|| subject.keeper("workspace")) {
        Some(keeper) => Some(format!("Sharing is managed by {keeper}: change it at its source.")),
        None if !may.edit() => Some("Only its owner can share a connection.".to_owned()),
        None if !may.share && !shared => {
            Some("You do not have the permission `share` in this namespace.".to_owned())
        }
        None => None,
    }
}
