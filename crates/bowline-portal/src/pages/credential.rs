//! A key, or a user name and password, that its owner types here.
//!
//! This process passes it on in an attempt, from which the operator takes and erases it, and keeps nothing of it. It is not shown
//! again, not even in the answer to a form that is refused.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use bowline_api::attempt::Step;
use bowline_api::connection::Method;
use bowline_oauth::catalog::look::{Group, Setup};
use bowline_oauth::catalog::{self, Description};
use secrecy::SecretString;

use super::review::shared_with;
use crate::connect::start::{begin, shown_terms};
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm};
use crate::view::provider;
use crate::visit::Fields;

/// The names under which an intake Secret has them.
const API_KEY: &str = "api_key";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const EXPIRES_AT: &str = "expires_at";
/// The prefix of their fields in the form.
const FIELD: &str = "value.";

#[derive(Template)]
#[template(path = "credential.html")]
struct CredentialPage {
    frame: Frame,
    subject: Subject,
    /// How to get one. What a generic entry says of it is for administrators.
    setup: Option<Setup>,
    fields: Vec<ValueField>,
    shared_with: Option<(String, Vec<String>)>,
    /// The digest of the terms that are shown: the owner agrees to these.
    terms: String,
    /// Whether it may be said when it expires.
    ends: bool,
    /// Whether the one in use is replaced.
    replaces: bool,
    /// What is wrong with the form that was sent.
    wrong: Option<String>,
}

/// One value of the form.
struct ValueField {
    name: String,
    label: String,
    /// What it looks like.
    looks: Option<String>,
    required: bool,
    /// Whether the browser hides it while it is typed.
    hidden: bool,
}

impl ValueField {
    fn secret(name: &str, label: &str, looks: Option<&String>, required: bool) -> Self {
        let (name, label, looks) = (name.to_owned(), label.to_owned(), looks.cloned());
        Self { name, label, looks, required, hidden: true }
    }
}

/// `GET …/credential`
pub(crate) async fn page(subject: Subject) -> Reply {
    subject.need_to_provide()?;
    Box::pin(form(subject, None)).await
}

/// `POST …/credential`
pub(crate) async fn provide(sent: SubjectForm) -> Reply {
    sent.subject.need_to_provide()?;
    let shown = shown_terms(&sent)?;
    let SubjectForm { subject, fields } = sent;
    let values = match typed(&self::fields(&subject)?, &fields) {
        Ok(values) => values,
        Err(wrong) => return Box::pin(form(subject, Some(wrong))).await,
    };
    let state = subject.visit.app.keys.marked()?;
    let attempt = begin(&subject, &state, Step::Provided { values }, shown).await?;
    tracing::info!(attempt, "a key or password is passed on");
    Ok(Redirect::to(&subject.page()).into_response())
}

/// What was typed, by the names under which an intake Secret has it. The error says what is wrong.
fn typed(asked: &[ValueField], sent: &Fields) -> Result<BTreeMap<String, SecretString>, String> {
    let mut values = BTreeMap::new();
    for field in asked {
        match sent.filled(&format!("{FIELD}{}", field.name)) {
            Some(value) => drop(values.insert(field.name.clone(), SecretString::from(value))),
            None if field.required => return Err(format!("{} is missing.", field.label)),
            None => {}
        }
    }
    values.extend(expiry(sent.text(EXPIRES_AT))?.map(|at| (EXPIRES_AT.to_owned(), at)));
    Ok(values)
}

async fn form(subject: Subject, wrong: Option<String>) -> Reply {
    let title = format!("Connect to {}", subject.card.title);
    let entry = subject.provider().and_then(|object| catalog::entry_of(&object.spec).ok());
    let terms = subject.asked_terms();
    let page = CredentialPage {
        shared_with: shared_with(&terms),
        terms: terms.digest(),
        frame: Frame::of(&subject.visit, &title, "connections").await,
        setup: entry.filter(|entry| entry.group != Group::Generic).map(|entry| entry.setup.clone()),
        fields: fields(&subject)?,
        ends: subject.card.key_method(&subject.connection) == Some(Method::ApiKey),
        replaces: subject.connection.has_accepted_grant(),
        wrong,
        subject,
    };
    Ok(html(&page))
}

/// What the form asks for: what the provider's entry says that belongs to a key.
fn fields(subject: &Subject) -> Result<Vec<ValueField>, PageError> {
    if subject.card.key_method(&subject.connection) == Some(Method::BasicAuth) {
        let username = ValueField { hidden: false, ..ValueField::secret(USERNAME, "User name", None, true) };
        // Several services take a key as user name, without a password.
        return Ok(vec![username, ValueField::secret(PASSWORD, "Password", None, false)]);
    }
    let described = subject.provider().and_then(|object| provider::description(&object, &subject.connection));
    let unknown = || {
        PageError::conflict(
            "This cannot be connected now",
            "What this provider's keys look like is not known at the moment.",
            "Try again in a minute.",
        )
    };
    Ok(of_key(&described.ok_or_else(unknown)?))
}

fn of_key(described: &Description) -> Vec<ValueField> {
    let key = described.key.as_ref();
    let mut fields = vec![ValueField::secret(API_KEY, "Key", key.and_then(|key| key.looks.as_ref()), true)];
    let values = key.into_iter().flat_map(|key| &key.values);
    fields.extend(
        values.map(|(name, value)| {
            ValueField::secret(name, &value.label, value.looks.as_ref(), !value.optional)
        }),
    );
    fields
}

/// The day from which a key no longer counts, as a time (RFC 3339). The error says what is wrong.
fn expiry(day: &str) -> Result<Option<SecretString>, String> {
    if day.is_empty() {
        return Ok(None);
    }
    let wrong = || "The day on which it expires is written like 2027-01-31.".to_owned();
    let date: k8s_openapi::jiff::civil::Date = day.parse().map_err(|_| wrong())?;
    Ok(Some(format!("{date}T00:00:00Z").into()))
}
