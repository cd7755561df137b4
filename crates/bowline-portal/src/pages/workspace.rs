//! Workspaces: people, namespaces, and what is shared. Whoever a workspace names as a member sees it, and so does who may
//! read `Workspace` objects; to be a member gives no right to change anything, here or on a connection's page.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use bowline_api::{IntegrationConnection, Workspace};
use kube::ResourceExt;

use super::super::App;
use super::super::access::Question;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::session::Session;
use super::super::view::provider::Card;
use super::super::view::status::{Chip, standing};
use super::super::view::time::Moment;
use super::super::view::words::Reader;
use super::subject::is_name;
use super::{Frame, html};

/// For more shared connections than this nobody is asked whether the reader may open them.
const ASKED_OF: usize = 200;

/// One workspace in the list.
struct Line {
    name: String,
    title: String,
    members: usize,
    namespaces: usize,
    shared: usize,
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<Line>,
}

/// A connection that is shared with the workspace (R18).
struct Shared {
    namespace: String,
    name: String,
    /// Whether the reader sees its page: membership alone does not show it.
    linked: bool,
    title: String,
    id: String,
    by: String,
    refreshed: Option<Moment>,
    card: Card,
    chip: Chip,
}

#[derive(Template)]
#[template(path = "workspace.html")]
struct WorkspacePage {
    frame: Frame,
    title: String,
    name: String,
    /// Who belongs to it, and whether that is the reader.
    members: Vec<(String, bool)>,
    namespaces: Vec<String>,
    contact: Option<String>,
    trouble: Option<String>,
    shared: Vec<Shared>,
}

fn question<'a>(verb: &'a str, name: &'a str) -> Question<'a> {
    Question { verb, resource: "workspaces", namespace: "", name }
}

fn title(workspace: &Workspace) -> String {
    workspace.spec.display_name.clone().filter(|it| !it.is_empty()).unwrap_or_else(|| workspace.name_any())
}

fn shares_with(connection: &IntegrationConnection, workspace: &str) -> bool {
    let sharing = connection.status.as_ref().and_then(|status| status.sharing.as_ref());
    sharing.is_some_and(|sharing| sharing.workspace == workspace)
}

/// Whether a workspace names this user as a member.
pub fn is_member(workspace: &Workspace, session: &Session) -> bool {
    workspace.spec.members.iter().any(|member| member.user == session.user())
}

/// Whether the reader sees the page of a workspace.
pub async fn sees(app: &App, session: &Session, workspace: &Workspace) -> Result<bool, Failure> {
    if is_member(workspace, session) {
        return Ok(true);
    }
    app.access.allows(session, question("get", &workspace.name_any())).await
}

/// `GET /workspaces`
pub async fn list(State(app): State<App>, SignedIn(session): SignedIn) -> Result<Response, Failure> {
    let (mut names, mut others) = (Vec::new(), Vec::new());
    for workspace in app.cluster.workspaces.state() {
        let known = if is_member(&workspace, &session) { &mut names } else { &mut others };
        known.push(workspace.name_any());
    }
    names.extend(app.access.filter(&session, others, |name| question("get", name)).await?);
    names.sort();
    let connections = app.cluster.connections.state();
    let line = |name: String| {
        let workspace = app.cluster.workspace(&name)?;
        Some(Line {
            title: title(&workspace),
            members: workspace.spec.members.len(),
            namespaces: workspace.spec.namespaces.len(),
            shared: connections.iter().filter(|connection| shares_with(connection, &name)).count(),
            name,
        })
    };
    let lines = names.into_iter().filter_map(line).collect();
    let frame = Frame::of(&app, &session, "Workspaces", "workspaces").await;
    Ok(html(&ListPage { frame, lines }))
}

/// `GET /workspaces/{name}`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let known = Some(&name).filter(|name| is_name(name)).and_then(|name| app.cluster.workspace(name));
    let workspace = known.ok_or_else(Failure::not_found)?;
    if !sees(&app, &session, &workspace).await? {
        return Err(Failure::not_found());
    }
    let reader = Reader { user: session.user(), now: app.clock.now() };
    let status = workspace.status.clone().unwrap_or_default();
    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let title = title(&workspace);
    let spec = &workspace.spec;
    Ok(html(&WorkspacePage {
        frame: Frame::of(&app, &session, &title, "workspaces").await,
        title,
        members: spec
            .members
            .iter()
            .map(|member| (member.user.clone(), member.user == session.user()))
            .collect(),
        namespaces: spec.namespaces.clone(),
        contact: spec.contact.clone(),
        trouble: ready.filter(|ready| ready.status != "True").map(|ready| ready.message),
        shared: linked(&app, &session, shared(&app, &name, reader)).await?,
        name,
    }))
}

/// Finds out which of them the reader may open.
async fn linked(app: &App, session: &Session, mut rows: Vec<Shared>) -> Result<Vec<Shared>, Failure> {
    let named = rows.iter().take(ASKED_OF).map(|row| (row.namespace.clone(), row.name.clone()));
    let seen = app
        .access
        .filter(session, named.collect(), |(namespace, name)| Question::connection("get", namespace, name))
        .await?;
    let seen: BTreeSet<(String, String)> = seen.into_iter().collect();
    for row in &mut rows {
        row.linked = seen.contains(&(row.namespace.clone(), row.name.clone()));
    }
    Ok(rows)
}

/// What members see of a shared connection: what its share says anyway.
fn shared(app: &App, name: &str, reader: Reader<'_>) -> Vec<Shared> {
    let connections = app.cluster.connections.state();
    let ours = connections.iter().filter(|connection| shares_with(connection, name));
    let mut rows: Vec<Shared> = ours
        .map(|connection| {
            let status = connection.status.clone().unwrap_or_default();
            let card = app.cluster.provider(&connection.spec.provider);
            let card = card.map_or_else(|| Card::unknown(&connection.spec.provider), |it| Card::of(&it));
            let name = connection.name_any();
            let title = connection.spec.display_name.clone().filter(|it| !it.is_empty());
            Shared {
                namespace: connection.namespace().unwrap_or_default(),
                title: title.unwrap_or_else(|| name.clone()),
                name,
                linked: false,
                id: status.id.clone().unwrap_or_default(),
                by: connection.spec.owner.clone(),
                refreshed: Moment::of(status.token.and_then(|it| it.last_refreshed_at).as_ref(), reader.now),
                chip: standing(connection, &card.title, reader).chip,
                card,
            }
        })
        .collect();
    rows.sort_by_key(|row| row.title.to_lowercase());
    rows
}
