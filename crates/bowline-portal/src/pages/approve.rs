//! Terms that wait for the owner: what is in force and what is proposed, side by side.

use std::collections::BTreeSet;

use askama::Template;
use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_APPROVE_TERMS;
use bowline_api::terms::{ConnectionTerms, Proposer, TermsStatus};

use super::extra::known;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm, need};
use crate::view::foreign;
use crate::view::scopes::described;
use crate::write::ConnectionPatch;

#[derive(Template)]
#[template(path = "approve.html")]
struct ApprovePage {
    frame: Frame,
    subject: Subject,
    /// Empty if nothing waits.
    rows: Vec<TermRow>,
    /// Who changed the spec; `None` if only the workspace has changed.
    by: Option<String>,
    /// By which the form says what was shown.
    digest: String,
}

/// One of the terms, as it is in force and as it is proposed.
struct TermRow {
    name: &'static str,
    now: Vec<TermEntry>,
    then: Vec<TermEntry>,
}

impl TermRow {
    fn sides(&self) -> [&Vec<TermEntry>; 2] {
        [&self.now, &self.then]
    }
}

struct TermEntry {
    text: String,
    /// What it means, for people.
    words: String,
    is_new: bool,
}

impl TermEntry {
    fn plain(text: impl Into<String>, is_new: bool) -> Self {
        Self { text: text.into(), words: String::new(), is_new }
    }
}

fn rows(subject: &Subject, agreed: &ConnectionTerms, proposed: &ConnectionTerms) -> Vec<TermRow> {
    let workspace = |terms: &ConnectionTerms, is_new| {
        vec![TermEntry::plain(terms.workspace.as_deref().unwrap_or("none"), is_new)]
    };
    let shared = |terms: &ConnectionTerms, is_new| {
        vec![TermEntry::plain(if terms.shared { "yes" } else { "no" }, is_new)]
    };
    let added = proposed.added_namespaces(agreed);
    let new_scopes = proposed.added_scopes(agreed);
    vec![
        TermRow {
            name: "Workspace",
            now: workspace(agreed, false),
            then: workspace(proposed, proposed.workspace != agreed.workspace),
        },
        TermRow {
            name: "Shared with it",
            now: shared(agreed, false),
            then: shared(proposed, proposed.shared && !agreed.shared),
        },
        TermRow {
            name: "Namespaces that get the token",
            now: namespaces(agreed, |_| false),
            then: namespaces(proposed, |namespace| added.contains(namespace)),
        },
        TermRow {
            name: "Access that is asked for",
            now: scopes(subject, agreed, |_| false),
            then: scopes(subject, proposed, |scope| {
                new_scopes.as_ref().is_none_or(|added: &BTreeSet<&str>| added.contains(scope))
            }),
        },
    ]
}

fn namespaces(terms: &ConnectionTerms, is_new: impl Fn(&str) -> bool) -> Vec<TermEntry> {
    let named = terms.namespaces.iter().flatten().filter(|_| terms.shared);
    named.map(|namespace| TermEntry::plain(namespace, is_new(namespace))).collect()
}

fn scopes(subject: &Subject, terms: &ConnectionTerms, is_new: impl Fn(&str) -> bool) -> Vec<TermEntry> {
    if terms.scopes.is_empty() {
        return vec![TermEntry::plain("the provider's default scopes", is_new(""))];
    }
    let known = known(subject).unwrap_or_default();
    let entry = |scope: &String| TermEntry {
        words: described(&known, scope).words,
        ..TermEntry::plain(foreign(scope), is_new(scope))
    };
    terms.scopes.iter().map(entry).collect()
}

/// Who changed the spec; `None` if only the workspace has changed.
pub(super) fn proposed_by(connection: &IntegrationConnection) -> Option<String> {
    match connection.terms().and_then(TermsStatus::proposer)? {
        Proposer::User(by) => Some(foreign(by)),
        Proposer::Unknown => Some("Somebody whose name is not known".to_owned()),
        Proposer::Workspace => None,
    }
}

/// `GET …/approve`
pub(crate) async fn page(subject: Subject) -> Reply {
    need(subject.may.edit(), REFUSAL)?;
    let title = format!("Approve changes of {}", subject.title());
    let frame = Frame::of(&subject.visit, &title, "connections").await;
    let waiting = subject.connection.waiting_terms();
    let rows = waiting.map(|(agreed, proposed, _)| rows(&subject, agreed, proposed)).unwrap_or_default();
    let digest = waiting.map(|(_, _, digest)| digest.to_owned()).unwrap_or_default();
    let by = proposed_by(&subject.connection);
    Ok(html(&ApprovePage { frame, subject, rows, by, digest }))
}

/// `POST …/approve`: the owner approves what the page showed.
pub(crate) async fn approve(form: SubjectForm) -> Reply {
    need(form.subject.may.edit(), REFUSAL)?;
    let connection = &form.subject.connection;
    let Some((_, _, digest)) = connection.waiting_terms() else { return Err(nothing_waits(connection)) };
    if form.fields.text("digest") != digest {
        return Err(PageError::conflict(
            "The proposal changed",
            "It is no longer what your page showed, so nothing was approved.",
            "Reload the page and look at what is proposed now.",
        ));
    }
    let change = ConnectionPatch::default().annotation(ANNOTATION_APPROVE_TERMS, digest);
    form.write(change).await
}

const REFUSAL: &str = "Only its owner can approve where a connection is shared and what it asks for.";

fn nothing_waits(connection: &IntegrationConnection) -> PageError {
    let what = format!("Nothing waits for the approval of {}.", connection.spec.owner);
    PageError::conflict("Nothing to approve", &what, "Go back to the connection.")
}
