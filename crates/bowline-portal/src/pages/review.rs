//! Before you go: what will be asked for, who will be able to use it, where it is published (R6).

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::view::doer::{Doer, maker};
use super::super::view::foreign;
use super::super::view::provider::{self, Card};
use super::super::view::scopes::{self, Group};
use super::super::view::time::Moment;
use super::subject::{For, Subject, subject};
use super::{Frame, html};

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    title: String,
    page: String,
    namespace: String,
    owner: String,
    card: Card,
    groups: Vec<Group>,
    secret: String,
    shared_with: Option<(String, Vec<String>)>,
    account: Option<String>,
    reconnect: bool,
    made: Option<Moment>,
    made_by: Option<Doer>,
    host: Option<String>,
}

/// `GET …/connect`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let subject = subject(&app, &session, &namespace, &name, For::APage).await?;
    connectable(&subject)?;
    let connection = &subject.connection;
    let object = app.cluster.provider(&connection.spec.provider);
    let description = object.and_then(|object| provider::description(&object, Some(connection)));
    let status = connection.status.clone().unwrap_or_default();
    let spec = &connection.spec;
    let pinned = status.account.map(|account| account.name.unwrap_or(account.id));
    let expected = spec.account.as_ref().map(|account| account.id.clone()).or(pinned);
    let to = format!("Connect to {}", subject.card.title);
    let made = connection.metadata.creation_timestamp.as_ref();
    Ok(html(&ReviewPage {
        frame: Frame::of(&app, &session, &to, "connections").await,
        title: subject.title(),
        page: subject.page(),
        namespace: subject.namespace.clone(),
        owner: spec.owner.clone(),
        groups: description
            .as_ref()
            .map(|description| scopes::asked(&description.scopes, connection))
            .unwrap_or_default(),
        secret: spec
            .secret
            .as_ref()
            .and_then(|secret| secret.name.clone())
            .unwrap_or_else(|| subject.name.clone()),
        shared_with: shared_with(&app, &subject),
        account: expected.as_deref().map(foreign),
        reconnect: status.connected_at.is_some(),
        made: Moment::of(made, app.clock.now()),
        made_by: maker(connection),
        host: description.and_then(|it| it.endpoints.authorization?.host_str().map(ToOwned::to_owned)),
        card: subject.card.clone(),
    }))
}

/// Refuses, with the reason, what cannot be connected by this reader now.
pub fn connectable(subject: &Subject) -> Result<(), Failure> {
    let Subject { connection, card, may, .. } = subject;
    if let Some(why) = may.refused_to_connect(connection) {
        return Err(Failure::forbidden(&why, "Ask the owner of the connection."));
    }
    let back = "Go back to the connection: its page says what is possible.";
    let refuse = |what: &str| Err(Failure::conflict("This cannot be connected now", what, back));
    if connection.metadata.deletion_timestamp.is_some() {
        return refuse("The connection is being deleted.");
    }
    if connection.spec.disconnect.unwrap_or_default() || connection.spec.suspend.unwrap_or_default() {
        return refuse("The connection is disconnected or paused.");
    }
    if !card.ready {
        return refuse(&format!("{} cannot be used now: {}", card.title, card.message));
    }
    if !card.connects_by_browser(connection) {
        return refuse("This connection is not made in a browser.");
    }
    Ok(())
}

/// The workspace and its namespaces, if the connection is shared as soon as it is connected.
fn shared_with(app: &App, subject: &Subject) -> Option<(String, Vec<String>)> {
    let spec = &subject.connection.spec;
    let name = spec.workspace.as_deref().filter(|_| spec.shared.unwrap_or_default())?;
    let namespaces = app.cluster.workspace(name).map(|workspace| workspace.spec.namespaces.clone());
    Some((name.to_owned(), namespaces.unwrap_or_default()))
}
