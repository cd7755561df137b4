//! Before the redirect: which access is requested, who will be able to use it, and where it is published (R6).

use askama::Template;
use bowline_api::connection::AccountStatus;
use bowline_api::terms::ConnectionTerms;
use bowline_api::{IntegrationConnection, IntegrationConnectionSpec};
use bowline_oauth::catalog::Description;

use crate::error::Reply;
use crate::page::{Frame, html};
use crate::subject::Subject;
use crate::view::foreign;
use crate::view::managed::{Doer, maker};
use crate::view::provider;
use crate::view::scopes::{self, ScopeGroup};
use crate::view::words::Moment;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    subject: Subject,
    groups: Vec<ScopeGroup>,
    shared_with: Option<(String, Vec<String>)>,
    /// The digest of the terms that are shown: the owner agrees to these.
    terms: String,
    account: Option<String>,
    reconnect: bool,
    made: Option<Moment>,
    made_by: Option<Doer>,
    host: Option<String>,
    /// When the access ends by itself, as far as that is known before.
    until: Option<String>,
}

/// `GET …/connect`
pub(crate) async fn page(subject: Subject) -> Reply {
    subject.need_to_connect()?;
    let terms = subject.asked_terms();
    let connection = &IntegrationConnection {
        spec: IntegrationConnectionSpec {
            scopes: terms.scopes.iter().cloned().collect(),
            ..subject.connection.spec.clone()
        },
        ..subject.connection.clone()
    };
    let description = subject.provider().and_then(|object| provider::description(&object, connection));
    let scopes = description.as_ref().map(|description| scopes::asked(&description.scopes, connection));
    let expected = connection.spec.account.as_ref().map(|account| account.id.as_str());
    let expected = expected.or_else(|| connection.account().map(AccountStatus::word));
    let title = format!("Connect to {}", subject.card.title);
    Ok(html(&ReviewPage {
        frame: Frame::of(&subject.visit, &title, "connections").await,
        groups: scopes.unwrap_or_default(),
        shared_with: shared_with(&terms),
        terms: terms.digest(),
        account: expected.map(foreign),
        reconnect: connection.has_accepted_grant(),
        made: Moment::of(connection.metadata.creation_timestamp.as_ref(), subject.visit.now()),
        made_by: maker(connection),
        until: description.as_ref().and_then(until),
        host: description.and_then(|it| it.consent_page()?.host_str().map(ToOwned::to_owned)),
        subject,
    }))
}

/// When the access ends by itself. Banks say only afterwards.
fn until(description: &Description) -> Option<String> {
    const DAY: u64 = 24 * 60 * 60;
    let reminded = "You are reminded before.";
    match description.grant.consent_lives() {
        Some(lives) => Some(format!("{} days from now. {reminded}", lives.as_secs() / DAY)),
        None if description.link_session.is_some() => {
            Some(format!("until your bank asks again: in Europe commonly after 90 or 180 days. {reminded}"))
        }
        None => None,
    }
}

/// The workspace and its namespaces, if the connection will be shared at once.
pub(super) fn shared_with(terms: &ConnectionTerms) -> Option<(String, Vec<String>)> {
    let name = terms.workspace.clone().filter(|_| terms.shared)?;
    Some((name, terms.namespaces.iter().flatten().cloned().collect()))
}
