//! The page itself: from objects to text, nothing else.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::age::{relative, since};
use crate::next::{lines, steps};
use crate::reading::Readable;
use crate::related::{ProviderFacts, whereabouts};
use crate::screen::{Paint, painted};
use crate::table::{Cell, Lines, phase};
use bowline_api::condition::ConditionType;
use bowline_api::connection::{
    AccountStatus, AuthorizationStatus, IntegrationConnectionStatus, LastAttempt, RulingStatus,
};
use bowline_api::{ConnectionShare, IntegrationConnection};

/// How many events are shown.
const EVENTS: usize = 8;

/// Everything the page is made of.
pub(super) struct DescribePage {
    pub(crate) connection: IntegrationConnection,
    pub(crate) shares: Readable<Vec<ConnectionShare>>,
    pub(crate) events: Readable<Vec<Event>>,
    /// What the provider object says, as far as the user may read it.
    pub(crate) provider: ProviderFacts,
    pub(crate) now: Timestamp,
    pub(crate) colours: bool,
}

impl DescribePage {
    pub(super) fn render(&self) -> String {
        let empty = IntegrationConnectionStatus::default();
        let status = self.connection.status.as_ref().unwrap_or(&empty);
        let sections = [
            self.identity(status),
            status.authorization.as_ref().map(|open| self.authorization(open)).unwrap_or_default(),
            self.token(status),
            self.decided(status),
            self.conditions(status),
            self.next(status),
            self.published(),
            self.recent_events(),
        ];
        sections.concat()
    }

    fn identity(&self, status: &IntegrationConnectionStatus) -> String {
        let connection = &self.connection;
        let spec = &connection.spec;
        let phase = phase(connection);
        let state = match &status.phase {
            Some(_) => painted(&phase.text, phase.paint, self.colours),
            None => "not seen by the operator yet".to_owned(),
        };
        let mut lines = Lines::default();
        lines.add("Connection", &connection.id());
        lines.add_some("Name", spec.display_name.as_deref());
        lines.add_some("Description", spec.description.as_deref());
        lines.add("Provider", &spec.provider);
        lines.add_some("Account", connection.account().map(AccountStatus::word));
        lines.add("Owner", &spec.owner);
        lines.add_some("Workspace", spec.workspace.as_deref());
        lines.add_raw("Status", &state);
        if let Some(at) = &status.connected_at {
            lines.add("Connected", &relative(at, self.now));
        }
        lines.0
    }

    /// What somebody can do at the provider: the page, and the code while it is good.
    fn authorization(&self, open: &AuthorizationStatus) -> String {
        let mut lines = Lines::default();
        lines.add_some("Authorize at", open.url.as_deref());
        if let Some(code) = open_code(open, self.now) {
            let end = open.expires_at.as_ref().map(|end| format!(", expires {}", relative(end, self.now)));
            let at = open.verification_uri.as_deref().unwrap_or("the provider");
            lines.add("Device code", &format!("{code} at {at}{}", end.unwrap_or_default()));
        }
        lines.add_some("Admin consent", open.admin_consent_url.as_deref());
        lines.0
    }

    fn token(&self, status: &IntegrationConnectionStatus) -> String {
        let mut lines = Lines::default();
        if let Some(token) = &status.token {
            lines.add("Token", &self.remaining(token.expires_at.as_ref()));
            let times = [("Refreshed", &token.last_refreshed_at), ("Next refresh", &token.next_refresh_at)];
            for (title, time) in times {
                lines.add_some(title, time.as_ref().map(|time| relative(time, self.now)).as_deref());
            }
            if let Some(failure) = &token.last_failure {
                let text =
                    format!("{} {}: {}", relative(&failure.at, self.now), failure.reason, failure.message);
                lines.add("Last failure", &text);
            }
        }
        if let Some(end) = status.grant.as_ref().and_then(|grant| grant.expires_at.as_ref()) {
            lines.add("Grant expires", &relative(end, self.now));
        }
        if let Some(scopes) = &status.scopes {
            let none = Vec::new();
            for (title, list) in [
                ("Scopes", &scopes.granted),
                ("Requested", &scopes.requested),
                ("Scopes missing", &scopes.missing),
                // Where nothing is requested, the provider's own choice is no surprise.
                ("Not requested", if scopes.requested.is_empty() { &none } else { &scopes.extra }),
            ] {
                lines.add_some(title, (!list.is_empty()).then(|| list.join(" ")).as_deref());
            }
        }
        lines.0
    }

    fn remaining(&self, end: Option<&Time>) -> String {
        match end {
            None => "the provider names no time at which it expires".to_owned(),
            Some(end) if end.0 <= self.now => format!("expired {}", relative(end, self.now)),
            Some(end) => format!("expires {} ({})", relative(end, self.now), end.0),
        }
    }

    /// What the provider decided, and how the last attempt to connect went.
    fn decided(&self, status: &IntegrationConnectionStatus) -> String {
        let mut lines = Lines::default();
        if let Some(RulingStatus { reason, since, is_final, message, .. }) = &status.ruling {
            let tried = if *is_final { "final" } else { "tried again" };
            let text = format!("{reason} {}, {tried}", relative(since, self.now));
            lines.add("Ruling", [text.as_str(), message].join(": ").trim_end_matches(": "));
        }
        if let Some(last) = &status.last_attempt {
            lines.add("Last attempt", &self.attempt(last));
        }
        lines.0
    }

    fn attempt(&self, last: &LastAttempt) -> String {
        let LastAttempt { method, requested_by, started_at, ended_at, result, reason, message, .. } = last;
        let at = relative(ended_at.as_ref().unwrap_or(started_at), self.now);
        let by = requested_by.as_ref().map(|user| format!(", requested by {user}")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        format!("{result} {at} ({method}{by}){reason}{message}")
    }

    fn conditions(&self, status: &IntegrationConnectionStatus) -> String {
        if status.conditions.is_empty() {
            return String::new();
        }
        let mut text = self.heading("Why");
        for condition in &status.conditions {
            let Condition { type_, status, reason, message, last_transition_time, .. } = condition;
            let colour = match status.as_str() {
                "True" if type_ == ConditionType::Stalled.as_str() => Paint::Bad,
                "True" => Paint::Good,
                _ => Paint::Calm,
            };
            let word = painted(&format!("{:<7}", Cell::new(status).text), Some(colour), self.colours);
            let age = since(Some(last_transition_time), self.now);
            let reason = Cell::new(reason).text;
            let _ = writeln!(text, "  {type_:<15} {word} {reason} (for {age})");
            if !message.is_empty() {
                let _ = writeln!(text, "                  {}", Cell::new(message).text);
            }
        }
        text
    }

    fn next(&self, status: &IntegrationConnectionStatus) -> String {
        let mut text = self.heading("What to do next");
        if status.conditions.is_empty() {
            text.push_str("  the platform team: See whether the operator runs.\n");
            text.push_str("    kubectl get pods -A -l app.kubernetes.io/name=bowline\n");
            return text;
        }
        let steps = steps(&self.connection, &self.provider);
        if steps.is_empty() {
            text.push_str("  Nothing: all is as it should be.\n");
        }
        text.push_str(&lines(&steps));
        text
    }

    fn published(&self) -> String {
        let places = whereabouts(&self.connection, &self.shares);
        self.heading("Where it is published") + places.as_deref().unwrap_or("  nowhere\n")
    }

    fn recent_events(&self) -> String {
        let events = match &self.events {
            Readable::MayNot => return self.heading("Events") + "  you may not list events here\n",
            Readable::Yes(events) if events.is_empty() => return String::new(),
            Readable::Yes(events) => events,
        };
        let mut newest: Vec<_> = events.iter().map(|event| (happened(event), event)).collect();
        newest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut text = self.heading("Events");
        for (at, event) in newest.into_iter().take(EVENTS) {
            let age = at.map_or_else(|| "<none>".to_owned(), |at| relative(&Time(at), self.now));
            let kind = event.type_.as_deref().unwrap_or("Normal");
            let reason = event.reason.as_deref().unwrap_or_default();
            let note = Cell::new(event.message.clone().unwrap_or_default()).text;
            let _ = writeln!(text, "  {age:<10} {kind:<7} {reason}: {note}");
        }
        text
    }

    fn heading(&self, title: &str) -> String {
        format!("\n{}\n", painted(title, Some(Paint::Strong), self.colours))
    }
}

/// The code to type at the provider, while it is good.
fn open_code(open: &AuthorizationStatus, now: Timestamp) -> Option<&str> {
    let is_over = open.expires_at.as_ref().is_some_and(|end| end.0 <= now);
    open.user_code.as_deref().filter(|_| !is_over)
}

/// When an event was last seen; which field says so depends on who wrote it.
fn happened(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(first).or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
