//! The buttons on a connection's page.

use bowline_api::names;
use serde_json::Value;

use crate::error::{PageError, Reply};
use crate::subject::{SubjectForm, is_name, need};
use crate::view::managed;
use crate::write::ConnectionPatch;

/// `POST …/edit`: display name and description.
pub(crate) async fn edit(form: SubjectForm) -> Reply {
    let refusal = "Only its owner can change the settings of a connection.";
    form.subject.need_to_edit(&[], refusal)?;
    let mut change = ConnectionPatch::default();
    for (field, name, most) in [("title", "displayName", 128), ("description", "description", 1024)] {
        if !form.fields.ticked(field) {
            continue;
        }
        form.subject.need_to_edit(&[name], refusal)?;
        if form.fields.text(field).chars().count() > most {
            return Err(PageError::bad_request("The name may have 128 characters, the description 1024."));
        }
        change = change.field(name, form.fields.filled(field).map_or(Value::Null, Into::into));
    }
    form.write(change).await
}

/// `POST …/share`: share with the workspace.
pub(crate) async fn share(form: SubjectForm) -> Reply {
    let refusal = "Only its owner can share a connection, and needs the permission `share`.";
    need(form.subject.may.share, refusal)?;
    form.subject.need_to_edit(&["shared", "workspace"], refusal)?;
    let chosen = form.fields.filled("workspace").or(form.subject.connection.spec.workspace.as_deref());
    let workspace =
        chosen.filter(|name| is_name(name)).ok_or_else(|| PageError::bad_request("Name a workspace."))?;
    let change = ConnectionPatch::default().field("workspace", workspace).field("shared", true);
    let change = change.terms_by(form.subject.visit.session.user(), &form.subject.connection);
    form.write(change).await
}

/// `POST …/refresh`: refresh once, now.
pub(crate) async fn refresh(form: SubjectForm) -> Reply {
    need(form.subject.may.refresh(), "A refresh needs its owner, or the permission `connect`.")?;
    let now = form.subject.visit.now().to_string();
    form.write(ConnectionPatch::default().annotation(names::ANNOTATION_REFRESH_REQUESTED, now)).await
}

/// `POST …/device`: request a device code (RFC 8628).
pub(crate) async fn device(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    if let Some(why) = subject.may.refused_to_connect(&subject.connection) {
        return Err(PageError::forbidden(&why, "Ask the owner of the connection."));
    }
    if !subject.card.connects_by_code(&subject.connection) {
        return Err(PageError::bad_request("This provider is not set up for codes on another device."));
    }
    let now = subject.visit.now().to_string();
    form.write(ConnectionPatch::default().annotation(names::ANNOTATION_AUTHORIZE_REQUESTED, now)).await
}

/// `POST …/confirm`: the owner confirms the account that the page showed.
pub(crate) async fn confirm(form: SubjectForm) -> Reply {
    need(form.subject.may.agree(), "Only its owner can confirm the account.")?;
    let account = form.subject.connection.status.as_ref().and_then(|status| status.account.as_ref());
    let account = account.map_or(names::UNNAMED_ACCOUNT, |account| &account.id).to_owned();
    if form.fields.text("account") != account {
        return Err(PageError::conflict(
            "The account changed",
            "The account is no longer the one that your page showed, so nothing was confirmed.",
            "Reload the page and check which account it is.",
        ));
    }
    let change = ConnectionPatch::default().annotation(names::ANNOTATION_ACCEPT_ACCOUNT, account);
    form.write(change).await
}

/// `POST …/again`: undo a disconnection.
pub(crate) async fn again(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["disconnect"], "Only its owner can connect it again.")?;
    let change = ConnectionPatch::default()
        .field("disconnect", false)
        .annotation(names::ANNOTATION_DISCONNECTED_BY, Value::Null);
    form.write(change).await
}

/// `POST …/pause`
pub(crate) async fn pause(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["suspend"], "Only its owner can pause a connection.")?;
    let note = managed::note(&form.subject.visit.reader());
    let change =
        ConnectionPatch::default().field("suspend", true).annotation(names::ANNOTATION_SUSPENDED_BY, note);
    form.write(change).await
}

/// `POST …/resume`
pub(crate) async fn resume(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["suspend"], "Only its owner can resume a connection.")?;
    let change = ConnectionPatch::default()
        .field("suspend", false)
        .annotation(names::ANNOTATION_SUSPENDED_BY, Value::Null);
    form.write(change).await
}
