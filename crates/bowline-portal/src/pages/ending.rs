//! Disconnect, delete, stop sharing: shows what stops and what stays, then asks for confirmation, by name if others lose what
//! nobody can give back.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use bowline_api::ConnectionShare;
use bowline_api::names::{ANNOTATION_DISCONNECTED_BY, ANNOTATION_REVOKE_NOW, ANNOTATION_SUSPENDED_BY};
use kube::ResourceExt;
use serde_json::Value;

use super::bindings::{self, BindingList};
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
    ending: EndingKind,
    /// The bindings in other namespaces that lose the token, as far as the reader may list them.
    elsewhere: BindingList,
    /// Their Secrets, in other namespaces, are removed as well.
    shares: Vec<Arc<ConnectionShare>>,
    /// Whether its name must be typed: others are affected.
    by_name: bool,
    /// Whether the name that was typed is wrong.
    wrong: bool,
}

/// What is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndingKind {
    Disconnect,
    Delete,
    /// It can be shared again at any time.
    Unshare,
}

impl EndingKind {
    const fn verb(self) -> &'static str {
        match self {
            Self::Disconnect => "Disconnect",
            Self::Delete => "Delete",
            Self::Unshare => "Stop sharing",
        }
    }

    fn disconnects(self) -> bool {
        self == Self::Disconnect
    }

    fn deletes(self) -> bool {
        self == Self::Delete
    }

    fn unshares(self) -> bool {
        self == Self::Unshare
    }
}

fn secret_of(share: &ConnectionShare) -> String {
    let status = share.status.as_ref();
    status.and_then(|status| status.secret_name.clone()).unwrap_or_else(|| share.name_any())
}

/// `GET …/disconnect`
pub(crate) async fn before_disconnect(subject: Subject) -> Reply {
    may_disconnect(&subject)?;
    page(subject, EndingKind::Disconnect, false).await
}

/// `POST …/disconnect`
pub(crate) async fn disconnect(form: SubjectForm) -> Reply {
    may_disconnect(&form.subject)?;
    if !is_confirmed(&form) {
        return page(form.subject, EndingKind::Disconnect, true).await;
    }
    let note = managed::note(&form.subject.visit.reader());
    let mut change =
        ConnectionPatch::default().field("disconnect", true).annotation(ANNOTATION_DISCONNECTED_BY, note);
    if form.subject.connection.is_paused() {
        change = change.field("suspend", Value::Null).annotation(ANNOTATION_SUSPENDED_BY, Value::Null);
    }
    if let Some(grant) =
        form.subject.connection.grant().filter(|_| form.fields.ticked("now") && form.subject.may.owns)
    {
        change = change.annotation(ANNOTATION_REVOKE_NOW, grant.id.clone());
    }
    form.write(change).await
}

/// `GET …/delete`
pub(crate) async fn before_delete(subject: Subject) -> Reply {
    may_delete(&subject)?;
    page(subject, EndingKind::Delete, false).await
}

/// `POST …/delete`
pub(crate) async fn delete(form: SubjectForm) -> Reply {
    may_delete(&form.subject)?;
    if !is_confirmed(&form) {
        return page(form.subject, EndingKind::Delete, true).await;
    }
    form.subject.visit.delete(&form.subject.connection).await?;
    Ok(Redirect::to("/connections").into_response())
}

/// `GET …/unshare`
pub(crate) async fn before_unshare(subject: Subject) -> Reply {
    may_unshare(&subject)?;
    page(subject, EndingKind::Unshare, false).await
}

/// `POST …/unshare`: the owner keeps the connection.
pub(crate) async fn unshare(form: SubjectForm) -> Reply {
    may_unshare(&form.subject)?;
    let Subject { visit, connection, .. } = &form.subject;
    let change = ConnectionPatch::default().field("shared", false).terms_by(visit.session.user(), connection);
    form.write(change).await
}

fn may_unshare(subject: &Subject) -> Result<(), PageError> {
    subject.need_to_edit(&["shared"], "Only its owner can stop sharing a connection.")
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

async fn page(subject: Subject, ending: EndingKind, wrong: bool) -> Reply {
    let title = format!("{} {}", ending.verb(), subject.title());
    let frame = Frame::of(&subject.visit, &title, "connections").await;
    let by_name = !ending.unshares() && affects_others(&subject);
    let mut elsewhere = bindings::of(&subject).await?;
    elsewhere.rows.retain(|row| row.is_bound && row.namespace != subject.namespace);
    Ok(html(&EndingPage { frame, shares: subject.shares(), subject, ending, elsewhere, by_name, wrong }))
}
