//! Keys that are issued here: creating one, which its page shows once, and revoking one.
//!
//! The key is generated in this process and passed on as its digest; nothing stores it. It is shown in the answer to the form,
//! after the operator has accepted it. Sending the form again is refused, because its page showed an older state.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use bowline_api::IntegrationConnection;
use bowline_api::attempt::{AttemptEnding, Step};
use bowline_api::issued_key::{KeyOrder, NewKey, is_key_id};
use bowline_api::reason::Reason;
use bowline_runtime::attempts::AttemptError;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::start::begin;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm};
use crate::view::foreign;

/// How long the visitor waits for the operator.
const WAITS: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Template)]
#[template(path = "issued.html")]
struct IssuedPage {
    frame: Frame,
    subject: Subject,
    id: String,
    key: SecretString,
    /// Whether others were valid before, and are for a while.
    replaces: bool,
}

impl IssuedPage {
    fn shown(&self) -> &str {
        self.key.expose_secret()
    }
}

/// The id of the newest key; empty if there is none. A form names the one that its page showed.
pub(crate) fn newest(connection: &IntegrationConnection) -> &str {
    connection.issued_keys().first().map_or("", |key| &key.id)
}

/// `POST …/keys`: creates a key, and shows it.
pub(crate) async fn create(form: SubjectForm) -> Reply {
    let SubjectForm { subject, fields } = form;
    subject.need_to_issue()?;
    if fields.text("newest") != newest(&subject.connection) {
        return Err(PageError::conflict(
            "This key is not shown again",
            "Another key was created since your page was loaded, perhaps by this very form. A key is shown once and stored nowhere, so nothing was changed.",
            "Go to the connection. If you did not copy the key, create another one, and revoke the one that nobody has.",
        ));
    }
    let prefix = subject.connection.key_prefix();
    let prefix = prefix.ok_or_else(|| not_done("The operator has not looked at the connection yet."))?;
    let key = NewKey::generate(prefix).map_err(|error| PageError::internal(&error))?;
    carry_out(&subject, key.order(None)).await?;
    until_shown(&subject, key.id()).await?;
    let frame = Frame::of(&subject.visit, "Your new key", "connections").await;
    let replaces = !newest(&subject.connection).is_empty();
    let page = IssuedPage { frame, id: key.id().to_owned(), key: key.text().clone(), replaces, subject };
    Ok((StatusCode::CREATED, html(&page)).into_response())
}

/// `POST …/keys/revoke`: ends a key at once.
pub(crate) async fn revoke(form: SubjectForm) -> Reply {
    let SubjectForm { subject, fields } = form;
    subject.need_to_issue()?;
    let id = fields.text("id");
    if !is_key_id(id) {
        return Err(PageError::bad_request("This names no key."));
    }
    carry_out(&subject, KeyOrder::Revoke { id: id.to_owned() }).await?;
    Ok(Redirect::to(&subject.page()).into_response())
}

/// Gives the order to the operator and waits until it is carried out. The error says why it is not.
async fn carry_out(subject: &Subject, order: KeyOrder) -> Result<(), PageError> {
    let state = subject.visit.app.keys.marked()?;
    let attempt = begin(subject, &state, Step::Ordered { order }, None).await?;
    tracing::info!(attempt, "a change of issued keys is ordered");
    let ending = ending(subject, &attempt).await?;
    if ending.is_connected() { Ok(()) } else { Err(not_done(&foreign(&ending.message))) }
}

fn not_done(why: &str) -> PageError {
    PageError::conflict(
        "The keys were not changed",
        why,
        "Go back to the connection: its page says what is possible.",
    )
}

/// How the attempt ended. An order that the operator does not take in time is taken back.
async fn ending(subject: &Subject, name: &str) -> Result<AttemptEnding, PageError> {
    let (attempts, deadline) = (&subject.visit.app.attempts, Instant::now() + WAITS);
    let too_late = || {
        let message = "The operator did not answer in time. Look at the list of keys before you try again.";
        AttemptEnding::failed(Reason::AuthorizationFailed, message.to_owned())
    };
    loop {
        let Some(kept) = attempts.get(name).await? else { return Ok(too_late()) };
        match &kept.attempt.step {
            Step::Ended(ending) => return Ok(ending.clone()),
            _ if Instant::now() < deadline => sleep(PAUSE).await,
            _ => {
                let ended = kept.attempt.clone().with(Step::Ended(too_late()));
                match attempts.replace(kept, &ended).await {
                    // The operator ends it at this moment.
                    Err(AttemptError::Taken) => {}
                    result => drop(result?),
                }
            }
        }
    }
}

/// Waits until the connection shows the key: from then on the form that created it is refused.
async fn until_shown(subject: &Subject, id: &str) -> Result<(), PageError> {
    let deadline = Instant::now() + WAITS;
    while Instant::now() < deadline {
        let connection = subject.visit.read(&subject.namespace, &subject.name).await?;
        if connection.issued_keys().iter().any(|key| key.id == id) {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
