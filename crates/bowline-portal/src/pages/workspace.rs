//! Workspaces: members, namespaces and shared connections. Members see a workspace, and so do users who may read `Workspace`
//! objects. Membership gives no right to change anything.

use askama::Template;
use axum::extract::Path;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::{IntegrationConnection, Workspace};
use kube::ResourceExt;

use crate::access::Question;
use crate::failure::{Failure, Reply};
use crate::page::{Frame, html};
use crate::subject::is_name;
use crate::view::page_of;
use crate::view::row::{Row, sort};
use crate::visit::Visit;

/// For how many shared connections it is checked whether the user may open them.
const ASKED_OF: usize = 200;

/// A workspace in the list.
struct WorkspaceRow {
    name: String,
    title: String,
    members: usize,
    namespaces: usize,
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
    name: String,
    /// User names, and whether each is the reader.
    members: Vec<(String, bool)>,
    namespaces: Vec<String>,
    contact: Option<String>,
    trouble: Option<String>,
    /// The connections that are shared with it (R18), and whether the reader may open the page of each: membership is not enough.
    shared: Vec<(Row, bool)>,
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
pub(crate) async fn sees(visit: &Visit, workspace: &Workspace) -> Result<bool, Failure> {
    Ok(is_member(workspace, visit) || visit.allows(Question::workspace(&workspace.name_any())).await?)
}

/// `GET /workspaces`
pub(crate) async fn list(visit: Visit) -> Reply {
    let mut names = own(&visit);
    let all = visit.app.cluster.workspaces.state();
    let others = all.iter().map(|workspace| workspace.name_any()).filter(|name| !names.contains(name));
    let others: Vec<String> = others.collect();
    names.extend(visit.filter(others, |name| Question::workspace(name)).await?);
    names.sort();
    let connections = visit.app.cluster.connections.state();
    let line = |name: String| {
        let workspace = visit.app.cluster.workspace(&name)?;
        Some(WorkspaceRow {
            title: title(&workspace),
            members: workspace.spec.members.len(),
            namespaces: workspace.spec.namespaces.len(),
            shared: connections.iter().filter(|connection| shares_with(connection, &name)).count(),
            name,
        })
    };
    let lines = names.into_iter().filter_map(line).collect();
    Ok(html(&WorkspacesPage { frame: Frame::of(&visit, "Workspaces", "workspaces").await, lines }))
}

/// `GET /workspaces/{name}`
pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Reply {
    let known = Some(&name).filter(|name| is_name(name)).and_then(|name| visit.app.cluster.workspace(name));
    let workspace = known.ok_or_else(Failure::not_found)?;
    if !sees(&visit, &workspace).await? {
        return Err(Failure::not_found());
    }
    let ready = workspace.condition(ConditionType::Ready).cloned();
    let (title, spec) = (title(&workspace), &workspace.spec);
    let member = |user: &String| (user.clone(), user == visit.session.user());
    Ok(html(&WorkspacePage {
        frame: Frame::of(&visit, &title, "workspaces").await,
        title,
        members: spec.members.iter().map(|it| member(&it.name)).collect(),
        namespaces: spec.namespaces.clone(),
        contact: spec.contact.clone(),
        trouble: ready.filter(|ready| ready.status != "True").map(|ready| ready.message),
        shared: shared(&visit, &name).await?,
        name,
    }))
}

/// What members see of a shared connection: no more than its share contains.
async fn shared(visit: &Visit, name: &str) -> Result<Vec<(Row, bool)>, Failure> {
    let connections = visit.app.cluster.connections.state();
    let ours = connections.iter().filter(|connection| shares_with(connection, name));
    let mut rows: Vec<Row> =
        ours.map(|it| Row::of(it, visit.card(&it.spec.provider), visit.reader())).collect();
    sort(&mut rows);
    let asked: Vec<_> =
        rows.iter().take(ASKED_OF).map(|row| (row.namespace.clone(), row.name.clone())).collect();
    let seen = visit.filter(asked, |(namespace, name)| Question::connection("get", namespace, name)).await?;
    let seen: Vec<String> = seen.iter().map(|(namespace, name)| page_of(namespace, name)).collect();
    let linked = |row: Row| {
        let is_open = seen.contains(&row.page);
        (row, is_open)
    };
    Ok(rows.into_iter().map(linked).collect())
}
