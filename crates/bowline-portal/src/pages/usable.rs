//! Use in a workflow: the connections that a namespace has, its own and those shared into it, with YAML to paste.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use bowline_api::names::connection_id;
use bowline_api::share::SharePhase;
use bowline_api::{ConnectionShare, IntegrationConnection};
use kube::ResourceExt;
use serde::Deserialize;

use super::super::App;
use super::super::access::Question;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::view::provider::Card;
use super::super::view::snippet;
use super::super::view::status::{Chip, standing};
use super::super::view::words::Reader;
use super::list::Choice;
use super::subject::is_label;
use super::{Frame, html};

/// Which namespace.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Where {
    namespace: String,
}

/// A connection that workloads of a namespace can use.
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
    namespaces: Vec<Choice>,
    rows: Vec<Usable>,
}

/// `GET /use`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Query(Where { namespace }): Query<Where>,
) -> Result<Response, Failure> {
    let connections = app.cluster.connections.state();
    let shares = app.cluster.shares.state();
    let all: BTreeSet<String> = connections
        .iter()
        .filter_map(|connection| connection.namespace())
        .chain(shares.iter().filter_map(|share| share.namespace()))
        .collect();
    let seen = app
        .access
        .filter(&session, all.into_iter().collect(), |namespace| Question::connection("list", namespace, ""))
        .await?;
    let namespace = if namespace.is_empty() { seen.first().cloned().unwrap_or_default() } else { namespace };
    let reader = Reader { user: session.user(), now: app.clock.now() };
    let known = is_label(&namespace) && seen.contains(&namespace);
    let rows = if known { rows(&app, &namespace, reader) } else { Vec::new() };
    let namespaces =
        seen.into_iter().map(|name| Choice { chosen: name == namespace, label: name.clone(), value: name });
    let frame = Frame::of(&app, &session, "Use in a workflow", "use").await;
    Ok(html(&UsablePage { frame, namespaces: namespaces.collect(), namespace, rows }))
}

fn rows(app: &App, namespace: &str, reader: Reader<'_>) -> Vec<Usable> {
    let connections = app.cluster.connections.state();
    let own = connections.iter().filter(|it| it.namespace().as_deref() == Some(namespace));
    let shares = app.cluster.shares.state();
    let taken_in = shares.iter().filter(|it| it.namespace().as_deref() == Some(namespace));
    let mut rows: Vec<Usable> = own
        .map(|it| of_namespace(app, namespace, it, reader))
        .chain(taken_in.map(|it| of_share(app, it)))
        .collect();
    rows.sort_by_key(|row| row.title.to_lowercase());
    rows
}

fn card(app: &App, name: &str) -> Card {
    app.cluster.provider(name).map_or_else(|| Card::unknown(name), |it| Card::of(&it))
}

fn of_namespace(
    app: &App,
    namespace: &str,
    connection: &IntegrationConnection,
    reader: Reader<'_>,
) -> Usable {
    let (card, name) = (card(app, &connection.spec.provider), connection.name_any());
    let secret = connection.status.as_ref().and_then(|status| Some(status.secret.as_ref()?.name.clone()));
    let title = connection.spec.display_name.clone().filter(|it| !it.is_empty());
    Usable {
        id: connection_id(namespace, &name),
        title: title.unwrap_or(name),
        chip: standing(connection, &card.title, reader).chip,
        from: "of this namespace".to_owned(),
        ..usable(card, secret)
    }
}

fn of_share(app: &App, share: &ConnectionShare) -> Usable {
    let of = &share.spec.connection;
    let status = share.status.as_ref();
    let secret = status.and_then(|status| status.secret_name.clone());
    let there = status.and_then(|status| status.phase) == Some(SharePhase::Published);
    let known = app.cluster.connection(&of.namespace, &of.name);
    let title = known.and_then(|connection| connection.spec.display_name.clone());
    Usable {
        title: title.filter(|it| !it.is_empty()).unwrap_or_else(|| of.name.clone()),
        id: connection_id(&of.namespace, &of.name),
        chip: share_chip(there),
        from: format!("shared by {} with {}", share.spec.owner, share.spec.workspace),
        ..usable(card(app, &share.spec.provider), secret.filter(|_| there))
    }
}

fn usable(card: Card, secret: Option<String>) -> Usable {
    let name = secret.clone().unwrap_or_default();
    let nothing = Chip { tone: "off", icon: "–", word: String::new() };
    Usable {
        title: String::new(),
        id: String::new(),
        card,
        chip: nothing,
        from: String::new(),
        environment: snippet::environment(&name),
        files: snippet::files(&name),
        secret,
    }
}

fn share_chip(published: bool) -> Chip {
    if published {
        Chip { tone: "good", icon: "✓", word: "Connected".to_owned() }
    } else {
        Chip { tone: "wait", icon: "○", word: "Not ready".to_owned() }
    }
}
