//! Use in a workflow: the connections of a namespace, its own and shared ones, with YAML to copy.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Query;
use bowline_api::ConnectionShare;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::names::connection_id;
use kube::ResourceExt;
use serde::Deserialize;

use crate::access::Question;
use crate::failure::Reply;
use crate::page::{Frame, html};
use crate::subject::is_label;
use crate::view::provider::Card;
use crate::view::row::Row;
use crate::view::status::{Chip, chip};
use crate::view::{snippet, title};
use crate::visit::Visit;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Where {
    namespace: String,
}

/// A connection that the workloads of a namespace can use.
struct Usable {
    title: String,
    id: String,
    card: Card,
    chip: Chip,
    from: String,
    secret: Option<String>,
    environment: String,
    files: String,
}

#[derive(Template)]
#[template(path = "usable.html")]
struct UsablePage {
    frame: Frame,
    namespace: String,
    namespaces: Vec<String>,
    rows: Vec<Usable>,
}

/// `GET /use`
pub(crate) async fn page(visit: Visit, Query(Where { mut namespace }): Query<Where>) -> Reply {
    let (connections, shares) = (visit.app.cluster.connections.state(), visit.app.cluster.shares.state());
    let of_connections = connections.iter().filter_map(|connection| connection.namespace());
    let all: BTreeSet<String> =
        of_connections.chain(shares.iter().filter_map(|share| share.namespace())).collect();
    let namespaces = visit.filter(all, |namespace| Question::connection("list", namespace, "")).await?;
    if namespace.is_empty() {
        namespace = namespaces.first().cloned().unwrap_or_default();
    }
    let known = is_label(&namespace) && namespaces.contains(&namespace);
    let rows = if known { rows(&visit, &namespace) } else { Vec::new() };
    let frame = Frame::of(&visit, "Use in a workflow", "use").await;
    Ok(html(&UsablePage { frame, namespace, namespaces, rows }))
}

fn rows(visit: &Visit, namespace: &str) -> Vec<Usable> {
    let (connections, shares) = (visit.app.cluster.connections.state(), visit.app.cluster.shares.state());
    let own = connections.iter().filter(|it| it.namespace().as_deref() == Some(namespace)).map(|it| {
        let Row { title, id, card, chip, secret, .. } =
            Row::of(it, visit.card(&it.spec.provider), visit.reader());
        usable(title, id, card, chip, "from this namespace".to_owned(), secret)
    });
    let of_others = shares.iter().filter(|it| it.namespace().as_deref() == Some(namespace));
    let mut rows: Vec<Usable> = own.chain(of_others.map(|it| of_share(visit, it))).collect();
    rows.sort_by_key(|row| row.title.to_lowercase());
    rows
}

fn of_share(visit: &Visit, share: &ConnectionShare) -> Usable {
    let of = &share.spec.connection;
    let status = share.status.as_ref();
    let published = share.is(ConditionType::Ready);
    let chip = if published { chip("good", "✓", "Connected") } else { chip("wait", "○", "Not ready") };
    let connection = visit.app.cluster.connection(&of.namespace, &of.name);
    let told = |field: Option<&String>| field.cloned().unwrap_or_default();
    let owner = told(status.and_then(|status| status.shared_by.as_ref()));
    usable(
        connection.map_or_else(|| of.name.clone(), |connection| title(&connection)),
        connection_id(&of.namespace, &of.name),
        visit.card(&told(status.and_then(|status| status.provider.as_ref()))),
        chip,
        format!("shared by {owner} with {}", share.spec.workspace),
        status.and_then(|status| status.secret_name.clone()).filter(|_| published),
    )
}

fn usable(title: String, id: String, card: Card, chip: Chip, from: String, secret: Option<String>) -> Usable {
    let name = secret.as_deref().unwrap_or_default();
    let (environment, files) = (snippet::environment(name), snippet::files(name));
    Usable { title, id, card, chip, from, secret, environment, files }
}
