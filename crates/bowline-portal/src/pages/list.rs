//! Connections: search first, filters, one line each.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use bowline_api::IntegrationConnection;
use kube::ResourceExt;
use serde::Deserialize;

use super::super::App;
use super::super::access::Question;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::session::Session;
use super::super::view::provider::Card;
use super::super::view::status::{Chip, standing};
use super::super::view::time::Moment;
use super::super::view::words::Reader;
use super::choose::popular;
use super::{Frame, html};

/// More lines make a page that nobody reads: the search is for that.
const SHOWN: usize = 200;
/// So many connections that only a rule by name may let through are looked at one by one.
const ONE_BY_ONE: usize = 200;

/// What a reader looks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    q: String,
    provider: String,
    status: String,
    workspace: String,
}

/// One connection in the list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its page.
    pub page: String,
    /// Its name for people.
    pub title: String,
    /// Where it lives.
    pub namespace: String,
    /// Its provider.
    pub card: Card,
    /// The account there.
    pub account: Option<String>,
    /// Whose it is.
    pub owner: String,
    /// Its state.
    pub chip: Chip,
    /// The workspace that it is shared with.
    pub shared_with: Option<String>,
    /// When the provider last gave a token.
    pub refreshed: Option<Moment>,
    workspace: Option<String>,
}

/// One choice of a filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// Its value.
    pub value: String,
    /// Its name.
    pub label: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    filter: Filter,
    rows: Vec<Row>,
    more: usize,
    total: usize,
    providers: Vec<Choice>,
    statuses: Vec<Choice>,
    workspaces: Vec<Choice>,
    popular: Vec<Card>,
}

impl ListPage {
    fn is_filtered(&self) -> bool {
        let Filter { q, provider, status, workspace } = &self.filter;
        [q, provider, status, workspace].iter().any(|part| !part.is_empty())
    }
}

/// `GET /connections`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Query(filter): Query<Filter>,
) -> Result<Response, Failure> {
    let reader = Reader { user: session.user(), now: app.clock.now() };
    let mut rows: Vec<Row> =
        visible(&app, &session).await?.iter().map(|connection| row(&app, connection, reader)).collect();
    rows.sort_by(|a, b| (a.title.to_lowercase(), &a.page).cmp(&(b.title.to_lowercase(), &b.page)));
    let total = rows.len();
    let providers =
        choices(&filter.provider, rows.iter().map(|row| (row.card.name.clone(), row.card.title.clone())));
    let statuses =
        choices(&filter.status, rows.iter().map(|row| (row.chip.word.clone(), row.chip.word.clone())));
    let named = rows.iter().filter_map(|row| row.workspace.clone());
    let workspaces = choices(&filter.workspace, named.map(|name| (name.clone(), name)));
    rows.retain(|row| matches(&filter, row));
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    let frame = Frame::of(&app, &session, "Connections", "connections").await;
    let popular = popular(&app);
    Ok(html(&ListPage { frame, filter, rows, more, total, providers, statuses, workspaces, popular }))
}

fn choices(chosen: &str, all: impl Iterator<Item = (String, String)>) -> Vec<Choice> {
    let all: BTreeSet<(String, String)> = all.collect();
    all.into_iter().map(|(value, label)| Choice { chosen: value == chosen, value, label }).collect()
}

fn row(app: &App, connection: &IntegrationConnection, reader: Reader<'_>) -> Row {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    let card = app.cluster.provider(&connection.spec.provider);
    let card = card.map_or_else(|| Card::unknown(&connection.spec.provider), |provider| Card::of(&provider));
    let status = connection.status.clone().unwrap_or_default();
    Row {
        page: format!("/connections/{namespace}/{name}"),
        title: connection.spec.display_name.clone().filter(|title| !title.is_empty()).unwrap_or(name),
        chip: standing(connection, &card.title, reader).chip,
        account: status
            .account
            .map(|account| super::super::view::foreign(&account.name.unwrap_or(account.id))),
        owner: connection.spec.owner.clone(),
        shared_with: status.sharing.map(|sharing| sharing.workspace),
        refreshed: Moment::of(status.token.and_then(|token| token.last_refreshed_at).as_ref(), reader.now),
        workspace: connection.spec.workspace.clone(),
        namespace,
        card,
    }
}

fn matches(filter: &Filter, row: &Row) -> bool {
    let Filter { q, provider, status, workspace } = filter;
    let text = [&row.title, &row.page, &row.card.title, &row.owner].map(|part| part.to_lowercase()).join(" ");
    let text = text + &row.account.as_deref().unwrap_or_default().to_lowercase();
    let is = |wanted: &String, given: &str| wanted.is_empty() || wanted == given;
    q.to_lowercase().split_whitespace().all(|word| text.contains(word))
        && is(provider, &row.card.name)
        && is(status, &row.chip.word)
        && is(workspace, row.workspace.as_deref().unwrap_or_default())
}

/// The connections that the reader may see: all, those of whole namespaces, and of the rest those that are theirs or that
/// a rule by name lets through.
pub async fn visible(app: &App, session: &Session) -> Result<Vec<Arc<IntegrationConnection>>, Failure> {
    let all = app.cluster.connections.state();
    if app.access.allows(session, Question::connection("list", "", "")).await? {
        return Ok(all);
    }
    let namespaces: BTreeSet<String> = all.iter().filter_map(|connection| connection.namespace()).collect();
    let listed = app
        .access
        .filter(session, namespaces.into_iter().collect(), |namespace| {
            Question::connection("list", namespace, "")
        })
        .await?;
    let is_listed = |connection: &Arc<IntegrationConnection>| {
        connection.namespace().is_some_and(|namespace| listed.contains(&namespace))
    };
    let (mut seen, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_listed);
    rest.sort_by_key(|connection| connection.spec.owner != session.user());
    rest.truncate(ONE_BY_ONE);
    let named = rest
        .into_iter()
        .map(|connection| (connection.namespace().unwrap_or_default(), connection.name_any(), connection));
    let named = app
        .access
        .filter(session, named.collect(), |(namespace, name, _)| Question::connection("get", namespace, name))
        .await?;
    seen.extend(named.into_iter().map(|(_, _, connection)| connection));
    Ok(seen)
}
