//! Disconnect and delete: shows what stops and what stays, then asks for confirmation, by name if others are affected.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::ConnectionShare;
use bowline_api::names::{ANNOTATION_DISCONNECTED_BY, ANNOTATION_SUSPENDED_BY};
use kube::ResourceExt;
use serde_json::Value;

use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm, need};
use crate::view::managed;
use crate::write::ConnectionPatch;

#[derive(Template)]
#[template(path = "ending.html")]
struct EndingPage {
    frame: Frame,
    subject: Subject,
    deletes: bool,
    /// Their Secrets, in other namespaces, are removed as well.
    shares: Vec<Arc<ConnectionShare>>,
    /// Whether its name must be typed: others are affected.
    by_name: bool,
    /// Whether the name that was typed is wrong.
    wrong: bool,
}

fn secret_of(share: &ConnectionShare) -> String {
    let status = share.status.as_ref();
    status.and_then(|status| status.secret_name.clone()).unwrap_or_else(|| share.name_any())
}

/// `GET …/disconnect`
pub(crate) async fn before_disconnect(subject: Subject) -> Reply {
    may_disconnect(&subject)?;
    Ok(page(subject, false, false).await)
}

/// `POST …/disconnect`
pub(crate) async fn disconnect(form: SubjectForm) -> Reply {
    may_disconnect(&form.subject)?;
    if !is_confirmed(&form) {
        return Ok(page(form.subject, false, true).await);
    }
    let note = managed::note(&form.subject.visit.reader());
    let mut change =
        ConnectionPatch::default().field("disconnect", true).annotation(ANNOTATION_DISCONNECTED_BY, note);
    if form.subject.connection.is_paused() {
        change = change.field("suspend", Value::Null).annotation(ANNOTATION_SUSPENDED_BY, Value::Null);
    }
    form.write(change).await
}

/// `GET …/delete`
pub(crate) async fn before_delete(subject: Subject) -> Reply {
    may_delete(&subject)?;
    Ok(page(subject, true, false).await)
}

/// `POST …/delete`
pub(crate) async fn delete(form: SubjectForm) -> Reply {
    may_delete(&form.subject)?;
    if !is_confirmed(&form) {
        return Ok(page(form.subject, true, true).await);
    }
    form.subject.visit.delete(&form.subject.connection).await?;
    Ok(Redirect::to("/connections").into_response())
}

fn may_disconnect(subject: &Subject) -> Result<(), PageError> {
    // What is disconnected cannot be paused as well.
    let changed: &[&str] =
        if subject.connection.is_paused() { &["disconnect", "suspend"] } else { &["disconnect"] };
    subject.need_to_edit(changed, "Only its owner can disconnect a connection.")
}

fn may_delete(subject: &Subject) -> Result<(), PageError> {
    need(subject.may.end(), "Only its owner can delete a connection.")
}

/// Whether the name was typed, if others are affected.
fn is_confirmed(form: &SubjectForm) -> bool {
    !affects_others(&form.subject) || form.fields.text("name") == form.subject.name
}

/// Whether it is published elsewhere, or bindings use it.
fn affects_others(subject: &Subject) -> bool {
    !subject.shares().is_empty() || subject.connection.dependents().is_some()
}

async fn page(subject: Subject, deletes: bool, wrong: bool) -> Response {
    let verb = if deletes { "Delete" } else { "Disconnect" };
    let frame = Frame::of(&subject.visit, &format!("{verb} {}", subject.title()), "connections").await;
    let by_name = affects_others(&subject);
    html(&EndingPage { frame, shares: subject.shares(), subject, deletes, by_name, wrong })
}
