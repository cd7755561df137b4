//! What the buttons on a connection's page do.

use bowline_api::names;
use serde_json::Value;

use crate::failure::{Failure, Reply};
use crate::subject::{SubjectForm, is_name, need};
use crate::view::doer;
use crate::write::Change;

/// `POST …/edit`: name and description for people.
pub(crate) async fn edit(form: SubjectForm) -> Reply {
    let refusal = "Only the owner of a connection changes its settings.";
    form.subject.need_to_edit(&[], refusal)?;
    let mut change = Change::new();
    for (field, name, most) in [("title", "displayName", 128), ("description", "description", 1024)] {
        if !form.fields.ticked(field) {
            continue;
        }
        form.subject.need_to_edit(&[name], refusal)?;
        if form.fields.text(field).chars().count() > most {
            return Err(Failure::bad_request("The name may have 128 letters, the description 1024."));
        }
        change = change.field(name, form.fields.filled(field).map_or(Value::Null, Into::into));
    }
    form.write(change, "edited").await
}

/// `POST …/share`: promote to the workspace.
pub(crate) async fn share(form: SubjectForm) -> Reply {
    let refusal = "Only its owner shares a connection, and needs the right to `share`.";
    need(form.subject.may.share, refusal)?;
    form.subject.need_to_edit(&["shared", "workspace"], refusal)?;
    let chosen = form.fields.filled("workspace").or(form.subject.connection.spec.workspace.as_deref());
    let workspace =
        chosen.filter(|name| is_name(name)).ok_or_else(|| Failure::bad_request("Name a workspace."))?;
    let change = Change::new().field("workspace", workspace).field("shared", true);
    form.write(change, "shared").await
}

/// `POST …/unshare`: take it back from the workspace; the owner keeps it.
pub(crate) async fn unshare(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["shared"], "Only its owner takes a connection back.")?;
    form.write(Change::new().field("shared", false), "unshared").await
}

/// `POST …/refresh`: one refresh now.
pub(crate) async fn refresh(form: SubjectForm) -> Reply {
    need(form.subject.may.patch, "You may see this connection, but not change it.")?;
    let now = form.subject.visit.now().to_string();
    form.write(Change::new().annotation(names::ANNOTATION_REFRESH_REQUESTED, &now), "refresh asked for").await
}

/// `POST …/device`: a code to type on another device (RFC 8628).
pub(crate) async fn device(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    if let Some(why) = subject.may.refused_to_connect(&subject.connection) {
        return Err(Failure::forbidden(&why, "Ask the owner of the connection."));
    }
    if !subject.card.connects_by_code(&subject.connection) {
        return Err(Failure::bad_request("This provider is not set up for codes on another device."));
    }
    let now = subject.visit.now().to_string();
    form.write(Change::new().annotation(names::ANNOTATION_AUTHORIZE_REQUESTED, &now), "code asked for").await
}

/// `POST …/confirm`: the owner agrees to the account that the form names, as the page showed it.
pub(crate) async fn confirm(form: SubjectForm) -> Reply {
    need(form.subject.may.edit(), "Only its owner says which account is the right one.")?;
    let account = form.subject.connection.status.as_ref().and_then(|status| status.account.as_ref());
    let account = account.map_or(names::UNNAMED_ACCOUNT, |account| &account.id).to_owned();
    if form.fields.text("account") != account {
        return Err(Failure::conflict(
            "The account changed meanwhile",
            "It is not the account any more that your page showed, so nothing was agreed to.",
            "Load the page again and look which account it is.",
        ));
    }
    let change = Change::new().annotation(names::ANNOTATION_ACCEPT_ACCOUNT, &account);
    form.write(change, "account confirmed").await
}

/// `POST …/again`: take a disconnection back.
pub(crate) async fn again(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["disconnect"], "Only its owner connects it again.")?;
    let change = Change::new().field("disconnect", false).without(names::ANNOTATION_DISCONNECTED_BY);
    form.write(change, "disconnection taken back").await
}

/// `POST …/pause`: send nothing to the provider.
pub(crate) async fn pause(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["suspend"], "Only its owner pauses a connection.")?;
    let note = doer::note(&form.subject.visit.reader());
    let change = Change::new().field("suspend", true).annotation(names::ANNOTATION_SUSPENDED_BY, &note);
    form.write(change, "paused").await
}

/// `POST …/resume`: take a pause back.
pub(crate) async fn resume(form: SubjectForm) -> Reply {
    form.subject.need_to_edit(&["suspend"], "Only its owner resumes a connection.")?;
    let change = Change::new().field("suspend", false).without(names::ANNOTATION_SUSPENDED_BY);
    form.write(change, "resumed").await
}
