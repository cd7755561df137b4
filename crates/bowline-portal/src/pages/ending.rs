//! Disconnect and delete: shows what stops and what stays, then asks for confirmation, by name if others are affected.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::ConnectionShare;
use bowline_api::names::{ANNOTATION_DISCONNECTED_BY, ANNOTATION_SUSPENDED_BY};
use kube::ResourceExt;
use serde_json::Value;

use crate::failure::{Failure, Reply};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm, need};
use crate::view::doer;
use crate::view::provider::Card;
use crate::write::Change;

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
    others: Vec<SharedSecret>,
    /// Lists the affected pods, with the rights of the user who runs it.
    command: String,
    wrong: bool,
}

/// A Secret in another namespace that is removed with the connection.
struct SharedSecret {
    namespace: String,
    workspace: String,
    secret: String,
}

/// `GET …/disconnect`
pub(crate) async fn before_disconnect(subject: Subject) -> Reply {
    may_disconnect(&subject)?;
    Ok(page(&subject, false, false).await)
}

/// `POST …/disconnect`
pub(crate) async fn disconnect(form: SubjectForm) -> Reply {
    may_disconnect(&form.subject)?;
    if !is_confirmed(&form) {
        return Ok(page(&form.subject, false, true).await);
    }
    let note = doer::note(&form.subject.visit.reader());
    let mut change = Change::new().field("disconnect", true).annotation(ANNOTATION_DISCONNECTED_BY, &note);
    if form.subject.connection.is_paused() {
        change = change.field("suspend", Value::Null).without(ANNOTATION_SUSPENDED_BY);
    }
    form.write(change, "disconnected").await
}

/// `GET …/delete`
pub(crate) async fn before_delete(subject: Subject) -> Reply {
    may_delete(&subject)?;
    Ok(page(&subject, true, false).await)
}

/// `POST …/delete`
pub(crate) async fn delete(form: SubjectForm) -> Reply {
    may_delete(&form.subject)?;
    if !is_confirmed(&form) {
        return Ok(page(&form.subject, true, true).await);
    }
    let Subject { visit, connection, .. } = &form.subject;
    visit.app.writer.delete(&visit.session, connection).await?;
    Ok(Redirect::to("/connections").into_response())
}

fn may_disconnect(subject: &Subject) -> Result<(), Failure> {
    // What is disconnected cannot be paused as well.
    let changed: &[&str] =
        if subject.connection.is_paused() { &["disconnect", "suspend"] } else { &["disconnect"] };
    subject.need_to_edit(changed, "Only its owner can disconnect a connection.")
}

fn may_delete(subject: &Subject) -> Result<(), Failure> {
    need(subject.may.delete, "You are not allowed to delete this connection.")
}

/// Whether the name was typed, if others are affected.
fn is_confirmed(form: &SubjectForm) -> bool {
    form.subject.shares().is_empty() || form.fields.text("name") == form.subject.name
}

fn shared_secret(share: &ConnectionShare) -> Option<SharedSecret> {
    let secret = share.status.as_ref().and_then(|status| status.secret_name.clone());
    Some(SharedSecret {
        namespace: share.namespace()?,
        workspace: share.spec.workspace.clone(),
        secret: secret.unwrap_or_else(|| share.name_any()),
    })
}

async fn page(subject: &Subject, deletes: bool, wrong: bool) -> Response {
    let Subject { namespace, name, .. } = subject;
    let verb = if deletes { "Delete" } else { "Disconnect" };
    let secret = subject.connection.status.as_ref().and_then(|status| status.secret.as_ref());
    html(&EndingPage {
        frame: Frame::of(&subject.visit, &format!("{verb} {}", subject.title()), "connections").await,
        title: subject.title(),
        page: subject.page(),
        command: format!("kubectl bowline impact {name} -n {namespace}"),
        card: subject.card.clone(),
        deletes,
        secret: secret.map(|secret| secret.name.clone()),
        others: subject.shares().iter().filter_map(|share| shared_secret(share)).collect(),
        name: name.clone(),
        namespace: namespace.clone(),
        wrong,
    })
}
