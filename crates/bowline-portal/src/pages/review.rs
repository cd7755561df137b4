//! Before the redirect: which access is requested, who will be able to use it, and where it is published (R6).

use askama::Template;

use crate::failure::Reply;
use crate::page::{Frame, html};
use crate::subject::Subject;
use crate::view::doer::{Doer, maker};
use crate::view::foreign;
use crate::view::provider::{self, Card};
use crate::view::scopes::{self, ScopeGroup};
use crate::view::time::Moment;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    title: String,
    page: String,
    namespace: String,
    owner: String,
    card: Card,
    groups: Vec<ScopeGroup>,
    secret: String,
    shared_with: Option<(String, Vec<String>)>,
    account: Option<String>,
    reconnect: bool,
    made: Option<Moment>,
    made_by: Option<Doer>,
    host: Option<String>,
}

/// `GET …/connect`
pub(crate) async fn page(subject: Subject) -> Reply {
    subject.need_to_connect()?;
    let connection = &subject.connection;
    let (spec, status) = (&connection.spec, connection.status.clone().unwrap_or_default());
    let description = subject.provider().and_then(|object| provider::description(&object, connection));
    let scopes = description.as_ref().map(|description| scopes::asked(&description.scopes, connection));
    let pinned = status.account.map(|account| account.name.unwrap_or(account.id));
    let expected = spec.account.as_ref().map(|account| account.id.clone()).or(pinned);
    let secret = spec.secret.as_ref().and_then(|secret| secret.name.clone());
    let title = format!("Connect to {}", subject.card.title);
    Ok(html(&ReviewPage {
        frame: Frame::of(&subject.visit, &title, "connections").await,
        title: subject.title(),
        page: subject.page(),
        owner: spec.owner.clone(),
        groups: scopes.unwrap_or_default(),
        secret: secret.unwrap_or_else(|| subject.name.clone()),
        shared_with: shared_with(&subject),
        account: expected.as_deref().map(foreign),
        reconnect: status.connected_at.is_some(),
        made: Moment::of(connection.metadata.creation_timestamp.as_ref(), subject.visit.now()),
        made_by: maker(connection),
        host: description.and_then(|it| it.endpoints.authorization?.host_str().map(ToOwned::to_owned)),
        namespace: subject.namespace,
        card: subject.card,
    }))
}

/// The workspace and its namespaces, if the connection will be shared at once.
fn shared_with(subject: &Subject) -> Option<(String, Vec<String>)> {
    let spec = &subject.connection.spec;
    let name = spec.workspace.as_deref().filter(|_| spec.shared.unwrap_or_default())?;
    let workspace = subject.visit.app.cluster.workspace(name);
    let namespaces = workspace.map(|workspace| workspace.spec.namespaces.clone());
    Some((name.to_owned(), namespaces.unwrap_or_default()))
}
