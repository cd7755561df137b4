//! Disconnect and delete: first what stops and what stays, then a confirmation, by the name where others are affected.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::ConnectionShare;
use bowline_api::names::ANNOTATION_DISCONNECTED_BY;
use kube::ResourceExt;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::{Act, SignedIn};
use super::super::session::Session;
use super::super::view::doer;
use super::super::view::provider::Card;
use super::super::write::Change;
use super::actions::{need, not_kept};
use super::sharing::shares_of;
use super::subject::{For, Subject, subject};
use super::{Frame, html};

#[derive(Template)]
#[template(path = "ending.html")]
struct EndingPage {
    frame: Frame,
    title: String,
    page: String,
    name: String,
    card: Card,
    deletes: bool,
    secret: Option<String>,
    namespace: String,
    others: Vec<Taken>,
    /// Names the pods, with the rights of who runs it.
    command: String,
    wrong: bool,
}

/// A namespace that loses the Secret that was shared into it.
struct Taken {
    namespace: String,
    workspace: String,
    secret: String,
}

type Target = Path<(String, String)>;

/// `GET …/disconnect`
pub async fn before_disconnect(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path((namespace, name)): Target,
) -> Result<Response, Failure> {
    let subject = subject(&app, &session, &namespace, &name, For::APage).await?;
    need(subject.may.edit(), "Only its owner disconnects a connection.")?;
    not_kept(&subject, &["disconnect"])?;
    Ok(page(&app, &session, &subject, false, false).await)
}

/// `POST …/disconnect`
pub async fn disconnect(
    State(app): State<App>,
    Path((namespace, name)): Target,
    act: Act,
) -> Result<Response, Failure> {
    let subject = subject(&app, &act.session, &namespace, &name, For::AChange).await?;
    need(subject.may.edit(), "Only its owner disconnects a connection.")?;
    not_kept(&subject, &["disconnect"])?;
    if !is_confirmed(&app, &subject, &act) {
        return Ok(page(&app, &act.session, &subject, false, true).await);
    }
    let note = doer::note(act.session.user(), app.clock.now());
    let change = Change::new().field("disconnect", true).annotation(ANNOTATION_DISCONNECTED_BY, &note);
    app.writer.change(&act.session, &subject.connection, change, "disconnected").await?;
    Ok(Redirect::to(&subject.page()).into_response())
}

/// `GET …/delete`
pub async fn before_delete(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path((namespace, name)): Target,
) -> Result<Response, Failure> {
    let subject = subject(&app, &session, &namespace, &name, For::APage).await?;
    need(subject.may.delete, "You have no right to delete this connection.")?;
    Ok(page(&app, &session, &subject, true, false).await)
}

/// `POST …/delete`
pub async fn delete(
    State(app): State<App>,
    Path((namespace, name)): Target,
    act: Act,
) -> Result<Response, Failure> {
    let subject = subject(&app, &act.session, &namespace, &name, For::AChange).await?;
    need(subject.may.delete, "You have no right to delete this connection.")?;
    if !is_confirmed(&app, &subject, &act) {
        return Ok(page(&app, &act.session, &subject, true, true).await);
    }
    app.writer.delete(&act.session, &subject.connection).await?;
    Ok(Redirect::to("/connections").into_response())
}

/// Whether the name was typed, where others lose something.
fn is_confirmed(app: &App, subject: &Subject, act: &Act) -> bool {
    shares_of(app, subject).is_empty() || act.fields.text("name") == subject.name
}

fn taken(share: &ConnectionShare) -> Option<Taken> {
    let secret = share.status.as_ref().and_then(|status| status.secret_name.clone());
    Some(Taken {
        namespace: share.namespace()?,
        workspace: share.spec.workspace.clone(),
        secret: secret.unwrap_or_else(|| share.name_any()),
    })
}

async fn page(app: &App, session: &Session, subject: &Subject, deletes: bool, wrong: bool) -> Response {
    let status = subject.connection.status.clone().unwrap_or_default();
    let Subject { namespace, name, .. } = subject;
    let verb = if deletes { "Delete" } else { "Disconnect" };
    html(&EndingPage {
        frame: Frame::of(app, session, &format!("{verb} {}", subject.title()), "connections").await,
        title: subject.title(),
        page: subject.page(),
        name: name.clone(),
        command: format!("kubectl bowline impact {name} -n {namespace}"),
        card: subject.card.clone(),
        deletes,
        secret: status.secret.map(|secret| secret.name),
        namespace: namespace.clone(),
        others: shares_of(app, subject).iter().filter_map(|share| taken(share)).collect(),
        wrong,
    })
}
