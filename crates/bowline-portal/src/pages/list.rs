//! Connections: search first, filters, one line each.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use bowline_api::IntegrationConnection;
use kube::api::ObjectMeta;
use serde::Deserialize;

use super::make::popular;
use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::view::key_of;
use crate::view::provider::Card;
use crate::view::row::{ConnectionRow, sort};
use crate::visit::Visit;

/// The longest list; the search finds the rest.
const SHOWN: usize = 200;
/// How many connections are checked one by one, for users whose rights name single objects.
const ONE_BY_ONE: usize = 200;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    q: String,
    provider: String,
    status: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    filter: Filter,
    rows: Vec<ConnectionRow>,
    more: usize,
    total: usize,
    /// Names and titles.
    providers: BTreeSet<(String, String)>,
    statuses: BTreeSet<String>,
    workspaces: BTreeSet<String>,
    popular: Vec<Card>,
}

impl ListPage {
    fn is_filtered(&self) -> bool {
        let Filter { q, provider, status, workspace } = &self.filter;
        [q, provider, status, workspace].iter().any(|part| !part.is_empty())
    }
}

/// `GET /connections`
pub(crate) async fn page(visit: Visit, Query(filter): Query<Filter>) -> Reply {
    let mut rows = rows(&visit).await?;
    let total = rows.len();
    let readable = rows.iter().filter(|row| row.fault.is_none());
    let providers = readable.map(|row| (row.card.name.clone(), row.card.title.clone())).collect();
    let statuses = rows.iter().map(|row| row.chip.word.clone()).collect();
    let workspaces = rows.iter().filter_map(|row| row.workspace.clone()).collect();
    rows.retain(|row| matches(&filter, row));
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    let frame = Frame::of(&visit, "Connections", "connections").await;
    let popular = popular(&visit.app.cluster);
    Ok(html(&ListPage { frame, filter, rows, more, total, providers, statuses, workspaces, popular }))
}

fn matches(filter: &Filter, row: &ConnectionRow) -> bool {
    let Filter { q, provider, status, workspace } = filter;
    let account = row.account.as_deref().unwrap_or_default();
    let text = [&row.title, &row.page, &row.card.title, &row.owner, account].join(" ").to_lowercase();
    let is = |wanted: &String, given: &str| wanted.is_empty() || wanted == given;
    q.to_lowercase().split_whitespace().all(|word| text.contains(word))
        && is(provider, &row.card.name)
        && is(status, &row.chip.word)
        && is(workspace, row.workspace.as_deref().unwrap_or_default())
}

/// The connections that the user may see. The same rules apply to those that cannot be read.
async fn rows(visit: &Visit) -> Result<Vec<ConnectionRow>, PageError> {
    let cache = &visit.app.cluster.connections;
    let mut readable = cache.state();
    readable.sort_by_key(|connection| connection.spec.owner != visit.session.user());
    let readable = visible(visit, readable, |connection| &connection.metadata).await?;
    let unreadable = visible(visit, cache.unreadable(), |connection| &connection.metadata).await?;
    let row = |it: &Arc<IntegrationConnection>| {
        ConnectionRow::of(it, visit.card(&it.spec.provider), visit.reader())
    };
    let faulty = unreadable.iter().map(|connection| ConnectionRow::unreadable(connection));
    let mut rows: Vec<ConnectionRow> = readable.iter().map(row).chain(faulty).collect();
    sort(&mut rows);
    Ok(rows)
}

/// Those that the user may see: all, those of whole namespaces, or single ones, of which only the first are checked.
pub(super) async fn visible<T>(
    visit: &Visit,
    all: Vec<T>,
    metadata: impl Fn(&T) -> &ObjectMeta,
) -> Result<Vec<T>, PageError> {
    if visit.allows(Permission::connection("list", "", "")).await? {
        return Ok(all);
    }
    let namespace = |item: &T| key_of(metadata(item)).0.to_owned();
    let namespaces: BTreeSet<String> = all.iter().map(namespace).collect();
    let listed = visit.filter(namespaces, |namespace| Permission::connection("list", namespace, "")).await?;
    let (mut seen, mut rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|item| listed.contains(&namespace(item)));
    rest.truncate(ONE_BY_ONE);
    seen.extend(visit.filter(rest, |item| Permission::about("get", metadata(item))).await?);
    Ok(seen)
}
