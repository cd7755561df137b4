//! Workspaces: members, namespaces and shared connections. Members see a workspace, and so do users who may read `Workspace`
//! objects. Membership gives no right to change anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::{IntegrationConnection, Workspace};
use kube::ResourceExt;

use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::view::key_of;
use crate::view::row::{ConnectionRow, sort};
use crate::visit::Visit;

/// For how many shared connections it is checked whether the user may open them.
const ASKED_OF: usize = 200;

struct WorkspaceRow {
    workspace: Arc<Workspace>,
    title: String,
    /// How many connections are shared with it.
    shared: usize,
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct WorkspacesPage {
    frame: Frame,
    lines: Vec<WorkspaceRow>,
}

#[derive(Template)]
#[template(path = "workspace.html")]
struct WorkspacePage {
    frame: Frame,
    title: String,
    workspace: Arc<Workspace>,
    trouble: Option<String>,
    /// The connections that are shared with it (R18), each with whether the reader may open its page: membership is not enough.
    shared: Vec<(bool, ConnectionRow)>,
}

fn title(workspace: &Workspace) -> String {
    workspace.spec.display_name.clone().filter(|it| !it.is_empty()).unwrap_or_else(|| workspace.name_any())
}

fn shares_with(connection: &IntegrationConnection, workspace: &str) -> bool {
    let sharing = connection.status.as_ref().and_then(|status| status.sharing.as_ref());
    sharing.is_some_and(|sharing| sharing.workspace == workspace)
}

fn is_member(workspace: &Workspace, visit: &Visit) -> bool {
    workspace.spec.has_member(visit.session.user())
}

/// The workspaces that the user is a member of.
pub(crate) fn own(visit: &Visit) -> Vec<String> {
    let all = visit.app.cluster.workspaces.state();
    let mine = all.iter().filter(|workspace| is_member(workspace, visit));
    let mut names: Vec<String> = mine.map(|workspace| workspace.name_any()).collect();
    names.sort();
    names
}

/// Whether the user may see a workspace.
pub(crate) async fn sees(visit: &Visit, workspace: &Workspace) -> Result<bool, PageError> {
    Ok(is_member(workspace, visit) || visit.allows(Permission::workspace(&workspace.name_any())).await?)
}

/// `GET /workspaces`
pub(crate) async fn list(visit: Visit) -> Reply {
    let all = visit.app.cluster.workspaces.state();
    let (mut seen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| is_member(it, &visit));
    seen.extend(visit.filter(others, |it| Permission::workspace(key_of(&it.metadata).1)).await?);
    seen.sort_by_key(|workspace| workspace.name_any());
    let connections = visit.app.cluster.connections.state();
    let line = |workspace: Arc<Workspace>| {
        let (title, name) = (title(&workspace), workspace.name_any());
        let shared = connections.iter().filter(|connection| shares_with(connection, &name)).count();
        WorkspaceRow { workspace, title, shared }
    };
    let lines = seen.into_iter().map(line).collect();
    Ok(html(&WorkspacesPage { frame: Frame::of(&visit, "Workspaces", "workspaces").await, lines }))
}

/// `GET /workspaces/{name}`
pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Reply {
    let workspace = visit.app.cluster.workspace(&name).ok_or_else(PageError::not_found)?;
    if !sees(&visit, &workspace).await? {
        return Err(PageError::not_found());
    }
    let ready = workspace.condition(ConditionType::Ready).cloned();
    let title = title(&workspace);
    Ok(html(&WorkspacePage {
        frame: Frame::of(&visit, &title, "workspaces").await,
        title,
        trouble: ready.filter(|ready| ready.status != "True").map(|ready| ready.message),
        shared: shared(&visit, &name).await?,
        workspace,
    }))
}

/// What members see of a shared connection: no more than its share contains.
async fn shared(visit: &Visit, name: &str) -> Result<Vec<(bool, ConnectionRow)>, PageError> {
    let connections = visit.app.cluster.connections.state();
    let ours = connections.iter().filter(|connection| shares_with(connection, name));
    let mut rows: Vec<ConnectionRow> =
        ours.map(|it| ConnectionRow::of(it, visit.card(&it.spec.provider), visit.reader())).collect();
    sort(&mut rows);
    let asked: Vec<ConnectionRow> = rows.iter().take(ASKED_OF).cloned().collect();
    let seen = visit.filter(asked, |row| Permission::connection("get", &row.namespace, &row.name)).await?;
    let seen: BTreeSet<String> = seen.into_iter().map(|row| row.page.clone()).collect();
    Ok(rows.into_iter().map(|row| (seen.contains(&row.page), row)).collect())
}
