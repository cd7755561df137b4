//! A callback without a state: after an administrator's approval, or after a refusal that belongs to no attempt.
//!
//! Anybody can make up such an address, so the page does not repeat any of it and changes nothing. Entra adds
//! `admin_consent=True`, `tenant` and `scope`, and `error` after a refusal
//! (learn.microsoft.com/entra/identity-platform/v2-admin-consent).

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::http::HeaderMap;
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::Reason;

use super::returned::QUERY_BYTES;
use crate::Portal;
use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::view::provider::Card;
use crate::view::{key_of, page_of, title};
use crate::visit::{Visit, session_of};

/// The parameters of such an address, each at most once.
const KNOWN: &[&str] =
    &["admin_consent", "tenant", "scope", "error", "error_description", "error_subcode", "error_uri"];
const SHOWN: usize = 20;

/// An administrator's answer to such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    Given,
    Refused,
}

/// What such an address says of the approval; `None` for any other query.
pub(crate) fn read(query: &str) -> Option<Approval> {
    if query.len() > QUERY_BYTES {
        return None;
    }
    let mut values = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !KNOWN.contains(&&*name) || values.insert(name, value).is_some() {
            return None;
        }
    }
    match (values.get("error"), values.get("admin_consent")) {
        (Some(error), _) if !error.is_empty() => Some(Approval::Refused),
        (None, Some(consent)) if consent.eq_ignore_ascii_case("true") => Some(Approval::Given),
        _ => None,
    }
}

#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage {
    frame: Frame,
    approved: bool,
    /// Display name of the provider, for users who are signed in.
    at: Option<String>,
    /// Address and title of the user's connections that wait for approval.
    waiting: Vec<(String, String)>,
}

/// The page, with or without a session.
pub(crate) async fn page(app: Portal, provider: &str, approval: Approval, headers: &HeaderMap) -> Reply {
    let approved = approval == Approval::Given;
    let title = if approved { "Back from an approval" } else { "Back without an approval" };
    let Some(session) = session_of(headers, &app) else {
        let frame = Frame::of_nobody(title);
        return Ok(html(&ApprovalPage { frame, approved, at: None, waiting: Vec::new() }));
    };
    let visit = Visit { app, session };
    let known = visit.app.cluster.provider(provider);
    Ok(html(&ApprovalPage {
        frame: Frame::of(&visit, title, "").await,
        approved,
        at: known.map(|provider| Card::of(&provider).title),
        waiting: waiting(&visit, provider).await?,
    }))
}

async fn waiting(visit: &Visit, provider: &str) -> Result<Vec<(String, String)>, PageError> {
    let waits = |connection: &IntegrationConnection| {
        connection.spec.owner == visit.session.user()
            && connection.spec.provider == provider
            && (connection.reason_of(ConditionType::Authorized) == Some(Reason::AdminConsentRequired)
                || connection.last_attempt().is_some_and(|attempt| {
                    attempt.reason.as_ref().is_some_and(|reason| reason.is(Reason::AdminConsentRequired))
                }))
    };
    let mut mine = visit.app.cluster.connections.state();
    mine.retain(|connection| waits(connection));
    mine.truncate(SHOWN);
    let seen = visit.filter(mine, |connection| Permission::about("get", &connection.metadata)).await?;
    let link = |it: &Arc<IntegrationConnection>| {
        let (namespace, name) = key_of(&it.metadata);
        (page_of(namespace, name), title(it))
    };
    Ok(seen.iter().map(link).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_told_from_a_refusal_and_from_anything_else() {
        let rows = [
            (
                "admin_consent=True&tenant=9f2c&scope=https%3A%2F%2Fgraph.microsoft.com%2FMail.Send",
                "approved",
            ),
            ("admin_consent=true", "approved"),
            ("admin_consent=True&error=consent_required&error_description=AADSTS65004", "refused"),
            ("error=access_denied&error_subcode=cancel", "refused"),
            ("admin_consent=False", ""),
            ("admin_consent=True&admin_consent=True", ""),
            ("error=a&error=b", ""),
            ("admin_consent=True&error=", ""),
            ("admin_consent=True&code=abc", ""),
            ("admin_consent=True&state=abc", ""),
            ("admin_consent=True&next=%2F%2Fevil.example", ""),
            ("tenant=9f2c", ""),
            ("error=", ""),
            ("", ""),
        ];
        for (query, expected) in rows {
            let told = match read(query) {
                Some(Approval::Given) => "approved",
                Some(Approval::Refused) => "refused",
                None => "",
            };
            assert_eq!(told, expected, "{query}");
        }
        let long = format!("admin_consent=True&tenant={}", "x".repeat(QUERY_BYTES));
        assert_eq!(read(&long), None);
    }
}
