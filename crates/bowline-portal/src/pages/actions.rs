//! What the buttons on a connection's page do. Each asks anew whether the reader may.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::names;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::Act;
use super::super::view::doer;
use super::super::view::owned::keeper;
use super::super::write::Change;
use super::subject::{For, Subject, is_name, subject};

type Target = Path<(String, String)>;
type Answer = Result<Response, Failure>;

/// The connection that a form is about, with rights asked for now.
async fn begun(app: &App, act: &Act, Path((namespace, name)): Target) -> Result<Subject, Failure> {
    subject(app, &act.session, &namespace, &name, For::AChange).await
}

async fn done(app: &App, act: &Act, subject: &Subject, change: Change, what: &'static str) -> Answer {
    app.writer.change(&act.session, &subject.connection, change, what).await?;
    Ok(Redirect::to(&subject.page()).into_response())
}

/// Refuses, unless `may`.
pub fn need(may: bool, what: &str) -> Result<(), Failure> {
    if may {
        Ok(())
    } else {
        Err(Failure::forbidden(what, "Ask the owner of the connection, or whoever manages its namespace."))
    }
}

/// Refuses if another tool keeps one of the fields.
pub fn not_kept(subject: &Subject, fields: &[&str]) -> Result<(), Failure> {
    match fields.iter().find_map(|field| keeper(&subject.connection, field)) {
        None => Ok(()),
        Some(keeper) => Err(Failure::conflict(
            "Another tool keeps this",
            &format!("{keeper} keeps this part of the connection and would put it back."),
            "Change it where that tool reads it from, a Git repository for example.",
        )),
    }
}

/// `POST …/edit`: name and description for people.
pub async fn edit(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.edit(), "Only the owner of a connection changes its settings.")?;
    let mut change = Change::new();
    for (field, name, most) in [("title", "displayName", 128), ("description", "description", 1024)] {
        if !act.fields.ticked(field) {
            continue;
        }
        not_kept(&subject, &[name])?;
        let text = act.fields.text(field);
        if text.chars().count() > most {
            return Err(Failure::bad_request("The name may have 128 letters, the description 1024."));
        }
        let value = act.fields.filled(field).map_or(serde_json::Value::Null, Into::into);
        change = change.field(name, value);
    }
    done(&app, &act, &subject, change, "edited").await
}

/// `POST …/share`: promote to the workspace.
pub async fn share(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(
        subject.may.edit() && subject.may.share,
        "Only its owner shares a connection, and needs the right to `share`.",
    )?;
    not_kept(&subject, &["shared", "workspace"])?;
    let chosen = act.fields.filled("workspace").or(subject.connection.spec.workspace.as_deref());
    let workspace =
        chosen.filter(|name| is_name(name)).ok_or_else(|| Failure::bad_request("Name a workspace."))?;
    let change = Change::new().field("workspace", workspace).field("shared", true);
    done(&app, &act, &subject, change, "shared").await
}

/// `POST …/unshare`: take it back from the workspace; the owner keeps it.
pub async fn unshare(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.edit(), "Only its owner takes a connection back.")?;
    not_kept(&subject, &["shared"])?;
    done(&app, &act, &subject, Change::new().field("shared", false), "unshared").await
}

/// `POST …/refresh`: one refresh now.
pub async fn refresh(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.patch, "You may see this connection, but not change it.")?;
    let change = Change::new().annotation(names::ANNOTATION_REFRESH_REQUESTED, &app.clock.now().to_string());
    done(&app, &act, &subject, change, "refresh asked for").await
}

/// `POST …/device`: a code to type on another device (RFC 8628).
pub async fn device(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    if let Some(why) = subject.may.refused_to_connect(&subject.connection) {
        return Err(Failure::forbidden(&why, "Ask the owner of the connection."));
    }
    if !subject.card.connects_by_code(&subject.connection) {
        return Err(Failure::bad_request("This provider is not set up for codes on another device."));
    }
    let change =
        Change::new().annotation(names::ANNOTATION_AUTHORIZE_REQUESTED, &app.clock.now().to_string());
    done(&app, &act, &subject, change, "code asked for").await
}

/// `POST …/confirm`: the owner agrees to the account that the form names, as the page showed it.
pub async fn confirm(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.owns && subject.may.patch, "Only its owner says which account is the right one.")?;
    let status = subject.connection.status.clone().unwrap_or_default();
    let account = status.account.map_or_else(|| names::UNNAMED_ACCOUNT.to_owned(), |account| account.id);
    if act.fields.text("account") != account {
        return Err(Failure::conflict(
            "The account changed meanwhile",
            "It is not the account any more that your page showed, so nothing was agreed to.",
            "Load the page again and look which account it is.",
        ));
    }
    let change = Change::new().annotation(names::ANNOTATION_ACCEPT_ACCOUNT, &account);
    done(&app, &act, &subject, change, "account confirmed").await
}

/// `POST …/again`: take a disconnection back.
pub async fn again(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.edit(), "Only its owner connects it again.")?;
    not_kept(&subject, &["disconnect"])?;
    let change = Change::new().field("disconnect", false).without(names::ANNOTATION_DISCONNECTED_BY);
    done(&app, &act, &subject, change, "disconnection taken back").await
}

/// `POST …/pause`: send nothing to the provider.
pub async fn pause(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.edit(), "Only its owner pauses a connection.")?;
    not_kept(&subject, &["suspend"])?;
    let note = doer::note(act.session.user(), app.clock.now());
    let change = Change::new().field("suspend", true).annotation(names::ANNOTATION_SUSPENDED_BY, &note);
    done(&app, &act, &subject, change, "paused").await
}

/// `POST …/resume`: take a pause back.
pub async fn resume(State(app): State<App>, target: Target, act: Act) -> Answer {
    let subject = begun(&app, &act, target).await?;
    need(subject.may.edit(), "Only its owner resumes a connection.")?;
    not_kept(&subject, &["suspend"])?;
    let change = Change::new().field("suspend", false).without(names::ANNOTATION_SUSPENDED_BY);
    done(&app, &act, &subject, change, "resumed").await
}
